//! How many writes may still be made: a forge blocks whoever makes too many.
//!
//! Callers: `limits`. Invariants: pure, time comes in; whatever is asked and whatever the clock does, no minute has more
//! than [`Budget::A_MINUTE`] writes and no hour more than [`Budget::AN_HOUR`].

use std::collections::VecDeque;
use std::time::Duration;

/// Milliseconds since 1970, as the ledger counts.
type Millis = i64;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

/// The writes of the last hour, and whether one more fits.
///
/// GitHub's [secondary limits](https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api) allow
/// 80 requests a minute and 500 an hour that make content. Every request that changes something counts here.
#[derive(Debug, Default)]
pub struct Budget {
    /// When they were made, oldest first; [`Budget::AN_HOUR`] at most.
    made: VecDeque<Millis>,
}

impl Budget {
    /// Writes in any minute.
    pub const A_MINUTE: usize = 80;
    /// Writes in any hour.
    pub const AN_HOUR: usize = 500;

    /// Counts one write that is made `now`. An error: none may be made, and one may after this time.
    pub fn take(&mut self, now: Millis) -> Result<(), Duration> {
        // The clock was set back: what was made later than now is taken to be made now, which can only be too careful.
        for made in self.made.iter_mut().rev().take_while(|made| **made > now) {
            *made = now;
        }
        while self.made.front().is_some_and(|made| made + HOUR <= now) {
            self.made.pop_front();
        }
        let free = self
            .free_at(Self::A_MINUTE, MINUTE)
            .max(self.free_at(Self::AN_HOUR, HOUR));
        match free {
            Some(free) if free > now => Err(Duration::from_millis((free - now).unsigned_abs())),
            _ => {
                self.made.push_back(now);
                Ok(())
            }
        }
    }

    /// When the newest `limit` writes do not all lie in one `span` any more; nothing: there are fewer.
    fn free_at(&self, limit: usize, span: Millis) -> Option<Millis> {
        let oldest = self.made.len().checked_sub(limit)?;
        self.made.get(oldest).map(|made| made + span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks `each` milliseconds for `hours`; the times at which a write was made.
    fn made(each: usize, hours: Millis) -> Vec<Millis> {
        let mut budget = Budget::default();
        let times = (0..hours * HOUR).step_by(each);
        times.filter(|now| budget.take(*now).is_ok()).collect()
    }

    /// `times` is in order, so the most are between one of them and the last that is near enough.
    fn most_in(span: Millis, times: &[Millis]) -> usize {
        let until = |start: &Millis| times.partition_point(|at| *at < start + span);
        let within = times
            .iter()
            .enumerate()
            .map(|(nth, start)| until(start) - nth);
        within.max().unwrap_or(0)
    }

    #[test]
    fn a_flood_is_held_and_the_limits_are_used_whole() {
        let times = made(97, 3);
        assert_eq!(most_in(MINUTE, &times), Budget::A_MINUTE);
        assert_eq!(most_in(HOUR, &times), Budget::AN_HOUR);
        assert_eq!(times.len(), 3 * Budget::AN_HOUR);
    }

    #[test]
    fn a_steady_few_never_wait() {
        assert_eq!(made(8_000, 2).len(), 900);
    }

    #[test]
    fn the_wait_is_as_long_as_it_says() {
        let mut budget = Budget::default();
        for now in 0..80 {
            assert_eq!(budget.take(now), Ok(()));
        }
        let wait = Duration::from_millis(60_000 - 100);
        assert_eq!(budget.take(100), Err(wait));
        assert_eq!(budget.take(59_999), Err(Duration::from_millis(1)));
        assert_eq!(budget.take(60_000), Ok(()));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let mut budget = Budget::default();
        for _ in 0..1_000 {
            let _ = budget.take(5);
        }
        assert_eq!(budget.take(60_005), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_neither_frees_nor_blocks_for_long() {
        let mut budget = Budget::default();
        for _ in 0..80 {
            assert_eq!(budget.take(10 * HOUR), Ok(()));
        }
        assert_eq!(budget.take(0), Err(Duration::from_mins(1)));
        assert_eq!(budget.take(MINUTE), Ok(()));
    }
}
