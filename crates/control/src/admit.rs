//! Planning a commit: which requests it brings, changes or takes away.

use std::collections::BTreeSet;

use ledger::{
    Change, Configuration, Expect, HeadRow, Key, Message, Phase, Problem, QueueName, RequestRow,
    RequestSpec, Row, WatchRow, partition,
};
use pipeline_spec::{
    Config, Diagnostic, RequestKind, RequestPath, Severity, check_build, check_release,
    parse_build, parse_release,
};
use ports::{Applied, ChangeKind, CommitInfo, PathChange, Platform, StateRepo};

use crate::files::Files;
use crate::load::Loaded;
use crate::notice::not_a_file;
use crate::told_configuration::are_of_commit;
use crate::turns::Turns;
use crate::{Control, Error, MAX_TRIES, Result, contended};

/// Linked requests that wake a request at once when they are done: the change that admits a request
/// also has the turns that it gives back.
pub(crate) const MAX_LINKS_INDEXED: usize = 50;

/// Commits kept that were planned in part: each is a process that ended in the middle. Beyond that
/// every request is compared.
const MAX_UNFINISHED: usize = 100;

/// What a request's file says, or everything that is wrong with it.
type Wish = std::result::Result<RequestSpec, Vec<Problem>>;

/// What [`Control::plan_head`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// The branch does not exist yet.
    Empty,
    /// The ledger knows this commit.
    UpToDate,
    /// The configuration is broken, or the branch is gone: nothing was planned; `millrace status` shows why.
    Broken(Vec<Problem>),
    /// The commit and the number of requests that it brought, changed or took away.
    New(String, usize),
}

impl<P: Platform> Control<P> {
    /// Compares the branch's tip with the ledger and admits what differs.
    ///
    /// Every write has the head as a condition and moves it, so that of two planners at different
    /// tips one starts again: an older wish is never written over a newer one.
    pub async fn plan_head(&self) -> Result<Planned> {
        for _ in 0..MAX_TRIES {
            if let Some(planned) = self.plan_tip().await? {
                return Ok(planned);
            }
        }
        Err(contended(&Key::head()))
    }

    /// `None`: another planner was faster.
    async fn plan_tip(&self) -> Result<Option<Planned>> {
        // Before the tip: a tip that is read after the head is at least as new.
        let (row, version) = self.head_row().await?;
        let mut head = Head { row, version };
        let repo = self.platform.state_repo();
        let Some(tip) = repo.head(&self.options.branch).await? else {
            return self.note_gone(&mut head).await;
        };
        let is_known = head.row.commit == tip && !head.row.recovered;
        if is_known && head.row.unfinished.is_empty() {
            let noted = self.note_problems(&mut head, Vec::new()).await?;
            return Ok(noted.then_some(Planned::UpToDate));
        }
        let snapshot = match self.snapshot(&tip).await {
            Ok(snapshot) => snapshot,
            Err(Error::Config { diagnostics, .. }) => {
                return self
                    .note_broken(&mut head, &tip, problems(&diagnostics))
                    .await;
            }
            Err(error) => return Err(error),
        };
        if let Some(problem) = self.unapproved_configuration(&head.row, &tip).await? {
            return self.note_broken(&mut head, &tip, vec![problem]).await;
        }
        let guarded = !snapshot.config.policy.approvals.is_empty();
        let info = repo.info(&tip).await?;
        let tip = Tip {
            time: info.time.max(head.row.time),
            info,
            linear: self.is_linear(&head.row, &tip).await?,
            commit: tip,
        };
        let from = (tip.linear && !head.row.recovered).then_some(&*head.row.commit);
        let changes = repo.changes(from, &tip.commit).await?;
        let paths = self.changed_requests(&head.row, &tip, &changes).await?;
        let next = HeadRow {
            commit: tip.commit.clone(),
            time: tip.time,
            sequence: head.row.sequence + paths.len() as u64,
            unfinished: Vec::new(),
            recovered: false,
            guarded,
            without_status: head.row.without_status,
            problems: Vec::new(),
            notices: self
                .notices(&head.row, &tip, &snapshot.config, &changes)
                .await?,
            warnings: self.warnings(&head.row, &tip, &snapshot).await?,
        };
        // Written with the first request that is admitted: were this the last one, the next run
        // knows which requests may stand by this tip.
        head.row.time = tip.time;
        let unfinished = &mut head.row.unfinished;
        if unfinished.len() < MAX_UNFINISHED && !unfinished.contains(&tip.commit) {
            unfinished.push(tip.commit.clone());
        }
        let links = links_among(&changes);
        let files: Vec<String> = paths.iter().map(ToString::to_string).collect();
        repo.prefetch(&tip.commit, &files).await?;
        let first = head.row.sequence + 1;
        for (path, sequence) in paths.iter().zip(first..) {
            let text = repo.read(&tip.commit, path.as_str()).await?;
            let done = match text {
                Some(text) => {
                    let files = Files::Commit(&tip.commit);
                    let wish = self
                        .read_wish(&snapshot.config, files, path, &text)
                        .await?
                        .map(|(spec, _)| spec)
                        .map_err(|found| problems(&found));
                    self.admit(&mut head, path, wish, (&tip, sequence)).await?
                }
                None if links.contains(path) => {
                    let wish = Err(vec![not_a_file(path.as_str())]);
                    self.admit(&mut head, path, wish, (&tip, sequence)).await?
                }
                None => self.remove(&mut head, path, &tip).await?,
            };
            if done == Admitted::HeadMoved {
                return Ok(None);
            }
        }
        if let Applied::Conflict(_) = self.write_head(&mut head, next).await? {
            return Ok(None);
        }
        if guarded {
            self.wake_releases().await?;
        }
        tracing::info!(commit = %tip.commit, requests = paths.len(), "planned");
        Ok(Some(Planned::New(tip.commit, paths.len())))
    }

