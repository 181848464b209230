//! The simulator over the ledger in DynamoDB and the queues in SQS, on an emulator: golden scenarios with a failure at
//! some of their calls, and random histories.
//!
//! Which calls, and which histories, follows from a seed: the time, unless `MILLRACE_SEED` says one. Each run says its own.
#![allow(
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and the environment tells which run it is"
)]

#[path = "../common/mod.rs"]
mod common;

mod cloud;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cloud::{Cloud, Way};
use simulator::{Calls, Outside, SCENES, Scene, simulate_outside, sweep_some};

/// Scenarios that are played: each kind of row, of message and of change is in one of them.
const PLAYED: [&str; 3] = ["a build", "a release over two repositories", "a revert"];
/// How far apart the calls are that fail, unless `MILLRACE_EVERY` says it: all of them take hours.
const EVERY: u64 = 127;
/// Random histories, unless `MILLRACE_HISTORIES` says how many.
const HISTORIES: u64 = 3;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn seed() -> u64 {
    number("MILLRACE_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap().as_secs()
    })
}

/// To do this again.
fn again(seed: u64) -> String {
    format!("again: MILLRACE_SEED={seed} cargo test -p platform-aws --test simulated")
}

fn outside(way: Way, seed: u64) -> Arc<dyn Outside> {
    Arc::new(Cloud::new(way, seed))
}

fn play(scene: &Scene, outside: &Arc<dyn Outside>, seed: u64) {
    let every = number("MILLRACE_EVERY").unwrap_or(EVERY);
    let calls = Calls {
        from: usize::try_from(seed % every).unwrap(),
        ..Calls::every(usize::try_from(every).unwrap())
    };
    let swept = sweep_some(scene, calls, Some(outside));
    println!(
        "{}: {} calls, {} runs with a failure, {every} calls apart, behind the first {}; {}",
        scene.name,
        swept.calls,
        swept.runs,
        calls.from,
        again(seed)
    );
    assert!(swept.runs > 0, "{swept:?}");
    assert!(
        swept.violations.is_empty(),
        "{:#?}\n{}",
        swept.violations,
        again(seed)
    );
}

#[test]
fn golden_scenarios_survive_a_failure_at_a_call() {
    let seed = seed();
    let outside = outside(Way::Clear, seed);
    let mut played = 0;
    for scene in SCENES.iter().filter(|it| PLAYED.contains(&it.name)) {
        play(scene, &outside, seed);
        played += 1;
    }
    assert_eq!(played, PLAYED.len());
}

/// The services are busy, and lose answers, on top of all that the simulator does.
#[test]
fn random_histories_end_as_they_should_on_a_rough_way() {
    let first = seed();
    for seed in first..first + number("MILLRACE_HISTORIES").unwrap_or(HISTORIES) {
        let outcome = simulate_outside(&outside(Way::Rough, seed), seed);
        println!("seed {seed}: {} calls; {}", outcome.calls, again(seed));
        let story = outcome.log.join("\n  ");
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}:\n  {story}\n{:#?}\n{}",
            outcome.violations,
            again(seed)
        );
    }
}
