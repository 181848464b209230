//! Writes a commit's files into a directory, for a build to start from.
//!
//! Whose repository it is does not matter: nothing of it runs (no hooks, no filters, no submodules), no path
//! leads outside the directory, and the fetch and the result are bounded. The same commit gives the same
//! directory, modification times included.

use std::fs::{FileTimes, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gix::objs::tree::EntryKind;
use gix::protocol::transport::Service;

use crate::fetch::{Depth, Files, Wanted, fetch};
use crate::http::Budget;
use crate::wire::{Connection, Peer, guarded};
use crate::{CommitId, Credentials, Error, ObjectId, RemoteUrl, Repository, Result};
use crate::{build, names, read, repository};

/// Longest target of a symbolic link, in bytes: `PATH_MAX` of Linux.
const MAX_LINK_BYTES: u64 = 4095;
/// Longest path below the directory, in bytes; the directory's own path comes on top of it.
const MAX_PATH_BYTES: usize = 3072;

/// What a checkout may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most files, links and directories.
    pub files: u64,
    /// Most bytes of all files together.
    pub bytes: u64,
    /// Most bytes sent by the server.
    pub fetch_bytes: u64,
    /// Longest conversation with the server.
    pub time: Duration,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkout {
    /// Files, links and directories.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// The commit's time, seconds since 1970: also every file's modification time.
    pub time: i64,
    /// The tree: equal trees are equal directories, times aside.
    pub tree: ObjectId,
}

/// Writes the tree of `commit` at `url` into `into`, which is empty or not there yet.
///
/// Fetches that one commit when the server lets it, else the branches and tags until it is found; the
/// objects are kept beside `into` while this runs. After an error `into` holds a part: throw it away.
pub fn checkout(
    url: &RemoteUrl,
    commit: CommitId,
    into: &Path,
    credentials: &Credentials,
    limits: &Limits,
) -> Result<Checkout> {
    prepare(into)?;
    if let Some(directory) = url.directory() {
        return guarded(url, || {
            let repo = repository::open(directory)?.to_thread_local();
            write(&repo, url, commit, into, limits)
        });
    }
    let beside = into.parent().unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(beside)
        .map_err(Error::io("create a directory in", beside))?;
    guarded(url, || {
        let fetched = Repository::init_bare(scratch.path())?;
        let repo = fetched.handle();
        let peer = Peer {
            url,
            credentials: Arc::new(credentials.clone()),
            budget: Budget::new(limits.time, limits.fetch_bytes),
        };
        fetch_commit(&repo, peer, commit, limits)?;
        write(&repo, url, commit, into, limits)
    })
}

fn prepare(into: &Path) -> Result<()> {
    std::fs::create_dir_all(into).map_err(Error::io("create", into))?;
    let mut entries = std::fs::read_dir(into).map_err(Error::io("read", into))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::io("check out into", into)(
            std::io::ErrorKind::DirectoryNotEmpty.into(),
        )),
    }
}

/// The commit alone; all branches and tags when the server does not serve a commit by its name.
fn fetch_commit(
    repo: &gix::Repository,
    peer: Peer<'_>,
    commit: CommitId,
    limits: &Limits,
) -> Result<()> {
    let connection = Connection::open(peer.clone(), Service::UploadPack)?;
    let by_name = connection.serves_by_name(commit);
    let wanted = Wanted {
        want: &[commit.0],
        have: &[],
        depth: if connection.can_fetch_shallow() {
            Depth::One
        } else {
            Depth::Full
        },
        files: Files::All,
        max_object_bytes: usize::try_from(limits.bytes).ok(),
    };
    if by_name != ByName::Never {
        match fetch(repo, connection, &wanted) {
            Err(Error::Server { .. }) if by_name == ByName::Perhaps => {}
            Err(Error::Server { .. }) => return Err(missing(peer.url, commit)),
            other => return other,
        }
    }
    fetch_everything(repo, peer.clone(), limits)?;
    match repo.try_find_header(commit.0) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(missing(peer.url, commit)),
        Err(error) => Err(Error::corrupt(format!("read commit {commit}"))(error)),
    }
}

