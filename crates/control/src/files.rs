//! Files that are planned: those of a commit, or of a checkout that was not pushed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ports::{ChangeKind, PathChange, Platform, StateRepo};

use crate::{Control, Result};

/// A tree that the state repository does not have: a checkout with its uncommitted files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkout {
    /// A commit that the state repository has and that the files lie over. `None`: the files are all
    /// that there is.
    pub base: Option<String>,
    /// By path from the repository's top; `None` takes the path out of the base.
    pub files: BTreeMap<String, Option<Bytes>>,
    /// Paths that differ and are links or submodules, or have no name that can be read. They are among `files`, as gone.
    pub not_files: BTreeSet<String>,
}

/// Where files are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Files<'a> {
    /// 40 hex digits.
    Commit(&'a str),
    /// What somebody has on his disk.
    Checkout(&'a Checkout),
}

impl<P: Platform> Control<P> {
    /// A file's bytes.
    pub(crate) async fn read_file(&self, files: Files<'_>, path: &str) -> Result<Option<Bytes>> {
        let commit = match files {
            Files::Commit(commit) => commit,
            Files::Checkout(checkout) => match (checkout.files.get(path), &checkout.base) {
                (Some(file), _) => return Ok(file.clone()),
                (None, Some(base)) => base,
                (None, None) => return Ok(None),
            },
        };
        Ok(self.platform.state_repo().read(commit, path).await?)
    }

    /// Whether a file is there.
    pub(crate) async fn has_file(&self, files: Files<'_>, path: &str) -> Result<bool> {
        match files {
            Files::Commit(commit) => Ok(self.platform.state_repo().has(commit, path).await?),
            Files::Checkout(_) => Ok(self.read_file(files, path).await?.is_some()),
        }
    }

    /// Says that `paths` are read soon: see [`StateRepo::prefetch`].
    pub(crate) async fn prefetch_files(&self, files: Files<'_>, paths: &[String]) -> Result<()> {
        match files {
            Files::Commit(commit) => Ok(self.platform.state_repo().prefetch(commit, paths).await?),
            Files::Checkout(_) => Ok(()),
        }
    }

    /// Paths of files below `dir`, in order.
    pub(crate) async fn list_files(&self, files: Files<'_>, dir: &str) -> Result<Vec<String>> {
        let repo = self.platform.state_repo();
        let checkout = match files {
            Files::Commit(commit) => return Ok(repo.list(commit, dir).await?),
            Files::Checkout(checkout) => checkout,
        };
        let mut paths = BTreeSet::new();
        if let Some(base) = &checkout.base {
            paths.extend(repo.list(base, dir).await?);
        }
        let below = |path: &str| {
            let rest = path.strip_prefix(dir);
            dir.is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
        };
        for (path, file) in checkout.files.iter().filter(|(path, _)| below(path)) {
            match file {
                Some(_) => paths.insert(path.clone()),
                None => paths.remove(path),
            };
        }
        Ok(paths.into_iter().collect())
    }

    /// What differs between a commit (`None`: nothing) and `files`, in path order.
    pub(crate) async fn file_changes(
        &self,
        from: Option<&str>,
        files: Files<'_>,
    ) -> Result<Vec<PathChange>> {
        let repo = self.platform.state_repo();
        let checkout = match files {
            Files::Commit(commit) => return Ok(repo.changes(from, commit).await?),
            Files::Checkout(checkout) => checkout,
        };
        let mut paths: BTreeSet<String> = checkout.files.keys().cloned().collect();
        match (from, &checkout.base) {
            (_, Some(base)) => {
                let changes = repo.changes(from, base).await?;
                paths.extend(changes.into_iter().map(|change| change.path));
            }
            (Some(from), None) => paths.extend(repo.list(from, "").await?),
            (None, None) => {}
        }
        let mut changes = Vec::new();
        for path in paths {
            if checkout.not_files.contains(&path) {
                let kind = ChangeKind::NotAFile;
                changes.push(PathChange { path, kind });
                continue;
            }
            let old = match from {
                Some(from) => repo.read(from, &path).await?,
                None => None,
            };
            let kind = match (old, self.read_file(files, &path).await?) {
                (None, Some(_)) => ChangeKind::Added,
                (Some(_), None) => ChangeKind::Removed,
                (Some(old), Some(new)) if old != new => ChangeKind::Modified,
                _ => continue,
            };
            changes.push(PathChange { path, kind });
        }
        Ok(changes)
    }
}
