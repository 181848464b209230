//! Writing status: many requests, one commit.
//!
//! The branch belongs to the machine, and people can write to it. Each report compares the branch's
//! head with the commit that the machine left; at another one it looks at what differs, and writes it
//! anew on top: a person's commit stays in the history and never in the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ledger::{
    Change, Condition, Expect, HeadRow, Key, Message, Millis, QueueName, Row, StatusBranchRow,
    partition,
};
use pipeline_spec::{RequestPath, Sha256Digest};
use ports::{
    Applied, ArtifactStore, Committed, Delivery, Ledger, NewCommit, PathChange, Platform,
    StateRepo, TaskQueue,
};

use crate::dead::is_transient;
use crate::load::unexpected;
use crate::recover::RequestRecord;
use crate::render::{CONFIGURATION, configuration_file, status_file};
use crate::{Control, Error, MAX_TRIES, Result};

/// Messages taken into one commit, and files of a branch that is made whole; the rest goes into the next.
const BATCH: usize = 500;
/// A message is hidden this long while its commit is being written.
const CLAIM: Duration = Duration::from_secs(120);
/// Paths named in a warning about a branch that somebody wrote to.
const NAMED: usize = 10;

/// What a report did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Nothing had changed.
    Nothing,
    /// The commit on the status branch and the number of files in it.
    Commit(String, usize),
    /// As many pushes were made as may be: what there is to say waits until this time.
    Later(Millis),
}

/// A file of the status branch.
#[derive(Default)]
struct Rendered {
    /// `None`: it should not be there.
    file: Option<Bytes>,
    /// The record that the file names.
    record: Option<(Sha256Digest, Bytes)>,
}

/// The branch as it is, and as the machine left it.
struct Branch {
    head: Option<String>,
    left: Option<String>,
    version: Option<u64>,
}

/// What came of a try to make the branch whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    /// It was, at the moment of the try; or another process has made it so.
    Whole,
    /// Somebody else wrote to it meanwhile.
    Moved,
    /// Nothing was ever reported: the first report makes the branch.
    NothingThere,
}

impl<P: Platform> Control<P> {
    /// Waits up to `wait` for something to report, then writes all of it in one commit. What somebody
    /// else did to the branch since the last report is undone, whether or not there is something to report.
    /// While no push may be made, nothing is waited for and nothing is received.
    pub async fn report(&self, wait: Duration) -> Result<Reported> {
        if let Some(until) = self.next_push().await? {
            return Ok(Reported::Later(until));
        }
        if let Some(later) = self.mend_status().await? {
            return Ok(later);
        }
        let queues = [QueueName::report()];
        let mut deliveries = self
            .platform
            .queue()
            .receive(&queues, BATCH, CLAIM, wait)
            .await?;
        // What came in meanwhile goes into the same commit.
        let more = self
            .platform
            .queue()
            .receive(&queues, BATCH, CLAIM, Duration::ZERO)
            .await?;
        deliveries.extend(more);
        self.answer_all(&deliveries).await
    }

    /// The same for messages that somebody else has received, as a function that its queue starts. Those
    /// that are answered are acknowledged, the others come back by themselves; those that no push is left for are sent
    /// again.
    pub async fn report_received(&self, deliveries: &[Delivery]) -> Result<Reported> {
        // Whoever writes an answer looks at the branch, too.
        if deliveries.is_empty()
            && let Some(later) = self.mend_status().await?
        {
            return Ok(later);
        }
        self.answer_all(deliveries).await
    }

    async fn answer_all(&self, deliveries: &[Delivery]) -> Result<Reported> {
        let paths: BTreeSet<String> = deliveries
            .iter()
            .filter_map(|delivery| path_of(&delivery.message))
            .collect();
        let begun = self.now();
        let reported = match self.write_status(&paths).await {
            Err(Error::Full { until }) => return self.report_later(deliveries, until).await,
            Err(error) if paths.len() > 1 && !is_transient(&error) => {
                tracing::error!(%error, "one of several answers cannot be written; each is tried alone");
                return self.report_each(deliveries).await;
            }
            Err(error) => {
                for delivery in deliveries {
                    self.give_up(delivery, &error).await?;
                }
                return Err(error);
            }
            Ok(reported) => reported,
        };
        let took = self.now().saturating_sub(begun).max(0);
        self.report_millis.store(took, Ordering::Relaxed);
        self.acknowledge(deliveries.iter()).await?;
        Ok(reported)
    }

