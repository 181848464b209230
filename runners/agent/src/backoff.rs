//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng as _;

/// The first wait: a restarted control plane is back in well under a second.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double from 50 ms to 2 s, each shortened by up to a quarter so that many runners do not
/// come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    pub(crate) async fn wait(&mut self) {
        let step = self.step(rand::thread_rng().gen_range(0.75..=1.0));
        tokio::time::sleep(step).await;
    }

    fn step(&mut self, share: f64) -> Duration {
        let step = self.next.mul_f64(share);
        self.next = (self.next * 2).min(LONGEST);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let steps: Vec<u128> = (0..8).map(|_| backoff.step(1.0).as_millis()).collect();
        assert_eq!(steps, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.step(1.0), FIRST);
    }
}
