//! How long finished tasks took: noted once a commit's work is done, read for the expected duration of a plan.
//!
//! Notes cost nothing on a task's own way, may be lost, and may be made twice.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use ledger::{
    Change, Condition, DurationsRow, Expect, Key, Millis, Row, TaskRow, TaskState, Took, partition,
};
use ports::{Applied, Ledger, Platform};

use crate::forecast::History;
use crate::jobs::{Jobs, Series};
use crate::load::unexpected;
use crate::{Control, Result};

/// Rows that are noted of one commit. Of a rebuild of everything a part is enough.
const MAX_NOTED: usize = 200;
/// With so many packages and repositories all rows are read in the place of each.
const MAX_READ: usize = 200;
/// Rows that are read at a time.
const WIDTH: usize = 20;
/// What was not built for so long is not asked for any more.
const STALE_MILLIS: Millis = 400 * 24 * 3_600_000;
/// Neighbours that are looked at for that whenever a row is new.
const NEIGHBOURS: usize = 8;

/// What a finished task says of the next one like it.
pub(crate) fn took(row: &TaskRow) -> Option<(Series, Took)> {
    let TaskState::Succeeded { result } = &row.state else {
        return None;
    };
    let attempts = row.attempts.iter();
    let accepted = attempts.rev().find(|it| it.attempt == result.attempt)?;
    let seconds = accepted.ended.saturating_sub(accepted.leased) / 1_000;
    let took = Took {
        task: row.task.id.clone(),
        seconds: u32::try_from(seconds).ok()?,
    };
    Some((Series::of(&row.spec), took))
}

impl<P: Platform> Control<P> {
    /// Notes how long tasks took. What cannot be noted now is lost.
    pub(crate) async fn note_durations(&self, tasks: impl Iterator<Item = &(Series, Took)>) {
        let mut rows: BTreeMap<&str, Vec<(&str, &Took)>> = BTreeMap::new();
        for (series, took) in tasks {
            let row = rows.entry(&series.subject).or_default();
            row.push((&series.name, took));
        }
        for (subject, tasks) in rows.into_iter().take(MAX_NOTED) {
            if let Err(error) = self.note_row(subject, &tasks).await {
                tracing::warn!(subject, %error, "failed to note how long tasks took");
                return;
            }
        }
    }

    async fn note_row(&self, subject: &str, tasks: &[(&str, &Took)]) -> Result<()> {
        let key = Key::durations(subject);
        let known = self.durations_row(&key).await?;
        let version = known.as_ref().map(|(_, version)| *version);
        let mut row = known.map(|(row, _)| row).unwrap_or_default();
        let mut is_new = false;
        for (series, took) in tasks {
            is_new |= row.note(series, (*took).clone());
        }
        if !is_new {
            return Ok(());
        }
        row.at = self.now();
        let mut change = Change::default();
        change.replace(key, Expect::as_read(version), Row::Durations(row));
        if version.is_none() {
            self.forget_stale(subject, &mut change).await?;
        }
        // Of two processes one has noted it, and what the other had is lost.
        let (Applied::Done | Applied::Conflict(_)) = self.apply(change).await?;
        Ok(())
    }

    /// Adds to `change` that rows behind `subject` go that nobody needs: packages come and go alike.
    async fn forget_stale(&self, subject: &str, change: &mut Change) -> Result<()> {
        let ledger = self.platform.ledger();
        let next = ledger.list(partition::DURATIONS, "", Some(subject), NEIGHBOURS);
        for (key, record) in next.await? {
            let Row::Durations(row) = record.row else {
                return Err(unexpected(&key));
            };
            if self.now().saturating_sub(row.at) > STALE_MILLIS {
                change.conditions.push(Condition {
                    key: key.clone(),
                    expect: Expect::Version(record.version),
                });
                change.delete(key);
            }
        }
        Ok(())
    }

    async fn durations_row(&self, key: &Key) -> Result<Option<(DurationsRow, u64)>> {
        match self.platform.ledger().get(key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Durations(row) => Ok(Some((row, record.version))),
                _ => Err(unexpected(key)),
            },
        }
    }

    /// How long earlier tasks like these took.
    pub(crate) async fn durations_of(&self, jobs: &Jobs) -> Result<History> {
        let subjects: Vec<&str> = jobs.subjects().into_iter().collect();
        let mut rows: BTreeMap<String, DurationsRow> = BTreeMap::new();
        if subjects.len() > MAX_READ {
            for (key, record) in self.all_rows(partition::DURATIONS, "").await? {
                let Row::Durations(row) = record.row else {
                    return Err(unexpected(&key));
                };
                rows.insert(key.sort, row);
            }
        } else {
            for subjects in subjects.chunks(WIDTH) {
                let keys: Vec<Key> = subjects.iter().map(|it| Key::durations(it)).collect();
                let found = try_join_all(keys.iter().map(|key| self.durations_row(key))).await?;
                let found = keys.into_iter().zip(found);
                rows.extend(found.filter_map(|(key, row)| Some((key.sort, row?.0))));
            }
        }
        let mut history = History::new();
        for job in &jobs.all {
            let row = rows.get(&job.series.subject);
            let known = row.and_then(|row| row.of.get(&job.series.name));
            if let Some(known) = known {
                let seconds = known.iter().map(|took| took.seconds);
                history.insert(job.series.clone(), seconds.collect());
            }
        }
        Ok(history)
    }
}
