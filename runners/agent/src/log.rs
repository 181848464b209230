//! The log of one attempt: a file that grows while chunks of it are sent.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::Error;

/// Most bytes that a log holds. Roles have their own, lower limits; this one keeps a role's mistake
/// from filling the disk.
const MAX_LOG_BYTES: u64 = 1 << 30;

/// Where an attempt's output goes. Clones write to the same log; writing never blocks on the network
/// and never fails: what the disk does not take is lost, not the job.
#[derive(Clone, Debug)]
pub struct JobLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Mutex<File>,
    written: AtomicU64,
    lost: AtomicBool,
    grown: Notify,
}

impl JobLog {
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io("create the log", path))?;
        Ok(Self(Arc::new(Inner {
            file: Mutex::new(file),
            written: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            grown: Notify::new(),
        })))
    }

    /// Appends bytes as they come.
    pub fn append(&self, bytes: &[u8]) {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.0.written.load(Ordering::Relaxed);
        let room = MAX_LOG_BYTES.saturating_sub(written);
        let take = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let stored = file.write(&bytes[..take]).unwrap_or(0);
        if stored < bytes.len() {
            self.0.lost.store(true, Ordering::Relaxed);
        }
        self.0
            .written
            .store(written + stored as u64, Ordering::Release);
        drop(file);
        self.0.grown.notify_one();
    }

    /// Appends one line of the runner's own.
    pub fn line(&self, text: impl std::fmt::Display) {
        self.append(format!("{text}\n").as_bytes());
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Acquire)
    }

    /// Whether bytes were dropped.
    pub(crate) fn lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Up to `max` bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let there = self.written().saturating_sub(offset);
        let mut bytes = vec![0; max.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Resolves when something was appended since the last call.
    pub(crate) async fn grown(&self) {
        self.0.grown.notified().await;
    }
}

impl sandbox::LogSink for JobLog {
    async fn write(&mut self, chunk: &[u8]) {
        self.append(chunk);
    }
}

impl Write for JobLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
