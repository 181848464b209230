//! When a forge may be asked again: what it said itself, and the budget of writes.
//!
//! Callers: `line`. Invariants: pure, time comes in; a forge that asks for a wait gets it, and no wait is longer than
//! [`MAX_WAIT`], whatever a header says.

use jiff::Timestamp;
use ledger::Budget;
use ports::FORGE_WRITES;

use crate::answer::Answer;

type Millis = i64;

/// The longest wait that is believed, in milliseconds: GitHub's limits begin anew each hour.
const MAX_WAIT: Millis = 60 * 60 * 1_000;
/// The wait after a limit that does not say how long. It doubles each time, as GitHub asks.
const FIRST_WAIT: Millis = 60 * 1_000;
/// Doublings: 64 minutes, which [`MAX_WAIT`] cuts.
const MAX_STRIKES: u32 = 6;

/// What is known of a forge's patience.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    budget: Budget,
    /// It wants no request before.
    until: Option<Millis>,
    /// How often in a row it said so without saying how long.
    strikes: u32,
}

/// Why no request is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The forge asked for it.
    Asked(Millis),
    /// [`Budget`] is used up.
    Budget(Millis),
}

impl Wait {
    /// As people read it.
    pub(crate) fn sentence(&self, forge: &str) -> String {
        match self {
            Self::Asked(until) => format!("{forge} asks to wait until {}", clock_time(*until)),
            Self::Budget(until) => format!(
                "{} writes a minute and {} an hour are all that {forge} gets: the next may go at {}",
                FORGE_WRITES[0].most,
                FORGE_WRITES[1].most,
                clock_time(*until)
            ),
        }
    }
}

fn clock_time(at: Millis) -> String {
    let time = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%H:%M:%S UTC").to_string()
}

impl Limits {
    /// Whether a request may be made `now`; one that `writes` is counted.
    pub(crate) fn ask(&mut self, now: Millis, writes: Writes) -> Result<(), Wait> {
        // Farther ahead than any wait: the clock was set back since.
        self.until = self.rests_until(now);
        if let Some(until) = self.until {
            return Err(Wait::Asked(until));
        }
        if writes == Writes::No {
            return Ok(());
        }
        let taken = self.budget.take(now, 1, &FORGE_WRITES);
        taken.map_err(Wait::Budget)
    }

    /// Until when it wants no request, if it said so.
    pub(crate) fn rests_until(&self, now: Millis) -> Option<Millis> {
        let until = self.until?;
        (now + 1..=now + MAX_WAIT).contains(&until).then_some(until)
    }

    /// Learns from an answer. An error: it was refused for a limit.
    pub(crate) fn hear(&mut self, now: Millis, answer: &Answer) -> Result<(), Wait> {
        let refused = matches!(answer.status.as_u16(), 403 | 429 | 503);
        let said = answer.number("retry-after").filter(|_| refused);
        let wait = said.map(|seconds| seconds.saturating_mul(1_000));
        let wait = wait.or_else(|| used_up(now, answer));
        let wait = wait.or_else(|| is_vague_limit(answer).then(|| self.strike()));
        let Some(wait) = wait else {
            if answer.status.is_success() {
                self.strikes = 0;
            }
            return Ok(());
        };
        let until = now.saturating_add(wait.clamp(1_000, MAX_WAIT));
        self.until = Some(self.until.map_or(until, |other| other.max(until)));
        if refused {
            return Err(Wait::Asked(until));
        }
        Ok(())
    }

    fn strike(&mut self) -> Millis {
        let wait = FIRST_WAIT << self.strikes;
        self.strikes = (self.strikes + 1).min(MAX_STRIKES);
        wait
    }
}

/// Whether a request changes something at the forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It does.
    Yes,
    /// It asks.
    No,
}

/// The primary limit: nothing remains until it begins anew. Both times are the forge's, so our clock may be wrong.
fn used_up(now: Millis, answer: &Answer) -> Option<Millis> {
    answer
        .number("x-ratelimit-remaining")
        .filter(|left| *left == 0)?;
    let reset = answer.number("x-ratelimit-reset")?.saturating_mul(1_000);
    Some(reset.saturating_sub(answer.date().unwrap_or(now)))
}

