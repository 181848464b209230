//! What a mass rebuild asks of a forge.

use simulator::{Hour, hour};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

#[test]
fn fifty_thousand_tasks_an_hour_stay_within_what_a_forge_bears() {
    let counted = hour(3_600);
    let (pushes, checks) = (&counted.pushes, &counted.checks);
    println!(
        "{} tasks in an hour: {} pushes and {} checks in any hour, {} and {} in any minute",
        counted.tasks,
        Hour::most_in(pushes, HOUR),
        Hour::most_in(checks, HOUR),
        Hour::most_in(pushes, MINUTE),
        Hour::most_in(checks, MINUTE),
    );
    assert!(counted.tasks >= 50_000, "{}", counted.tasks);
    assert!(Hour::most_in(pushes, HOUR) <= 360);
    assert!(Hour::most_in(checks, HOUR) <= 500);
    assert!(Hour::most_in(pushes, MINUTE) <= 6);
    assert!(Hour::most_in(checks, MINUTE) <= 80);
    // They are used, and all that there is to say is said.
    assert!(Hour::most_in(pushes, HOUR) > 200, "{}", pushes.len());
    assert_eq!(counted.stale, Vec::<String>::new());
}
