//! What a forge allows: nothing is pushed or written that was not counted before, and no more is counted than may be.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Budget, Configuration, Key, Millis, Row};
use ports::{Commit, FORGE_WRITES};

use super::Witness;

const MINUTE: Millis = 60_000;

/// What was counted, and what was done.
#[derive(Default)]
pub(super) struct Allowed {
    /// Pushes in a minute; none: nobody counts.
    pub(super) pushes: Option<usize>,
    /// Clocks differ, so that a minute of one is not that of another.
    is_skewed: bool,
    /// Times of all that were counted, and how many were done.
    counted: BTreeMap<Key, Vec<Millis>>,
    /// Of each row, what it was before the last write, and how many were counted then.
    last: BTreeMap<Key, (Vec<Millis>, usize)>,
    pushed: usize,
    written: usize,
    /// Commits that were ever watched, and what was planned before them.
    watched: BTreeMap<Commit, Commit>,
    /// Of those, the ones that have mended the configuration.
    mended: BTreeSet<Commit>,
}

impl Allowed {
    /// The ledger is lost: what was counted is, too.
    pub(super) fn lose(&mut self) {
        self.counted.clear();
        self.last.clear();
        (self.pushed, self.written) = (0, 0);
        self.watched.clear();
        self.mended.clear();
    }
}

fn times(budget: &Budget) -> Vec<Millis> {
    let json = serde_json::to_value(budget).expect("rows are JSON");
    let made = json["made"].as_array().expect("a list").iter();
    made.filter_map(serde_json::Value::as_i64).collect()
}

impl Witness {
    /// Somebody counts pushes from now on.
    pub(crate) fn counts_pushes(&self, most: usize) {
        self.state().allowed.pushes = Some(most);
    }

    pub(crate) fn has_skewed_clocks(&self) {
        self.state().allowed.is_skewed = true;
    }

    /// Whether a commit has mended the configuration: if it brought nothing else, another check says so.
    pub(crate) fn has_mended(&self, commit: &str) -> bool {
        self.state().allowed.mended.contains(commit)
    }

    /// All commits that were watched, and what was planned before each.
    pub(crate) fn watched(&self) -> Vec<(Commit, Commit)> {
        let watched = self.state().allowed.watched.clone();
        watched.into_iter().collect()
    }

    pub(super) fn watches(&self, new: &Row) {
        if let Row::Watch(row) = new {
            // Of its configuration another check tells, and of work there is nothing to tell.
            if matches!(row.configuration, Some(Configuration::Broken { .. })) {
                return;
            }
            let mut state = self.state();
            if row.configuration.is_some() {
                state.allowed.mended.insert(row.commit.clone());
            }
            let from = state.allowed.watched.entry(row.commit.clone()).or_default();
            if !row.from.is_empty() {
                from.clone_from(&row.from);
            }
        }
    }

    /// A budget was written: something was counted, or given back.
    pub(super) fn counted(&self, key: &Key, old: Option<&Budget>, new: &Budget) {
        let (old, new) = (old.map(times).unwrap_or_default(), times(new));
        let mut state = self.state();
        let allowed = &mut state.allowed;
        let is_earlier = old.len() == new.len() && new.last() < old.last();
        if allowed.is_skewed && is_earlier {
            // A clock was set back, and nothing is counted.
            allowed.last.remove(key);
            return;
        }
        let all = allowed.counted.entry(key.clone()).or_default();
        if let Some((before, added)) = allowed.last.remove(key)
            && before == new
        {
            // What was counted last is given back.
            all.truncate(all.len().saturating_sub(added));
            return;
        }
        // What no limit looks at any more is left out at the front.
        let kept = (0..=old.len()).find(|at| new.starts_with(&old[*at..]));
        let kept = kept.map_or(0, |at| old.len() - at);
        all.extend(&new[kept..]);
        allowed.last.insert(key.clone(), (old, new.len() - kept));
        let most = |most: usize| all.iter().rev().nth(most).copied();
        let Some(last) = all.last().copied() else {
            return;
        };
        let is_too_many =
            |limit: usize, within: Millis| most(limit).is_some_and(|at| at + within > last);
        let wrong = match *key == Key::pushes() {
            true => allowed.pushes.is_some_and(|most| is_too_many(most, MINUTE)),
            false => FORGE_WRITES
                .iter()
                .any(|it| is_too_many(it.most, it.within)),
        };
        let is_wrong = wrong && !allowed.is_skewed;
        drop(state);
        if is_wrong {
            self.violated(format!("more is done than a forge allows: {key}"));
        }
    }

    /// A push is made.
    pub(crate) fn pushes(&self) {
        let mut state = self.state();
        let allowed = &mut state.allowed;
        allowed.pushed += 1;
        let counted = allowed.counted.get(&Key::pushes()).map_or(0, Vec::len);
        let is_wrong = allowed.pushes.is_some() && allowed.pushed > counted;
        drop(state);
        if is_wrong {
            self.violated("a push was not counted before it was made");
        }
    }

    /// A check is written.
    pub(crate) fn writes_at_the_forge(&self) {
        let mut state = self.state();
        let allowed = &mut state.allowed;
        allowed.written += 1;
        let counted = allowed
            .counted
            .get(&Key::forge_writes())
            .map_or(0, Vec::len);
        let is_wrong = allowed.written > counted;
        drop(state);
        if is_wrong {
            self.violated("a check was not counted before it was written");
        }
    }
}
