//! One process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::Error;
use crate::error::io;

/// Held until it is dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    last_holder: LastHolder,
}

/// How the one before let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastHolder {
    /// In order, or there was none.
    Closed,
    /// It was killed, or the machine stopped.
    Died,
}

impl FolderLock {
    /// Locks `folder`, which must be there. Never waits.
    pub(crate) fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = folder.to_owned();
                let holder = holder(&mut file);
                return Err(Error::InUse { path, holder });
            }
            Err(TryLockError::Error(cause)) => return Err(io("lock", &path)(cause)),
        }
        let length = file.metadata().map_err(io("read", &path))?.len();
        let last_holder = match length {
            0 => LastHolder::Closed,
            _ => LastHolder::Died,
        };
        // For the message above alone: the kernel's lock is what counts.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io("write", &path))?;
        Ok(Self { file, last_holder })
    }

    pub(crate) fn last_holder(&self) -> LastHolder {
        self.last_holder
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A number that stays costs the next one some time, and nothing else.
        let _ = self.file.set_len(0);
    }
}

/// The process id in the lock file. The holder may be just about to write it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Longer than any process id: the file may be anything.
    let read = file.take(20).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(id) if read.is_ok() => id.to_string(),
        _ => "(number not known)".to_owned(),
    }
}
