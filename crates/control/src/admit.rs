//! Planning a commit: which requests it brings, changes or takes away.

use std::collections::BTreeSet;

use ledger::{
    Change, Expect, HeadRow, Key, Message, Phase, Problem, QueueName, RequestRow, RequestSpec, Row,
    partition,
};
use pipeline_spec::{
    Diagnostic, RequestKind, RequestPath, Severity, check_build, check_release, parse_build,
    parse_release,
};
use ports::{Applied, ChangeKind, CommitInfo, Platform, StateRepo};

use crate::config::Snapshot;
use crate::{Control, Error, MAX_TRIES, Result, contended};

/// Linked requests that wake a request at once when they are done.
const MAX_LINKS_INDEXED: usize = 80;

/// What [`Control::plan_head`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// The branch does not exist yet.
    Empty,
    /// The ledger knows this commit.
    UpToDate,
    /// The configuration is broken: nothing was planned; `millrace status` shows why.
    Broken(Vec<Problem>),
    /// The commit and the number of requests that it brought, changed or took away.
    New(String, usize),
}

impl<P: Platform> Control<P> {
    /// Compares the branch's tip with the ledger and admits what differs.
    pub async fn plan_head(&self) -> Result<Planned> {
        let Some(tip) = self
            .platform
            .state_repo()
            .head(&self.options.branch)
            .await?
        else {
            return Ok(Planned::Empty);
        };
        let (head, version) = self.head_row().await?;
        if head.commit == tip {
            return Ok(Planned::UpToDate);
        }
        let snapshot = match self.snapshot(&tip).await {
            Ok(snapshot) => snapshot,
            Err(Error::Config { diagnostics, .. }) => {
                return self.note_broken(head, version, &diagnostics).await;
            }
            Err(error) => return Err(error),
        };
        let info = self.platform.state_repo().info(&tip).await?;
        let paths = self.changed_requests(&head, &tip).await?;
        for (i, path) in paths.iter().enumerate() {
            let text = self.platform.state_repo().read(&tip, path.as_str()).await?;
            let sequence = head.sequence + 1 + i as u64;
            match text {
                Some(text) => {
                    let wish = self.read_wish(&snapshot, path, &text).await?;
                    self.admit(path, wish, (&tip, &info), sequence).await?;
                }
                None => self.remove(path, (&tip, &info)).await?,
            }
        }
        let next = HeadRow {
            commit: tip.clone(),
            sequence: head.sequence + paths.len() as u64,
            problems: Vec::new(),
        };
        let mut change = Change::default();
        change.replace(Key::head(), Expect::as_read(version), Row::Head(next));
        // A conflict means that another planner wrote the head; both admitted the same requests.
        let applied = self.apply(change).await?;
        tracing::info!(commit = %tip, requests = paths.len(), ?applied, "planned");
        Ok(Planned::New(tip, paths.len()))
    }

    async fn note_broken(
        &self,
        head: HeadRow,
        version: Option<u64>,
        diagnostics: &[Diagnostic],
    ) -> Result<Planned> {
        let problems = problems(diagnostics);
        if head.problems != problems {
            let mut change = Change::default();
            let row = HeadRow {
                problems: problems.clone(),
                ..head
            };
            change.replace(Key::head(), Expect::as_read(version), Row::Head(row));
            let _lost_to_another_planner = self.apply(change).await?;
        }
        Ok(Planned::Broken(problems))
    }

    /// Requests that differ between what was planned and `tip`, in path order. After a force-push the
    /// old commit is no ancestor: then every request is compared.
    async fn changed_requests(&self, head: &HeadRow, tip: &str) -> Result<Vec<RequestPath>> {
        let repo = self.platform.state_repo();
        let linear = !head.commit.is_empty() && repo.is_ancestor(&head.commit, tip).await?;
        let from = linear.then_some(head.commit.as_str());
        let mut paths: BTreeSet<RequestPath> = repo
            .changes(from, tip)
            .await?
            .into_iter()
            .filter(|change| from.is_some() || change.kind != ChangeKind::Removed)
            .filter_map(|change| change.path.parse().ok())
            .collect();
        if !linear && !head.commit.is_empty() {
            paths.extend(self.indexed(partition::REQUESTS, "").await?);
        }
        Ok(paths.into_iter().collect())
    }

