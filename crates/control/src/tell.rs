//! After the merge: each planned commit, and each pull request that came with it, has a check that follows its work.
//!
//! A check is written when what it says has changed, and last when nothing more happens by itself: a failure and an end
//! at the next look, progress once a minute at most, and the less often the more pages there are. Rows that remember what
//! was said may be lost: then it is said again.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Change, Condition, Expect, Key, Millis, PullRow, Row, Took, WatchRow, partition};
use pipeline_spec::RequestPath;
use ports::{Applied, Check, CheckState, Forge, Ledger, Platform, StateRepo};

use crate::admit::requests;
use crate::budgets::{Word, pace};
use crate::jobs::Series;
use crate::load::{Loaded, unexpected};
use crate::results_check::{self, Brought, Standing, arch_checks, results_check};
use crate::review::named;
use crate::told_configuration::Configured;
use crate::writer::{BEGIN_MILLIS, WRITING_MILLIS, Writer};
use crate::{Control, Result};

/// A commit's work is looked at so long after the last time, at the earliest. A little less than a minute: a timer of
/// one minute is early now and then, and would pass over that look.
pub(crate) const AGAIN_MILLIS: Millis = 55_000;
/// Pages of one commit that are written in one round: their rows fit into one change. The others follow.
const PAGES_AT_ONCE: usize = 40;
/// Pages of one commit that may fail in one round. Each counts as written, and at a forge that is away all fail.
const FAILURES_AT_ONCE: usize = 5;

/// What a round of telling did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Planned commits whose work is not done, or was not until now, and pull requests whose scratch builds are not.
    pub watched: usize,
    /// Of those, the ones whose check was written or written anew.
    pub written: usize,
    /// Commits of which nothing could be said now; another round tries again.
    pub failed: usize,
    /// Commits that have something to say which waits: for its turn, or since the forge gets no more for now.
    pub waiting: usize,
}

/// A round of telling.
struct Round<'a, F> {
    forge: &'a F,
    /// How long after the last word of progress another one may follow.
    pace: Millis,
    /// Pull requests by number, as they were read after the rows of commits. Whoever writes that one came with a commit
    /// writes the commit's row too, or before it: this round does not write over that.
    pulls: BTreeMap<u64, (PullRow, u64)>,
}

impl<F> Round<'_, F> {
    fn pulls_of(&self, commit: &str) -> Vec<(PullRow, u64)> {
        let pulls = self.pulls.values();
        let came = pulls.filter(|(row, _)| row.merged.as_deref() == Some(commit));
        came.cloned().collect()
    }
}

/// What was said of one commit.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    written: bool,
    waits: bool,
}

/// All that is to be said of a commit.
struct Story {
    state: CheckState,
    word: Word,
    /// Tasks that have failed.
    failed: usize,
    /// The commit's own, unless one of the others stands there, and those of pull requests that came with it.
    pages: Vec<Page>,
    /// How long its finished tasks took.
    took: Vec<(Series, Took)>,
}

/// Where a check stands: beside a commit, or on the page of a pull request.
struct Page {
    check: Check,
    /// It is what was said there last.
    stands: bool,
    /// It was said in this round.
    is_new: bool,
    place: Beside,
}

/// Whose page it is.
enum Beside {
    /// The commit's.
    Commit,
    /// A pull request's, as it was read.
    Pull(Box<PullRow>, u64),
    /// Either's, about one architecture.
    Arch(String),
}

impl Page {
    fn arch(&self) -> Option<&str> {
        match &self.place {
            Beside::Arch(arch) => Some(arch),
            Beside::Commit | Beside::Pull(..) => None,
        }
    }

    fn is_of(&self, arch: &str) -> bool {
        self.arch() == Some(arch)
    }
}

impl Story {
    fn stands(&self) -> bool {
        self.pages.iter().all(|page| page.stands)
    }

    /// Nothing more happens by itself of what any page tells.
    fn is_done(&self) -> bool {
        self.state.is_done() && self.pages.iter().all(|page| page.check.state.is_done())
    }

    fn is_written(&self) -> bool {
        self.pages.iter().any(|page| page.is_new)
    }

