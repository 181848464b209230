//! Pruning: artifacts that nothing names any more are removed from the store.
//!
//! What a lost attempt uploaded, what a task made whose row is gone, a record that a newer one replaced:
//! nobody will ask for them. Callers: a timer, and `millrace prune`.
//!
//! **What is kept.** Every digest in any ledger row, in any pointer and publication, in any file at the tip
//! of the status branch and, from there, in every document that one of these leads to: trees, contents,
//! records. Digests are collected from the text of rows and documents, as runs of 64 hexadecimal digits, and
//! not from fields by name: a field that is added later is found without anybody thinking of it here. It is
//! the same with documents: whatever is named and begins as JSON does is read for further names, except
//! those kinds of a task's artifacts that [`is_plain`] lists. Too much is kept now and then, too little never.
//!
//! **What is removed.** What none of these names, and what was put or renewed last before the grace period
//! began. The condition is the store's ([`ArtifactStore::remove_if_older`]), so a file that is put again
//! between the look and the removal stays.
//!
//! **Why nothing is lost that is written down meanwhile.** A digest comes into a row or a file from another
//! row, which keeps it named; or its file was put or renewed just before. [`Control::finish`] renews
//! every file of a result before it writes the row, a report renews the record before the commit that names
//! it, documents are put before the row. From a renewal to its write it takes one call to the ledger; [`Grace`]
//! is an hour at least. Of a runner's upload it has to be longer than from the first byte to the answer: files
//! are uploaded when the work is done, and an attempt without heartbeats ends within minutes, so that a
//! build of 50 hours does not need 50 hours of grace. A result that comes later than that is refused because
//! its files are gone, and the attempt is made again; it is never accepted without them.
//!
//! **When something cannot be read, nothing is removed.** All reading is done before the first removal, and a
//! ledger that was never planned with (it may be lost) names too little. One that was recovered without its
//! status branch knows what is published, by the publications, and no results behind it: their logs, sources
//! and records stay, so that the branch can still be brought back, until a person gives them up
//! ([`Pruning::GiveUp`]).
//!
//! Memory: a hash table with 33 bytes per named digest, which is 68 MiB for one million files; 32 bytes for
//! each that may be a document and was not looked at yet; and one document at a time. Twice at once, or
//! killed anywhere, it does no harm.

mod marks;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use ledger::{Change, Expect, HeadRow, Key, Millis, Row, TaskRow, TaskState, partition};
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{Applied, ArtifactStore, Held, Ledger, Platform, StateRepo};
use runner_api::{Artifact, ArtifactKind, Outcome, Publication, TaskSpec};
use tokio::io::AsyncReadExt;

use crate::publish::MAX_DOCUMENT_BYTES;
use crate::render::StatusFile;
use crate::report::is_request;
use crate::{Control, Error, FILES_AT_A_TIME, PAGE, Result};
use marks::Marks;

/// Orphans that an answer names; it counts all.
const NAMED: usize = 1_000;
/// Files of the store after which the log hears how far it is.
const TOLD_EVERY: u64 = 100_000;

/// Bytes of a file that tell whether it may be a document.
const SNIFFED: u64 = 64;

/// How long a file is kept that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(Duration);

/// Shorter than [`Grace::MIN`].
#[derive(Debug, thiserror::Error)]
#[error("a grace of {} s is too short: files that runners are uploading have no name yet; give an hour (1h) at least", .0.as_secs())]
pub struct TooShort(Duration);

impl Grace {
    /// Far longer than from an upload to the row that names it, and than clocks differ.
    pub const MIN: Duration = Duration::from_secs(3_600);
    /// A file that was put so short a time ago is not made younger by a renewal. Until its grace ends there is
    /// as much time again as it takes from a renewal to the row, and as clocks differ.
    const YOUNG: Duration = Duration::from_secs(1_800);

    /// At least [`Grace::MIN`].
    pub fn new(time: Duration) -> std::result::Result<Self, TooShort> {
        if time < Self::MIN {
            return Err(TooShort(time));
        }
        Ok(Self(time))
    }
}

impl Default for Grace {
    /// Three days: a runner that was cut off over a weekend still finds what it uploaded.
    fn default() -> Self {
        Self(Duration::from_secs(3 * 24 * 3_600))
    }
}