    /// Parses and checks a request against its snapshot.
    pub(crate) async fn read_wish(
        &self,
        snapshot: &Snapshot,
        path: &RequestPath,
        bytes: &[u8],
    ) -> Result<std::result::Result<RequestSpec, Vec<Diagnostic>>> {
        let parsed = match path.kind() {
            RequestKind::Build => parse_build(path, bytes).map(|r| RequestSpec::Build(Box::new(r))),
            RequestKind::Release => {
                parse_release(path, bytes).map(|r| RequestSpec::Release(Box::new(r)))
            }
        };
        let spec = match parsed {
            Ok(spec) => spec,
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let text = std::str::from_utf8(bytes).expect("the parser accepts UTF-8 only");
        let mut present = BTreeSet::new();
        for link in links(&spec) {
            if self
                .platform
                .state_repo()
                .read(&snapshot.commit, link.as_str())
                .await?
                .is_some()
            {
                present.insert(link);
            }
        }
        let exists = |link: &RequestPath| present.contains(link);
        let diagnostics = match &spec {
            RequestSpec::Build(request) => {
                check_build(request, path, text, &snapshot.config, &exists)
            }
            RequestSpec::Release(request) => {
                check_release(request, path, text, &snapshot.config, &exists)
            }
        };
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        Ok(if broken { Err(diagnostics) } else { Ok(spec) })
    }

    async fn admit(
        &self,
        path: &RequestPath,
        wish: std::result::Result<RequestSpec, Vec<Diagnostic>>,
        (commit, info): (&str, &CommitInfo),
        sequence: u64,
    ) -> Result<()> {
        for _ in 0..MAX_TRIES {
            self.finish_publishing(path).await?;
            let read = self.request_row(path).await?;
            if read.as_ref().is_some_and(|(row, _)| row.commit == commit) {
                return Ok(());
            }
            let (spec, phase, problems) = match &wish {
                Ok(spec) => (Some(spec.clone()), Phase::Open, Vec::new()),
                // What is published stays known, so that taking the file away still reverts it.
                Err(found) => (
                    read.as_ref().and_then(|(row, _)| row.spec.clone()),
                    Phase::Invalid,
                    problems(found),
                ),
            };
            let row = RequestRow {
                path: path.clone(),
                commit: commit.to_owned(),
                time: info.time,
                author: info.author.clone(),
                sequence: read.as_ref().map_or(sequence, |(row, _)| row.sequence),
                spec,
                phase,
                problems,
                notes: Vec::new(),
            };
            if self
                .write_request(row, read.map(|(_, version)| version))
                .await?
                == Applied::Done
            {
                return Ok(());
            }
        }
        Err(contended(&Key::request(path)))
    }

    async fn remove(&self, path: &RequestPath, (commit, info): (&str, &CommitInfo)) -> Result<()> {
        for _ in 0..MAX_TRIES {
            self.finish_publishing(path).await?;
            let Some((row, version)) = self.request_row(path).await? else {
                return Ok(());
            };
            if row.commit == commit || matches!(row.phase, Phase::Removed | Phase::Reverted) {
                return Ok(());
            }
            let phase = match path.kind() {
                RequestKind::Build => Phase::Removed,
                // Also one that was never published: with nothing to take away it ends at once.
                RequestKind::Release => Phase::Reverting,
            };
            let row = RequestRow {
                commit: commit.to_owned(),
                time: info.time,
                author: info.author.clone(),
                phase,
                problems: Vec::new(),
                notes: Vec::new(),
                ..row
            };
            if self.write_request(row, Some(version)).await? == Applied::Done {
                return Ok(());
            }
        }
        Err(contended(&Key::request(path)))
    }

    async fn write_request(&self, row: RequestRow, version: Option<u64>) -> Result<Applied> {
        let path = row.path.clone();
        let index = || Row::Index {
            request: path.clone(),
        };
        let now = self.now();
        let mut change = Change::default();
        // A change has room for so many; sweep wakes those behind the others.
        for link in row.spec.iter().flat_map(links).take(MAX_LINKS_INDEXED) {
            change.put(Key::waiter(&link, &path), index());
        }
        change.put(Key::open(&path), index());
        change.put(Key::listed(&path), index());
        change.replace(
            Key::request(&path),
            Expect::as_read(version),
            Row::Request(Box::new(row)),
        );
        change.effect(
            QueueName::advance(),
            Message::Advance {
                request: path.clone(),
            },
            now,
        );
        change.effect(
            QueueName::report(),
            Message::Report {
                request: path.clone(),
            },
            now,
        );
        self.apply(change).await
    }
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
