//! A commit's objects, made in memory: blobs, the trees on the way to them, the commit.
//!
//! Never through an index: only the trees on the edited paths are read and written, so the cost is that of
//! the change, not of the repository.

use std::collections::HashSet;

use gix::objs::tree::EntryKind;
use gix::objs::{Kind, WriteTo};

use crate::{CommitId, Error, Result, names};

/// A path and its new bytes; `None` removes the file.
pub type Edit<'a> = (&'a str, Option<&'a [u8]>);

/// Most files in one commit: what a forge's receive hook still takes, with room.
const MAX_EDITS: usize = 100_000;
/// Most bytes in one commit's files: they are held in memory until they are pushed.
const MAX_BYTES: usize = 256 << 20;

/// Who commits, when, and why. Author and committer are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMeta {
    /// `Millrace`.
    pub name: String,
    /// `millrace@example.org`.
    pub email: String,
    /// Seconds since 1970; written as UTC.
    pub time: i64,
    /// Whole message, trailers included.
    pub message: String,
}

/// Objects that the repository may not have yet. Children come before what refers to them; the commit is last.
pub(crate) struct NewCommit {
    pub(crate) id: gix::ObjectId,
    pub(crate) objects: Vec<NewObject>,
}

pub(crate) struct NewObject {
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
}

/// The commit of `edits` on `parent`; `None` when its tree is the parent's.
pub(crate) fn commit(
    repo: &gix::Repository,
    parent: Option<CommitId>,
    edits: &[Edit<'_>],
    meta: &CommitMeta,
) -> Result<Option<NewCommit>> {
    let edits = checked(edits)?;
    let base = parent.map(|commit| tree_of(repo, commit)).transpose()?;
    let mut objects = Objects::new(repo.object_hash());
    let tree = edited_tree(repo, base, &edits, &mut objects)?;
    if tree == base.unwrap_or_else(|| gix::ObjectId::empty_tree(repo.object_hash())) {
        return Ok(None);
    }
    let signature = signature(meta)?;
    let id = objects.add(&gix::objs::Commit {
        tree,
        parents: parent.iter().map(|commit| commit.0).collect(),
        author: signature.clone(),
        committer: signature,
        encoding: None,
        message: message(meta)?.into(),
        extra_headers: Vec::new(),
    })?;
    Ok(Some(NewCommit {
        id,
        objects: objects.list,
    }))
}

pub(crate) fn tree_of(repo: &gix::Repository, commit: CommitId) -> Result<gix::ObjectId> {
    let object = crate::read::object(repo, commit.0)?;
    let commit_error = || Error::corrupt(format!("read commit {commit}"));
    let commit = object.try_into_commit().map_err(commit_error())?;
    Ok(commit.tree_id().map_err(commit_error())?.detach())
}

struct CheckedEdit<'a> {
    parts: Vec<&'a str>,
    data: Option<&'a [u8]>,
}

