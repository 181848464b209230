//! The real control plane under a seeded scheduler: any interleaving, any of the world's faults, and
//! the same seed gives the same run.
//!
//! Callers: `cargo xtask sim`, tests. Invariants: one thread, a virtual clock, no randomness but the
//! seed's. Every use case is a future that pauses at each port call, before and after its effect; who
//! goes on next, who is killed there and what fails is the seed's choice.

mod agent;
mod frugal;
mod gate;
mod history;
mod hour;
mod meter;
mod outside;
mod pages;
mod past;
mod platform;
mod rates;
mod run;
mod settle;
mod story;
mod sweep;
mod upstream;
mod versions;
mod wishes;
mod witness;
mod workshop;

use std::sync::Arc;

use fastrand::Rng;

pub use hour::{Hour, hour};
pub use meter::measure;
pub use outside::Outside;
pub use rates::Rates;
pub use sweep::{Calls, SCENES, Scene, Swept, sweep, sweep_some};

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must not be, and was; empty for a clean run.
    pub violations: Vec<String>,
    /// Calls to the world.
    pub calls: u64,
    /// What happened, one line an event.
    pub log: Vec<String>,
}

/// Runs one seed: a random history of pushes under random faults, then calm, then judgement.
pub fn simulate(seed: u64) -> Outcome {
    simulate_over(None, seed)
}

/// The same over a ledger and queues that are not in memory. They are empty before and after it.
pub fn simulate_outside(outside: &Arc<dyn Outside>, seed: u64) -> Outcome {
    simulate_over(Some(outside), seed)
}

fn simulate_over(outside: Option<&Arc<dyn Outside>>, seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let rates = Rates::random(&mut rng)
        .with_losses(seed)
        .with_pruning(seed)
        .with_upgrades(seed)
        .with_hand_ins(seed)
        .with_forge(seed);
    let length = 2 + rng.usize(..8);
    let acts = history::random(&mut rng, length);
    let mut run = run::Run::over(outside.cloned(), rng.fork(), rates);
    run.chaos(&acts);
    run.settle();
    if run.violations().is_empty() && history::is_determined(&acts) {
        let mut twin = run::Run::new(rng.fork(), Rates::default());
        twin.in_order(&acts);
        twin.settle();
        run.compare(&twin);
    }
    run.store.lose();
    Outcome {
        seed,
        violations: run.violations(),
        calls: run.gate().calls(),
        log: run.take_log(),
    }
}
