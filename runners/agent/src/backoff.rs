//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng as _;

/// The first wait: a restarted control plane is back in well under a second.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double, each shortened by up to a quarter so that many runners do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    /// What the first one that is not zero has at least.
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// From 50 ms to 2 s.
    pub(crate) fn new() -> Self {
        Self::up_to(LONGEST)
    }

    /// From 50 ms to `longest`.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self {
            first: FIRST,
            shortest: FIRST,
            longest,
            next: FIRST,
        }
    }

    /// No wait the first time, and then from `shortest` to `longest`.
    pub(crate) fn after_a_free_one(shortest: Duration, longest: Duration) -> Self {
        Self {
            first: Duration::ZERO,
            shortest,
            longest,
            next: Duration::ZERO,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) async fn wait(&mut self) {
        let step = self.step(rand::thread_rng().gen_range(0.75..=1.0));
        tokio::time::sleep(step).await;
    }

    fn step(&mut self, share: f64) -> Duration {
        let step = self.next.mul_f64(share);
        self.next = (self.next * 2).clamp(self.shortest, self.longest);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let check = |mut backoff: Backoff, expect: [u128; 8]| {
            let steps = (0..8).map(|_| backoff.step(1.0).as_millis());
            assert_eq!(steps.collect::<Vec<_>>(), expect);
            backoff.reset();
            assert_eq!(backoff.step(1.0).as_millis(), expect[0]);
            assert_eq!(backoff.step(1.0).as_millis(), expect[1]);
        };
        let seconds = Duration::from_secs;
        check(Backoff::new(), [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        check(
            Backoff::up_to(seconds(3)),
            [50, 100, 200, 400, 800, 1600, 3000, 3000],
        );
        check(
            Backoff::after_a_free_one(seconds(1), seconds(20)),
            [0, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000],
        );
    }
}
