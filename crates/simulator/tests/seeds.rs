//! Seeds that must stay clean, and seeds that once were not.

use simulator::{Calls, SCENES, simulate, sweep_some};

fn check(seed: u64) {
    let outcome = simulate(seed);
    let story = outcome.log.join("\n  ");
    assert!(
        outcome.violations.is_empty(),
        "seed {seed}:\n  {story}\n{:#?}\nagain: cargo xtask sim --from {seed} --seeds 1 --verbose",
        outcome.violations
    );
}

/// Enough for every fault and every act to meet; `cargo xtask sim` runs more.
#[test]
fn random_histories_end_as_they_should() {
    (1..=30).for_each(check);
}

/// The same seed is the same run: else nothing that was found could be found again.
#[test]
fn a_seed_is_a_run() {
    for seed in 1..=5 {
        let (first, again) = (simulate(seed), simulate(seed));
        assert_eq!(first.calls, again.calls, "seed {seed}");
        assert_eq!(first.log, again.log, "seed {seed}");
    }
}

/// Some calls of each golden scenario; `cargo xtask sim --sweep` takes all.
#[test]
fn golden_scenarios_survive_a_failure_at_a_call() {
    for scene in SCENES {
        let swept = sweep_some(scene, Calls::every(61), None);
        assert!(swept.runs > 0, "{}: {swept:?}", scene.name);
        assert!(swept.violations.is_empty(), "{:#?}", swept.violations);
    }
}
