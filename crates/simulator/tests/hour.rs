//! What a mass rebuild asks of a forge, for some minutes. `cargo xtask sim --hour` counts an hour of it.

use simulator::hour;

#[test]
fn some_minutes_of_a_mass_rebuild_stay_within_what_a_forge_bears() {
    let counted = hour(180);
    println!("{counted}");
    assert_eq!(counted.violations(2_000), Vec::<String>::new());
    // What is allowed is used.
    assert!(counted.pushes.len() > 10, "{}", counted.pushes.len());
    // One that is over its limit is found.
    let mut more = counted.clone();
    more.pushes = vec![0; 7];
    assert_eq!(more.violations(2_000).len(), 1);
    assert_eq!(counted.violations(counted.tasks + 1).len(), 1);
}
