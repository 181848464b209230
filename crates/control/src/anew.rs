//! Checks that somebody wants to be made again.

use ledger::{Change, Expect, Key, PullRow, Row, WatchRow};
use ports::{Applied, Check, Platform, StateRepo};

use crate::{Control, Result, plan_check, results_check};

impl<P: Platform> Control<P> {
    /// Has a commit's checks looked at and written anew by the next rounds, even if they say the same: the forge waits
    /// for that. `check`: one by its name; `None`: all of them. Answers how many rows are looked at again.
    ///
    /// Doing so twice costs a write of the forge's, and harms nothing.
    pub async fn anew(&self, commit: &str, check: Option<&str>) -> Result<usize> {
        let wants = |name: &str| check.is_none_or(|check| check == name);
        let is_result = |check: &str| check.starts_with(results_check::ARCH_PREFIX);
        let wants_results = wants(results_check::NAME) || check.is_some_and(is_result);
        let mut again = 0;
        let mut planned = vec![commit.to_owned()];
        for (row, version) in self.known_pulls().await?.into_values() {
            if row.head != commit {
                continue;
            }
            match &row.merged {
                Some(merged) => planned.push(merged.clone()),
                None if wants(plan_check::NAME) => {
                    let row = PullRow {
                        digest: String::new(),
                        again: self.now().max(row.again + 1),
                        ..row
                    };
                    let key = Key::pull(row.number);
                    again += self.put_again(key, Some(version), Row::Pull(row)).await?;
                }
                None => {}
            }
        }
        if wants(Check::SCRATCH) {
            again += self.make_scratch_again(commit).await?;
        }
        if wants_results {
            for commit in planned {
                again += self.tell_again(&commit).await?;
            }
        }
        Ok(again)
    }

    async fn tell_again(&self, commit: &str) -> Result<usize> {
        let known = self.watch_row(commit).await?;
        let version = known.as_ref().map(|(_, version)| *version);
        let row = match known {
            Some((row, _)) => row,
            None if self.was_planned(commit).await? => self.unwatched(commit).await?,
            None => return Ok(0),
        };
        let row = WatchRow {
            digest: String::new(),
            archs: std::collections::BTreeMap::new(),
            again: self.now().max(row.again + 1),
            ..row
        };
        self.put_again(Key::watch(commit), version, Row::Watch(row))
            .await
    }

    async fn was_planned(&self, commit: &str) -> Result<bool> {
        let (head, _) = self.head_row().await?;
        let repo = self.platform.state_repo();
        match head.commit.is_empty() {
            true => Ok(false),
            false => Ok(repo.is_ancestor(commit, &head.commit).await?),
        }
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
