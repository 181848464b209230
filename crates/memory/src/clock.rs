//! A clock that its owner moves.

use std::sync::Arc;
use std::time::Duration;

use ledger::Millis;
use ports::Clock;
use ports::contract::TestClock;
use tokio::sync::watch;

/// Stands still until it is moved; whoever waits on it hears of every move.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Millis>>);

impl ManualClock {
    /// Where a new clock stands: 2026-07-01T00:00:00Z.
    pub const START: Millis = 1_782_864_000_000;

    /// A clock that stands at `now`.
    pub fn at(now: Millis) -> Self {
        Self(Arc::new(watch::Sender::new(now)))
    }

    /// Moves it on.
    pub fn pass(&self, by: Duration) {
        let by = millis(by);
        self.0.send_modify(|now| *now = now.saturating_add(by));
    }

    /// Sets it, backwards too.
    pub fn set(&self, now: Millis) {
        self.0.send_replace(now);
    }

    /// Changes whenever the clock is moved.
    pub(crate) fn moves(&self) -> watch::Receiver<Millis> {
        self.0.subscribe()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        *self.0.borrow()
    }
}

impl TestClock for ManualClock {
    async fn advance(&self, by: Duration) {
        self.pass(by);
    }
}

/// A duration in the ledger's unit; what is too long for it is its end.
pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
