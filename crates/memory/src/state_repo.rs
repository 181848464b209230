//! The state repository as maps: a commit is what it says of itself and all its files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ports::{
    ChangeKind, Commit, CommitInfo, Committed, Error, MergeBase, NewCommit, ObjectKind, PathChange,
    Resolved, Result, StateRepo,
};

use crate::lock;
use crate::object::{commit, tree, trees};

/// Who [`StateRepo::commit`] commits as.
const COMMITTER: &str = "Millrace <millrace@localhost>";

/// By path; `None`: a symbolic link.
pub(crate) type Files = BTreeMap<String, Option<Bytes>>;

/// Signs what git has its users sign of a commit: the text of the header `gpgsig`.
pub type Signing<'a> = &'a dyn Fn(&[u8]) -> String;

/// Origin and clone in one; other repositories are a table of refs.
#[derive(Debug, Clone, Default)]
pub struct MemoryStateRepo(Arc<Mutex<Git>>);

#[derive(Debug, Default)]
struct Git {
    commits: BTreeMap<Commit, Arc<Snapshot>>,
    branches: BTreeMap<String, Commit>,
    others: BTreeMap<(String, String), Commit>,
    /// Where a folder of that name is to be seen: a commit, and its path.
    trees: BTreeMap<String, (Commit, String)>,
}

#[derive(Debug)]
struct Snapshot {
    info: CommitInfo,
    files: Files,
    /// As git has it.
    object: Bytes,
}

impl MemoryStateRepo {
    /// What somebody else does: a commit by `author` on the branch's tip. Returns the new tip.
    pub fn push(&self, branch: &str, author: &str, new: NewCommit) -> Commit {
        let mut git = lock(&self.0);
        let parent = git.branches.get(branch).cloned();
        git.add(branch, parent, author, new)
    }

    /// What somebody else does by force: the branch becomes one commit without parents.
    pub fn force_push(&self, branch: &str, author: &str, new: NewCommit) -> Commit {
        lock(&self.0).add(branch, None, author, new)
    }

    /// What somebody else does: the branch becomes a commit with these parents and the files of the first.
    pub fn push_merge(
        &self,
        branch: &str,
        author: &str,
        parents: &[Commit],
        message: &str,
    ) -> Commit {
        let mut git = lock(&self.0);
        let files = git.files(parents.first().map(String::as_str));
        let mut info = info(None, author, message.to_owned(), 1);
        info.parents = parents.to_vec();
        git.add_object(branch, info, files, None)
    }

    /// What somebody does who signs: as [`MemoryStateRepo::push`].
    pub fn push_signed(
        &self,
        branch: &str,
        author: &str,
        new: NewCommit,
        sign: Signing<'_>,
    ) -> Commit {
        let mut git = lock(&self.0);
        let parent = git.branches.get(branch).cloned();
        let files = with(git.files(parent.as_deref()), &new.files);
        let info = info(parent, author, new.message, new.time);
        git.add_object(branch, info, files, Some(sign))
    }

    /// What somebody else does: the path becomes a symbolic link. Returns the new tip.
    pub fn push_link(&self, branch: &str, author: &str, path: &str) -> Commit {
        let mut git = lock(&self.0);
        let parent = git.branches.get(branch).cloned();
        let mut files = git.files(parent.as_deref());
        files.insert(path.to_owned(), None);
        git.add_tree(branch, (parent, files), author, "a link".to_owned(), 1)
    }

    /// What somebody else does: the branch is deleted.
    pub fn delete(&self, branch: &str) {
        lock(&self.0).branches.remove(branch);
    }

    /// What somebody else does: the branch is at another commit.
    pub fn reset(&self, branch: &str, commit: &str) {
        let mut git = lock(&self.0);
        git.branches.insert(branch.to_owned(), commit.to_owned());
    }

    /// What [`StateRepo::resolve`] finds at `url`.
    pub fn set_ref(&self, url: &str, git_ref: &str, commit: &str) {
        let name = (url.to_owned(), git_ref.to_owned());
        lock(&self.0).others.insert(name, commit.to_owned());
    }

    /// The ref is gone.
    pub fn remove_ref(&self, url: &str, git_ref: &str) {
        let name = (url.to_owned(), git_ref.to_owned());
        lock(&self.0).others.remove(&name);
    }

    fn snapshot(&self, commit: &str) -> Result<Arc<Snapshot>> {
        let git = lock(&self.0);
        let found = git.commits.get(commit).cloned();
        found.ok_or_else(|| Error::corrupt(format!("read commit {commit}"), "there is none"))
    }
}

impl Git {
    /// A commit, and all before it.
    fn history(&self, commit: &str) -> BTreeSet<Commit> {
        let mut seen = BTreeSet::new();
        let mut left = vec![commit.to_owned()];
        while let Some(commit) = left.pop() {
            if let Some(snapshot) = self.commits.get(&commit)
                && seen.insert(commit)
            {
                left.extend(snapshot.info.parents.iter().cloned());
            }
        }
        seen
    }

    fn files(&self, commit: Option<&str>) -> Files {
        let snapshot = commit.and_then(|commit| self.commits.get(commit));
        snapshot.map_or_else(Files::new, |snapshot| snapshot.files.clone())
    }

    fn add(
        &mut self,
        branch: &str,
        parent: Option<Commit>,
        author: &str,
        new: NewCommit,
    ) -> Commit {
        let files = with(self.files(parent.as_deref()), &new.files);
        self.add_tree(branch, (parent, files), author, new.message, new.time)
    }

