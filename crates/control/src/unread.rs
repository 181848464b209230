//! Newest commits of pull requests that git could not read, and since when.
//!
//! A git server may be behind its forge for a moment, and nobody is told that a commit is broken which only comes later.
//! It is kept in memory: another process begins anew, and tells of it later.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger::Millis;

/// So long it may only be late.
const LATE_MILLIS: Millis = 30_000;
/// After so long it is forgotten: somebody has pushed another one.
const FORGOTTEN_MILLIS: Millis = 24 * 60 * 60 * 1_000;
/// Commits. Beyond, all begin anew.
const MAX: usize = 1_000;

/// Since when, by commit.
#[derive(Debug, Default)]
pub(crate) struct Unread(Mutex<BTreeMap<String, Millis>>);

impl Unread {
    /// `commit` could not be read `now`. Whether that has been so for longer than a server is late.
    pub(crate) fn lasts(&self, commit: &str, now: Millis) -> bool {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unread.retain(|_, since| (0..FORGOTTEN_MILLIS).contains(&now.saturating_sub(*since)));
        if unread.len() >= MAX && !unread.contains_key(commit) {
            unread.clear();
        }
        let since = *unread.entry(commit.to_owned()).or_insert(now);
        now - since >= LATE_MILLIS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_not_told_of() {
        let unread = Unread::default();
        let now = 1_782_864_000_000;
        assert!(!unread.lasts("a", now));
        assert!(!unread.lasts("a", now + LATE_MILLIS - 1));
        assert!(!unread.lasts("b", now + LATE_MILLIS));
        assert!(unread.lasts("a", now + LATE_MILLIS));
        // A clock that was set back, and a day later.
        assert!(!unread.lasts("a", now - 1));
        assert!(!unread.lasts("a", now - 1 + FORGOTTEN_MILLIS));
    }

    #[test]
    fn it_has_an_end() {
        let unread = Unread::default();
        for commit in 0..=MAX {
            unread.lasts(&commit.to_string(), 0);
        }
        assert!(unread.0.lock().expect("nobody panics").len() <= MAX);
    }
}
