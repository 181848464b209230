//! One repository: a bare one on this disk, or a server's with a bare one as its cache.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::odb::store::init::Slots;
use gix::refs::FullName;

use crate::build::{self, CommitMeta, Edit};
use crate::fetch::Files;
use crate::remote::Remote;
use crate::{CommitId, Credentials, Error, Login, RemoteUrl, Result, local, maintain, names};

/// Packs a repository may have at once. One commit is one pack, and [`maintain`] merges them long before.
const PACK_SLOTS: u16 = 4096;

/// Cache of decoded objects per call, in bytes: trees near the root are met again for every path.
const OBJECT_CACHE_BYTES: usize = 4 << 20;

/// Most views kept for the next call; as many calls at once still work.
const IDLE_HANDLES: usize = 4;

/// How [`Repository::commit_files`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a moved branch means that nothing was committed"]
pub enum Outcome {
    /// The branch is at this new commit.
    Committed(CommitId),
    /// The branch is not where the caller said; nothing was committed.
    Moved {
        /// Where it is.
        now: Option<CommitId>,
    },
    /// The files are as they were; nothing was committed.
    Unchanged,
}

/// A repository. Cheap calls, `Sync`; every call blocks.
#[derive(Debug)]
pub struct Repository {
    inner: gix::ThreadSafeRepository,
    idle: Mutex<Vec<gix::Repository>>,
    path: PathBuf,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Here,
    Server(Box<Remote>),
}

impl Repository {
    /// Opens the bare repository at `path`.
    pub fn open_bare(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let inner = open(&path)?;
        Ok(Self {
            inner,
            idle: Mutex::default(),
            path,
            origin: Origin::Here,
        })
    }

    /// Makes a bare repository at `path`, or opens the one that is there.
    pub fn init_bare(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.join("HEAD").exists() {
            create(&path)?;
        }
        Self::open_bare(path)
    }

    /// The repository at `url`; what is fetched is kept in the bare repository `cache`, which is made when
    /// missing. A file address is opened where it is and needs no cache.
    pub fn remote(
        url: RemoteUrl,
        cache: impl Into<PathBuf>,
        credentials: Credentials,
    ) -> Result<Self> {
        if let Some(directory) = url.directory() {
            return Self::open_bare(directory);
        }
        let mut repository = Self::init_bare(cache)?;
        repository.origin = Origin::Server(Box::new(Remote::new(url, credentials)?));
        Ok(repository)
    }

    /// Of a server that can leave files out (`git clone --filter=blob:none`), commits and trees alone are fetched from
    /// now on, and files when they are read, or before, all at once ([`Self::prefetch`]). What the server loses can
    /// then not be read any more. Of others, and of a repository on this disk, nothing changes.
    #[must_use]
    pub fn blobless(mut self) -> Self {
        if let Origin::Server(remote) = &mut self.origin {
            remote.files = Files::Later;
        }
        self
    }

    /// Before each conversation with its server `login` is asked what to show. Of a repository on this disk nothing
    /// changes.
    #[must_use]
    pub fn logging_in(mut self, login: Arc<dyn Login>) -> Self {
        if let Origin::Server(remote) = &mut self.origin {
            remote.ask(login);
        }
        self
    }

    /// Where it is on this disk.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tip of `branch` right now. A server is asked, and what is new there is fetched, so that the
    /// commit can be read afterwards.
    pub fn head(&self, branch: &str) -> Result<Option<CommitId>> {
        let branch = names::branch(branch)?;
        self.head_of(&branch)
    }

    /// Has here what is new on `branch`, of whatever size. Whether there was anything.
    pub fn catch_up(&self, branch: &str) -> Result<bool> {
        let branch = names::branch(branch)?;
        let before = local::tip(&self.handle(), &branch)?;
        Ok(self.head_of(&branch)? != before)
    }