    /// Nothing is planned with the configuration of `tip`, and the commit says why.
    async fn note_broken(
        &self,
        head: &mut Head,
        tip: &str,
        problems: Vec<Problem>,
    ) -> Result<Option<Planned>> {
        let noted = self.note_problems(head, problems.clone()).await?;
        if noted {
            self.watch_broken(tip, &problems).await?;
        }
        Ok(noted.then_some(Planned::Broken(problems)))
    }

    /// The branch is not there. Before the first commit that is nothing new.
    async fn note_gone(&self, head: &mut Head) -> Result<Option<Planned>> {
        if head.row.commit.is_empty() {
            return Ok(Some(Planned::Empty));
        }
        let (branch, commit) = (&self.options.branch, &head.row.commit);
        let problems = vec![Problem {
            subject: format!("branch {branch}"),
            message: format!(
                "it is not in the state repository any more; what was planned goes on, and nothing new is planned until it is back: `git push origin {commit}:refs/heads/{branch}` brings back what was planned last"
            ),
        }];
        let noted = self.note_problems(head, problems.clone()).await?;
        Ok(noted.then_some(Planned::Broken(problems)))
    }

    /// Writes the head, and lets the status branch tell what there is to say.
    async fn write_head(&self, head: &mut Head, next: HeadRow) -> Result<Applied> {
        let mut change = Change::default();
        let says = |row: &HeadRow| {
            let row = row.clone();
            (row.problems, row.notices, row.warnings)
        };
        if says(&head.row) != says(&next) {
            change.effect(QueueName::report(), Message::Configuration, self.now());
        }
        let is_mended = next.problems.is_empty() && are_of_commit(&head.row.problems);
        // One that is planned again, as after a broken one was taken back, was told of.
        let is_another = next.commit != head.row.commit;
        if self.options.checks && is_another && (next.sequence > head.row.sequence || is_mended) {
            let configuration = is_mended.then_some(Configuration::Mended);
            let row = WatchRow {
                from: head.row.commit.clone(),
                configuration: configuration.clone(),
                ..WatchRow::new(&next.commit)
            };
            change.put(Key::watch(&next.commit), Row::Watch(row));
            let over = (&*next.commit, &*head.row.commit);
            self.remember_planned(over, configuration, &mut change);
            if is_mended {
                self.settle_unapproved(over, &mut change).await?;
            }
        }
        if head.row.recovered && !next.recovered {
            // Now all requests are known, and the branch is compared once more: see `wanted`.
            change.delete(Key::status_branch());
        }
        head.guard(&mut change, next);
        self.apply(change).await
    }

    /// Writes why the newest commit cannot be planned. `false`: another planner was faster.
    async fn note_problems(&self, head: &mut Head, problems: Vec<Problem>) -> Result<bool> {
        if head.row.problems == problems {
            return Ok(true);
        }
        let row = HeadRow {
            problems,
            ..head.row.clone()
        };
        Ok(self.write_head(head, row).await? == Applied::Done)
    }

