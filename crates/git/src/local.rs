//! Branches of a repository on this disk: read, and moved with compare-and-swap.
//!
//! `gix` can move refs, but does not sync them, and a power cut may then leave an empty file where the branch
//! was. So the move is made here, with the same lock file git uses (`<ref>.lock`, created exclusively), which
//! keeps it safe against `git push` into the same repository.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gix::refs::FullName;

use crate::build::NewCommit;
use crate::{CommitId, Error, Outcome, Result, durable, pack};

/// How long to wait for another writer of the same branch; git holds the lock for milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// A lock older than this was left by somebody else's process that died.
const LOCK_STALE: Duration = Duration::from_secs(60);
/// Longest note in our own lock file: a number and a path, in bytes.
const MAX_LINE_BYTES: u64 = 8192;
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
    let mut turn = Turn::wait(repo)?;
    let mut lock = Lock::acquire(&path)?;
    turn.remember(&lock)?;
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
    PathBuf::from(OsStr::from_bytes(branch.as_bstr()))
}

/// Our own writers queue on a kernel lock, which no crash leaves behind. The locked file remembers which lock
/// file its holder made: when the holder died, the next one removes exactly that one, at once.
pub(crate) struct Turn {
    file: File,
    path: PathBuf,
}

impl Turn {
    pub(crate) fn wait(repo: &gix::Repository) -> Result<Self> {
        let path = repo.common_dir().join("millrace.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_POLL)
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
            }
        }
        let mut turn = Self { file, path };
        turn.remove_what_the_dead_left()?;
        Ok(turn)
    }

    fn remember(&mut self, lock: &Lock) -> Result<()> {
        let made = lock
            .file
            .metadata()
            .map_err(Error::io("read", &lock.path))?;
        let mut line = format!("{} ", made.ino()).into_bytes();
        line.extend_from_slice(lock.path.as_os_str().as_bytes());
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(&line, 0))
            .map_err(Error::io("write", &self.path))
    }

    fn remove_what_the_dead_left(&mut self) -> Result<()> {
        let mut line = Vec::new();
        let mut reader = (&self.file).take(MAX_LINE_BYTES);
        reader
            .read_to_end(&mut line)
            .map_err(Error::io("read", &self.path))?;
        let Some((inode, lock)) = remembered(&line) else {
            return Ok(());
        };
        if std::fs::metadata(&lock).is_ok_and(|found| found.ino() == inode) {
            tracing::warn!(lock = %lock.display(), "removing a lock whose holder died");
            let _ = std::fs::remove_file(&lock);
        }
        self.forget()
    }

    fn forget(&self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io("write", &self.path))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.forget();
    }
}

fn remembered(line: &[u8]) -> Option<(u64, PathBuf)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let inode = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((inode, PathBuf::from(OsStr::from_bytes(&line[space + 1..]))))
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