fn fetch_everything(repo: &gix::Repository, peer: Peer<'_>, limits: &Limits) -> Result<()> {
    let mut connection = Connection::open(peer, Service::UploadPack)?;
    let refs = connection.list_refs(&["refs/heads/".to_owned(), "refs/tags/".to_owned()])?;
    let mut want: Vec<gix::ObjectId> = refs
        .iter()
        .filter(|r| r.name.starts_with("refs/heads/") || r.name.starts_with("refs/tags/"))
        .map(|r| r.id)
        .collect();
    want.sort_unstable();
    want.dedup();
    if want.is_empty() {
        return Ok(());
    }
    let wanted = Wanted {
        want: &want,
        have: &[],
        depth: Depth::Full,
        files: Files::All,
        max_object_bytes: usize::try_from(limits.bytes).ok(),
    };
    fetch(repo, connection, &wanted)
}

fn missing(url: &RemoteUrl, commit: CommitId) -> Error {
    Error::RefMissing {
        url: url.to_string(),
        name: commit.to_string(),
    }
}

impl Connection<'_> {
    fn can_fetch_shallow(&self) -> bool {
        if self.refs.is_some() {
            return self.capabilities.contains("shallow");
        }
        self.capabilities
            .capability("fetch")
            .and_then(|fetch| fetch.supports("shallow"))
            .unwrap_or(false)
    }

    pub(crate) fn serves_by_name(&self, commit: CommitId) -> ByName {
        if let Some(refs) = &self.refs {
            let allowed = ["allow-reachable-sha1-in-want", "allow-any-sha1-in-want"];
            let is_tip = refs.iter().any(|r| r.id == commit.0);
            return if is_tip || allowed.iter().any(|name| self.capabilities.contains(name)) {
                ByName::Perhaps
            } else {
                ByName::Never
            };
        }
        let agent = self.capabilities.capability("agent");
        match agent.and_then(|agent| agent.value()) {
            Some(agent) if agent.starts_with(b"git/") => ByName::Always,
            _ => ByName::Perhaps,
        }
    }
}

/// Whether a server gives a commit to who knows its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByName {
    /// git itself, asked in protocol 2: "not our ref" means that it has no such object.
    Always,
    /// Others say the same of commits that no branch points to.
    Perhaps,
    /// Only the tips of branches and tags.
    Never,
}

fn write(
    repo: &gix::Repository,
    url: &RemoteUrl,
    commit: CommitId,
    into: &Path,
    limits: &Limits,
) -> Result<Checkout> {
    let object = match read::object(repo, commit.0) {
        Err(Error::ObjectMissing { .. }) => return Err(missing(url, commit)),
        other => other?,
    };
    let time = object
        .try_into_commit()
        .and_then(|commit| Ok(commit.time()?.seconds))
        .map_err(Error::corrupt(format!("read commit {commit}")))?;
    let tree = build::tree_of(repo, commit)?;
    let mut writer = Writer {
        repo,
        commit,
        limits,
        files: 0,
        bytes: 0,
        directories: vec![into.to_owned()],
        links: Vec::new(),
        time: time.max(0),
    };
    writer.tree(tree, into)?;
    writer.write_links()?;
    writer.date_directories()?;
    Ok(Checkout {
        files: writer.files,
        bytes: writer.bytes,
        time,
        tree: ObjectId(tree),
    })
}

/// Writes files and directories first, each newly created, and links last: so no path that is written to can lead
/// through a link, even when a hostile tree has the same name twice.
struct Writer<'a> {
    repo: &'a gix::Repository,
    commit: CommitId,
    limits: &'a Limits,
    files: u64,
    bytes: u64,
    directories: Vec<PathBuf>,
    links: Vec<NewLink>,
    time: i64,
}

struct NewLink {
    path: PathBuf,
    to: PathBuf,
    target: Vec<u8>,
}

