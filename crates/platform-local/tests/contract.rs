//! The adapters of one machine hold what the ports say.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Scratch;
use ledger::Millis;
use memory::ManualClock;
use platform_local::{Database, DirectoryStore, SqliteLedger, SqliteQueue, WallClock};
use ports::Clock;
use ports::contract::{self, QueueManner, TestClock};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ledger() {
    let scratch = Scratch::new();
    contract::ledger(async || SqliteLedger::new(database(&scratch))).await;
}

#[tokio::test]
async fn ledger_on_one_thread() {
    let scratch = Scratch::new();
    contract::ledger(async || SqliteLedger::new(database(&scratch))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queue() {
    let scratch = Scratch::new();
    contract::queue(QueueManner::EXACT, async || {
        let clock = ManualClock::default();
        let queue = SqliteQueue::new(database(&scratch), Arc::new(clock.clone()));
        (queue, clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store() {
    let scratch = Scratch::new();
    contract::store(Duration::ZERO, async || {
        let store = DirectoryStore::open(&scratch.folder()).unwrap();
        (store, Wall)
    })
    .await;
}

#[tokio::test]
async fn clock() {
    contract::clock(async || WallClock).await;
}

/// What the file system's times follow.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Millis {
        WallClock.now()
    }
}

impl TestClock for Wall {
    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

fn database(scratch: &Scratch) -> Database {
    Database::open(&scratch.folder()).unwrap()
}
