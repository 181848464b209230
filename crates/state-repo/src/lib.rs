//! The state repository in git: the adapter of [`ports::StateRepo`] over the crate `git`.
//!
//! Callers: the shells that choose a platform. Invariants: every call runs on a blocking thread, since git
//! reads files and waits for servers; only regular files are read and listed (a link or a submodule shows in
//! differences alone, and a name that is not text is as if it were not there); a file that is too large never stops the rest from
//! being planned.

mod lent;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use git::{CommitId, CommitMeta, Credentials, Edit, Outcome, RemoteUrl, Repository};
use pipeline_spec::limits::MAX_FILE_BYTES;
use ports::{
    ChangeKind, Commit, CommitInfo, Committed, Error, MergeBase, NewCommit, ObjectKind, PathChange,
    Resolved, Result, StateRepo,
};

pub use lent::{TOKEN_USER, lent};

/// Largest file read, in bytes. Larger than what people may write ([`MAX_FILE_BYTES`]), since the machine's
/// own answers to a big request are, too.
const READ_LIMIT: u64 = 16 << 20;

/// Longest time to resolve a ref of somebody's repository.
const RESOLVE_TIME: Duration = Duration::from_secs(60);

/// Who commits, unless told otherwise.
const COMMITTER: (&str, &str) = ("Millrace", "millrace@localhost");

/// What fails, in errors.
const OPERATION: &str = "use the state repository";

/// The branch that is planned, unless told otherwise.
const MAIN: &str = "main";

/// A state repository: bare on this disk, or on a server.
#[derive(Debug, Clone)]
pub struct GitStateRepo {
    repository: Arc<Repository>,
    name: String,
    email: String,
    /// Every tip of it that is given out is kept from git's gc.
    held: String,
    /// The last tip that could not be held: it is told of once.
    let_go: Arc<Mutex<Option<CommitId>>>,
}

impl GitStateRepo {
    /// Commits are made by `Millrace <millrace@localhost>`; tips of `main` are held.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self::with_committer(repository, COMMITTER.0, COMMITTER.1)
    }

    /// Commits are made by `name <email>`.
    #[must_use]
    pub fn with_committer(repository: Repository, name: &str, email: &str) -> Self {
        Self {
            repository: Arc::new(repository),
            name: name.to_owned(),
            email: email.to_owned(),
            held: MAIN.to_owned(),
            let_go: Arc::default(),
        }
    }

    /// Tips of `branch` are held instead: it is the one that is planned. A forced push and `git gc` in the
    /// repository then take nothing away that was planned before: see [`Repository::hold`].
    #[must_use]
    pub fn holding(mut self, branch: &str) -> Self {
        branch.clone_into(&mut self.held);
        self
    }

    /// Without it all goes on as long as nobody collects garbage, so a failure is told of, once, and stops
    /// nothing.
    async fn hold(&self, tip: CommitId) -> Result<()> {
        let held = self
            .call(move |repository| Ok(repository.hold(tip).err()))
            .await?;
        let mut let_go = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::replace(&mut *let_go, held.is_some().then_some(tip));
        if let Some(error) = held
            && told != Some(tip)
        {
            tracing::warn!(commit = %tip, %error, "git may delete a commit that is planned, once it is not on the branch any more");
        }
        Ok(())
    }

    /// Runs `call` where it may block.
    async fn call<T: Send + 'static>(
        &self,
        call: impl Fn(&Repository) -> git::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (repository, planned) = (Arc::clone(&self.repository), self.held.clone());
        let ended = blocking(move || match call(&repository) {
            // A new copy has none of the planned branch's history yet, which comes along and may have any size.
            Err(git::Error::TooLarge { .. }) if repository.catch_up(&planned)? => call(&repository),
            ended => ended,
        });
        ended.await?.map_err(|error| self.explained(error))
    }

    /// Where a copy may be damaged, it says what to do.
    fn explained(&self, error: git::Error) -> Error {
        match error {
            git::Error::ObjectMissing { .. } if self.repository.is_copy() => Error::corrupt(
                OPERATION,
                format!(
                    "{error}, nor was it had from the server. This directory is a copy: if the server has the object, stop Millrace and remove the directory; all is then fetched again"
                ),
            ),
            error => port_error(error),
        }
    }
}

impl StateRepo for GitStateRepo {
    async fn head(&self, branch: &str) -> Result<Option<Commit>> {
        let is_held = branch == self.held;
        let branch = branch.to_owned();
        let tip = self
            .call(move |repository| repository.head(&branch))
            .await?;
        if let Some(tip) = tip
            && is_held
        {
            self.hold(tip).await?;
        }
        Ok(tip.map(|commit| commit.to_string()))
    }

    async fn info(&self, commit: &str) -> Result<CommitInfo> {
        let commit = parse(commit)?;
        let info = self
            .call(move |repository| repository.commit_info(commit))
            .await?;
        Ok(CommitInfo {
            author: info.author,
            time: info.time,
            message: info.message,
            parents: info.parents.iter().map(ToString::to_string).collect(),
        })
    }

    async fn changes(&self, from: Option<&str>, to: &str) -> Result<Vec<PathChange>> {
        let (from, to) = (from.map(parse).transpose()?, parse(to)?);
        let changes = self
            .call(move |repository| repository.changes(from, to))
            .await?;
        Ok(changes.into_iter().map(path_change).collect())
    }

    async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool> {
        let (old, new) = (parse(old)?, parse(new)?);
        self.call(move |repository| repository.is_ancestor(old, new))
            .await
    }

