//! Pointers: small files that are replaced whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pipeline_spec::RepositoryName;
use ports::Result;

use super::found;
use super::incoming::Incoming;

/// The pointers of one store.
#[derive(Debug)]
pub(super) struct Pointers {
    root: PathBuf,
    /// Makes compare and swap one step; other processes are kept out by the store's lock.
    swapping: Mutex<()>,
}

/// Only the name of a repository is the name of a pointer, so that none is a path to elsewhere.
pub(super) fn parse(operation: &str, name: &str) -> Result<RepositoryName> {
    name.parse()
        .map_err(|cause| ports::Error::corrupt(operation, cause))
}

impl Pointers {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            swapping: Mutex::new(()),
        }
    }

    pub(super) fn read(&self, name: &RepositoryName) -> io::Result<Option<Bytes>> {
        Ok(found(fs::read(self.path(name)))?.map(Bytes::from))
    }

    /// In order. Files that are no pointers, as an editor leaves them behind, do not count.
    pub(super) fn names(&self) -> io::Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("pointers"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().to_str().and_then(|it| it.parse().ok()));
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn swap(
        &self,
        name: &RepositoryName,
        expected: Option<&Bytes>,
        new: &Bytes,
    ) -> io::Result<bool> {
        let _guard = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read(name)?.as_ref() != expected {
            return Ok(false);
        }
        let mut incoming = Incoming::new(&self.root)?;
        incoming.write(new)?;
        incoming.persist(&self.path(name))?;
        Ok(true)
    }

    fn path(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("pointers").join(name.as_str())
    }
}
