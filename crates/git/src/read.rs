//! What a commit contains, and how two commits differ. From objects alone; links and submodules are
//! reported, never followed.

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::FindExt as _;
use gix::objs::tree::EntryMode;

use crate::{CommitId, Error, ObjectId, Repository, Result, build};

/// Most entries of one listing or difference, trees included. A tree that contains itself many times over (a
/// few kilobytes that unfold to billions of paths) ends here.
const MAX_ENTRIES: usize = 1_000_000;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link; its blob is the target.
    Symlink,
    /// A commit of another repository.
    Submodule,
    /// A file whose name cannot be written down: not UTF-8, or with control characters. The path given
    /// is for showing only.
    BadName,
}

impl Kind {
    fn of(mode: EntryMode, name: Option<&str>) -> Self {
        use gix::objs::tree::EntryKind;
        match mode.kind() {
            EntryKind::Link => Self::Symlink,
            EntryKind::Commit => Self::Submodule,
            _ if name.is_none() => Self::BadName,
            EntryKind::BlobExecutable => Self::Executable,
            EntryKind::Blob | EntryKind::Tree => Self::File,
        }
    }

    /// Whether there are bytes to read under its path.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

/// What [`Repository::object`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Who did what, upon what.
    Commit,
    /// A folder.
    Tree,
}

/// One file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `/`-separated, from the repository's top.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The object: equal ids are equal bytes.
    pub blob: ObjectId,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its bytes or its kind differ.
    Modified,
    /// It is gone.
    Removed,
}

/// One differing path. A file that becomes a directory is `Removed`, its new children `Added`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `/`-separated, from the repository's top.
    pub path: String,
    /// How it differs.
    pub change: ChangeKind,
    /// What it is now, or was.
    pub kind: Kind,
    /// The object it is now, or was.
    pub blob: ObjectId,
}

impl Repository {
    /// The bytes of the file at `path`; `None` when nothing is there or it is a directory. More than
    /// `limit` bytes, a link or a submodule is an error.
    pub fn read(&self, commit: CommitId, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let repo = self.handle_with(commit)?;
        let operation = || format!("read {path} of commit {commit}");
        let tree = object(&repo, build::tree_of(&repo, commit)?)?
            .try_into_tree()
            .map_err(Error::corrupt(operation()))?;
        let found = tree
            .lookup_entry(path.split('/').map(str::as_bytes))
            .map_err(Error::corrupt(operation()))?;
        let Some(entry) = found else {
            return Ok(None);
        };
        let what = match entry.mode().kind() {
            gix::objs::tree::EntryKind::Tree => return Ok(None),
            gix::objs::tree::EntryKind::Link => "a symbolic link",
            gix::objs::tree::EntryKind::Commit => "a submodule",
            _ => {
                self.bring_blobs(&[entry.object_id()], limit)?;
                return blob(&repo, entry.object_id(), limit, &operation()).map(Some);
            }
        };
        Err(Error::NotAFile {
            path: path.to_owned(),
            commit,
            what,
        })
    }

    /// Whether a file is at `path`, of whatever size.
    pub fn has_file(&self, commit: CommitId, path: &str) -> Result<bool> {
        let repo = self.handle_with(commit)?;
        let found = blobs(&repo, commit, std::slice::from_ref(&path))?;
        Ok(!found.is_empty())
    }

    /// Fetches the files at `paths` in one conversation, if they were left out ([`Self::blobless`]). What is no file is
    /// passed over, and what has more than `limit` bytes; the reads mean the same without this.
    pub fn prefetch(&self, commit: CommitId, paths: &[String], limit: u64) -> Result<()> {
        if !self.leaves_files_out() {
            return Ok(());
        }
        let repo = self.handle_with(commit)?;
        match self.bring_blobs(&blobs(&repo, commit, paths)?, limit) {
            Err(Error::Limit { .. }) => Ok(()),
            brought => brought,
        }
    }

    /// The bytes of a blob found by [`Self::list`] or [`Self::changes`], at most `limit`.
    pub fn blob(&self, id: ObjectId, limit: u64) -> Result<Vec<u8>> {
        self.bring_blobs(&[id.0], limit)?;
        blob(&self.handle(), id.0, limit, &format!("read blob {id}"))
    }