impl Writer<'_> {
    fn tree(&mut self, root: gix::ObjectId, into: &Path) -> Result<()> {
        let mut pending = vec![(root, PathBuf::new())];
        while let Some((id, below)) = pending.pop() {
            let object = read::object(self.repo, id)?;
            let tree = object
                .try_into_tree()
                .map_err(Error::corrupt(format!("read tree {id}")))?;
            for entry in tree.iter() {
                let entry = entry.map_err(Error::corrupt(format!("read tree {id}")))?;
                let path = below.join(std::ffi::OsStr::from_bytes(entry.filename()));
                self.count(&path)?;
                names::component(entry.filename()).map_err(|reason| self.refuse(&path, &reason))?;
                let to = into.join(&path);
                match entry.mode().kind() {
                    EntryKind::Tree => {
                        std::fs::create_dir(&to)
                            .map_err(|error| self.not_created(&path, &to, error))?;
                        self.directories.push(to);
                        pending.push((entry.object_id(), path));
                    }
                    EntryKind::Blob => self.file(entry.object_id(), &path, &to, 0o644)?,
                    EntryKind::BlobExecutable => self.file(entry.object_id(), &path, &to, 0o755)?,
                    EntryKind::Link => self.link(entry.object_id(), &path, to)?,
                    EntryKind::Commit => {
                        return Err(self.refuse(
                            &path,
                            "it is a submodule, and those are not fetched; put its files into the repository",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, path: &Path, reason: &str) -> Error {
        Error::Checkout {
            path: crate::error::printable(&path.to_string_lossy()),
            commit: self.commit,
            reason: reason.to_owned(),
        }
    }

    /// The directory was empty, so whatever is in the way comes from the same tree.
    fn not_created(&self, path: &Path, to: &Path, error: std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                self.refuse(path, "its tree has the same name twice")
            }
            _ => Error::io("create", to)(error),
        }
    }

    fn count(&mut self, path: &Path) -> Result<()> {
        self.files += 1;
        if self.files > self.limits.files {
            return Err(self.too_much(self.limits.files, "files"));
        }
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(self.refuse(path, "the path is longer than 3072 bytes"));
        }
        Ok(())
    }

    fn too_much(&self, limit: u64, unit: &'static str) -> Error {
        Error::Limit {
            operation: format!("check out commit {}", self.commit),
            limit,
            unit,
        }
    }

    fn file(&mut self, id: gix::ObjectId, path: &Path, to: &Path, mode: u32) -> Result<()> {
        let left = self.limits.bytes - self.bytes;
        let operation = format!(
            "check out {:?} of commit {}",
            path.display().to_string(),
            self.commit
        );
        let data = match read::blob(self.repo, id, left, &operation) {
            Err(Error::Limit { .. }) => return Err(self.too_much(self.limits.bytes, "bytes")),
            other => other?,
        };
        self.bytes += data.len() as u64;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(to)
            .map_err(|error| self.not_created(path, to, error))?;
        let times = FileTimes::new()
            .set_modified(system_time(self.time))
            .set_accessed(system_time(self.time));
        file.write_all(&data)
            .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
            .and_then(|()| file.set_times(times))
            .map_err(Error::io("write", to))
    }

    fn link(&mut self, id: gix::ObjectId, path: &Path, to: PathBuf) -> Result<()> {
        let operation = format!(
            "check out {:?} of commit {}",
            path.display().to_string(),
            self.commit
        );
        let target = read::blob(self.repo, id, MAX_LINK_BYTES, &operation)?;
        if target.is_empty() || target.contains(&0) {
            return Err(self.refuse(path, "it is a link without a target"));
        }
        self.links.push(NewLink {
            path: path.to_owned(),
            to,
            target,
        });
        Ok(())
    }

    fn write_links(&mut self) -> Result<()> {
        for NewLink { path, to, target } in std::mem::take(&mut self.links) {
            let target = PathBuf::from(std::ffi::OsString::from_vec(target));
            std::os::unix::fs::symlink(target, &to)
                .map_err(|error| self.not_created(&path, &to, error))?;
            self.date(&to)?;
        }
        Ok(())
    }

    /// Innermost first, since a new entry changes its directory's time.
    fn date_directories(&self) -> Result<()> {
        for directory in self.directories.iter().rev() {
            std::fs::set_permissions(directory, Permissions::from_mode(0o755))
                .map_err(Error::io("open up", directory))?;
            self.date(directory)?;
        }
        Ok(())
    }

    fn date(&self, path: &Path) -> Result<()> {
        use nix::fcntl::AT_FDCWD;
        use nix::sys::stat::{UtimensatFlags, utimensat};
        let time = nix::sys::time::TimeSpec::new(self.time, 0);
        utimensat(
            AT_FDCWD,
            path,
            &time,
            &time,
            UtimensatFlags::NoFollowSymlink,
        )
        .map_err(|errno| Error::io("date", path)(errno.into()))
    }
}

fn system_time(seconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