/// Whether orphans are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruning {
    /// They are counted.
    DryRun,
    /// They are removed; not if the ledger was recovered without a status branch.
    Remove,
    /// They are removed, and with them what only a lost status branch named.
    GiveUp,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// All together.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, held: &Held) {
        self.files += 1;
        self.bytes += held.size;
    }
}

/// A file that nothing names, past its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Orphan {
    /// Its name.
    pub sha256: Sha256Digest,
    /// In bytes.
    pub size: u64,
    /// Put or renewed last: milliseconds since 1970.
    pub put: Millis,
}

/// What pruning found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pruned {
    /// All that was in the store.
    pub held: Amount,
    /// Of these, what something names.
    pub named: Amount,
    /// What nothing names, within its grace.
    pub young: Amount,
    /// What was removed; in a dry run, what would have been.
    pub removed: Amount,
    /// The first of those, in order of their names.
    pub first: Vec<Orphan>,
}

impl<P: Platform> Control<P> {
    /// Size in bytes of an artifact, if it is stored. Whoever hears that may write its digest down: no prune
    /// removes it before he has.
    pub async fn renew(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        let young = i64::try_from(Grace::YOUNG.as_millis()).unwrap_or(i64::MAX);
        let since = self.now().saturating_sub(young);
        Ok(self.platform.store().renew(digest, since).await?)
    }

    /// The same of many, with the size that each should have: the place of the first that has another one, and that.
    pub(crate) async fn renew_all(
        &self,
        files: &[(Sha256Digest, u64)],
    ) -> Result<Option<(usize, Option<u64>)>> {
        for (chunk, some) in files.chunks(FILES_AT_A_TIME).enumerate() {
            let sizes = try_join_all(some.iter().map(|(digest, _)| self.renew(digest))).await?;
            let differs = |(size, (_, wanted)): (&Option<u64>, &(_, u64))| *size != Some(*wanted);
            if let Some(at) = sizes.iter().zip(some).position(differs) {
                return Ok(Some((chunk * FILES_AT_A_TIME + at, sizes[at])));
            }
        }
        Ok(None)
    }

    /// Removes, or counts, the files of the artifact store that nothing names and that are older than
    /// `grace`.
    ///
    /// # Errors
    /// If anything that may name files cannot be read: then nothing was removed. A port's trouble while
    /// removing: the next run goes on.
    pub async fn prune(&self, grace: Grace, pruning: Pruning) -> Result<Pruned> {
        // Before the reading: what is put from now on is young, whatever is read meanwhile.
        let age = Millis::try_from(grace.0.as_millis()).unwrap_or(Millis::MAX);
        let than = self.now().saturating_sub(age);
        let marks = self.named_digests().await?;
        self.check_status_branch(pruning).await?;
        tracing::info!(
            digests = marks.count(),
            "read what names files of the artifact store"
        );
        let pruned = self.remove_unnamed(&marks, than, pruning).await?;
        tracing::info!(
            ?pruning,
            files = pruned.held.files,
            named = pruned.named.files,
            young = pruned.young.files,
            removed = pruned.removed.files,
            removed_bytes = pruned.removed.bytes,
            "pruned the artifact store"
        );
        Ok(pruned)
    }

    /// Whether what the status branch named may go. That it was given up is written before anything is
    /// removed.
    async fn check_status_branch(&self, pruning: Pruning) -> Result<()> {
        let (head, version) = self.head_row().await?;
        match (pruning, version) {
            (Pruning::Remove, _) if head.without_status => {
                let branch = &self.options.status_branch;
                Err(unread(&format!(
                    "the ledger was recovered without the branch `{branch}`, which named the results behind what was published before: stop `millrace up`, bring the branch back (`git push --force origin COMMIT:refs/heads/{branch}`) and run `millrace recover --replace`; or, if it is lost for good, `millrace prune --give-up`"
                )))
            }
            (Pruning::GiveUp, Some(version)) if head.without_status => {
                let mut change = Change::default();
                let head = HeadRow {
                    without_status: false,
                    ..head
                };
                change.replace(Key::head(), Expect::Version(version), Row::Head(head));
                match self.apply(change).await? {
                    Applied::Done => Ok(()),
                    Applied::Conflict(key) => Err(Error::Contended(key.to_string())),
                }
            }
            _ => Ok(()),
        }
    }

