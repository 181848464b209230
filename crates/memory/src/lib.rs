//! Every port in memory, under a clock that stands still until somebody moves it.
//!
//! Callers: tests of `control` and of the adapters, as a dev-dependency; no shipped program has it.
//! Invariants: no wall time, no threads, no randomness: the same calls in the same order give the
//! same answers. Handles are cheap to clone, and clones share what they hold.

mod clock;
mod distribution;
mod forge;
mod ledger_rows;
mod object;
mod queue;
mod state_repo;
mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::ManualClock;
pub use distribution::{BUILDER_SECRET, CONFIG, SIGNER_SECRET};
pub use forge::MemoryForge;
pub use ledger_rows::MemoryLedger;
pub use queue::MemoryQueue;
pub use state_repo::{MemoryStateRepo, Signing};
pub use store::MemoryStore;

/// All ports in memory. Clones share everything, so that a test keeps one to look behind the scenes.
#[derive(Debug, Clone)]
pub struct MemoryPlatform {
    ledger: MemoryLedger,
    queue: MemoryQueue,
    store: MemoryStore,
    state_repo: MemoryStateRepo,
    clock: ManualClock,
}

impl MemoryPlatform {
    /// An empty one, at [`ManualClock::START`].
    pub fn new() -> Self {
        let clock = ManualClock::default();
        Self {
            ledger: MemoryLedger::default(),
            queue: MemoryQueue::new(clock.clone()),
            store: MemoryStore::new(clock.clone()),
            state_repo: MemoryStateRepo::default(),
            clock,
        }
    }
}

impl MemoryPlatform {
    /// The same world with an empty ledger: the file is lost.
    pub fn without_ledger(&self) -> Self {
        Self {
            ledger: MemoryLedger::default(),
            ..self.clone()
        }
    }
}

impl Default for MemoryPlatform {
    fn default() -> Self {
        Self::new()
    }
}

impl ports::Platform for MemoryPlatform {
    type Ledger = MemoryLedger;
    type Queue = MemoryQueue;
    type Store = MemoryStore;
    type StateRepo = MemoryStateRepo;
    type Clock = ManualClock;

    fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    fn queue(&self) -> &MemoryQueue {
        &self.queue
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    fn state_repo(&self) -> &MemoryStateRepo {
        &self.state_repo
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

/// A panic in one test's task must not hide the others' state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
