//! What several tests need: an emulator for the process, and a new installation in it for each adapter.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use emulator::{Emulator, Kind};
use ledger::Millis;
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
    Clients::new(installation, Access::Keys { id, secret })
}