    async fn remove_unnamed(
        &self,
        marks: &Marks,
        than: Millis,
        pruning: Pruning,
    ) -> Result<Pruned> {
        let store = self.platform.store();
        let (mut pruned, mut after) = (Pruned::default(), None);
        loop {
            let page = store.held(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(pruned);
            };
            after = Some(last.digest);
            for held in &page {
                pruned.held.add(held);
                if pruned.held.files.is_multiple_of(TOLD_EVERY) {
                    tracing::info!(
                        files = pruned.held.files,
                        removed = pruned.removed.files,
                        "pruning the artifact store"
                    );
                }
                if marks.has(&held.digest) {
                    pruned.named.add(held);
                    continue;
                }
                let old = match pruning {
                    Pruning::DryRun => held.put < than,
                    Pruning::Remove | Pruning::GiveUp => {
                        store.remove_if_older(&held.digest, than).await?
                    }
                };
                if !old {
                    pruned.young.add(held);
                    continue;
                }
                pruned.removed.add(held);
                if pruned.first.len() < NAMED {
                    pruned.first.push(Orphan {
                        sha256: held.digest,
                        size: held.size,
                        put: held.put,
                    });
                }
            }
        }
    }

    /// Every digest that a row, a pointer, the status branch, or a document that they lead to names.
    async fn named_digests(&self) -> Result<Marks> {
        let (head, planned) = self.head_row().await?;
        if planned.is_none() {
            return Err(unread(
                "the ledger is empty, so nobody knows what is wanted",
            ));
        }
        let mut marks = Marks::default();
        let mut names = BTreeSet::new();
        for name in partition::WITH_FILES {
            self.mark_partition(name, &mut marks, &mut names).await?;
        }
        let mut requests = self.indexed(partition::REQUESTS, "").await?;
        let scratch = self.scratch_rows().await?.into_iter();
        requests.extend(scratch.flat_map(|row| row.requests));
        for path in requests {
            let name = Key::request_partition(&path);
            self.mark_partition(&name, &mut marks, &mut names).await?;
        }
        if !head.commit.is_empty() {
            let snapshot = self.snapshot(&head.commit).await?;
            names.extend(snapshot.config.repositories.keys().cloned());
        }
        names.extend(self.platform.store().pointers().await?);
        self.mark_repositories(&mut marks, names).await?;
        self.mark_status(&mut marks).await?;
        while let Some(digest) = marks.next_unread() {
            self.mark_document(&mut marks, &digest).await?;
        }
        Ok(marks)
    }