    /// A commit or a tree as it is stored, for who hashes it. `None`: there is none of that kind and name with at most
    /// `limit` bytes. The size comes first, before anything is allocated.
    pub fn object(&self, kind: ObjectKind, name: CommitId, limit: u64) -> Result<Option<Vec<u8>>> {
        let repo = match kind {
            ObjectKind::Commit => self.handle_with(name)?,
            ObjectKind::Tree => self.handle(),
        };
        let operation = || Error::corrupt(format!("read object {name}"));
        let Some(header) = repo.try_find_header(name.0).map_err(operation())? else {
            return Ok(None);
        };
        let wanted = match kind {
            ObjectKind::Commit => gix::objs::Kind::Commit,
            ObjectKind::Tree => gix::objs::Kind::Tree,
        };
        if header.kind() != wanted || header.size() > limit {
            return Ok(None);
        }
        Ok(Some(object(&repo, name.0)?.detach().data))
    }

    /// Every file below the directory `prefix` (`""`: all), in path order.
    pub fn list(&self, commit: CommitId, prefix: &str) -> Result<Vec<Entry>> {
        let repo = self.handle_with(commit)?;
        let root = build::tree_of(&repo, commit)?;
        let operation = || format!("list {prefix:?} of commit {commit}");
        let (start, path) = match prefix.trim_matches('/') {
            "" => (root, BString::default()),
            prefix => {
                let tree = object(&repo, root)?
                    .try_into_tree()
                    .map_err(Error::corrupt(operation()))?;
                match tree
                    .lookup_entry(prefix.split('/').map(str::as_bytes))
                    .map_err(Error::corrupt(operation()))?
                {
                    Some(entry) if entry.mode().is_tree() => (entry.object_id(), prefix.into()),
                    _ => return Ok(Vec::new()),
                }
            }
        };
        let mut entries = Vec::new();
        walk(&repo, start, path, &operation(), &mut |path, mode, id| {
            let (path, name) = readable(path);
            entries.push(Entry {
                kind: Kind::of(mode, name),
                path,
                blob: ObjectId(id),
            });
        })?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// The files that differ between two commits, in path order; everything when `from` is `None`.
    pub fn changes(&self, from: Option<CommitId>, to: CommitId) -> Result<Vec<Change>> {
        let repo = self.handle_with(to)?;
        if let Some(from) = from {
            self.handle_with(from)?;
        }
        let operation = match from {
            Some(from) => format!("compare commits {from} and {to}"),
            None => format!("list commit {to}"),
        };
        let old = match from {
            Some(commit) => Some(build::tree_of(&repo, commit)?),
            None => None,
        };
        let new = build::tree_of(&repo, to)?;
        let mut changes = diff(&repo, old, new, &operation)?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }
}

/// The objects of those of `paths` that are files.
fn blobs(
    repo: &gix::Repository,
    commit: CommitId,
    paths: &[impl AsRef<str>],
) -> Result<Vec<gix::ObjectId>> {
    let operation = || format!("look for files of commit {commit}");
    let tree = object(repo, build::tree_of(repo, commit)?)?
        .try_into_tree()
        .map_err(Error::corrupt(operation()))?;
    let mut blobs = Vec::new();
    for path in paths {
        let found = tree
            .lookup_entry(path.as_ref().split('/').map(str::as_bytes))
            .map_err(Error::corrupt(operation()))?;
        let file = found.filter(|entry| entry.mode().is_blob());
        blobs.extend(file.map(|entry| entry.object_id()));
    }
    Ok(blobs)
}

/// Any object, with an error that says which is missing.
pub(crate) fn object(repo: &gix::Repository, id: gix::ObjectId) -> Result<gix::Object<'_>> {
    repo.try_find_object(id)
        .map_err(Error::corrupt(format!("read object {id}")))?
        .ok_or_else(|| Error::ObjectMissing {
            id: ObjectId(id),
            repository: repo.git_dir().to_owned(),
        })
}

/// The size comes from the header, before anything is allocated for the content.
pub(crate) fn blob(
    repo: &gix::Repository,
    id: gix::ObjectId,
    limit: u64,
    operation: &str,
) -> Result<Vec<u8>> {
    let header = repo
        .try_find_header(id)
        .map_err(Error::corrupt(operation))?
        .ok_or_else(|| Error::ObjectMissing {
            id: ObjectId(id),
            repository: repo.git_dir().to_owned(),
        })?;
    if header.size() > limit {
        return Err(Error::Limit {
            operation: operation.to_owned(),
            limit,
            unit: "bytes",
        });
    }
    let blob = object(repo, id)?
        .try_into_blob()
        .map_err(Error::corrupt(operation))?;
    Ok(blob.detach().data)
}