    /// Nobody knows what people read there.
    fn is_unknown(&mut self) {
        self.pages.iter_mut().for_each(|page| page.stands = false);
    }

    /// What is written down of what stands now.
    fn noted(self, row: WatchRow, version: u64, now: Millis) -> Change {
        let mut change = Change::default();
        let key = Key::watch(&row.commit);
        let is_passed = self.state == CheckState::Passed;
        let mut is_over = self.is_done() && self.stands();
        let mut noted = 0;
        let mut next = WatchRow { looked: now, ..row };
        if self.is_written() {
            next.told = now;
        }
        if self.stands() {
            next.failed = self.failed;
        }
        let stand = |arch: &str| {
            let pages = self.pages.iter().filter(|page| page.is_of(arch));
            pages.into_iter().all(|page| page.stands)
        };
        let archs = self.pages.iter().filter_map(Page::arch);
        let archs: BTreeSet<&str> = archs.filter(|arch| stand(arch)).collect();
        let archs: BTreeSet<String> = archs.into_iter().map(str::to_owned).collect();
        for page in self.pages.into_iter().filter(|page| page.stands) {
            let digest = page.check.digest;
            let (pull, seen) = match page.place {
                Beside::Commit => {
                    next.digest = digest;
                    continue;
                }
                Beside::Arch(arch) => {
                    if archs.contains(&arch) {
                        next.archs.insert(arch, digest);
                    }
                    continue;
                }
                Beside::Pull(pull, seen) => (*pull, seen),
            };
            let key = Key::pull(pull.number);
            // Of what failed a retry is told on the same pages.
            if !is_passed && !page.is_new {
                continue;
            }
            if noted == PAGES_AT_ONCE {
                is_over = false;
                continue;
            }
            noted += 1;
            let done = Key::done_pull(&pull.head, pull.number);
            let row = Row::Pull(PullRow { digest, ..pull });
            if is_passed {
                change.delete(key);
                change.put(done, row);
            } else {
                change.replace(key, Expect::Version(seen), row);
            }
        }
        if is_over {
            change.conditions.push(Condition {
                key: key.clone(),
                expect: Expect::Version(version),
            });
            change.delete(key);
        } else {
            change.replace(key, Expect::Version(version), Row::Watch(next));
        }
        change
    }
}

impl<P: Platform> Control<P> {
    /// Says how the work of planned commits and of scratch builds goes, where that has changed.
    ///
    /// # Errors
    /// If it cannot be read which commits there are. What fails for one of them holds up no other.
    pub async fn tell<F: Forge>(&self, forge: &F) -> Result<Told> {
        let mut told = self.tell_commits(forge).await?;
        self.tell_scratch(forge, &mut told).await?;
        Ok(told)
    }

