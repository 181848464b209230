//! Pull requests: each gets a check that says what merging it would do.
//!
//! What counts is what the forge and the ledger say now. So a webhook that is lost, comes twice or late changes
//! nothing but the time until somebody looks, and a check that was written twice is the same.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ledger::{
    Change, Condition, Expect, HeadRow, Key, Leans, Millis, Note, PullRow, ReviewedPlan, Row,
    WatchRow, partition,
};
use pipeline_spec::{RequestPath, Sha256Digest, is_config_path};
use ports::{
    Applied, ChangeKind, Check, Forge, Ledger, MergeBase, PathChange, Platform, Pull, PullState,
    StateRepo,
};
use sha2::{Digest, Sha256};

use crate::admit::requests;
use crate::budgets::{Word, no_more};
use crate::compared::reviewed;
use crate::dry_run::Refs;
use crate::files::{Checkout, Files};
use crate::load::unexpected;
use crate::plan_check::{plan_check, refusal};
use crate::report::is_request;
use crate::writer::{WRITING_MILLIS, Writer};
use crate::{Control, Error, Result};

/// Files of one pull request. More are a migration: people plan it with `millrace plan`.
const MAX_FILES: usize = 5_000;
/// Bytes of them all.
const MAX_BYTES: usize = 64 << 20;
/// Builds and repositories that plans of releases are made of, for one pull request: some 60 bytes each in its row.
const MAX_LEANS: usize = 1_000;
/// Commits that are read for the one where a pull request began. One that began further back is refused: a stranger's
/// history may be as long as he likes, and is looked at again whenever the branch moves.
const MAX_COMMITS: usize = 20_000;

/// What a review did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// Open pull requests.
    pub open: usize,
    /// Checks that were written or written anew.
    pub written: usize,
    /// Pull requests of which nothing could be said now; the next review tries again.
    pub failed: usize,
    /// Those that wait, since the forge gets no more for now.
    pub waiting: usize,
}

/// What became of the check of one pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It was written.
    Now,
    /// It says so already.
    Before,
    /// It waits: the forge gets no more for now.
    Later,
}

/// What a merge came with.
enum Came {
    /// It is not planned yet.
    NotYet,
    /// The branch does not have it: it was moved, unless git is behind the forge.
    Missed,
    /// Nothing that anybody waits for.
    WithNothing,
    /// This planned commit, and these requests.
    With(String, Vec<RequestPath>),
}

/// What is to be said of a pull request.
struct Look {
    check: Check,
    /// None: it cannot be planned.
    plan: Option<ReviewedPlan>,
    leans: Leans,
    stands: Stands,
}

/// How long what was said of a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Until it, or what it lies over, is another.
    UntilChanged,
    /// A host of a package's source did not answer: that is no mistake of anybody's.
    UntilTheNextLook,
}

/// A pull request as files over what is planned.
pub(crate) struct Proposal {
    pub(crate) files: Checkout,
    /// Paths that the branch has changed as well since the pull request began.
    both: BTreeSet<String>,
}

impl<P: Platform> Control<P> {
    /// Plans every open pull request as it would be merged now, and writes checks where what they say has changed.
    ///
    /// # Errors
    /// If it cannot be read which pull requests there are. What fails for one of them holds up no other.
    pub async fn review<F: Forge>(&self, forge: &F) -> Result<Reviewed> {
        // Before the pull requests: what is merged or begun meanwhile is seen the next time.
        let (head, _) = self.head_row().await?;
        let scratch = self.scratch_rows().await?;
        let pulls = forge.open_pulls(&self.options.branch).await?;
        let mut known = self.known_pulls().await?;
        let mut reviewed = Reviewed {
            open: pulls.len(),
            ..Reviewed::default()
        };
        // A stranger may open as many as he likes.
        let (own, others) = pulls.iter().partition::<Vec<_>, _>(|pull| pull.is_own);
        for pull in own.into_iter().chain(others) {
            let row = known.remove(&pull.number);
            let said = match self.is_told(pull, &head.commit, row.as_ref()).await {
                Ok(true) => continue,
                Ok(false) => self.review_one(forge, pull, row).await,
                Err(error) => Err(error),
            };
            match said {
                Ok(Said::Now) => reviewed.written += 1,
                Ok(Said::Before) => {}
                Ok(Said::Later) => reviewed.waiting += 1,
                Err(error) => {
                    tracing::warn!(pull = pull.number, %error, "failed to review a pull request");
                    reviewed.failed += 1;
                }
            }
        }
        reviewed.failed += self.stop_scratch_of_closed(forge, &scratch, &pulls).await;
        for (row, version) in known.into_values() {
            let number = row.number;
            if row.merged.is_none()
                && let Err(error) = self.close(forge, row, version).await
            {
                tracing::warn!(pull = number, %error, "failed to see what became of a pull request");
                reviewed.failed += 1;
            }
        }
        if reviewed.waiting > 0 {
            let (waiting, open) = (reviewed.waiting, reviewed.open);
            tracing::info!(
                waiting,
                open,
                "checks of pull requests wait until the forge may be written to again"
            );
        }
        Ok(reviewed)
    }

