//! How much may still be done where others hold the installation to a limit.
//!
//! Callers: `control` keeps one as a row, so that it outlives processes and is shared by them; `forge` keeps one of its
//! own. Invariants: pure, time comes in; whatever is asked and whatever the clock does, no span of a [`Ceiling`] has more
//! than it allows, as the clocks of those who ask tell it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Clocks of one installation differ by less, in milliseconds.
const AHEAD: Millis = 1_000;

/// So many in any span of so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// How many; at least 1.
    pub most: usize,
    /// How long, in milliseconds.
    pub within: Millis,
}

impl Ceiling {
    /// So many in any minute.
    pub const fn a_minute(most: usize) -> Self {
        let within = 60_000;
        Self { most, within }
    }

    /// So many in any hour.
    pub const fn an_hour(most: usize) -> Self {
        let within = 3_600_000;
        Self { most, within }
    }
}

/// When something was done. As a row at [`crate::Key::pushes`] and [`crate::Key::forge_writes`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The oldest first. What no ceiling asks for any more is left out.
    made: VecDeque<Millis>,
}

impl Budget {
    /// Notes that it is done `count` times `now`. An error: it must not be, and may be at this time.
    pub fn take(&mut self, now: Millis, count: usize, ceilings: &[Ceiling]) -> Result<(), Millis> {
        self.forget(now, ceilings);
        let free = ceilings.iter().filter_map(|it| self.free_at(count, *it));
        self.note(now, count, free.max())
    }

    /// As [`Self::take`] of one, but the more was done of late, the longer the next one waits: a flood is spread over the
    /// span, in the place of using it up at once. Who comes alone does not wait.
    pub fn take_spread(&mut self, now: Millis, ceiling: Ceiling) -> Result<(), Millis> {
        let free = self.next_spread(now, ceiling);
        self.note(now, 1, free)
    }

    /// When [`Self::take_spread`] would go well next. `None`: now.
    pub fn next_spread(&mut self, now: Millis, ceiling: Ceiling) -> Option<Millis> {
        self.forget(now, &[ceiling]);
        let last = *self.made.back()?;
        let most = ceiling.most as Millis;
        let ends = |made: &Millis| made + ceiling.within;
        let mut free = now;
        loop {
            let counted: Vec<Millis> = self
                .made
                .iter()
                .map(ends)
                .filter(|end| *end > free)
                .collect();
            // All gaps together are half of the span, so that a few are done soon and all of them in time.
            let gap = counted.len() as Millis * ceiling.within / (most * (most - 1)).max(1);
            let is_full = counted.len() >= ceiling.most;
            if !is_full && last + gap <= free {
                return Some(free).filter(|free| *free > now);
            }
            // With each one that is over, the gap is smaller.
            let over = counted.first().copied().unwrap_or(free);
            free = if is_full { over } else { over.min(last + gap) };
        }
    }

    /// After a clock was set back: what was done later than `now` is taken to be done now, which is too careful once, where
    /// leaving it would be so until then. `false`: no time is farther ahead than clocks of one installation differ.
    pub fn set_back(&mut self, now: Millis) -> bool {
        let is_ahead = self.made.back().is_some_and(|made| *made > now + AHEAD);
        if is_ahead {
            self.made
                .iter_mut()
                .for_each(|made| *made = (*made).min(now));
        }
        is_ahead
    }

    fn note(&mut self, now: Millis, count: usize, free: Option<Millis>) -> Result<(), Millis> {
        match free {
            Some(free) if free > now => Err(free),
            _ => {
                self.made.extend(std::iter::repeat_n(now, count));
                Ok(())
            }
        }
    }

    /// Leaves out what no ceiling asks for.
    fn forget(&mut self, now: Millis, ceilings: &[Ceiling]) {
        // The clock was set back: what was done later than now is taken to be done now, which can only be too careful.
        for made in self.made.iter_mut().rev().take_while(|made| **made > now) {
            *made = now;
        }
        let longest = ceilings.iter().map(|it| it.within).max().unwrap_or(0);
        while self.made.front().is_some_and(|made| made + longest <= now) {
            self.made.pop_front();
        }
    }

