//! The end of scratch builds: what is open of them is stopped, and after some days all of them is removed.

use ledger::{
    Change, Condition, Expect, Key, Message, Millis, Phase, QueueName, RequestRow, Row, ScratchRow,
};
use pipeline_spec::RequestPath;
use ports::{Applied, Forge, Platform, Pull};

use super::links_of;
use crate::load::Loaded;
use crate::{Control, MAX_TRIES, Result, contended};

/// Days after which scratch builds are removed, counted from when they were asked for.
pub(super) const KEPT_DAYS: Millis = 7;
const DAY_MILLIS: Millis = 24 * 3_600_000;
/// Days after which they are removed also if nobody could be told their end.
const GIVEN_UP_DAYS: Millis = 14;
/// Rows that are removed in one change; of a task there are two.
const BATCH: usize = 40;

/// Why the tasks of scratch builds that nobody wants any more are canceled. They go on when somebody does.
pub(crate) const ENDED: &str = "its scratch build was stopped";

const NEWER: &str = "a newer commit was asked for";
const CLOSED: &str = "the pull request is not open any more";
const OLD: &str = "they are too old";

impl<P: Platform> Control<P> {
    /// Stops what older commits of the same pull request have open.
    pub(super) async fn stop_older(&self, newest: &ScratchRow) -> Result<()> {
        for row in self.scratch_rows().await? {
            let is_older = row.number == newest.number && row.commit != newest.commit;
            // What a process that died has marked as stopped is stopped now.
            if is_older && (row.stopped.is_none() || !row.over) {
                self.stop_scratch(&row, NEWER).await?;
            }
        }
        Ok(())
    }

    /// Stops what is open of pull requests that are not. `known` was read before `open`. Answers of how many it could not
    /// be seen.
    pub(crate) async fn stop_scratch_of_closed<F: Forge>(
        &self,
        forge: &F,
        known: &[ScratchRow],
        open: &[Pull],
    ) -> usize {
        let mut failed = 0;
        for row in known.iter().filter(|row| row.stopped.is_none()) {
            if !open.iter().any(|pull| pull.number == row.number)
                && let Err(error) = self.stop_scratch_if_closed(forge, row).await
            {
                tracing::warn!(pull = row.number, %error, "failed to see whether scratch builds are still wanted");
                failed += 1;
            }
        }
        failed
    }

    /// A list whose pages change while they are read may lack one that is open: the forge is asked for that one.
    async fn stop_scratch_if_closed<F: Forge>(&self, forge: &F, row: &ScratchRow) -> Result<()> {
        match forge.pull(row.number).await? {
            Some(pull) if self.is_open(&pull) => Ok(()),
            _ => self.stop_scratch(row, CLOSED).await,
        }
    }

    /// Stops those of which something is open, or not even written yet. Answers how many tasks were open; `None`: nothing
    /// was.
    pub(crate) async fn stop_scratch_under_way(
        &self,
        rows: &[ScratchRow],
        why: &str,
    ) -> Result<Option<usize>> {
        let mut stopped = None;
        for row in rows {
            let (mut is_open, mut tasks) = (!row.begun, 0);
            for path in &row.requests {
                if let Some(loaded) = self.load(path).await? {
                    is_open |= is_open_still(&loaded);
                    let open = loaded.tasks.values().filter(|it| !it.state.is_closed());
                    tasks += open.count();
                }
            }
            if is_open {
                self.stop_scratch(row, why).await?;
                *stopped.get_or_insert(0) += tasks;
            }
        }
        Ok(stopped)
    }