    async fn tell_commits<F: Forge>(&self, forge: &F) -> Result<Told> {
        let mut told = Told::default();
        let mut rows = Vec::new();
        for (key, record) in self.all_rows(partition::WATCHED, "").await? {
            let Row::Watch(row) = record.row else {
                return Err(unexpected(&key));
            };
            rows.push((row, record.version));
        }
        told.watched = rows.len();
        // A clock that was set back does not silence anybody.
        let now = self.now();
        let since = |row: &WatchRow| now.saturating_sub(row.looked);
        rows.retain(|(row, _)| row.looked == 0 || !(0..AGAIN_MILLIS).contains(&since(row)));
        if rows.is_empty() || forge.rests_until().is_some() {
            return Ok(told);
        }
        // Whoever was told the longest time ago comes first.
        rows.sort_by_key(|(row, _)| row.told);
        let pulls = self.known_pulls().await?;
        let merged = pulls.values().filter(|(row, _)| row.merged.is_some());
        let pace = pace(told.watched + merged.count()).max(AGAIN_MILLIS);
        let mut round = Round { forge, pace, pulls };
        for (row, version) in rows {
            let commit = row.commit.clone();
            match self.tell_one(&mut round, row, version).await {
                Ok(said) => {
                    told.written += usize::from(said.written);
                    told.waiting += usize::from(said.waits);
                }
                Err(error) => {
                    tracing::warn!(commit, %error, "failed to tell how the work of a commit goes");
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
            // Its own row keeps it in sight.
            if path.is_scratch() {
                continue;
            }
            let key = Key::request(&path);
            match self.platform.ledger().get(&key).await?.map(|it| it.row) {
                Some(Row::Request(row)) => commits.insert(row.commit),
                Some(_) => return Err(unexpected(&key)),
                None => continue,
            };
        }
        for commit in commits {
            let mut change = Change::default();
            let row = Row::Watch(self.unwatched(&commit).await?);
            change.replace(Key::watch(&commit), Expect::Absent, row);
            // It is watched.
            let _as_it_should_be = self.apply(change).await?;
        }
        Ok(())
    }

    async fn tell_one<F: Forge>(
        &self,
        round: &mut Round<'_, F>,
        mut row: WatchRow,
        mut version: u64,
    ) -> Result<Said> {
        let mut said = Said::default();
        if row.configuration.is_some() {
            match self.tell_configuration(round.forge, row, version).await? {
                Configured::Waits => {
                    said.waits = true;
                    return Ok(said);
                }
                Configured::Over => {
                    said.written = true;
                    return Ok(said);
                }
                Configured::Left(left, seen) => (row, version) = (*left, seen),
            }
        }
        let writer = self.writer(row.writing);
        if writer == Writer::Another {
            said.waits = true;
            return Ok(said);
        }
        if !row.knows_pulls {
            let known = round.pulls.keys().copied().collect();
            if self.find_merged(round.forge, &row, known).await? > 0 {
                round.pulls = self.known_pulls().await?;
            }
            row.knows_pulls = true;
        }
        let pulls = round.pulls_of(&row.commit);
        let mut story = self.story(&row, pulls).await?;
        if writer == Writer::Lost {
            story.is_unknown();
        }
        let since = self.now().saturating_sub(row.told);
        let is_due = story.word == Word::News || !(0..round.pace).contains(&since);
        let mut told = Ok(());
        if is_due && !story.stands() {
            row.writing = self.now() + WRITING_MILLIS;
            let mut change = Change::default();
            let begun = Row::Watch(row.clone());
            change.replace(Key::watch(&row.commit), Expect::Version(version), begun);
            if let Applied::Conflict(_) = self.apply(change).await? {
                said.waits = true;
                return Ok(said);
            }
            version += 1;
            told = self.write(round.forge, &mut story).await;
            let failed = self.writing_failed(row.writing);
            row.writing = told.as_ref().map_or(failed, |()| 0);
        }
        said.written = story.is_written();
        said.waits = !story.stands();
        if story.is_done() && story.stands() {
            self.note_durations(story.took.iter()).await;
        }
        let change = story.noted(row, version, self.now());
        if let Applied::Conflict(_) = self.apply(change).await? {
            // Somebody wants it told anew, or this took too long and another has taken over.
            said.waits = true;
        }
        told?;
        Ok(said)
    }

    /// Writes the pages that say something else, until the forge gets no more for now, or its time is nearly over. A page
    /// that cannot be written holds up none of the others. Answers the first failure.
    async fn write<F: Forge>(&self, forge: &F, story: &mut Story) -> Result<()> {
        let (word, begun) = (story.word, self.now());
        let pages = story.pages.iter_mut().filter(|page| !page.stands);
        let mut failures = Vec::new();
        for page in pages.take(PAGES_AT_ONCE) {
            let is_late = self.now() > begun + BEGIN_MILLIS;
            if is_late || failures.len() == FAILURES_AT_ONCE {
                break;
            }
            let writes = forge.writes(&page.check);
            if !self.may_write(forge, writes, word).await? {
                break;
            }
            match forge.write_check(&page.check).await {
                Ok(()) => (page.stands, page.is_new) = (true, true),
                Err(error) => failures.push(error),
            }
        }
        let first = failures.into_iter().next();
        first.map_or(Ok(()), |error| Err(error.into()))
    }

    /// `pulls`: those that came with the commit.
    async fn story(&self, row: &WatchRow, pulls: Vec<(PullRow, u64)>) -> Result<Story> {
        let mut brought = self.brought(row).await?;
        let failed = brought.values().map(Brought::failures).sum();
        let page = |check: Check, told: &str, place| Page {
            stands: check.digest == told,
            check,
            is_new: false,
            place,
        };
        let check = named(self.check_of_commit(&row.commit, None, &brought), row.again);
        let (state, word) = (check.state, Word::of_results(&check, failed, row.failed));
        let (mut pages, mut places) = (Vec::new(), Vec::new());
        // A commit has one check of each name: that of a pull request which was merged as it is says all.
        if pulls.iter().all(|(pull, _)| pull.head != row.commit) {
            pages.push(page(check, &row.digest, Beside::Commit));
            places.push((row.commit.clone(), None));
        }
        let url = self.options.public_url.as_deref();
        let known: Vec<&str> = row.archs.keys().map(String::as_str).collect();
        let archs = arch_checks(&row.commit, &brought, (&known, url));
        for (pull, version) in pulls {
            self.add_missing(&row.commit, &mut brought, &pull.requests)
                .await?;
            let shown = results_check::Page {
                compared: self.compared(&pull).await?,
                pull: &pull,
            };
            let check = self.check_of_commit(&row.commit, Some(&shown), &brought);
            let (check, told) = (named(check, row.again), pull.digest.clone());
            places.push((pull.head.clone(), Some(pull.number)));
            pages.push(page(check, &told, Beside::Pull(Box::new(pull), version)));
        }
        for (arch, check) in archs {
            let check = named(check, row.again);
            let told = row.archs.get(&arch).cloned().unwrap_or_default();
            for (commit, pull) in &places {
                let check = Check {
                    commit: commit.clone(),
                    pull: *pull,
                    ..check.clone()
                };
                pages.push(page(check, &told, Beside::Arch(arch.clone())));
            }
        }
        let took = brought.values().flat_map(|it| it.took.iter().cloned());
        Ok(Story {
            state,
            word,
            failed,
            pages,
            took: took.collect(),
        })
    }

    /// Writes one check that is not about work. `false`: it has to wait.
    pub(crate) async fn write_now<F: Forge>(&self, forge: &F, check: &Check) -> Result<bool> {
        let writes = forge.writes(check);
        if !self.may_write(forge, writes, Word::News).await? {
            return Ok(false);
        }
        forge.write_check(check).await?;
        Ok(true)
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
            None => self.unwatched(commit).await?,
        };
        let brought = self.brought(&row).await?.into_iter();
        let own = brought.filter(|(_, it)| matches!(it.standing, Standing::Own(_)));
        Ok(own.map(|(path, _)| path).collect())
    }

    /// Requests that a commit brought, changed or took away, as they are now.
    pub(crate) async fn brought(&self, row: &WatchRow) -> Result<BTreeMap<RequestPath, Brought>> {
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
            let standing = self.standing(&row.commit, &loaded).await?;
            brought.insert(path, Brought::new(standing, &loaded));
        }
        Ok(brought)
    }

