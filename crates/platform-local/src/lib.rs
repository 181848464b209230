//! One machine: the ledger and the queues in one SQLite file, artifacts in a folder.
//!
//! Callers: `millrace up`. Invariants: what a call has answered survives `kill -9` and the loss of
//! power; one process at a time has a state folder open (see [`Error::InUse`]); an idle folder
//! costs no processor time.
//!
//! ```text
//! <state>/lock           held while open; the holder's process id
//! <state>/millrace.db    ledger rows and queue messages (WAL)
//! <state>/artifacts/     see DirectoryStore
//! <state>/set-aside-1/   a database that was replaced, see set_aside
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "this adapter's business is the file system, the clock and the database's threads"
)]

mod aside;
mod blocking;
mod clock;
mod database;
mod error;
mod folders;
mod ledger_rows;
mod lock;
mod queue;
mod store;
mod turns;
mod writer;

use std::path::Path;
use std::sync::Arc;

use ports::Clock;

pub use aside::{put_back, set_aside};
pub use clock::WallClock;
pub use database::Database;
pub use error::Error;
pub use ledger_rows::SqliteLedger;
pub use queue::SqliteQueue;
pub use store::{DirectoryStore, Verdict};

/// All ports of one machine; the state repository is the caller's choice.
#[derive(Debug)]
pub struct LocalPlatform<R> {
    // Closed before the database, whose lock keeps others away from both.
    store: DirectoryStore,
    ledger: SqliteLedger,
    queue: SqliteQueue,
    database: Database,
    state_repo: R,
    clock: WallClock,
}

impl<R> LocalPlatform<R> {
    /// Opens the state folder `state`, and makes it if it is not there. Blocks for some milliseconds.
    pub fn open(state: &Path, state_repo: R) -> Result<Self, Error> {
        let database = Database::open(state)?;
        let store = DirectoryStore::open(&state.join("artifacts"))
            .inspect_err(|_| database.leave_as_found())?;
        Ok(Self {
            store,
            ledger: SqliteLedger::new(database.clone()),
            queue: SqliteQueue::new(database.clone(), Arc::new(WallClock)),
            database,
            state_repo,
            clock: WallClock,
        })
    }

    /// Has what [`LocalPlatform::open`] made removed when it is closed, and nothing that was there before:
    /// for a program that looked and does not go on. The empty file `lock` stays.
    pub fn leave_as_found(&self) {
        self.store.leave_as_found();
        self.database.leave_as_found();
    }
}

impl<R: ports::StateRepo + 'static> ports::Platform for LocalPlatform<R> {
    type Ledger = SqliteLedger;
    type Queue = SqliteQueue;
    type Store = DirectoryStore;
    type StateRepo = R;
    type Clock = WallClock;

    fn ledger(&self) -> &SqliteLedger {
        &self.ledger
    }

    fn queue(&self) -> &SqliteQueue {
        &self.queue
    }

    fn store(&self) -> &DirectoryStore {
        &self.store
    }

    fn state_repo(&self) -> &R {
        &self.state_repo
    }

    fn clock(&self) -> &WallClock {
        &self.clock
    }
}

/// A clock that several adapters share.
type SharedClock = Arc<dyn Clock>;
