//! Branches of a repository on this disk: read, and moved with compare-and-swap.
//!
//! `gix` can move refs, but does not sync them, and a power cut may then leave an empty file where the branch
//! was. So the move is made here, with the same lock file git uses (`<ref>.lock`, created exclusively), which
//! keeps it safe against `git push` into the same repository.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gix::refs::FullName;

use crate::build::NewCommit;
use crate::{CommitId, Error, Outcome, Result, durable, pack};

/// How long to wait for another writer of the same branch; git holds the lock for milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// A lock older than this was left by a process that died.
const LOCK_STALE: Duration = Duration::from_secs(60);
/// Pause between two looks at a held lock.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The commit `branch` is at.
pub(crate) fn tip(repo: &gix::Repository, branch: &FullName) -> Result<Option<CommitId>> {
    let error = || Error::corrupt(format!("read {}", branch.as_bstr()));
    let found = repo.refs.try_find(branch.as_ref()).map_err(error())?;
    let Some(reference) = found else {
        return Ok(None);
    };
    match reference.target {
        gix::refs::Target::Object(id) => Ok(Some(CommitId(id))),
        gix::refs::Target::Symbolic(_) => Err(Error::Name {
            name: branch.as_bstr().to_string(),
            reason: "it is a symbolic ref; name the branch it stands for".to_owned(),
        }),
    }
}

/// Stores `new` and moves `branch` from `expected` to it.
pub(crate) fn commit(
    repo: &gix::Repository,
    branch: &FullName,
    expected: Option<CommitId>,
    new: &NewCommit,
) -> Result<Outcome> {
    let now = tip(repo, branch)?;
    if now == Some(CommitId(new.id)) {
        return Ok(Outcome::Committed(CommitId(new.id)));
    }
    if now != expected {
        return Ok(Outcome::Moved { now });
    }
    let bytes = pack::encode(&new.objects)?;
    durable::store_pack(repo, &mut bytes.as_slice(), None)?;
    move_branch(repo, branch, Expect::At(expected), CommitId(new.id))
}

/// Where a branch must be for [`move_branch`] to move it.
pub(crate) enum Expect {
    At(Option<CommitId>),
    /// The branch mirrors a server's, which decides.
    Anything,
}

/// Compare and swap, durable when it returns.
pub(crate) fn move_branch(
    repo: &gix::Repository,
    branch: &FullName,
    expect: Expect,
    new: CommitId,
) -> Result<Outcome> {
    let path = repo.common_dir().join(path_of(branch));
    let _turn = Turn::wait(repo)?;
    let mut lock = Lock::acquire(&path)?;
    let now = tip(repo, branch)?;
    if now == Some(new) {
        return Ok(Outcome::Committed(new));
    }
    if let Expect::At(expected) = expect
        && now != expected
    {
        return Ok(Outcome::Moved { now });
    }
    lock.commit(&path, new)?;
    Ok(Outcome::Committed(new))
}

fn path_of(branch: &FullName) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(branch.as_bstr()))
}

/// Our own writers queue on a kernel lock, which no crash leaves behind. Only the one whose turn it is may take
/// over a stale lock file, so two never do.
pub(crate) struct Turn {
    _file: File,
}

impl Turn {
    pub(crate) fn wait(repo: &gix::Repository) -> Result<Self> {
        let path = repo.common_dir().join("millrace.lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Locked { path }),
                Err(std::fs::TryLockError::Error(source)) => {
                    return Err(Error::io("lock", path)(source));
                }
            }
        }
    }
}

/// `<ref>.lock`, removed again unless it became the ref.
struct Lock {
    file: File,
    path: PathBuf,
    committed: bool,
}

impl Lock {
    fn acquire(target: &Path) -> Result<Self> {
        let directory = target.parent().expect("a ref is below a directory");
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let mut path = target.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        committed: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if is_stale(&path) {
                        tracing::warn!(lock = %path.display(), "taking over a lock whose holder died");
                        let _ = std::fs::remove_file(&path);
                    } else if Instant::now() >= deadline {
                        return Err(Error::Locked { path });
                    } else {
                        std::thread::sleep(LOCK_POLL);
                    }
                }
                Err(error) => return Err(Error::io("create", path)(error)),
            }
        }
    }

    /// The lock file becomes the ref.
    fn commit(&mut self, target: &Path, new: CommitId) -> Result<()> {
        writeln!(self.file, "{new}")
            .and_then(|()| self.file.sync_all())
            .map_err(Error::io("write", &self.path))?;
        // A deleted branch `a/b` leaves the directory `a`, where git too makes room for a branch `a`.
        if target.is_dir() {
            let _ = std::fs::remove_dir(target);
        }
        std::fs::rename(&self.path, target).map_err(Error::io("move into place", target))?;
        self.committed = true;
        durable::sync(target.parent().expect("a ref is below a directory"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_stale(path: &Path) -> bool {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LOCK_STALE))
}