    /// Whether what was said of it stands.
    async fn is_told(
        &self,
        pull: &Pull,
        base: &str,
        known: Option<&(PullRow, u64)>,
    ) -> Result<bool> {
        let Some((row, _)) = known else {
            return Ok(false);
        };
        let is_same = row.head == pull.head && row.base == base && !row.digest.is_empty();
        Ok(is_same && !self.has_moved(&row.leans).await?)
    }

    /// Plans one pull request anew and writes its check, as if nothing had been said of it. Answers its newest commit;
    /// none: it is not one that is planned.
    pub(crate) async fn review_again<F: Forge>(
        &self,
        forge: &F,
        number: u64,
    ) -> Result<Option<String>> {
        let Some(pull) = forge.pull(number).await? else {
            return Ok(None);
        };
        if pull.state != PullState::Open || pull.base != self.options.branch {
            return Ok(None);
        }
        let known = self.known_pulls().await?.remove(&number);
        let unsaid = known.map(|(row, version)| {
            let digest = String::new();
            (PullRow { digest, ..row }, version)
        });
        if self.review_one(forge, &pull, unsaid).await? == Said::Later {
            return Err(no_more("write a check"));
        }
        Ok(Some(pull.head))
    }

    /// It is not open any more: if it was merged, its page follows the work, else it is forgotten.
    async fn close<F: Forge>(&self, forge: &F, row: PullRow, version: u64) -> Result<()> {
        let pull = forge.pull(row.number).await?;
        let merge = pull.and_then(|pull| match pull.state {
            PullState::Merged(commit) => Some((commit, pull.head)),
            // Opened again: the next review sees it.
            PullState::Open | PullState::Closed => None,
        });
        let came = match &merge {
            Some((merge, head)) if self.options.checks => {
                self.came_with(merge, head, &row.base).await?
            }
            _ => Came::WithNothing,
        };
        let key = Key::pull(row.number);
        let mut change = Change::default();
        match (came, merge) {
            (Came::NotYet, _) | (Came::Missed, None) => return Ok(()),
            (Came::Missed, Some((merge, head))) => {
                let row = PullRow { head, ..row };
                return self.miss(forge, (row, version), &merge).await;
            }
            (Came::With(commit, requests), Some((_, head))) => {
                let (watch, seen) = match self.watch_row(&commit).await? {
                    Some((row, version)) => (row, Some(version)),
                    None => {
                        self.bring_back(&commit).await?;
                        (self.unwatched(&commit).await?, None)
                    }
                };
                // So that it is told at once, here too.
                let watch = WatchRow {
                    digest: String::new(),
                    looked: 0,
                    ..watch.without_archs_told()
                };
                // Not over what another process notes while it writes: the next look tries again.
                let watch = Row::Watch(watch);
                change.replace(Key::watch(&commit), Expect::as_read(seen), watch);
                let row = PullRow {
                    head,
                    requests,
                    merged: Some(commit),
                    leans: Leans::default(),
                    ..row
                };
                change.replace(key, Expect::Version(version), Row::Pull(row));
            }
            _ => {
                change.conditions.push(Condition {
                    key: key.clone(),
                    expect: Expect::Version(version),
                });
                change.delete(key);
            }
        }
        // Another process has seen the same.
        let _looked_at_again = self.apply(change).await?;
        Ok(())
    }

