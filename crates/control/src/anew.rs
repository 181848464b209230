//! Checks that somebody wants to be made again.
//!
//! They say the same as before, as far as it is known. Of a commit of which nothing is known any more nothing is written:
//! what stands there is nearer to the truth than what its own files say.

use std::collections::BTreeSet;

use ledger::{Change, Expect, Key, PullRow, Row, WatchRow};
use ports::{Applied, Check, Platform};

use crate::{Control, Error, MAX_TRIES, Result, contended};
use crate::{plan_check, results_check, told_configuration};

impl<P: Platform> Control<P> {
    /// Has a commit's checks looked at and written anew by the next rounds, even if they say the same: the forge waits
    /// for that. `check`: one by its name; `None`: all of them. Answers how many rows are looked at again.
    ///
    /// Doing so twice costs a write of the forge's, and harms nothing.
    pub async fn anew(&self, commit: &str, check: Option<&str>) -> Result<usize> {
        let wants = |name: &str| check.is_none_or(|check| check == name);
        let is_result = |check: &str| check.starts_with(results_check::ARCH_PREFIX);
        let mut again = 0;
        if wants(plan_check::NAME) {
            again += self.plan_anew(commit).await?;
        }
        if wants(Check::SCRATCH) {
            again += self.make_scratch_again(commit).await?;
        }
        if wants(told_configuration::NAME) {
            again += self.tell_configuration_again(commit).await?;
        }
        if wants(results_check::NAME) || check.is_some_and(is_result) {
            for planned in self.told_of(commit).await? {
                again += self.tell_again(&planned).await?;
            }
        }
        Ok(again)
    }

    /// Open pull requests with this head are planned anew.
    async fn plan_anew(&self, commit: &str) -> Result<usize> {
        let mut done = BTreeSet::new();
        for _ in 0..MAX_TRIES {
            let rows = self.known_pulls().await?.into_values();
            let is_wanted = |row: &PullRow| row.head == commit && row.merged.is_none();
            let rows: Vec<_> = rows
                .filter(|(row, _)| is_wanted(row) && !done.contains(&row.number))
                .collect();
            if rows.is_empty() {
                return Ok(done.len());
            }
            for (row, version) in rows {
                let number = row.number;
                let row = PullRow {
                    digest: String::new(),
                    again: self.now().max(row.again + 1),
                    ..row
                };
                let key = Key::pull(number);
                if self.put_again(key, Some(version), Row::Pull(row)).await? {
                    done.insert(number);
                }
            }
        }
        Err(Error::Contended(format!("the plan of {commit}")))
    }

    /// Planned commits whose work is told beside `commit`: its own, and those that its pull requests came with.
    async fn told_of(&self, commit: &str) -> Result<BTreeSet<String>> {
        let mut planned = self.bring_back(commit).await?;
        let rows = self.known_pulls().await?.into_values();
        let headed = rows.filter(|(row, _)| row.head == commit);
        planned.extend(headed.filter_map(|(row, _)| row.merged));
        let is_planned = match self.planned_row(commit).await? {
            Some(row) => row.is_planned(),
            None => self.watch_row(commit).await?.is_some(),
        };
        if is_planned {
            planned.insert(commit.to_owned());
        }
        Ok(planned)
    }

    async fn tell_again(&self, commit: &str) -> Result<usize> {
        self.tell_anew(commit, |row| WatchRow {
            digest: String::new(),
            ..row.without_archs_told()
        })
        .await
    }

    /// Has the next round look at `commit`, with what `anew` makes of its row.
    async fn tell_anew(
        &self,
        commit: &str,
        anew: impl Fn(WatchRow) -> WatchRow + Send,
    ) -> Result<usize> {
        let key = Key::watch(commit);
        for _ in 0..MAX_TRIES {
            let (row, version) = self.watch_to_tell(commit).await?;
            let again = self.now().max(row.again + 1);
            let row = WatchRow { again, ..anew(row) };
            if self
                .put_again(key.clone(), version, Row::Watch(row))
                .await?
            {
                return Ok(1);
            }
        }
        Err(contended(&key))
    }

    async fn tell_configuration_again(&self, commit: &str) -> Result<usize> {
        let known = self.planned_row(commit).await?;
        let Some(planned) = known.filter(|row| row.configuration.is_some()) else {
            return Ok(0);
        };
        if planned.is_planned() {
            self.bring_back(commit).await?;
        }
        self.tell_anew(commit, |row| WatchRow {
            configuration: planned.configuration.clone(),
            looked: 0,
            ..row
        })
        .await
    }

    /// A commit's watch. The pull requests of one that is over are known.
    async fn watch_to_tell(&self, commit: &str) -> Result<(WatchRow, Option<u64>)> {
        if let Some((row, version)) = self.watch_row(commit).await? {
            return Ok((row, Some(version)));
        }
        let row = WatchRow {
            knows_pulls: true,
            ..self.unwatched(commit).await?
        };
        Ok((row, None))
    }

    /// Whether it is written: not if somebody else has written there since `version` was read.
    pub(crate) async fn put_again(&self, key: Key, version: Option<u64>, row: Row) -> Result<bool> {
        let mut change = Change::default();
        change.replace(key, Expect::as_read(version), row);
        Ok(matches!(self.apply(change).await?, Applied::Done))
    }
}
