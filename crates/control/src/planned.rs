//! What was planned before a commit, and which pull requests of it are done: pages tell of all that came with a commit,
//! also when work goes on that was done, or when somebody wants a check to be made again.

use std::collections::BTreeSet;

use ledger::{
    Change, Configuration, Expect, Key, Millis, PlannedRow, PullRow, Row, WatchRow, partition,
};
use ports::{Applied, Ledger, Platform};

use crate::load::unexpected;
use crate::{Control, Result};

/// It is remembered this long. Of an older commit a retry tells what it has over its first parent.
const REMEMBERED_MILLIS: Millis = 90 * 24 * 3_600_000;

impl<P: Platform> Control<P> {
    /// Adds to `change` that `commit` is planned, over `from`.
    pub(crate) fn remember_planned(
        &self,
        (commit, from): (&str, &str),
        configuration: Option<Configuration>,
        change: &mut Change,
    ) {
        let row = PlannedRow {
            from: from.to_owned(),
            at: self.now(),
            configuration,
        };
        change.put(Key::planned(commit), Row::Planned(row));
    }

    pub(crate) async fn planned_row(&self, commit: &str) -> Result<Option<PlannedRow>> {
        let key = Key::planned(commit);
        match self.platform.ledger().get(&key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Planned(row) => Ok(Some(row)),
                _ => Err(unexpected(&key)),
            },
        }
    }

    /// Of a planned commit that nobody watches (any more), as if nothing had been said of it.
    pub(crate) async fn unwatched(&self, commit: &str) -> Result<WatchRow> {
        let planned = self.planned_row(commit).await?;
        Ok(WatchRow {
            from: planned.map(|row| row.from).unwrap_or_default(),
            ..WatchRow::new(commit)
        })
    }

    /// Whether the work of a pull request is done that had `head`.
    pub(crate) async fn is_done_pull(&self, head: &str, number: u64) -> Result<bool> {
        let key = Key::done_pull(head, number);
        Ok(self.platform.ledger().get(&key).await?.is_some())
    }

    /// Has the pages of pull requests that are done told once more. Answers with which planned commits they came.
    pub(crate) async fn bring_back(&self, head: &str) -> Result<BTreeSet<String>> {
        let mut planned = BTreeSet::new();
        for (_, record) in self.all_rows(partition::PLANNED, head).await? {
            // The other one is what was planned before this commit.
            let Row::Pull(row) = record.row else {
                continue;
            };
            planned.extend(row.merged.clone());
            let (key, digest) = (Key::pull(row.number), String::new());
            let mut change = Change::default();
            change.replace(key, Expect::Absent, Row::Pull(PullRow { digest, ..row }));
            // It is told already.
            let (Applied::Done | Applied::Conflict(_)) = self.apply(change).await?;
        }
        Ok(planned)
    }

    /// Forgets what was planned long ago, and the pull requests that came with it.
    pub(crate) async fn forget_planned(&self) -> Result<()> {
        let since = self.now().saturating_sub(REMEMBERED_MILLIS);
        let (mut old, mut done, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (key, record) in self.all_rows(partition::PLANNED, "").await? {
            match record.row {
                // What goes on is told on its pages, however old it is.
                Row::Planned(row) if row.at < since => match self.watch_row(&key.sort).await? {
                    Some(_) => _ = known.insert(key.sort),
                    None => old.push(key),
                },
                Row::Planned(_) => _ = known.insert(key.sort),
                Row::Pull(row) => done.push((key, row)),
                _ => return Err(unexpected(&key)),
            }
        }
        if old.is_empty() && done.is_empty() && known.is_empty() {
            // Nobody tells a forge: there are no pull requests either.
            return Ok(());
        }
        let pulls = self.known_pulls().await?.into_values();
        let merged = pulls.map(|(row, _)| (Key::pull(row.number), row));
        for (key, row) in done.into_iter().chain(merged) {
            if let Some(commit) = &row.merged
                && !known.contains(commit)
                && self.watch_row(commit).await?.is_none()
            {
                old.push(key);
            }
        }
        for key in old {
            let mut change = Change::default();
            change.delete(key);
            // What is told or planned anew meanwhile is noted anew.
            let _without_conditions = self.apply(change).await?;
        }
        Ok(())
    }
}
