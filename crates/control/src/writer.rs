//! One process at a time writes the checks of a pull request or of a commit: a forge keeps what comes last, and that has
//! to be what was noted last.
//!
//! Whoever is about to write notes until when, and afterwards what was written. Whoever is killed in between leaves that
//! time behind: when it is over, nothing of that process can arrive any more, and all is written anew.

use ledger::Millis;
use ports::Platform;

use crate::Control;

/// How long one process may write: longer than [`BEGIN_MILLIS`] and the minute that a forge's adapter has for one check.
pub(crate) const WRITING_MILLIS: Millis = 150_000;
/// After so long it begins no check any more.
pub(crate) const BEGIN_MILLIS: Millis = 60_000;

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
}