    /// Whether a request is still as `commit` has it.
    pub(crate) async fn standing(&self, commit: &str, loaded: &Loaded) -> Result<Standing> {
        let by = &loaded.row.commit;
        let repo = self.platform.state_repo();
        Ok(match by == commit || repo.is_ancestor(by, commit).await? {
            true => Standing::Own(loaded.row.phase.clone()),
            false => Standing::ChangedBy(by.clone()),
        })
    }

    /// A pull request may have changed what its merge did not: others had made the same change before.
    async fn add_missing(
        &self,
        commit: &str,
        brought: &mut BTreeMap<RequestPath, Brought>,
        paths: &[RequestPath],
    ) -> Result<()> {
        for path in paths {
            if brought.contains_key(path) {
                continue;
            }
            if let Some(loaded) = self.load(path).await? {
                let standing = self.standing(commit, &loaded).await?;
                brought.insert(path.clone(), Brought::new(standing, &loaded));
            }
        }
        Ok(())
    }

    fn check_of_commit(
        &self,
        commit: &str,
        page: Option<&results_check::Page<'_>>,
        brought: &BTreeMap<RequestPath, Brought>,
    ) -> Check {
        let own = brought.iter().filter(|(path, _)| match page {
            Some(page) => page.pull.requests.contains(path),
            None => true,
        });
        results_check(commit, page, own, self.options.public_url.as_deref())
    }
}