    /// Whether all that was planned, whole or in part, is history of `tip`.
    async fn is_linear(&self, head: &HeadRow, tip: &str) -> Result<bool> {
        if head.commit.is_empty() || head.unfinished.len() >= MAX_UNFINISHED {
            return Ok(false);
        }
        for commit in std::iter::once(&head.commit).chain(&head.unfinished) {
            if !self.platform.state_repo().is_ancestor(commit, tip).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Requests that differ between what was planned and `tip`, in path order. After a force-push the
    /// old commit is no ancestor: then every request is compared.
    async fn changed_requests(
        &self,
        head: &HeadRow,
        tip: &Tip,
        changes: &[PathChange],
    ) -> Result<Vec<RequestPath>> {
        if head.recovered {
            let unheard = self.unheard_of(&tip.commit, changes).await?;
            return Ok(unheard.into_iter().collect());
        }
        let mut paths = requests(changes);
        if !tip.linear {
            paths.extend(self.indexed(partition::REQUESTS, "").await?);
            return Ok(paths.into_iter().collect());
        }
        for commit in &head.unfinished {
            // What a run that did not end has admitted, and the tip has as it was before.
            for path in self.differing(&head.commit, commit).await? {
                let loaded = self.load(&path).await?;
                if loaded.is_some_and(|loaded| head.unfinished.contains(&loaded.row.commit)) {
                    paths.insert(path);
                }
            }
        }
        Ok(paths.into_iter().collect())
    }

    async fn differing(&self, from: &str, to: &str) -> Result<BTreeSet<RequestPath>> {
        let changes = self.platform.state_repo().changes(Some(from), to).await?;
        Ok(requests(&changes))
    }

    /// Parses and checks a request against the configuration and the requests beside it: the request with what
    /// may surprise, or all that is wrong with it.
    pub(crate) async fn read_wish(
        &self,
        config: &Config,
        files: Files<'_>,
        path: &RequestPath,
        bytes: &[u8],
    ) -> Result<std::result::Result<(RequestSpec, Vec<Diagnostic>), Vec<Diagnostic>>> {
        let parsed = match path.kind() {
            RequestKind::Build => parse_build(path, bytes).map(|r| RequestSpec::Build(Box::new(r))),
            RequestKind::Release => {
                parse_release(path, bytes).map(|r| RequestSpec::Release(Box::new(r)))
            }
            // No file is one.
            RequestKind::Scratch => return Err(no_file(path)),
        };
        let spec = match parsed {
            Ok(spec) => spec,
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let text = std::str::from_utf8(bytes).expect("the parser accepts UTF-8 only");
        let mut present = BTreeSet::new();
        for link in links(&spec) {
            if self.has_file(files, link.as_str()).await? {
                present.insert(link);
            }
        }
        if path.kind() == RequestKind::Release && present.len() < links(&spec).len() {
            present.extend(self.published_from(path).await?);
        }
        let exists = |link: &RequestPath| present.contains(link);
        let diagnostics = match &spec {
            RequestSpec::Build(request) => check_build(request, path, text, config, &exists),
            RequestSpec::Release(request) => check_release(request, path, text, config, &exists),
        };
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        Ok(if broken {
            Err(diagnostics)
        } else {
            Ok((spec, diagnostics))
        })
    }

    /// Builds that a published release is made of: their files may be gone, its packages are not.
    async fn published_from(&self, path: &RequestPath) -> Result<Vec<RequestPath>> {
        let published = self.load(path).await?.map(|loaded| loaded.row);
        Ok(published
            .filter(|row| matches!(row.phase, Phase::Published | Phase::Publishing(_)))
            .and_then(|row| row.spec)
            .map(|spec| links(&spec))
            .unwrap_or_default())
    }

    async fn admit(
        &self,
        head: &mut Head,
        path: &RequestPath,
        wish: Wish,
        (tip, sequence): (&Tip, u64),
    ) -> Result<Admitted> {
        for _ in 0..MAX_TRIES {
            let read = match self.at_a_stand(path).await? {
                Stand::Publishing => continue,
                Stand::New => None,
                Stand::Known(loaded) => Some(loaded),
            };
            let last = read.as_ref().map(|loaded| &loaded.row);
            if last.is_some_and(|row| row.commit == tip.commit || is_as_wished(row, &wish, tip)) {
                return Ok(Admitted::Done);
            }
            let (spec, phase, problems) = match &wish {
                Ok(spec) => (Some(spec.clone()), Phase::Open, Vec::new()),
                // What is published stays known, so that taking the file away still reverts it.
                Err(found) => (
                    last.and_then(|row| row.spec.clone()),
                    Phase::Invalid,
                    found.clone(),
                ),
            };
            // What is published is not published again because nobody hurries any more.
            let is_done = last.filter(|row| row.phase == Phase::Published);
            let asked = is_done
                .and_then(|row| row.spec.as_ref())
                .zip(wish.as_ref().ok());
            if let Some((row, (old, new))) = is_done.zip(asked)
                && new != old
                && new.asks_the_same(old)
            {
                // Kept, so that the way back is a change of the place alone, too.
                let row = RequestRow {
                    spec: Some(new.clone()),
                    ..row.clone()
                };
                if let Some(done) = self.write_request(head, row, read.as_deref()).await? {
                    return Ok(done);
                }
                continue;
            }
            // The time is in what is composed: it stays as it was when only the place among others changes.
            let same = last.filter(|row| {
                let spec = spec.as_ref().zip(row.spec.as_ref());
                row.phase == Phase::Open
                    && spec.is_some_and(|(new, old)| new.asks_the_same(old) && new != old)
            });
            let row = RequestRow {
                path: path.clone(),
                commit: tip.commit.clone(),
                time: same.map_or(tip.time, |row| row.time),
                author: tip.info.author.clone(),
                sequence: last.map_or(sequence, |row| row.sequence),
                spec,
                phase,
                problems,
                notes: Vec::new(),
            };
            if let Some(done) = self.write_request(head, row, read.as_deref()).await? {
                return Ok(done);
            }
        }
        Err(contended(&Key::request(path)))
    }

    async fn remove(&self, head: &mut Head, path: &RequestPath, tip: &Tip) -> Result<Admitted> {
        for _ in 0..MAX_TRIES {
            let loaded = match self.at_a_stand(path).await? {
                Stand::Publishing => continue,
                Stand::New => return Ok(Admitted::Done),
                Stand::Known(loaded) => loaded,
            };
            let row = &loaded.row;
            if row.commit == tip.commit || matches!(row.phase, Phase::Removed | Phase::Reverted) {
                return Ok(Admitted::Done);
            }
            let phase = match path.kind() {
                RequestKind::Build => Phase::Removed,
                // Also one that was never published: with nothing to take away it ends at once.
                RequestKind::Release => Phase::Reverting,
                RequestKind::Scratch => return Err(no_file(path)),
            };
            let row = RequestRow {
                commit: tip.commit.clone(),
                time: tip.time,
                author: tip.info.author.clone(),
                phase,
                problems: Vec::new(),
                notes: Vec::new(),
                ..row.clone()
            };
            if let Some(done) = self.write_request(head, row, Some(&loaded)).await? {
                return Ok(done);
            }
        }
        Err(contended(&Key::request(path)))
    }

    /// The request, not in the middle of its flips: a decision is never overwritten.
    async fn at_a_stand(&self, path: &RequestPath) -> Result<Stand> {
        self.finish_publishing(path).await?;
        Ok(match self.load(path).await? {
            None => Stand::New,
            Some(loaded) if matches!(loaded.row.phase, Phase::Publishing(_)) => Stand::Publishing,
            Some(loaded) => Stand::Known(Box::new(loaded)),
        })
    }

    /// `None`: the request was written by others, so that it is to be read again.
    async fn write_request(
        &self,
        head: &mut Head,
        row: RequestRow,
        read: Option<&Loaded>,
    ) -> Result<Option<Admitted>> {
        let path = row.path.clone();
        let index = || Row::Index {
            request: path.clone(),
        };
        let now = self.now();
        let mut change = Change::default();
        let mut turns = Turns::NoneHeld;
        if let Some(loaded) = read {
            // The new version may want other repositories; what it still wants it takes anew.
            turns = self.give_back_turns(loaded, &mut change).await?;
        }
        // A change has room for so many; sweep wakes those behind the others.
        for link in row.spec.iter().flat_map(links).take(MAX_LINKS_INDEXED) {
            change.put(Key::waiter(&link, &path), index());
        }
        change.put(Key::open(&path), index());
        change.put(Key::listed(&path), index());
        list(&mut change, &row);
        change.replace(
            Key::request(&path),
            Expect::as_read(read.map(|loaded| loaded.version)),
            Row::Request(Box::new(row)),
        );
        for (queue, message) in [
            (
                QueueName::advance(),
                Message::Advance {
                    request: path.clone(),
                },
            ),
            (
                QueueName::report(),
                Message::Report {
                    request: path.clone(),
                },
            ),
        ] {
            change.effect(queue, message, now);
        }
        let same = head.row.clone();
        head.guard(&mut change, same);
        Ok(match self.apply(change).await? {
            Applied::Done => {
                if turns == Turns::GivenBack {
                    self.wake_waiters(&path).await?;
                }
                Some(Admitted::Done)
            }
            Applied::Conflict(key) if key == Key::head() => Some(Admitted::HeadMoved),
            Applied::Conflict(_) => {
                head.unmoved();
                None
            }
        })
    }
}

/// The commit that is being planned.
pub(crate) struct Tip {
    pub(crate) commit: String,
    pub(crate) info: CommitInfo,
    /// For all that it publishes: its committer's, or that of a later commit that was planned before.
    pub(crate) time: i64,
    /// Whether it descends from what was planned before.
    pub(crate) linear: bool,
}

/// The head as this planner last saw or wrote it.
struct Head {
    row: HeadRow,
    version: Option<u64>,
}

impl Head {
    /// Adds a write of the head to `change`, under the condition that nobody else wrote it.
    fn guard(&mut self, change: &mut Change, next: HeadRow) {
        change.replace(
            Key::head(),
            Expect::as_read(self.version),
            Row::Head(next.clone()),
        );
        self.row = next;
        self.version = Some(self.version.unwrap_or(0) + 1);
    }

    /// The change with the last guard did not apply.
    fn unmoved(&mut self) {
        self.version = self.version.and_then(|version| version.checked_sub(1));
        if self.version == Some(0) {
            self.version = None;
        }
    }
}

/// How one request was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admitted {
    /// It stands, now or before.
    Done,
    /// Another planner wrote the head: plan again from the start.
    HeadMoved,
}

/// A request that is about to be written.
enum Stand {
    New,
    /// Another run decided to publish it just now.
    Publishing,
    Known(Box<Loaded>),
}

/// After a force-push every request is looked at; those that are done and are wished for as before stay.
fn is_as_wished(row: &RequestRow, wish: &Wish, tip: &Tip) -> bool {
    !tip.linear
        && matches!(row.phase, Phase::Succeeded | Phase::Published)
        && wish.as_ref().ok() == row.spec.as_ref()
}

fn no_file(path: &RequestPath) -> Error {
    Error::Inconsistent(format!("plan {path}: no file asks for a scratch build"))
}

/// Puts a request where people look for it. One whose file is gone is found by its name alone, and a scratch build by its
/// pull request.
pub(crate) fn list(change: &mut Change, row: &RequestRow) {
    if row.path.is_scratch() {
        return;
    }
    let (recent, failed) = (
        Key::recent(&row.path, row.sequence),
        Key::failed(&row.path, row.sequence),
    );
    let index = || Row::Index {
        request: row.path.clone(),
    };
    match row.phase {
        Phase::Removed | Phase::Reverted => {
            change.delete(recent);
            change.delete(failed);
        }
        Phase::Failed | Phase::Invalid => {
            change.put(recent, index());
            change.put(failed, index());
        }
        Phase::Open
        | Phase::Succeeded
        | Phase::Canceled
        | Phase::Publishing(_)
        | Phase::Published
        | Phase::Reverting => {
            change.put(recent, index());
            change.delete(failed);
        }
    }
}

/// The requests among changed paths.
pub(crate) fn requests(changes: &[PathChange]) -> BTreeSet<RequestPath> {
    let paths = changes.iter().filter_map(|change| change.path.parse().ok());
    paths.collect()
}

/// Requests in whose place there is a link.
fn links_among(changes: &[PathChange]) -> BTreeSet<RequestPath> {
    let links = changes
        .iter()
        .filter(|change| change.kind == ChangeKind::NotAFile);
    links
        .filter_map(|change| change.path.parse().ok())
        .collect()
}

/// Requests that a request builds on.
pub(crate) fn links(spec: &RequestSpec) -> Vec<RequestPath> {
    match spec {
        RequestSpec::Build(request) => request.with.clone(),
        RequestSpec::Release(request) => request.from.clone(),
    }
}

pub(crate) fn problems(diagnostics: &[Diagnostic]) -> Vec<Problem> {
    diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| Problem {
            subject: format!("{}:{}:{}", d.path, d.line, d.column),
            message: format!("{}; {}", d.message, d.help),
        })
        .collect()
}