    /// The planned commit that a merge came with, and which requests the pull request is about.
    async fn came_with(&self, merge: &str, head: &str, base: &str) -> Result<Came> {
        let repo = self.platform.state_repo();
        let (planned, _) = self.head_row().await?;
        if !repo.is_ancestor(merge, &planned.commit).await? {
            let was_planned = self.planned_row(merge).await?;
            if was_planned.is_some_and(|row| row.is_planned()) {
                // Main was moved since.
                let requests = self.proposed(base, head).await?;
                return Ok(Came::With(merge.to_owned(), requests));
            }
            let tip = repo.head(&self.options.branch).await?;
            return Ok(match tip {
                Some(tip) if !repo.is_ancestor(merge, &tip).await? => Came::Missed,
                _ => Came::NotYet,
            });
        }
        let parents = repo.info(merge).await?.parents;
        // What the branch had by then is not what the pull request brought, also if the last look was long before. A
        // merge that is the head itself does not say what that was: what came with it may be several commits.
        let before = parents.iter().find(|parent| *parent != head);
        let base = match before {
            Some(before) if merge != head => before,
            _ => base,
        };
        let requests = self.proposed(base, head).await?;
        for path in &requests {
            let Some(loaded) = self.load(path).await? else {
                continue;
            };
            let commit = loaded.row.commit;
            if repo.is_ancestor(merge, &commit).await? {
                return Ok(Came::With(commit, requests));
            }
        }
        Ok(Came::WithNothing)
    }

    /// Requests that `head` brings, changes or takes away from where it began on `base`.
    pub(crate) async fn proposed(&self, base: &str, head: &str) -> Result<Vec<RequestPath>> {
        let began = match self.began(base, head).await? {
            MergeBase::At(commit) => Some(commit),
            MergeBase::Nowhere => None,
            // Its review said so.
            MergeBase::TooFar => return Ok(Vec::new()),
        };
        let repo = self.platform.state_repo();
        let changes = repo.changes(began.as_deref(), head).await?;
        Ok(requests(&changes).into_iter().take(MAX_FILES).collect())
    }

