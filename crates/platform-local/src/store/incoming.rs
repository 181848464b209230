//! A file on its way in: nobody sees it before it is complete and on the disk.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use pipeline_spec::Sha256Digest;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Removed when it is dropped before [`Incoming::persist`].
#[derive(Debug)]
pub(super) struct Incoming {
    file: NamedTempFile,
    hasher: Sha256,
}

impl Incoming {
    /// A new one in `<root>/tmp`, which is on the same file system as its place to be.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            // Read-only for all but this handle: what has a name never changes.
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(root.join("tmp"))?;
        Ok(Self {
            file,
            hasher: Sha256::new(),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }

    /// Of all that was written so far.
    pub(super) fn digest(&self) -> Sha256Digest {
        Sha256Digest::new(self.hasher.clone().finalize().into())
    }

    /// Bytes to the disk with the time of now, then the name `path`, then the name to the disk.
    pub(super) fn persist(self, path: &Path) -> io::Result<()> {
        self.file.as_file().set_modified(SystemTime::now())?;
        self.file.as_file().sync_all()?;
        self.file.persist(path).map_err(|refused| refused.error)?;
        let folder = path
            .parent()
            .expect("every place in the store has a folder");
        File::open(folder)?.sync_all()
    }
}
