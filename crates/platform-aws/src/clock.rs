//! The machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger::Millis;
use ports::Clock;

/// The machine's idea of UTC. Machines differ by some milliseconds; leases have to be longer than that.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is a machine that has lost its battery: 0 is as wrong as any.
        let since = since.unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}