    pub(super) async fn stop_scratch(&self, row: &ScratchRow, why: &str) -> Result<()> {
        let key = Key::scratch(row.number, &row.commit);
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.scratch_row(&key).await? else {
                return Ok(());
            };
            if row.stopped.is_some() {
                return self.end_requests(&row).await;
            }
            // Said once more, without buttons: what has failed is not tried again.
            let stopped = ScratchRow {
                stopped: Some(why.to_owned()),
                over: false,
                looked: 0,
                ..row
            };
            let mut change = Change::default();
            let next = Row::Scratch(Box::new(stopped.clone()));
            change.replace(key.clone(), Expect::Version(version), next);
            if self.apply(change).await? == Applied::Done {
                return self.end_requests(&stopped).await;
            }
        }
        Err(contended(&key))
    }

    /// What is open of it is canceled: its requests are as those whose files are gone.
    pub(super) async fn end_requests(&self, row: &ScratchRow) -> Result<()> {
        for path in &row.requests {
            let key = Key::request(path);
            let mut tries = 0..MAX_TRIES;
            while let Some(loaded) = self.load(path).await?
                && !loaded.row.phase.is_at_rest()
            {
                tries.next().ok_or_else(|| contended(&key))?;
                let ended = RequestRow {
                    phase: Phase::Removed,
                    problems: Vec::new(),
                    notes: Vec::new(),
                    ..loaded.row
                };
                let mut change = Change::default();
                let (expect, ended) = (Expect::Version(loaded.version), Box::new(ended));
                change.replace(key.clone(), expect, Row::Request(ended));
                let request = path.clone();
                let message = Message::Advance { request };
                change.effect(QueueName::advance(), message, self.now());
                let _or_again = self.apply(change).await?;
            }
        }
        Ok(())
    }

    /// Removes what was asked for long ago, so that nothing names its files any more. It is stopped first, and goes when
    /// nothing of it is open and its last word was said: whoever asks again in between gets all of it.
    pub(crate) async fn forget_scratch(&self) -> Result<()> {
        let since = |days| self.now().saturating_sub(days * DAY_MILLIS);
        for row in self.scratch_rows().await? {
            if row.at >= since(KEPT_DAYS) {
                continue;
            }
            let mut is_open = false;
            for path in &row.requests {
                let loaded = self.load(path).await?;
                is_open |= loaded.as_ref().is_some_and(is_open_still);
            }
            let is_told = row.over || row.at < since(GIVEN_UP_DAYS);
            match row.stopped.is_some() && is_told && !is_open {
                true => self.remove_scratch(&row).await?,
                false => self.stop_scratch(&row, OLD).await?,
            }
        }
        Ok(())
    }

    /// Its own row goes last: whoever finds it goes on. As long as it is as it was read: else somebody wants it again.
    async fn remove_scratch(&self, old: &ScratchRow) -> Result<()> {
        let key = Key::scratch(old.number, &old.commit);
        let Some((row, version)) = self.scratch_row(&key).await? else {
            return Ok(());
        };
        if row != *old {
            return Ok(());
        }
        let unchanged = Condition {
            key: key.clone(),
            expect: Expect::Version(version),
        };
        for path in &row.requests {
            if !self.remove_request(path, &row, &unchanged).await? {
                return Ok(());
            }
        }
        let mut change = under(&unchanged);
        change.delete(key);
        let _or_the_next_time = self.apply(change).await?;
        Ok(())
    }

    /// Its row first: without it nobody writes any other of its rows. `false`: somebody wants it again.
    async fn remove_request(
        &self,
        path: &RequestPath,
        row: &ScratchRow,
        unchanged: &Condition,
    ) -> Result<bool> {
        let mut change = under(unchanged);
        change.delete(Key::request(path));
        change.delete(Key::open(path));
        let links = match self.load(path).await? {
            Some(loaded) if is_open_still(&loaded) => return Ok(false),
            Some(loaded) => {
                change.conditions.push(crate::advance::unchanged(&loaded));
                links_of(&loaded.row)
            }
            // What else it was linked to only its row says.
            None => row.requests.clone(),
        };
        for link in links {
            change.delete(Key::waiter(&link, path));
        }
        if self.apply(change).await? != Applied::Done {
            return Ok(false);
        }
        let rows = self.all_rows(&Key::request_partition(path), "").await?;
        for batch in rows.chunks(BATCH) {
            let mut change = under(unchanged);
            for (key, record) in batch {
                if let Row::Task(task) = &record.row {
                    change.delete(Key::task_id(&task.task.id));
                }
                change.delete(key.clone());
            }
            if self.apply(change).await? != Applied::Done {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A change that applies only then.
fn under(condition: &Condition) -> Change {
    Change {
        conditions: vec![condition.clone()],
        ..Change::default()
    }
}

/// Something of it may still happen by itself.
pub(super) fn is_open_still(loaded: &Loaded) -> bool {
    let mut tasks = loaded.tasks.values();
    !loaded.row.phase.is_at_rest() || tasks.any(|task| !task.state.is_closed())
}
