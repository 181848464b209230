//! Checks that somebody wants to be made again.
//!
//! They say the same as before, as far as it is known. Of a commit of which nothing is known any more nothing is written:
//! what stands there is nearer to the truth than what its own files say.

use std::collections::BTreeSet;

use ledger::{Change, Expect, Key, PullRow, Row, WatchRow};
use ports::{Applied, Check, Platform};

use crate::{Control, Result, plan_check, results_check, told_configuration};

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
        let mut again = 0;
        let rows = self.known_pulls().await?.into_values();
        for (row, version) in rows.filter(|(row, _)| row.head == commit && row.merged.is_none()) {
            let row = PullRow {
                digest: String::new(),
                again: self.now().max(row.again + 1),
                ..row
            };
            let key = Key::pull(row.number);
            again += self.put_again(key, Some(version), Row::Pull(row)).await?;
        }
        Ok(again)
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
        let (row, version) = self.watch_to_tell(commit).await?;
        let row = WatchRow {
            digest: String::new(),
            again: self.now().max(row.again + 1),
            ..row.without_archs_told()
        };
        self.put_again(Key::watch(commit), version, Row::Watch(row))
            .await
    }

    async fn tell_configuration_again(&self, commit: &str) -> Result<usize> {
        let known = self.planned_row(commit).await?;
        let Some(planned) = known.filter(|row| row.configuration.is_some()) else {
            return Ok(0);
        };
        if planned.is_planned() {
            self.bring_back(commit).await?;
        }
        let (row, version) = self.watch_to_tell(commit).await?;
        let row = WatchRow {
            configuration: planned.configuration,
            looked: 0,
            again: self.now().max(row.again + 1),
            ..row
        };
        self.put_again(Key::watch(commit), version, Row::Watch(row))
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

    /// What others have written meanwhile is as new.
    pub(crate) async fn put_again(
        &self,
        key: Key,
        version: Option<u64>,
        row: Row,
    ) -> Result<usize> {
        let mut change = Change::default();
        change.replace(key, Expect::as_read(version), row);
        Ok(match self.apply(change).await? {
            Applied::Done => 1,
            Applied::Conflict(_) => 0,
        })
    }
}
