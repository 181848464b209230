//! After the merge: each planned commit, and each pull request that came with it, has a check that follows its work.
//!
//! A check is written when what it says has changed, at most once a minute, and last when nothing more happens by
//! itself. Both rows that remember what was said may be lost: then it is said again.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Change, Condition, Expect, Key, Millis, PullRow, Row, WatchRow, partition};
use pipeline_spec::RequestPath;
use ports::{Applied, Check, CheckState, Forge, Ledger, Platform, StateRepo};

use crate::admit::requests;
use crate::load::unexpected;
use crate::results_check::{Brought, Page, Standing, arch_checks, results_check};
use crate::review::named;
use crate::{Control, MAX_TRIES, Result, contended};

/// A commit's work is looked at so long after the last time, at the earliest, and its check written if it has changed.
const AGAIN_MILLIS: Millis = 60_000;

/// What a round of telling did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Planned commits whose work is not done, or was not until now.
    pub watched: usize,
    /// Of those, the ones whose check was written or written anew.
    pub written: usize,
    /// Commits of which nothing could be said now; the next round tries again.
    pub failed: usize,
}

impl<P: Platform> Control<P> {
    /// Says how the work of planned commits goes, where that has changed.
    ///
    /// # Errors
    /// If it cannot be read which commits there are. What fails for one of them holds up no other.
    pub async fn tell<F: Forge>(&self, forge: &F) -> Result<Told> {
        let mut told = Told::default();
        for (key, record) in self.all_rows(partition::WATCHED, "").await? {
            let Row::Watch(row) = record.row else {
                return Err(unexpected(&key));
            };
            told.watched += 1;
            // A clock that was set back does not silence anybody.
            let since = self.now().saturating_sub(row.looked);
            if !row.digest.is_empty() && (0..AGAIN_MILLIS).contains(&since) {
                continue;
            }
            match self.tell_one(forge, row, record.version).await {
                Ok(written) => told.written += usize::from(written),
                Err(error) => {
                    tracing::warn!(commit = key.sort, %error, "failed to tell how the work of a commit goes");
                    told.failed += 1;
                }
            }
        }
        Ok(told)
    }

    /// Keeps in sight what is open and nobody watches: a ledger that was recovered knows no watches, nor does one of
    /// before there was a forge. Once, when a process begins to tell.
    pub async fn watch_open(&self) -> Result<()> {
        let mut commits = BTreeSet::new();
        for path in self.indexed(partition::OPEN, "").await? {
            let key = Key::request(&path);
            match self.platform.ledger().get(&key).await?.map(|it| it.row) {
                Some(Row::Request(row)) => commits.insert(row.commit),
                Some(_) => return Err(unexpected(&key)),
                None => continue,
            };
        }
        for commit in commits {
            let mut change = Change::default();
            let row = Row::Watch(WatchRow::again(&commit));
            change.replace(Key::watch(&commit), Expect::Absent, row);
            // It is watched.
            let _as_it_should_be = self.apply(change).await?;
        }
        Ok(())
    }

    /// Whether a check was written.
    async fn tell_one<F: Forge>(
        &self,
        forge: &F,
        mut row: WatchRow,
        mut version: u64,
    ) -> Result<bool> {
        let key = Key::watch(&row.commit);
        if row.configuration.is_some() {
            match self.tell_configuration(forge, row, version).await? {
                None => return Ok(true),
                Some(left) => (row, version) = left,
            }
        }
        let mut must_write = false;
        for _ in 0..MAX_TRIES {
            let mut brought = self.brought(&row).await?;
            let pulls = self.pulls_of(&row.commit).await?;
            let check = named(self.check_of_commit(&row.commit, None, &brought), row.again);
            let is_new = must_write || check.digest != row.digest;
            if is_new {
                forge.write_check(&check).await?;
                for pull in &pulls {
                    self.add_missing(&mut brought, &pull.requests).await?;
                    let page = self.page(pull).await?;
                    let check = self.check_of_commit(&row.commit, Some(&page), &brought);
                    forge.write_check(&named(check, row.again)).await?;
                }
            }
            let archs = self.tell_archs(forge, &row, (&pulls, &brought)).await?;
            let mut change = Change::default();
            if check.state.is_done() {
                let finished = brought.values().flat_map(|it| &it.took);
                self.note_durations(finished).await;
                change.conditions.push(Condition {
                    key: key.clone(),
                    expect: Expect::Version(version),
                });
                change.delete(key.clone());
                // Of what failed a retry is told on the same pages.
                if check.state == CheckState::Passed {
                    for pull in &pulls {
                        change.delete(Key::pull(pull.number));
                    }
                }
            } else {
                let next = WatchRow {
                    digest: check.digest,
                    looked: self.now(),
                    archs,
                    ..row.clone()
                };
                change.replace(key.clone(), Expect::Version(version), Row::Watch(next));
            }
            if self.apply(change).await? == Applied::Done {
                return Ok(is_new);
            }
            // Another process has told it as well, perhaps earlier and now over this: so it is told once more.
            must_write = true;
            match self.watch_row(&row.commit).await? {
                None => return Ok(true),
                Some(now) => (row, version) = now,
            }
        }
        Err(contended(&key))
    }