/// A path for people, and as `str` when it is a usable name.
fn readable(path: &BStr) -> (String, Option<&str>) {
    let name = path
        .to_str()
        .ok()
        .filter(|text| !text.chars().any(char::is_control));
    (
        name.map_or_else(
            || path.to_str_lossy().escape_debug().to_string(),
            str::to_owned,
        ),
        name,
    )
}

/// Calls `visit` for everything below `tree` that is not a tree.
fn walk(
    repo: &gix::Repository,
    tree: gix::ObjectId,
    path: BString,
    operation: &str,
    visit: &mut dyn FnMut(&BStr, EntryMode, gix::ObjectId),
) -> Result<()> {
    let mut pending = vec![(tree, path)];
    let mut seen = 0_usize;
    let mut buffer = Vec::new();
    while let Some((id, prefix)) = pending.pop() {
        let entries = repo
            .objects
            .find_tree_iter(&id, &mut buffer)
            .map_err(Error::corrupt(operation))?;
        for entry in entries {
            let entry = entry.map_err(Error::corrupt(operation))?;
            seen += 1;
            if seen > MAX_ENTRIES {
                return Err(too_many(operation));
            }
            let mut path = prefix.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.filename);
            if entry.mode.is_tree() {
                pending.push((entry.oid.to_owned(), path));
            } else {
                visit(path.as_bstr(), entry.mode, entry.oid.to_owned());
            }
        }
    }
    Ok(())
}

fn too_many(operation: &str) -> Error {
    Error::Limit {
        operation: operation.to_owned(),
        limit: MAX_ENTRIES as u64,
        unit: "entries",
    }
}

fn diff(
    repo: &gix::Repository,
    old: Option<gix::ObjectId>,
    new: gix::ObjectId,
    operation: &str,
) -> Result<Vec<Change>> {
    use gix::objs::TreeRefIter;
    let load = |id: gix::ObjectId| object(repo, id).map(|object| object.detach().data);
    let (old_data, new_data) = (old.map(load).transpose()?.unwrap_or_default(), load(new)?);
    let hash = repo.object_hash();
    let mut changes = Differences::default();
    let compared = gix::diff::tree(
        TreeRefIter::from_bytes(&old_data, hash),
        TreeRefIter::from_bytes(&new_data, hash),
        gix::diff::tree::State::default(),
        &repo.objects,
        &mut changes,
    );
    match compared {
        Ok(()) => Ok(changes.list),
        Err(gix::diff::tree::Error::Cancelled) => Err(too_many(operation)),
        Err(error) => Err(Error::corrupt(operation)(gix::Error::from_error(error))),
    }
}

/// Collects differing files, with `gix`'s recorder keeping the paths.
#[derive(Default)]
struct Differences {
    paths: gix::diff::tree::Recorder,
    list: Vec<Change>,
    seen: usize,
}

impl Differences {
    fn add(&mut self, mode: EntryMode, id: gix::ObjectId, change: ChangeKind) {
        if mode.is_tree() {
            return;
        }
        let (path, name) = readable(self.paths.path());
        let kind = Kind::of(mode, name);
        self.list.push(Change {
            path,
            change,
            kind,
            blob: ObjectId(id),
        });
    }
}

impl gix::diff::tree::Visit for Differences {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.paths.pop_front_tracked_path_and_set_current();
    }
    fn push_back_tracked_path_component(&mut self, component: &BStr) {
        self.paths.push_back_tracked_path_component(component);
    }
    fn push_path_component(&mut self, component: &BStr) {
        self.paths.push_path_component(component);
    }
    fn pop_path_component(&mut self) {
        self.paths.pop_path_component();
    }

    fn visit(&mut self, change: gix::diff::tree::visit::Change) -> gix::diff::tree::visit::Action {
        use gix::diff::tree::visit::Change as Seen;
        self.seen += 1;
        if self.seen > MAX_ENTRIES {
            return std::ops::ControlFlow::Break(());
        }
        match change {
            Seen::Addition {
                entry_mode, oid, ..
            } => self.add(entry_mode, oid, ChangeKind::Added),
            Seen::Deletion {
                entry_mode, oid, ..
            } => self.add(entry_mode, oid, ChangeKind::Removed),
            Seen::Modification {
                previous_entry_mode,
                previous_oid,
                entry_mode,
                oid,
            } => match (previous_entry_mode.is_tree(), entry_mode.is_tree()) {
                (false, false) => self.add(entry_mode, oid, ChangeKind::Modified),
                (true, false) => self.add(entry_mode, oid, ChangeKind::Added),
                (false, true) => self.add(previous_entry_mode, previous_oid, ChangeKind::Removed),
                (true, true) => {}
            },
        }
        std::ops::ControlFlow::Continue(())
    }
}