    pub(crate) async fn acknowledge(
        &self,
        deliveries: impl Iterator<Item = &Delivery>,
    ) -> Result<()> {
        let receipts = deliveries.map(|delivery| delivery.receipt.as_str());
        let receipts: Vec<&str> = receipts.collect();
        let queue = self.platform.queue();
        Ok(queue.acknowledge_all(&receipts).await?)
    }

    /// One answer that cannot be written does not stop the others.
    async fn report_each(&self, deliveries: &[Delivery]) -> Result<Reported> {
        let mut by_path: BTreeMap<String, Vec<&Delivery>> = BTreeMap::new();
        for delivery in deliveries {
            if let Some(path) = path_of(&delivery.message) {
                by_path.entry(path).or_default().push(delivery);
            }
        }
        let mut last = Reported::Nothing;
        while let Some((path, deliveries)) = by_path.pop_first() {
            match self.write_status(&[path].into()).await {
                Ok(reported) => {
                    self.acknowledge(deliveries.into_iter()).await?;
                    if reported != Reported::Nothing {
                        last = reported;
                    }
                }
                Err(Error::Full { until }) => {
                    let left = deliveries
                        .into_iter()
                        .chain(by_path.into_values().flatten());
                    let left: Vec<Delivery> = left.cloned().collect();
                    return self.report_later(&left, until).await;
                }
                Err(error) if is_transient(&error) => return Err(error),
                Err(error) => {
                    for delivery in deliveries {
                        self.give_up(delivery, &error).await?;
                    }
                }
            }
        }
        Ok(last)
    }

    /// How long the last report wrote, without its waiting. A status file of a thousand tasks is work, so
    /// callers leave a pause between reports that grows with it.
    pub fn report_time(&self) -> Duration {
        let millis = self.report_millis.load(Ordering::Relaxed);
        Duration::from_millis(millis.unsigned_abs())
    }

    pub(crate) async fn write_status(&self, paths: &BTreeSet<String>) -> Result<Reported> {
        if paths.is_empty() {
            return Ok(Reported::Nothing);
        }
        let mut reported = Reported::Nothing;
        for _ in 0..MAX_TRIES {
            let branch = self.status_branch().await?;
            // On a branch that is not whole nothing is answered for good: a person may take the commit
            // away again, and that it is missing would show in no comparison with what was left before.
            if branch.head != branch.left && self.mend(&branch).await? != Mended::NothingThere {
                continue;
            }
            match self.commit_status(branch.head.as_deref(), paths).await? {
                Committed::Yes(commit) => {
                    let is_noted = self.note_status(&branch, &commit).await?;
                    reported = Reported::Commit(commit, paths.len());
                    if is_noted {
                        return Ok(reported);
                    }
                }
                Committed::Unchanged => return Ok(reported),
                Committed::Moved(_) => {}
            }
        }
        Err(self.status_contended())
    }

    /// As [`Self::make_whole`]; when it has to wait, until when.
    async fn mend_status(&self) -> Result<Option<Reported>> {
        match self.make_whole().await {
            Err(Error::Full { until }) => Ok(Some(Reported::Later(until))),
            made => made.map(|()| None),
        }
    }