    /// Writes the checks of single architectures where they help and say something else than before. Answers what was
    /// said.
    async fn tell_archs<F: Forge>(
        &self,
        forge: &F,
        row: &WatchRow,
        (pulls, brought): (&[PullRow], &BTreeMap<RequestPath, Brought>),
    ) -> Result<BTreeMap<String, String>> {
        let mut said = BTreeMap::new();
        let url = self.options.public_url.as_deref();
        let known: Vec<&str> = row.archs.keys().map(String::as_str).collect();
        for (arch, check) in arch_checks(&row.commit, brought, (&known, url)) {
            let check = named(check, row.again);
            if row.archs.get(&arch) != Some(&check.digest) {
                let same = pulls.iter().find(|pull| pull.head == row.commit);
                let check = Check {
                    pull: same.map(|pull| pull.number),
                    ..check.clone()
                };
                forge.write_check(&check).await?;
                for pull in pulls.iter().filter(|pull| pull.head != row.commit) {
                    let check = Check {
                        commit: pull.head.clone(),
                        pull: Some(pull.number),
                        ..check.clone()
                    };
                    forge.write_check(&check).await?;
                }
            }
            said.insert(arch, check.digest);
        }
        Ok(said)
    }

    /// Whether anything is to be said of the requests that a commit brought.
    pub(crate) async fn has_brought(&self, row: &WatchRow) -> Result<bool> {
        Ok(!self.brought(row).await?.is_empty())
    }

    async fn page<'a>(&self, pull: &'a PullRow) -> Result<Page<'a>> {
        Ok(Page {
            pull,
            compared: self.compared(pull).await?,
        })
    }

    /// Requests that are still as a planned commit wished them. None of a commit that was never planned.
    pub(crate) async fn brought_by(&self, commit: &str) -> Result<BTreeSet<RequestPath>> {
        let (head, _) = self.head_row().await?;
        let repo = self.platform.state_repo();
        if head.commit.is_empty() || !repo.is_ancestor(commit, &head.commit).await? {
            return Ok(BTreeSet::new());
        }
        let row = match self.watch_row(commit).await? {
            Some((row, _)) => row,
            None => WatchRow::again(commit),
        };
        let brought = self.brought(&row).await?.into_iter();
        let own = brought.filter(|(_, it)| matches!(it.standing, Standing::Own(_)));
        Ok(own.map(|(path, _)| path).collect())
    }

    /// Requests that a commit brought, changed or took away, as they are now.
    async fn brought(&self, row: &WatchRow) -> Result<BTreeMap<RequestPath, Brought>> {
        let repo = self.platform.state_repo();
        let from = match row.from.is_empty() {
            true => repo.info(&row.commit).await?.parents.into_iter().next(),
            false => Some(row.from.clone()),
        };
        let changes = match repo.changes(from.as_deref(), &row.commit).await {
            // After a force-push what was there before may be gone.
            Err(ports::Error::Corrupt { .. }) => repo.changes(None, &row.commit).await?,
            changes => changes?,
        };
        let mut brought = BTreeMap::new();
        for path in requests(&changes) {
            let Some(loaded) = self.load(&path).await? else {
                continue;
            };
            let by = &loaded.row.commit;
            let standing = match *by == row.commit || repo.is_ancestor(by, &row.commit).await? {
                true => Standing::Own(loaded.row.phase.clone()),
                false => Standing::ChangedBy(by.clone()),
            };
            brought.insert(path, Brought::new(standing, &loaded));
        }
        Ok(brought)
    }

    /// A pull request may have changed what its merge did not: others had made the same change before.
    async fn add_missing(
        &self,
        brought: &mut BTreeMap<RequestPath, Brought>,
        paths: &[RequestPath],
    ) -> Result<()> {
        for path in paths {
            if brought.contains_key(path) {
                continue;
            }
            if let Some(loaded) = self.load(path).await? {
                let standing = Standing::Own(loaded.row.phase.clone());
                brought.insert(path.clone(), Brought::new(standing, &loaded));
            }
        }
        Ok(())
    }

    /// Pull requests that came with a planned commit.
    async fn pulls_of(&self, commit: &str) -> Result<Vec<PullRow>> {
        let rows = self.known_pulls().await?.into_values();
        let rows = rows.map(|(row, _)| row);
        Ok(rows
            .filter(|row| row.merged.as_deref() == Some(commit))
            .collect())
    }

    fn check_of_commit(
        &self,
        commit: &str,
        page: Option<&Page<'_>>,
        brought: &BTreeMap<RequestPath, Brought>,
    ) -> Check {
        let own = brought.iter().filter(|(path, _)| match page {
            Some(page) => page.pull.requests.contains(path),
            None => true,
        });
        results_check(commit, page, own, self.options.public_url.as_deref())
    }
}
