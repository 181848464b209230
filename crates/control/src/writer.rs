//! One process at a time writes the checks of a pull request or of a commit: a forge keeps what comes last, and that has
//! to be what was noted last.
//!
//! Whoever is about to write notes until when, and afterwards what was written. Whoever is killed in between leaves that
//! time behind: when it is over, nothing of that process can arrive any more, and all is written anew. So does whoever has
//! waited in vain for an answer.

use ledger::Millis;
use ports::Platform;

use crate::Control;

/// How long one process may write: longer than [`BEGIN_MILLIS`] and the minute that a forge's adapter has for one check.
pub(crate) const WRITING_MILLIS: Millis = 150_000;
/// After so long it begins no check any more.
pub(crate) const BEGIN_MILLIS: Millis = 60_000;

/// Whoever has waited so long before it failed has heard nothing: connections have 10 s, and answers 30.
const HEARD_MILLIS: Millis = 15_000;

/// Who writes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Nobody: what was written is noted.
    None,
    /// Another process.
    Another,
    /// Nobody any more, and what was written last is not known.
    Lost,
}

impl<P: Platform> Control<P> {
    /// `writing`: of the row. A clock that was set back keeps nobody out for longer than [`WRITING_MILLIS`].
    pub(crate) fn writer(&self, writing: Millis) -> Writer {
        let left = writing.saturating_sub(self.now());
        match writing {
            0 => Writer::None,
            _ if (1..=WRITING_MILLIS).contains(&left) => Writer::Another,
            _ => Writer::Lost,
        }
    }

    /// What a row says whose check could not be written before `writing`. It may have been written nevertheless.
    pub(crate) fn writing_failed(&self, writing: Millis) -> Millis {
        freed(writing, self.now())
    }
}

/// An answer says that nothing is under way any more, and so does a connection that breaks: the next look is not kept
/// waiting. What nobody has answered may still be done, after whatever the next one would write.
fn freed(writing: Millis, now: Millis) -> Millis {
    let begun = writing - WRITING_MILLIS;
    match now - begun < HEARD_MILLIS {
        true => now,
        false => writing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_answered_keeps_others_out() {
        let begun = 1_782_864_000_000;
        let writing = begun + WRITING_MILLIS;
        // Refused, or the connection broke; or the clock was set back.
        for now in [begun, begun + 14_999, begun - 1] {
            assert_eq!(freed(writing, now), now);
        }
        // Timed out.
        for now in [begun + 15_000, begun + 30_000, begun + BEGIN_MILLIS] {
            assert_eq!(freed(writing, now), writing);
        }
    }
}