    /// When `count` more do not make too many. Nothing: there are few enough.
    fn free_at(&self, count: usize, ceiling: Ceiling) -> Option<Millis> {
        let room = ceiling.most.saturating_sub(count);
        let last = self.made.len().checked_sub(room + 1)?;
        self.made.get(last).map(|made| made + ceiling.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;
    const HOUR: Millis = 60 * MINUTE;
    const WRITES: [Ceiling; 2] = [Ceiling::a_minute(80), Ceiling::an_hour(500)];
    const PUSHES: Ceiling = Ceiling::a_minute(6);

    /// Asks each `step` milliseconds for `hours`; the times at which it was done.
    fn made(step: usize, hours: Millis, mut ask: impl FnMut(Millis) -> bool) -> Vec<Millis> {
        let times = (0..hours * HOUR).step_by(step);
        times.filter(|now| ask(*now)).collect()
    }

    fn writes(step: usize, hours: Millis) -> Vec<Millis> {
        let mut budget = Budget::default();
        made(step, hours, |now| budget.take(now, 1, &WRITES).is_ok())
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
        let times = writes(97, 3);
        assert_eq!(most_in(MINUTE, &times), 80);
        assert_eq!(most_in(HOUR, &times), 500);
        assert_eq!(times.len(), 3 * 500);
    }

    #[test]
    fn a_steady_few_never_wait() {
        assert_eq!(writes(8_000, 2).len(), 900);
    }

    #[test]
    fn several_are_done_together_or_not_at_all() {
        let mut budget = Budget::default();
        assert_eq!(budget.take(0, 78, &WRITES), Ok(()));
        assert_eq!(budget.take(5, 4, &WRITES), Err(MINUTE));
        assert_eq!(budget.take(5, 2, &WRITES), Ok(()));
        assert_eq!(budget.take(MINUTE, 78, &WRITES), Ok(()));
        // More than ever go waits until it is alone.
        assert_eq!(budget.take(MINUTE, 81, &WRITES), Err(2 * MINUTE));
        assert_eq!(budget.take(2 * MINUTE, 81, &WRITES), Ok(()));
    }

    #[test]
    fn the_wait_is_as_long_as_it_says() {
        let mut budget = Budget::default();
        for now in 0..80 {
            assert_eq!(budget.take(now, 1, &WRITES), Ok(()));
        }
        assert_eq!(budget.take(100, 1, &WRITES), Err(MINUTE));
        assert_eq!(budget.take(MINUTE - 1, 1, &WRITES), Err(MINUTE));
        assert_eq!(budget.take(MINUTE, 1, &WRITES), Ok(()));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let mut budget = Budget::default();
        for _ in 0..1_000 {
            let _ = budget.take(5, 1, &WRITES);
        }
        assert_eq!(budget.take(60_005, 1, &WRITES), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_neither_frees_nor_blocks_for_long() {
        let mut budget = Budget::default();
        for _ in 0..80 {
            assert_eq!(budget.take(10 * HOUR, 1, &WRITES), Ok(()));
        }
        assert_eq!(budget.take(0, 1, &WRITES), Err(MINUTE));
        assert_eq!(budget.take(MINUTE, 1, &WRITES), Ok(()));
        let mut pushes = Budget::default();
        assert_eq!(pushes.take_spread(10 * HOUR, PUSHES), Ok(()));
        assert_eq!(pushes.take_spread(0, PUSHES), Err(2_000));
        assert_eq!(pushes.take_spread(2_000, PUSHES), Ok(()));
    }

    #[test]
    fn a_row_of_before_the_clock_was_set_back_is_mended_once() {
        let mut budget = Budget::default();
        assert_eq!(budget.take(10 * HOUR, 3, &WRITES), Ok(()));
        assert!(!budget.set_back(10 * HOUR - 5), "clocks differ a little");
        assert!(budget.set_back(0));
        assert!(!budget.set_back(0));
        assert_eq!(budget.take(HOUR, 500, &WRITES), Ok(()));
    }

    #[test]
    fn a_flood_is_spread() {
        let mut budget = Budget::default();
        let times = made(500, 1, |now| budget.take_spread(now, PUSHES).is_ok());
        assert_eq!(
            &times[..7],
            [0, 2_000, 6_000, 12_000, 20_000, 30_000, 60_000]
        );
        assert_eq!(most_in(MINUTE, &times), 6);
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert_eq!(longest, Some(30_000));
        assert!(times.len() > 300, "{} of 360 are used", times.len());
        // One in any minute.
        let mut budget = Budget::default();
        let times = made(500, 1, |now| {
            budget.take_spread(now, Ceiling::a_minute(1)).is_ok()
        });
        assert_eq!(times.len(), 60);
    }

    #[test]
    fn what_is_said_of_the_next_one_is_true() {
        let mut budget = Budget::default();
        let mut now = 0;
        for _ in 0..100 {
            assert_eq!(budget.next_spread(now, PUSHES), None);
            assert_eq!(budget.take_spread(now, PUSHES), Ok(()));
            let next = budget.next_spread(now, PUSHES).expect("one was just made");
            assert_eq!(budget.take_spread(next - 1, PUSHES), Err(next));
            now = next;
        }
    }
}