    /// Whether this directory is a copy of a server's repository, which may be removed.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        matches!(self.origin, Origin::Server(_))
    }

    fn head_of(&self, branch: &FullName) -> Result<Option<CommitId>> {
        let Origin::Server(remote) = &self.origin else {
            return local::tip(&self.handle(), branch);
        };
        remote.head(self, branch)
    }

    /// One commit of `edits` on top of `expected`, if `branch` is there.
    ///
    /// An edit is a path and its new bytes, or `None` to remove the file. Trees are built from objects,
    /// without an index or a worktree. The objects are on disk (here and on the server) before the branch
    /// moves. The same call again after a lost answer finds its own commit and says `Committed`.
    pub fn commit_files(
        &self,
        branch: &str,
        expected: Option<CommitId>,
        edits: &[Edit<'_>],
        meta: &CommitMeta,
    ) -> Result<Outcome> {
        let branch = names::branch(branch)?;
        let repo = self.handle();
        if let Some(parent) = expected
            && !is_known(&repo, parent)?
        {
            let now = self.head_of(&branch)?;
            if now != expected {
                return Ok(Outcome::Moved { now });
            }
        }
        let Some(new) = build::commit(&repo, expected, edits, meta)? else {
            let now = self.head_of(&branch)?;
            return Ok(if now == expected {
                Outcome::Unchanged
            } else {
                Outcome::Moved { now }
            });
        };
        let outcome = match &self.origin {
            Origin::Server(remote) => remote.commit(self, &branch, expected, &new)?,
            Origin::Here => local::commit(&repo, &branch, expected, &new)?,
        };
        if matches!(outcome, Outcome::Committed(_)) {
            self.tidy();
        }
        Ok(outcome)
    }

    /// Merges small packs; a failure costs time, never data, so it is only logged.
    pub(crate) fn tidy(&self) {
        if let Err(error) = maintain::merge_packs(&self.handle()) {
            tracing::warn!(repository = %self.path.display(), %error, "could not merge packs");
        }
    }

    /// A view that has `commit`, where it can be had. A cache may lack what another process planned with.
    pub(crate) fn handle_with(&self, commit: CommitId) -> Result<Handle<'_>> {
        let repo = self.handle();
        if let Origin::Server(remote) = &self.origin
            && !is_known(&repo, commit)?
        {
            remote.bring(self, commit)?;
        }
        Ok(repo)
    }

    /// Has `blobs` here, where they were left out, can be had and have at most `limit` bytes.
    pub(crate) fn bring_blobs(&self, blobs: &[gix::ObjectId], limit: u64) -> Result<()> {
        match &self.origin {
            Origin::Server(remote) if remote.files == Files::Later => {
                remote.bring_blobs(self, blobs, limit)
            }
            _ => Ok(()),
        }
    }

    /// Whether files of it may have to be fetched before they are read.
    pub(crate) fn leaves_files_out(&self) -> bool {
        matches!(&self.origin, Origin::Server(remote) if remote.files == Files::Later)
    }

    /// A thread's own view, from the pool or new.
    pub(crate) fn handle(&self) -> Handle<'_> {
        let idle = self.idle().pop();
        let repo = idle.unwrap_or_else(|| {
            let mut repo = self.inner.to_thread_local();
            repo.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
            repo
        });
        Handle {
            repo: Some(repo),
            home: self,
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<gix::Repository>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A view of the repository that goes back to the pool, with the trees it has decoded.
pub(crate) struct Handle<'a> {
    repo: Option<gix::Repository>,
    home: &'a Repository,
}

impl Deref for Handle<'_> {
    type Target = gix::Repository;

    fn deref(&self) -> &gix::Repository {
        self.repo
            .as_ref()
            .expect("it is taken out only when dropped")
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        let mut idle = self.home.idle();
        // After a panic its caches may be half written.
        if idle.len() < IDLE_HANDLES && !std::thread::panicking() {
            idle.extend(self.repo.take());
        }
    }
}

/// Made aside and moved into place, so that a crash leaves a whole repository or none.
fn create(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let aside = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .map_err(Error::io("create a directory in", parent))?;
    let new = aside.path().join("bare.git");
    gix::ThreadSafeRepository::init_opts(
        &new,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        options(),
    )
    .map_err(Error::corrupt(format!(
        "create a repository in {}",
        path.display()
    )))?;
    match std::fs::rename(&new, path) {
        // Somebody else was faster.
        Err(_) if path.join("HEAD").exists() => Ok(()),
        moved => moved.map_err(Error::io("create a repository in", path)),
    }
}

pub(crate) fn is_known(repo: &gix::Repository, commit: CommitId) -> Result<bool> {
    let found = repo
        .try_find_header(commit.0)
        .map_err(Error::corrupt(format!("read commit {commit}")))?;
    Ok(found.is_some())
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated()
        .with(gix::sec::Trust::Full)
        .object_store_slots(Slots::Given(PACK_SLOTS))
}

pub(crate) fn open(path: &Path) -> Result<gix::ThreadSafeRepository> {
    options()
        .open(path)
        .map_err(|error| Error::RepositoryMissing {
            url: path.display().to_string(),
            reason: crate::error::describe(&error),
        })
}