    pub(crate) async fn watch_row(&self, commit: &str) -> Result<Option<(WatchRow, u64)>> {
        let key = Key::watch(commit);
        match self.platform.ledger().get(&key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Watch(row) => Ok(Some((row, record.version))),
                _ => Err(unexpected(&key)),
            },
        }
    }

    pub(crate) async fn known_pulls(&self) -> Result<BTreeMap<u64, (PullRow, u64)>> {
        let mut known = BTreeMap::new();
        for (key, record) in self.all_rows(partition::PULLS, "").await? {
            let Row::Pull(row) = record.row else {
                return Err(unexpected(&key));
            };
            known.insert(row.number, (row, record.version));
        }
        Ok(known)
    }

    async fn review_one<F: Forge>(
        &self,
        forge: &F,
        pull: &Pull,
        known: Option<(PullRow, u64)>,
    ) -> Result<Said> {
        let key = Key::pull(pull.number);
        let writer = self.writer(known.as_ref().map_or(0, |(row, _)| row.writing));
        if writer == Writer::Another {
            return Ok(Said::Later);
        }
        let (head, _) = self.head_row().await?;
        let again = known.as_ref().map_or(0, |(row, _)| row.again);
        let Look {
            check,
            plan,
            leans,
            stands,
        } = self.look_at(pull, &head, again).await?;
        let is_said = writer == Writer::None
            && known
                .as_ref()
                .is_some_and(|(row, _)| row.head == pull.head && row.digest == check.digest);
        let mut version = known.map(|(_, version)| version);
        let row = PullRow {
            number: pull.number,
            head: pull.head.clone(),
            base: head.commit,
            digest: match stands {
                Stands::UntilChanged => check.digest.clone(),
                Stands::UntilTheNextLook => String::new(),
            },
            requests: Vec::new(),
            merged: None,
            plan,
            leans,
            again,
            writing: 0,
            missed: 0,
        };
        if !is_said {
            let writes = forge.writes(&check);
            if !self.may_write(forge, writes, Word::of_plan(pull)).await? {
                return Ok(Said::Later);
            }
            let mut begun = PullRow {
                digest: String::new(),
                writing: self.now() + WRITING_MILLIS,
                ..row.clone()
            };
            let mut change = Change::default();
            let expect = Expect::as_read(version);
            change.replace(key.clone(), expect, Row::Pull(begun.clone()));
            if let Applied::Conflict(_) = self.apply(change).await? {
                return Ok(Said::Later);
            }
            version = Some(version.unwrap_or(0) + 1);
            if let Err(error) = forge.write_check(&check).await {
                begun.writing = self.writing_failed(begun.writing);
                let mut change = Change::default();
                change.replace(key, Expect::as_read(version), Row::Pull(begun));
                let _or_another_has = self.apply(change).await?;
                return Err(error.into());
            }
        }
        let mut change = Change::default();
        change.replace(key, Expect::as_read(version), Row::Pull(row));
        Ok(match (self.apply(change).await?, is_said) {
            (Applied::Done, false) => Said::Now,
            (Applied::Done, true) => Said::Before,
            // Somebody wants it told anew, or this took too long and another has taken over.
            (Applied::Conflict(_), _) => Said::Later,
        })
    }

    /// What is to be said of a pull request over the planned commit, which is in `head`.
    ///
    /// `again`: of the row. How long the work takes is no reason to write a check anew: it is not in the digest.
    async fn look_at(&self, pull: &Pull, head: &HeadRow, again: Millis) -> Result<Look> {
        let refused = |why: &str, stands| Look {
            check: named(refusal(pull, why), again),
            plan: None,
            leans: Leans::default(),
            stands,
        };
        let proposal = match self.proposal(&pull.head, &head.commit).await {
            // What is wrong is in its own commits, or in what git has kept of them.
            Err(Error::Port(ports::Error::Corrupt { cause, .. }))
                if self.unread.lasts(&pull.head, self.now()) =>
            {
                tracing::warn!(pull = pull.number, %cause, "git cannot read a pull request");
                let why = format!("git cannot read its newest commit: {}", placeless(&cause));
                // A look more would write it once more, and a stranger may have many of them.
                return Ok(refused(&why, Stands::UntilChanged));
            }
            proposal => proposal?,
        };
        Ok(match proposal {
            Err(why) => refused(&why, Stands::UntilChanged),
            Ok(proposal) => {
                // Anybody may open a pull request, and write any address into it.
                let refs = match pull.is_own {
                    true => Refs::LookUp,
                    false => Refs::Leave,
                };
                let files = Files::Checkout(&proposal.files);
                let mut run = self.dry_run_of(files, refs).await?;
                self.dry_approvals(&mut run, files, Some(&pull.head))
                    .await?;
                run.notes.extend(self.stopped(head));
                let forecast = run.forecast.take();
                let Check { digest, .. } = named(plan_check(pull, &run, &proposal.both), again);
                run.forecast = forecast;
                let check = plan_check(pull, &run, &proposal.both);
                let plan = reviewed(&run, &pull.head);
                let mut leans = Leans::default();
                run.requests.iter().for_each(|it| leans.add(&it.leans));
                let is_unsure = run
                    .requests
                    .iter()
                    .any(|request| !request.unsure.is_empty());
                // A row has an end. Of so much nothing is kept, and it is planned at each look.
                let leans = Some(leans).filter(|leans| leans.count() <= MAX_LEANS);
                let stands = match is_unsure || leans.is_none() {
                    true => Stands::UntilTheNextLook,
                    false => Stands::UntilChanged,
                };
                let leans = leans.unwrap_or_default();
                Look {
                    check: Check { digest, ..check },
                    plan: Some(plan),
                    leans,
                    stands,
                }
            }
        })
    }

    /// Why nothing is planned now, whatever is merged.
    fn stopped(&self, head: &HeadRow) -> Option<Note> {
        let first = head.problems.first()?;
        let why = format!(
            "its newest commit is not planned, and whatever is merged is neither built nor released until this is mended: {}: {}",
            first.subject, first.message
        );
        Some(Note {
            subject: self.options.branch.clone(),
            why,
        })
    }

    /// The files of a pull request over `base`, or why it cannot be looked at. `head`: its newest commit.
    pub(crate) async fn proposal(
        &self,
        head: &str,
        base: &str,
    ) -> Result<std::result::Result<Proposal, String>> {
        let repo = self.platform.state_repo();
        let branch = &self.options.branch;
        let began = match self.began(base, head).await? {
            MergeBase::At(commit) => Some(commit),
            MergeBase::Nowhere if base.is_empty() => None,
            MergeBase::Nowhere => {
                return Ok(Err(format!(
                    "it has no commit in common with `{branch}`: rebase it on `{branch}`"
                )));
            }
            MergeBase::TooFar => {
                return Ok(Err(format!(
                    "it began too long ago: among {MAX_COMMITS} commits before it and `{branch}` there is none that both have; rebase it on `{branch}`"
                )));
            }
        };
        let changes = repo.changes(began.as_deref(), head).await?;
        if changes.len() > MAX_FILES {
            let many = changes.len();
            return Ok(Err(format!(
                "it changes {many} files, and {MAX_FILES} are planned at most: split it, or plan it with `millrace plan`"
            )));
        }
        let read = changes.iter().filter(|change| is_read(change));
        let read: Vec<String> = read.map(|change| change.path.clone()).collect();
        repo.prefetch(head, &read).await?;
        let (mut files, mut bytes) = (BTreeMap::new(), 0);
        let mut not_files = BTreeSet::new();
        for change in &changes {
            let file = match (change.kind, is_read(change)) {
                (ChangeKind::Removed | ChangeKind::NotAFile, _) => None,
                // Nobody reads what is in it.
                (_, false) => Some(Bytes::new()),
                (_, true) => repo.read(head, &change.path).await?,
            };
            if change.kind == ChangeKind::NotAFile {
                not_files.insert(change.path.clone());
            }
            bytes += file.as_ref().map_or(0, Bytes::len);
            if bytes > MAX_BYTES {
                let most = MAX_BYTES >> 20;
                return Ok(Err(format!(
                    "its files have more than {most} MiB together: split it"
                )));
            }
            files.insert(change.path.clone(), file);
        }
        let both = match began.as_deref() {
            Some(began) if began != base => self.changed_twice(began, base, &files).await?,
            _ => BTreeSet::new(),
        };
        let base = Some(base.to_owned()).filter(|base| !base.is_empty());
        Ok(Ok(Proposal {
            files: Checkout {
                base,
                files,
                not_files,
            },
            both,
        }))
    }

    /// Of `files`, those that `base` has otherwise than `began`, and otherwise than they are here.
    async fn changed_twice(
        &self,
        began: &str,
        base: &str,
        files: &BTreeMap<String, Option<Bytes>>,
    ) -> Result<BTreeSet<String>> {
        let repo = self.platform.state_repo();
        let mut both = BTreeSet::new();
        for change in repo.changes(Some(began), base).await? {
            if let Some(file) = files.get(&change.path)
                && repo.read(base, &change.path).await? != *file
            {
                both.insert(change.path);
            }
        }
        Ok(both)
    }

    /// Where what is at `head` began on `base`.
    async fn began(&self, base: &str, head: &str) -> Result<MergeBase> {
        if base.is_empty() {
            return Ok(MergeBase::Nowhere);
        }
        let repo = self.platform.state_repo();
        Ok(repo.merge_base(base, head, MAX_COMMITS).await?)
    }
}

/// Whether planning reads the file.
fn is_read(change: &PathChange) -> bool {
    is_request(&change.path) || is_config_path(&change.path)
}

/// Words without directories of this machine: they are nobody's else.
fn placeless(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.starts_with('/') {
        true => "…",
        false => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A check with the digest of its text. One that is to be made again has another digest than before.
pub(crate) fn named(check: Check, again: Millis) -> Check {
    Check {
        digest: digest(&check, again),
        ..check
    }
}

/// Of all that people read. Lengths are in it, so that no word changes its place unseen.
fn digest(check: &Check, again: Millis) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(&format!("{:?}", check.state));
    add(&check.title);
    add(&check.summary);
    add(check.details.as_deref().unwrap_or_default());
    for action in &check.actions {
        add(action.name);
    }
    for found in &check.annotations {
        add(&found.path);
        add(&format!(
            "{}:{} {:?}",
            found.line, found.column, found.level
        ));
        add(&found.message);
        add(&found.help);
    }
    if again != 0 {
        hash.update(again.to_le_bytes());
    }
    Sha256Digest::new(hash.finalize().into()).to_string()
}