    /// Makes the branch whole if it is not where the machine left it. One look at the head when it is.
    async fn make_whole(&self) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let branch = self.status_branch().await?;
            if branch.head == branch.left || self.mend(&branch).await? != Mended::Moved {
                return Ok(());
            }
        }
        Err(self.status_contended())
    }

    /// One try to make whole a branch that is not where the machine left it.
    async fn mend(&self, branch: &Branch) -> Result<Mended> {
        // Before the rows that are compared: see `wanted`.
        let (head, head_version) = self.head_row().await?;
        let suspects: Vec<String> = self.suspects(branch).await?.into_iter().collect();
        let mut commit = branch.head.clone();
        let (mut differing, mut moved) = (Vec::new(), false);
        for batch in suspects.chunks(BATCH) {
            let paths = self.differing_from(commit.as_deref(), batch, &head).await?;
            differing.extend(paths.iter().cloned());
            match self.commit_status(commit.as_deref(), &paths).await? {
                Committed::Yes(next) => commit = Some(next),
                Committed::Unchanged => {}
                Committed::Moved(_) => moved = true,
            }
            if moved {
                break;
            }
        }
        if !differing.is_empty() {
            self.warn_of(branch, &differing);
        }
        match commit {
            _ if moved => Ok(Mended::Moved),
            None => Ok(Mended::NothingThere),
            Some(commit) => {
                let mut change = noting(branch, &commit);
                if head.recovered {
                    // It may be whole for this head alone.
                    change.conditions.push(Condition {
                        key: Key::head(),
                        expect: Expect::as_read(head_version),
                    });
                }
                let _next_look_compares = self.apply(change).await?;
                Ok(Mended::Whole)
            }
        }
    }

    async fn status_branch(&self) -> Result<Branch> {
        // Before the head: what is noted later is at least as new as the head that is read here.
        let key = Key::status_branch();
        let (left, version) = match self.platform.ledger().get(&key).await? {
            None => (None, None),
            Some(record) => match record.row {
                Row::StatusBranch(row) => (Some(row.commit), Some(record.version)),
                _ => return Err(unexpected(&key)),
            },
        };
        let repo = self.platform.state_repo();
        let head = repo.head(&self.options.status_branch).await?;
        Ok(Branch {
            head,
            left,
            version,
        })
    }

    /// Notes that the branch is whole at `commit`. False: another process noted something meanwhile.
    async fn note_status(&self, branch: &Branch, commit: &str) -> Result<bool> {
        Ok(self.apply(noting(branch, commit)).await? == Applied::Done)
    }

    /// Paths that may not be on the branch as the ledger has them.
    async fn suspects(&self, branch: &Branch) -> Result<BTreeSet<String>> {
        let is_ours = |path: &String| *path == CONFIGURATION || is_request(path);
        let paths = |changes: Vec<PathChange>| {
            let paths = changes.into_iter().map(|change| change.path);
            paths.filter(is_ours).collect::<BTreeSet<String>>()
        };
        let repo = self.platform.state_repo();
        if let (Some(head), Some(left)) = (&branch.head, &branch.left) {
            match repo.changes(Some(left), head).await {
                Ok(changes) => return Ok(paths(changes)),
                // The commit is gone from the repository, as after a force-push: compare all.
                Err(ports::Error::Corrupt { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut all: BTreeSet<String> = match &branch.head {
            Some(head) => paths(repo.changes(None, head).await?),
            None => BTreeSet::new(),
        };
        let requests = self.indexed(partition::REQUESTS, "").await?;
        all.extend(requests.iter().map(ToString::to_string));
        all.insert(CONFIGURATION.to_owned());
        Ok(all)
    }

    /// Of `paths`, those that the branch has otherwise than the ledger. Those that it has as the ledger does may
    /// be so because a person put an older commit back: what their records named was no longer kept since then.
    async fn differing_from(
        &self,
        commit: Option<&str>,
        paths: &[String],
        head: &HeadRow,
    ) -> Result<BTreeSet<String>> {
        let mut differing = BTreeSet::new();
        if let Some(commit) = commit {
            self.platform.state_repo().prefetch(commit, paths).await?;
        }
        for path in paths {
            let is = match commit {
                Some(commit) => self.platform.state_repo().read(commit, path).await?,
                None => None,
            };
            let Some(wanted) = self.wanted(path, head).await? else {
                continue;
            };
            if wanted.file != is {
                differing.insert(path.clone());
            } else if let Some(record) = wanted.record {
                self.keep_record(record).await?;
            }
        }
        Ok(differing)
    }

    fn warn_of(&self, branch: &Branch, differing: &[String]) {
        let named: Vec<&str> = differing.iter().take(NAMED).map(String::as_str).collect();
        let what = match (&branch.head, &branch.left) {
            (None, Some(_)) => "deleted",
            (_, None) => "written by others",
            (Some(_), Some(_)) => "changed by others",
        };
        tracing::warn!(
            branch = %self.options.status_branch,
            left = branch.left.as_deref().unwrap_or("nothing"),
            found = branch.head.as_deref().unwrap_or("nothing"),
            files = differing.len(),
            first = %named.join(", "),
            "the status branch was {what}; these files are written again"
        );
    }

    /// One commit of `paths` as the ledger has them, on `parent`.
    async fn commit_status(
        &self,
        parent: Option<&str>,
        paths: &BTreeSet<String>,
    ) -> Result<Committed> {
        // Rendered after the parent was read, so that a retry never writes older rows over newer ones.
        let (head, _) = self.head_row().await?;
        let mut files = Vec::new();
        for path in paths {
            let Some(rendered) = self.wanted(path, &head).await? else {
                continue;
            };
            // Before the file that names it.
            if let Some(record) = rendered.record {
                self.keep_record(record).await?;
            }
            files.push((path.clone(), rendered.file));
        }
        if parent.is_none() {
            // A branch begins with an answer.
            files.retain(|(_, file)| file.is_some());
        }
        if files.is_empty() {
            return Ok(Committed::Unchanged);
        }
        let new = NewCommit {
            message: message(paths, &head.commit),
            files,
            time: self.now() / 1000,
        };
        let counted = self.count_push().await?;
        let repo = self.platform.state_repo();
        let committed = repo
            .commit(&self.options.status_branch, parent, new)
            .await?;
        if committed == Committed::Unchanged {
            self.give_push_back(counted).await?;
        }
        Ok(committed)
    }

    /// What the branch should have at `path`, when `head` was read before. `None`: what it has. A ledger
    /// that was recovered knows all requests when it was planned with; an answer to one that it does
    /// not know yet stays until then.
    async fn wanted(&self, path: &str, head: &HeadRow) -> Result<Option<Rendered>> {
        let rendered = self.render(path).await?;
        let is_unknown = rendered.file.is_none() && is_request(path);
        Ok((!(is_unknown && head.recovered)).then_some(rendered))
    }

    async fn render(&self, path: &str) -> Result<Rendered> {
        let Ok(path) = path.parse::<RequestPath>() else {
            let (head, _) = self.head_row().await?;
            let file = configuration_file(&head);
            let text = file.as_ref().map(to_yaml).transpose()?;
            return Ok(Rendered {
                file: text.map(Bytes::from),
                record: None,
            });
        };
        let Some(loaded) = self.load(&path).await? else {
            return Ok(Rendered::default());
        };
        let (digest, record) = RequestRecord::of(&loaded).document();
        let mut file = status_file(&loaded);
        file.tasks.iter_mut().for_each(|task| task.step = None);
        file.record = Some(digest);
        Ok(Rendered {
            file: Some(Bytes::from(to_yaml(&file)?)),
            record: Some((digest, Bytes::from(record))),
        })
    }

    /// Stores a record if it is not there: it changes far less often than the file that names it.
    async fn keep_record(&self, (digest, record): (Sha256Digest, Bytes)) -> Result<()> {
        if self.renew(&digest).await?.is_none() {
            self.platform.store().put(record).await?;
        }
        Ok(())
    }

    fn status_contended(&self) -> Error {
        Error::Contended(format!("branch {}", self.options.status_branch))
    }
}

/// Notes that the branch is whole at `commit`, if nothing else was noted since it was looked at.
fn noting(branch: &Branch, commit: &str) -> Change {
    let mut change = Change::default();
    let commit = commit.to_owned();
    change.replace(
        Key::status_branch(),
        Expect::as_read(branch.version),
        Row::StatusBranch(StatusBranchRow { commit }),
    );
    change
}

/// The file that a message wants to be written.
fn path_of(message: &Message) -> Option<String> {
    match message {
        // Nobody sends one of a scratch build, and none has a file.
        Message::Report { request } if request.is_scratch() => None,
        Message::Report { request } => Some(request.to_string()),
        Message::Configuration => Some(CONFIGURATION.to_owned()),
        _ => None,
    }
}

pub(crate) fn is_request(path: &str) -> bool {
    path.parse::<RequestPath>().is_ok()
}

/// YAML of a status document.
pub(crate) fn to_yaml(value: &impl serde::Serialize) -> Result<String> {
    serde_saphyr::to_string(value)
        .map_err(|cause| Error::Inconsistent(format!("render a status file: {cause}")))
}

fn message(paths: &BTreeSet<String>, desired: &str) -> String {
    let subject = match paths.len() {
        1 => format!("status: {}", paths.iter().next().map_or("", String::as_str)),
        n => format!("status: {n} requests"),
    };
    format!("{subject}\n\nDesired: {desired}\n")
}