/// Removals first, then files in path order: what is made does not depend on the order of the edits.
fn checked<'a>(edits: &[Edit<'a>]) -> Result<Vec<CheckedEdit<'a>>> {
    let bytes: usize = edits
        .iter()
        .filter_map(|(_, data)| *data)
        .map(<[u8]>::len)
        .sum();
    for (found, limit, unit) in [
        (edits.len(), MAX_EDITS, "files"),
        (bytes, MAX_BYTES, "bytes"),
    ] {
        if found > limit {
            return Err(Error::Limit {
                operation: "commit".to_owned(),
                limit: limit as u64,
                unit,
            });
        }
    }
    let mut checked = edits
        .iter()
        .map(|(path, data)| {
            Ok(CheckedEdit {
                parts: names::parts(path)?,
                data: *data,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    checked.sort_by(|a, b| (a.data.is_some(), &a.parts).cmp(&(b.data.is_some(), &b.parts)));
    refuse_conflicts(&checked)?;
    Ok(checked)
}

/// The same path twice, or a file where another edit wants a directory: either order would lose bytes.
fn refuse_conflicts(edits: &[CheckedEdit<'_>]) -> Result<()> {
    let mut paths: Vec<(&[&str], bool)> = edits
        .iter()
        .map(|edit| (edit.parts.as_slice(), edit.data.is_some()))
        .collect();
    paths.sort_unstable();
    for pair in paths.windows(2) {
        let [(first, first_written), (second, second_written)] = pair else {
            continue;
        };
        let same = first == second;
        let nested = *first_written && *second_written && second.starts_with(first);
        if same || nested {
            return Err(Error::Name {
                name: second.join("/"),
                reason: "the same commit writes it twice, or as a file and as a directory"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

fn edited_tree(
    repo: &gix::Repository,
    base: Option<gix::ObjectId>,
    edits: &[CheckedEdit<'_>],
    objects: &mut Objects,
) -> Result<gix::ObjectId> {
    let edit_error = || Error::corrupt("edit a tree".to_owned());
    let root = match base {
        Some(id) => {
            let object = crate::read::object(repo, id)?;
            let tree = object.try_into_tree().map_err(edit_error())?;
            let decoded = tree.decode().map_err(edit_error())?;
            gix::objs::Tree::from(decoded)
        }
        None => gix::objs::Tree::default(),
    };
    let mut editor = gix::objs::tree::Editor::new(root, &repo.objects, repo.object_hash());
    for edit in edits {
        match edit.data {
            Some(data) => {
                let id = objects.add_blob(data)?;
                editor
                    .upsert(edit.parts.iter().copied(), EntryKind::Blob, id)
                    .map_err(edit_error())?;
            }
            None => {
                editor
                    .remove_if_leaf(edit.parts.iter().copied())
                    .map_err(edit_error())?;
            }
        }
    }
    editor.write(|tree| objects.add(tree))
}

/// New objects in order, each once.
struct Objects {
    hash: gix::hash::Kind,
    seen: HashSet<gix::ObjectId>,
    list: Vec<NewObject>,
}

impl Objects {
    fn new(hash: gix::hash::Kind) -> Self {
        Self {
            hash,
            seen: HashSet::new(),
            list: Vec::new(),
        }
    }

    fn add(&mut self, object: &dyn WriteTo) -> Result<gix::ObjectId> {
        let mut data = Vec::new();
        object.write_to(&mut data).map_err(|error| Error::Corrupt {
            operation: format!("write a {}", object.kind()),
            reason: error.to_string(),
        })?;
        self.push(object.kind(), data)
    }

    fn add_blob(&mut self, data: &[u8]) -> Result<gix::ObjectId> {
        self.push(Kind::Blob, data.to_vec())
    }

    fn push(&mut self, kind: Kind, data: Vec<u8>) -> Result<gix::ObjectId> {
        let id =
            gix::objs::compute_hash(self.hash, kind, &data).map_err(|error| Error::Corrupt {
                operation: "hash an object".to_owned(),
                reason: error.to_string(),
            })?;
        if self.seen.insert(id) {
            self.list.push(NewObject { kind, data });
        }
        Ok(id)
    }
}

fn signature(meta: &CommitMeta) -> Result<gix::actor::Signature> {
    let refuse = |what: &str, reason: &str| Error::Name {
        name: crate::error::printable(what),
        reason: reason.to_owned(),
    };
    for text in [&meta.name, &meta.email] {
        if text.trim().is_empty() || text.contains(['<', '>', '\n', '\0']) {
            return Err(refuse(
                text,
                "a committer has a name and a mail address without < and >",
            ));
        }
    }
    if meta.time < 0 {
        return Err(refuse(
            &meta.time.to_string(),
            "a commit's time is not before 1970",
        ));
    }
    Ok(gix::actor::Signature {
        name: meta.name.trim().into(),
        email: meta.email.trim().into(),
        time: gix::date::Time::new(meta.time, 0),
    })
}

fn message(meta: &CommitMeta) -> Result<String> {
    if meta.message.contains('\0') {
        return Err(Error::Name {
            name: crate::error::printable(&meta.message),
            reason: "a commit message has no zero byte".to_owned(),
        });
    }
    let mut message = meta.message.clone();
    if !message.ends_with('\n') {
        message.push('\n');
    }
    Ok(message)
}