/// A secondary limit without a time.
fn is_vague_limit(answer: &Answer) -> bool {
    match answer.status.as_u16() {
        429 => true,
        403 => answer.message().to_lowercase().contains("rate limit"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-01T00:00:00Z, and what a forge's headers call it.
    const NOW: Millis = 1_782_864_000_000;
    const SECOND: Millis = 1_000;

    /// A forge answers; how many seconds it is left alone.
    fn check(status: u16, headers: &[(&'static str, &str)], body: &str, expect: Option<Millis>) {
        let mut limits = Limits::default();
        let _ = limits.hear(NOW, &Answer::made(status, headers, body));
        let until = limits.ask(NOW, Writes::No).err();
        let expect = expect.map(|seconds| Wait::Asked(NOW + seconds * SECOND));
        assert_eq!(until, expect, "{status} {headers:?} {body}");
        if let Some(Wait::Asked(until)) = expect {
            assert_eq!(
                limits.ask(until, Writes::No),
                Ok(()),
                "and then it is asked"
            );
        }
    }

    #[test]
    fn a_forge_that_asks_for_a_wait_gets_it() {
        let date = ("date", "Wed, 01 Jul 2026 01:00:00 GMT");
        let none = ("x-ratelimit-remaining", "0");
        check(200, &[], "", None);
        check(403, &[("retry-after", "7")], "", Some(7));
        check(429, &[("retry-after", "7")], "", Some(7));
        check(503, &[("retry-after", "7")], "", Some(7));
        check(201, &[("retry-after", "7")], "", None);
        // The forge's clock is an hour ahead of ours.
        check(
            403,
            &[none, ("x-ratelimit-reset", "1782867690"), date],
            "",
            Some(90),
        );
        check(
            403,
            &[none, ("x-ratelimit-reset", "1782864090")],
            "",
            Some(90),
        );
        check(
            200,
            &[none, ("x-ratelimit-reset", "1782864090")],
            "",
            Some(90),
        );
        check(
            200,
            &[
                ("x-ratelimit-remaining", "1"),
                ("x-ratelimit-reset", "1782864090"),
            ],
            "",
            None,
        );
        let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
        check(403, &[], secondary, Some(60));
        check(429, &[], "", Some(60));
        check(
            403,
            &[],
            r#"{"message": "Resource not accessible by integration"}"#,
            None,
        );
        // Nonsense in a header silences nothing for long.
        check(
            429,
            &[("retry-after", "99999999999999999")],
            "",
            Some(3_600),
        );
        check(429, &[("retry-after", "-3")], "", Some(1));
        check(429, &[("retry-after", "soon")], "", Some(60));
        check(
            403,
            &[none, ("x-ratelimit-reset", "-9223372036854775808")],
            "",
            Some(1),
        );
    }

    #[test]
    fn limits_without_a_time_double_until_something_goes() {
        let mut limits = Limits::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Err(Wait::Asked(until)) = limits.hear(NOW, &Answer::made(429, &[], "")) else {
                panic!("a limit is a refusal");
            };
            waits.push((until - NOW) / SECOND);
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
        assert_eq!(limits.hear(NOW, &Answer::made(200, &[], "")), Ok(()));
        let again = limits.hear(NOW, &Answer::made(429, &[], ""));
        assert_eq!(again, Err(Wait::Asked(NOW + 60 * SECOND)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let mut limits = Limits::default();
        let _ = limits.hear(NOW, &Answer::made(429, &[("retry-after", "60")], ""));
        assert_eq!(limits.ask(NOW - 2 * MAX_WAIT, Writes::No), Ok(()));
    }

    #[test]
    fn the_budget_holds_writes_alone() {
        let mut limits = Limits::default();
        for _ in 0..FORGE_WRITES[0].most {
            assert_eq!(limits.ask(NOW, Writes::Yes), Ok(()));
        }
        let wait = limits.ask(NOW, Writes::Yes).expect_err("80 were made");
        let sentence = "80 writes a minute and 500 an hour are all that Gitea gets: the next may go at 00:01:00 UTC";
        assert_eq!(wait.sentence("Gitea"), sentence);
        assert_eq!(limits.ask(NOW, Writes::No), Ok(()));
    }
}
