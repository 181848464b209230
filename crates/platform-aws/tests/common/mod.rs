//! What several tests need: an emulator for the process, and a new installation in it for each adapter.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub(crate) mod proxy;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use emulator::{Emulator, Kind};
use ledger::{Change, Expect, Key, Message, Millis, RefRow, Row};
use platform_aws::{Access, Clients, Installation, Patience, WallClock};
use ports::Clock;
use ports::contract::TestClock;

/// What an emulator's times follow.
pub(crate) struct Wall;

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

/// The emulator of this process. It ends with the process: see the room `emulator`.
pub(crate) fn endpoint(kind: Kind) -> String {
    static MINISTACK: OnceLock<Emulator> = OnceLock::new();
    static MOTO: OnceLock<Emulator> = OnceLock::new();
    let running = match kind {
        Kind::Ministack => &MINISTACK,
        Kind::Moto => &MOTO,
    };
    let start = || Emulator::start(kind).unwrap();
    running.get_or_init(start).endpoint()
}

/// An installation that nobody else uses, with nothing in it yet.
pub(crate) fn installation(endpoint: String) -> Installation {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Installation {
        version: 1,
        region: "eu-central-1".to_owned(),
        table: format!("ledger-{number}"),
        bucket: format!("artifacts-{number}"),
        queue_prefix: format!("test-{number}"),
        endpoint: Some(endpoint),
        patience: Patience::default(),
    }
}

pub(crate) fn clients(installation: Installation) -> Clients {
    // The keys that emulators know.
    let (id, secret) = ("test".to_owned(), "test".to_owned());
    Clients::new(
        installation,
        Access::Keys {
            id,
            secret,
            session: None,
        },
    )
}

/// Quick to try again, and soon at the end of it.
pub(crate) const QUICK: Patience = Patience {
    attempts: 4,
    attempt_millis: 60_000,
    first_wait_millis: 1,
};

pub(crate) fn key(sort: &str) -> Key {
    Key {
        partition: "p".to_owned(),
        sort: sort.to_owned(),
    }
}

pub(crate) fn row(number: i64) -> Row {
    Row::Ref(RefRow {
        url: String::new(),
        git_ref: "main".to_owned(),
        commit: "0".repeat(40),
        at: number,
    })
}

pub(crate) fn replace(sort: &str, expect: Expect, number: i64) -> Change {
    let mut change = Change::default();
    change.replace(key(sort), expect, row(number));
    change
}

pub(crate) fn message(name: &str) -> Message {
    Message::Report {
        request: format!("builds/2026/07/{name}.yaml").parse().unwrap(),
    }
}