    async fn merge_base(&self, one: &str, other: &str, limit: usize) -> Result<MergeBase> {
        let (one, other) = (parse(one)?, parse(other)?);
        let found = self
            .call(move |repository| repository.merge_base(one, other, limit))
            .await?;
        Ok(match found {
            git::MergeBase::At(commit) => MergeBase::At(commit.to_string()),
            git::MergeBase::Nowhere => MergeBase::Nowhere,
            git::MergeBase::TooFar => MergeBase::TooFar,
        })
    }

    async fn object(&self, kind: ObjectKind, name: &str, limit: usize) -> Result<Option<Bytes>> {
        let name = parse(name)?;
        let kind = match kind {
            ObjectKind::Commit => git::ObjectKind::Commit,
            ObjectKind::Tree => git::ObjectKind::Tree,
        };
        let object = self
            .call(move |repository| repository.object(kind, name, limit as u64))
            .await?;
        Ok(object.map(Bytes::from))
    }

    async fn list(&self, commit: &str, dir: &str) -> Result<Vec<String>> {
        let (commit, dir) = (parse(commit)?, dir.to_owned());
        let entries = self
            .call(move |repository| repository.list(commit, &dir))
            .await?;
        let files = entries.into_iter().filter(|entry| entry.kind.is_file());
        Ok(files.map(|entry| entry.path).collect())
    }

    async fn read(&self, commit: &str, path: &str) -> Result<Option<Bytes>> {
        let (commit, path) = (parse(commit)?, path.to_owned());
        let read = self
            .call(
                move |repository| match repository.read(commit, &path, READ_LIMIT) {
                    Err(git::Error::Limit { .. }) => Ok(Some(oversized())),
                    Err(git::Error::NotAFile { .. }) => Ok(None),
                    other => other,
                },
            )
            .await?;
        Ok(read.map(Bytes::from))
    }

    async fn has(&self, commit: &str, path: &str) -> Result<bool> {
        let (commit, path) = (parse(commit)?, path.to_owned());
        self.call(move |repository| repository.has_file(commit, &path))
            .await
    }

    async fn prefetch(&self, commit: &str, paths: &[String]) -> Result<()> {
        let (commit, paths) = (parse(commit)?, paths.to_owned());
        self.call(move |repository| repository.prefetch(commit, &paths, READ_LIMIT))
            .await
    }

    async fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        new: NewCommit,
    ) -> Result<Committed> {
        let parent = parent.map(parse).transpose()?;
        let branch = branch.to_owned();
        let meta = CommitMeta {
            name: self.name.clone(),
            email: self.email.clone(),
            time: new.time,
            message: new.message,
        };
        let outcome = self
            .call(move |repository| {
                let edits: Vec<Edit<'_>> = new
                    .files
                    .iter()
                    .map(|(path, bytes)| (path.as_str(), bytes.as_deref()))
                    .collect();
                repository.commit_files(&branch, parent, &edits, &meta)
            })
            .await?;
        Ok(match outcome {
            Outcome::Committed(commit) => Committed::Yes(commit.to_string()),
            Outcome::Unchanged => Committed::Unchanged,
            Outcome::Moved { now } => Committed::Moved(now.map(|commit| commit.to_string())),
        })
    }

    async fn resolve(&self, url: &str, git_ref: &str) -> Result<Resolved> {
        let (url, git_ref) = (url.to_owned(), git_ref.to_owned());
        let resolved = blocking(move || {
            let url: RemoteUrl = url.parse()?;
            git::ls_remote(&url, &git_ref, &Credentials::None, RESOLVE_TIME)
        })
        .await?;
        match resolved {
            Ok(found) => Ok(Resolved::Commit(found.commit.to_string())),
            Err(error) if error.class() == git::Class::Transient => Err(port_error(error)),
            // Whatever else is wrong with somebody's repository is for the person who named it.
            Err(error) => Ok(Resolved::Missing(format!("failed to {error}"))),
        }
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| Error::corrupt(OPERATION, error))
}

fn parse(commit: &str) -> Result<CommitId> {
    commit
        .parse()
        .map_err(|error: git::ParseIdError| Error::corrupt("read a commit's name", error))
}

/// What is broken or too large is an alarm, or the fault of the commit that was asked for. The rest is tried again: a
/// login or a full disk is mended outside, and a state repository that is not there now may come back.
fn port_error(error: git::Error) -> Error {
    match error {
        git::Error::ObjectMissing { .. }
        | git::Error::Corrupt { .. }
        | git::Error::Name { .. }
        | git::Error::Limit { .. }
        | git::Error::TooLarge { .. } => Error::corrupt(OPERATION, error),
        _ => Error::transient(OPERATION, error),
    }
}

/// What a link was before does not matter: only regular files are read.
fn path_change(change: git::Change) -> PathChange {
    let kind = match (change.change, change.kind.is_file()) {
        (git::ChangeKind::Removed, _) => ChangeKind::Removed,
        (_, false) => ChangeKind::NotAFile,
        (git::ChangeKind::Added, true) => ChangeKind::Added,
        (git::ChangeKind::Modified, true) => ChangeKind::Modified,
    };
    PathChange {
        path: change.path,
        kind,
    }
}

/// In place of a file that is not read because of its size: as many spaces as make the parser say so, with
/// the file's name, instead of an error that would stop everybody's requests.
fn oversized() -> Vec<u8> {
    vec![b' '; MAX_FILE_BYTES + 1]
}