    fn add_tree(
        &mut self,
        branch: &str,
        (parent, files): (Option<Commit>, Files),
        author: &str,
        message: String,
        time: i64,
    ) -> Commit {
        self.add_object(branch, info(parent, author, message, time), files, None)
    }

    fn add_object(
        &mut self,
        branch: &str,
        info: CommitInfo,
        files: Files,
        sign: Option<Signing<'_>>,
    ) -> Commit {
        let trees = trees(&files);
        let (name, object) = commit(&info, &trees[""], sign);
        for (dir, id) in trees {
            let place = (name.clone(), dir);
            self.trees.entry(id).or_insert(place);
        }
        let snapshot = Arc::new(Snapshot {
            info,
            files,
            object,
        });
        self.commits.insert(name.clone(), snapshot);
        self.branches.insert(branch.to_owned(), name.clone());
        name
    }
}

fn info(parent: Option<Commit>, author: &str, message: String, time: i64) -> CommitInfo {
    CommitInfo {
        author: author.to_owned(),
        time,
        message,
        parents: parent.into_iter().collect(),
    }
}

fn with(mut files: Files, changes: &[(String, Option<Bytes>)]) -> Files {
    for (path, content) in changes {
        match content {
            Some(content) => {
                // As in a tree: a file and a folder of one name do not stand together.
                files.retain(|old, _| !is_below(old, path) && !is_below(path, old));
                files.insert(path.clone(), Some(content.clone()));
            }
            None => {
                files.remove(path);
            }
        }
    }
    files
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

impl StateRepo for MemoryStateRepo {
    async fn head(&self, branch: &str) -> Result<Option<Commit>> {
        Ok(lock(&self.0).branches.get(branch).cloned())
    }

    async fn info(&self, commit: &str) -> Result<CommitInfo> {
        Ok(self.snapshot(commit)?.info.clone())
    }

    async fn changes(&self, from: Option<&str>, to: &str) -> Result<Vec<PathChange>> {
        let from = from.map(|from| self.snapshot(from)).transpose()?;
        let to = self.snapshot(to)?;
        let none = Files::new();
        let old = from.as_ref().map_or(&none, |from| &from.files);
        let new = &to.files;
        let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changes = paths.into_iter().filter_map(|path| {
            let kind = match (old.get(path), new.get(path)) {
                (before, after) if before == after => return None,
                (_, None) => ChangeKind::Removed,
                (_, Some(None)) => ChangeKind::NotAFile,
                (None, _) => ChangeKind::Added,
                _ => ChangeKind::Modified,
            };
            let path = path.clone();
            Some(PathChange { path, kind })
        });
        Ok(changes.collect())
    }

    async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool> {
        Ok(old == new || lock(&self.0).history(new).contains(old))
    }

    async fn merge_base(&self, one: &str, other: &str, limit: usize) -> Result<MergeBase> {
        for commit in [one, other] {
            self.snapshot(commit)?;
        }
        let git = lock(&self.0);
        let (one, other) = (git.history(one), git.history(other));
        if one.union(&other).count() > limit {
            return Ok(MergeBase::TooFar);
        }
        let shared: Vec<&Commit> = one.intersection(&other).collect();
        let is_below = |commit: &Commit| {
            let mut others = shared.iter().filter(|other| **other != commit);
            others.any(|other| git.history(other).contains(commit))
        };
        let best = shared.iter().find(|commit| !is_below(commit));
        Ok(best.map_or(MergeBase::Nowhere, |best| MergeBase::At((*best).clone())))
    }

    async fn object(&self, kind: ObjectKind, name: &str, limit: usize) -> Result<Option<Bytes>> {
        let git = lock(&self.0);
        let bytes = match kind {
            ObjectKind::Commit => git.commits.get(name).map(|found| found.object.clone()),
            ObjectKind::Tree => git.trees.get(name).map(|(commit, dir)| {
                let snapshot = &git.commits[commit];
                tree(&snapshot.files, dir)
            }),
        };
        Ok(bytes.filter(|bytes| bytes.len() <= limit))
    }

    async fn list(&self, commit: &str, dir: &str) -> Result<Vec<String>> {
        let snapshot = self.snapshot(commit)?;
        let files = snapshot.files.iter().filter(|(_, file)| file.is_some());
        let below = files.filter(|(path, _)| dir.is_empty() || is_below(path, dir));
        Ok(below.map(|(path, _)| path.clone()).collect())
    }

    async fn read(&self, commit: &str, path: &str) -> Result<Option<Bytes>> {
        Ok(self.snapshot(commit)?.files.get(path).cloned().flatten())
    }

    async fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        new: NewCommit,
    ) -> Result<Committed> {
        let mut git = lock(&self.0);
        let tip = git.branches.get(branch).cloned();
        if tip.as_deref() != parent {
            return Ok(Committed::Moved(tip));
        }
        let before = git.files(parent);
        if parent.is_some() && with(before.clone(), &new.files) == before {
            return Ok(Committed::Unchanged);
        }
        Ok(Committed::Yes(git.add(branch, tip, COMMITTER, new)))
    }

    async fn resolve(&self, url: &str, git_ref: &str) -> Result<Resolved> {
        let git = lock(&self.0);
        let found = git.others.get(&(url.to_owned(), git_ref.to_owned()));
        Ok(match found {
            Some(commit) => Resolved::Commit(commit.clone()),
            None => Resolved::Missing(format!("{url} has no ref {git_ref}")),
        })
    }
}
