//! What is known of packages and of runs of packages, kept between composes.
//!
//! ```text
//! fragments/<kind>/<first two digits>/<SHA-256 of the package>   what its indexes say of it, JSON
//! blocks/<kind>/…                                                rendered runs, the libraries' own
//! in-use/<repository>.json                                       what its last compose used
//! ```
//! What no repository used in its last compose is removed.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pipeline_spec::Sha256Digest;
use runner_agent::{Halt, Job};
use runner_api::Artifact;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard};

/// Packages fetched and read at a time.
const FETCHES: usize = 4;

/// Why the cache directory cannot be used. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Read while a compose uses entries, written while some are removed.
    pruning: RwLock<()>,
}

/// Entries that one repository's last compose used, as paths relative to the cache.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Used(pub(crate) BTreeSet<String>);

/// A family of fragments: `rpm-1`.
#[derive(Debug, Clone)]
pub(crate) struct Fragments(PathBuf);

impl Cache {
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        let folder = root.join("in-use");
        std::fs::create_dir_all(&folder).map_err(error("create", &folder))?;
        Ok(Self {
            root,
            pruning: RwLock::new(()),
        })
    }

    pub(crate) async fn use_it(&self) -> RwLockReadGuard<'_, ()> {
        self.pruning.read().await
    }

    /// Where a library keeps its blocks.
    pub(crate) fn blocks(&self, kind: &str) -> PathBuf {
        self.root.join("blocks").join(kind)
    }

    pub(crate) fn fragments(&self, kind: &str) -> Fragments {
        Fragments(self.root.join("fragments").join(kind))
    }

    /// Remembers what `repository` uses now, and removes what nobody uses any more. Trouble costs disk
    /// space or time, so it is logged and nothing else.
    pub(crate) async fn settle(&self, repository: &str, used: Used) {
        let path = self.root.join("in-use").join(format!("{repository}.json"));
        let before: Used = read_json(&path).unwrap_or_default();
        if before == used {
            return;
        }
        let document = serde_json::to_vec(&used).expect("strings are JSON");
        if let Err(cause) = write_whole(&path, &document) {
            tracing::warn!("failed to write {}: {cause}", path.display());
            return;
        }
        if before.0.is_subset(&used.0) {
            return;
        }
        // While another compose runs, its new entries are in no list yet; the next change prunes.
        let Ok(_alone) = self.pruning.try_write() else {
            return;
        };
        if let Err(error) = self.prune() {
            tracing::warn!("failed to {error}");
        }
    }

    fn prune(&self) -> Result<(), Error> {
        let mut keep = BTreeSet::new();
        for list in list(&self.root.join("in-use"))? {
            // A list that cannot be read may name anything: nothing is removed.
            let Some(used) = read_json::<Used>(&list) else {
                return Ok(());
            };
            keep.extend(used.0);
        }
        for kind in ["fragments", "blocks"] {
            for family in list(&self.root.join(kind))? {
                for file in list(&family)?.iter().map(|shard| list(shard)) {
                    self.remove_unused(file?, &keep)?;
                }
            }
        }
        Ok(())
    }

    fn remove_unused(&self, files: Vec<PathBuf>, keep: &BTreeSet<String>) -> Result<(), Error> {
        for file in files {
            let name = file.strip_prefix(&self.root).unwrap_or(&file);
            if !keep.contains(&*name.to_string_lossy()) {
                std::fs::remove_file(&file).map_err(error("remove", &file))?;
            }
        }
        Ok(())
    }

    /// How [`Used`] spells a path below the cache.
    pub(crate) fn spell(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    }
}

impl Fragments {
    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        self.0.join(&sha256[..2]).join(sha256)
    }

    /// Makes the fragments that are missing: fetches each of those packages once and calls `render`.
    pub(crate) async fn complete<F: Serialize + 'static>(
        &self,
        job: &Job,
        packages: impl IntoIterator<Item = &Artifact>,
        render: fn(&Artifact, &Path) -> Result<F, Halt>,
    ) -> Result<(), Halt> {
        let missing: Vec<&Artifact> = packages
            .into_iter()
            .filter(|package| !self.path(&package.sha256.to_string()).exists())
            .collect();
        if !missing.is_empty() {
            job.log()
                .line(format_args!("reading {} new packages", missing.len()));
        }
        let numbered = missing.into_iter().enumerate();
        let works: Vec<_> = numbered
            .map(|(number, package)| self.make(job, package, number, render))
            .collect();
        stream::iter(works)
            .buffer_unordered(FETCHES)
            .try_collect()
            .await
    }

    async fn make<F: Serialize + 'static>(
        &self,
        job: &Job,
        package: &Artifact,
        number: usize,
        render: fn(&Artifact, &Path) -> Result<F, Halt>,
    ) -> Result<(), Halt> {
        let file = job.dir().join(number.to_string());
        job.fetch_to(package, &file).await?;
        let path = self.path(&package.sha256.to_string());
        let package = package.clone();
        let work = move || {
            let fragment = render(&package, &file)?;
            let document = serde_json::to_vec(&fragment).expect("fragments are JSON");
            let done = write_whole(&path, &document).and_then(|()| std::fs::remove_file(&file));
            done.map_err(|cause| Halt::trouble(format!("write {}: {cause}", path.display())))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Halt::trouble("read a package: the reader panicked"))?
    }

    /// Reads a fragment. One that is damaged is removed, so that the next try makes it again.
    pub(crate) fn get<F: DeserializeOwned>(&self, sha256: &Sha256Digest) -> Result<F, Error> {
        let path = self.path(&sha256.to_string());
        let bytes = std::fs::read(&path).map_err(error("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|cause| {
            let _ = std::fs::remove_file(&path);
            error("understand", &path)(cause.into())
        })
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes beside the final name and renames, so that nobody reads half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(path)?;
    Ok(())
}

/// The entries of a folder; none if it is not there.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error("list", folder))?,
    };
    entries
        .map(|entry| Ok(entry.map_err(error("list", folder))?.path()))
        .collect()
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_no_repository_uses_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(home.path().to_owned()).unwrap();
        let files = [
            "fragments/rpm-1/aa/aa1",
            "fragments/rpm-1/bb/bb2",
            "blocks/rpm/cc/cc3",
        ];
        for file in files {
            write_whole(&home.path().join(file), b"{}").unwrap();
        }
        let used = |files: &[&str]| Used(files.iter().map(ToString::to_string).collect());
        let left = || -> Vec<&str> {
            let there = |file: &&str| home.path().join(file).exists();
            files.into_iter().filter(there).collect()
        };
        cache.settle("a", used(&files[..2])).await;
        cache.settle("b", used(&files[1..])).await;
        assert_eq!(left(), files, "growing lists remove nothing");
        cache.settle("a", used(&[])).await;
        assert_eq!(left(), files[1..], "the other repository's stay");
        let busy = cache.use_it().await;
        cache.settle("b", used(&files[2..])).await;
        assert_eq!(left(), files[1..], "nothing is removed under a compose");
        drop(busy);
    }
}