    /// `repositories` hears of those that rows speak of.
    async fn mark_partition(
        &self,
        name: &str,
        marks: &mut Marks,
        repositories: &mut BTreeSet<RepositoryName>,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let ledger = self.platform.ledger();
            let page = ledger.list(name, "", after.as_deref(), PAGE).await?;
            for (_, record) in &page {
                if let Row::Task(task) = &record.row {
                    if let TaskSpec::Compose(compose) = &task.spec {
                        repositories.insert(compose.repository.clone());
                        marks.document(compose.content);
                    }
                    for artifact in results(task) {
                        match is_plain(artifact.kind) {
                            true => marks.plain(artifact.sha256),
                            false => marks.document(artifact.sha256),
                        }
                    }
                }
                let text = serde_json::to_vec(&record.row);
                marks.scan(&text.expect("a row has only string keys"));
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.sort.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Rows, pointers and publications of `names` and of every repository that publications lead to.
    async fn mark_repositories(
        &self,
        marks: &mut Marks,
        names: BTreeSet<RepositoryName>,
    ) -> Result<()> {
        let (mut left, mut seen) = (names, BTreeSet::new());
        while let Some(name) = left.pop_first() {
            seen.insert(name.clone());
            let rows = Key::repository_partition(&name);
            self.mark_partition(&rows, marks, &mut BTreeSet::new())
                .await?;
            let Some((pointer, bytes)) = self.pointer(name.as_str()).await? else {
                continue;
            };
            marks.scan(&bytes);
            let what = format!("the tree that clients of {name} see");
            self.mark_needed(marks, &pointer.tree, &what).await?;
            let mut next = Some(pointer.publication);
            while let Some(digest) = next.take() {
                let what = format!("a publication of {name}");
                let bytes = self.mark_needed(marks, &digest, &what).await?;
                let publication: Publication = serde_json::from_slice(&bytes)
                    .map_err(|cause| unread(&format!("{what} ({digest}): {cause}")))?;
                let others = publication.repositories.keys();
                left.extend(others.filter(|it| !seen.contains(*it)).cloned());
                next = publication
                    .repositories
                    .get(&name)
                    .and_then(|it| it.previous);
            }
        }
        Ok(())
    }

    /// What `millrace recover` would read.
    async fn mark_status(&self, marks: &mut Marks) -> Result<()> {
        let repo = self.platform.state_repo();
        let Some(tip) = repo.head(&self.options.status_branch).await? else {
            return Ok(());
        };
        let mut paths = repo.list(&tip, "").await?;
        paths.retain(|path| is_request(path));
        repo.prefetch(&tip, &paths).await?;
        for path in paths {
            let bytes = repo.read(&tip, &path).await?.unwrap_or_default();
            marks.scan(&bytes);
            let file: StatusFile = serde_saphyr::from_str(&String::from_utf8_lossy(&bytes))
                .map_err(|_| unread(&format!("{path} on the status branch is no status file; the next report writes it again")))?;
            if let Some(record) = file.record {
                let what = format!("the record that {path} on the status branch names");
                self.mark_needed(marks, &record, &what).await?;
            }
        }
        Ok(())
    }

    /// A document without which nobody knows what else is wanted.
    async fn mark_needed(
        &self,
        marks: &mut Marks,
        digest: &Sha256Digest,
        what: &str,
    ) -> Result<Bytes> {
        let bytes = self
            .platform
            .store()
            .get(digest, MAX_DOCUMENT_BYTES)
            .await?;
        let bytes = bytes.ok_or_else(|| {
            unread(&format!(
                "{what} ({digest}) is not in the artifact store; bring it back from a copy of the store"
            ))
        })?;
        marks.read(*digest, &bytes);
        Ok(bytes)
    }

    /// Reads `digest` if it is there and may be a document. Rows name sources that are elsewhere, and
    /// of a tree that was published long ago nobody needs more than there is.
    async fn mark_document(&self, marks: &mut Marks, digest: &Sha256Digest) -> Result<()> {
        let store = self.platform.store();
        let Some(body) = store.open(digest, 0).await? else {
            return Ok(());
        };
        let mut start = Vec::with_capacity(SNIFFED as usize);
        let read = body.take(SNIFFED).read_to_end(&mut start).await;
        read.map_err(|cause| ports::Error::transient(format!("read {digest}"), cause))?;
        // One that is larger than what the control plane reads is none of its own.
        let size = store.size(digest).await?.unwrap_or(0);
        if may_be_json(&start) && size <= MAX_DOCUMENT_BYTES {
            let bytes = store.get(digest, MAX_DOCUMENT_BYTES).await?;
            marks.scan(&bytes.unwrap_or_default());
        }
        Ok(())
    }
}

fn unread(what: &str) -> Error {
    Error::Inconsistent(format!(
        "prune the artifact store: {what}; nothing was removed"
    ))
}

fn may_be_json(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    matches!(start.first(), None | Some(b'{' | b'['))
}

/// Files of the one result that a task's row keeps.
fn results(task: &TaskRow) -> impl Iterator<Item = &Artifact> {
    let result = match &task.state {
        TaskState::Succeeded { result } => Some(result),
        TaskState::Failed { result, .. } => result.as_ref(),
        _ => None,
    };
    let files = result.map(|result| match &result.outcome {
        Outcome::Succeeded { artifacts, .. } | Outcome::Failed { artifacts, .. } => &artifacts[..],
        _ => &[],
    });
    let log = result.and_then(|result| result.log.as_ref());
    files.unwrap_or_default().iter().chain(log)
}

/// Kinds whose files name no file that is kept for their sake alone: packages, texts, and lists of what
/// is in the same result.
fn is_plain(kind: ArtifactKind) -> bool {
    match kind {
        ArtifactKind::Srpm
        | ArtifactKind::Rpm
        | ArtifactKind::Dsc
        | ArtifactKind::SourceFile
        | ArtifactKind::Deb
        | ArtifactKind::Changes
        | ArtifactKind::Buildinfo
        | ArtifactKind::Buildroot
        | ArtifactKind::Tap
        | ArtifactKind::Log
        | ArtifactKind::Unsigned
        | ArtifactKind::Signature => true,
        ArtifactKind::Tree => false,
    }
}
