//! Logs. While an attempt runs: one file per attempt, of the pieces that its runner sends, where there is a disk that lasts.
//! When it has ended: an artifact.

use std::io::SeekFrom;
use std::path::PathBuf;

use control::{LINK_LASTS, TaskDetail};
use ports::{ArtifactStore, Body, Platform};
use runner_api::TaskId;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::published::SENT_BYTES;
use crate::{Error, State};

/// Longest log, in bytes: above what a project's limits allow.
const MAX_LOG_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Most that one read answers, in bytes.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// A directory of growing logs, or none: then pieces are not wanted.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    directory: Option<PathBuf>,
}

/// A log, or the end of it.
pub(crate) struct Log {
    /// Where `body` begins, in bytes.
    pub(crate) offset: u64,
    pub(crate) body: Body,
}

/// Where a reader begins, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    At(u64),
    /// Before the end.
    Last(u64),
}

impl Begin {
    fn of(self, size: u64) -> u64 {
        match self {
            Self::At(offset) => offset.min(size),
            Self::Last(bytes) => size.saturating_sub(bytes),
        }
    }
}

/// How a piece of log was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    Yes,
    /// The file is elsewhere: go on from this offset.
    Expected(u64),
    TooLong,
}

impl Logs {
    /// Logs in `directory`, which exists.
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Whether pieces are of use.
    pub(crate) fn grow(&self) -> bool {
        self.directory.is_some()
    }

    fn path(&self, task: &TaskId, attempt: u32) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        Some(directory.join(format!("{task}-{attempt}.log")))
    }

    pub(crate) async fn append(
        &self,
        task: &TaskId,
        attempt: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Appended, Error> {
        let trouble = |error: std::io::Error| {
            Error::Unavailable(format!("append to the log of {}: {error}", task.short()))
        };
        // Before any sum: it may be any number that a caller thinks of.
        if offset > MAX_LOG_BYTES {
            return Err(Error::BadRequest(format!(
                "no log goes on at offset {offset}: {MAX_LOG_BYTES} bytes are the longest"
            )));
        }
        let path = self.path(task, attempt);
        let path = path.ok_or_else(|| trouble(std::io::ErrorKind::Unsupported.into()))?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .await
            .map_err(trouble)?;
        let length = file.metadata().await.map_err(trouble)?.len();
        if length + bytes.len() as u64 > MAX_LOG_BYTES {
            return Ok(Appended::TooLong);
        }
        // A piece that was sent again because its answer was lost lies wholly before the end.
        if offset + bytes.len() as u64 == length && !bytes.is_empty() {
            return Ok(Appended::Yes);
        }
        if offset != length {
            return Ok(Appended::Expected(length));
        }
        file.write_all(bytes).await.map_err(trouble)?;
        file.flush().await.map_err(trouble)?;
        Ok(Appended::Yes)
    }

    /// `None`: no such log.
    async fn open(
        &self,
        task: &TaskId,
        attempt: u32,
        begin: Begin,
    ) -> std::io::Result<Option<Log>> {
        let Some(path) = self.path(task, attempt) else {
            return Ok(None);
        };
        let mut file = match File::open(path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let offset = begin.of(file.metadata().await?.len());
        file.seek(SeekFrom::Start(offset)).await?;
        let body: Body = Box::new(file);
        Ok(Some(Log { offset, body }))
    }
}

impl Log {
    /// At most 1 MiB.
    pub(crate) async fn piece(self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut body = self.body.take(MAX_READ_BYTES);
        body.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}

impl<P: Platform> State<P> {
    /// What there is to say where no log is.
    pub(crate) fn nothing_yet(&self) -> &'static str {
        match self.logs.grow() {
            true => "nothing has been written yet",
            false => {
                "no log is here: none grow on this control plane, and of an attempt that ended without a result none is kept"
            }
        }
    }

    /// Where the store itself gives a whole log that is too large for an answer of a function.
    pub(crate) async fn log_elsewhere(
        &self,
        detail: &TaskDetail,
        attempt: u32,
    ) -> Result<Option<String>, Error> {
        let task = &detail.task;
        let whole = task.log.as_ref().filter(|_| attempt == task.attempt);
        let Some(whole) = whole.filter(|it| it.size > SENT_BYTES && !self.logs.grow()) else {
            return Ok(None);
        };
        let store = self.control.platform().store();
        let link = store.download_link(&whole.sha256, LINK_LASTS).await?;
        Ok(link.map(|link| link.url))
    }

    /// The log of an attempt as far as it is here: the file that grows, or the artifact of the last attempt that ended.
    pub(crate) async fn log(
        &self,
        detail: &TaskDetail,
        attempt: u32,
        begin: Begin,
    ) -> Result<Option<Log>, Error> {
        let task = &detail.task;
        let growing = self.logs.open(&task.id, attempt, begin).await;
        let growing = growing.map_err(|error| unread(&task.id, &error))?;
        if growing.is_some() {
            return Ok(growing);
        }
        let Some(whole) = task.log.as_ref().filter(|_| attempt == task.attempt) else {
            return Ok(None);
        };
        let offset = begin.of(whole.size);
        let store = self.control.platform().store();
        let body = store.open(&whole.sha256, offset).await?;
        Ok(body.map(|body| Log { offset, body }))
    }
}

pub(crate) fn unread(task: &TaskId, error: &std::io::Error) -> Error {
    Error::Unavailable(format!("read the log of {}: {error}", task.short()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_offset_is_any_number() {
        let directory = tempfile::tempdir().expect("a directory");
        let logs = Logs::new(Some(directory.path().to_owned()));
        let read = async |offset| {
            let log = logs.open(&task(), 1, Begin::At(offset)).await;
            let log = log.expect("looked").expect("there is one");
            log.piece().await.expect("read")
        };
        let append = async |offset| logs.append(&task(), 1, offset, b"line\n").await;
        assert_eq!(append(0).await.expect("taken"), Appended::Yes);
        assert_eq!(append(0).await.expect("again"), Appended::Yes);
        assert_eq!(append(7).await.expect("looked"), Appended::Expected(5));
        for offset in [MAX_LOG_BYTES + 1, 1 << 63, u64::MAX - 4, u64::MAX] {
            let refused = append(offset).await;
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{refused:?}");
            assert_eq!(read(offset).await, b"", "{offset}");
        }
        assert_eq!(read(2).await, b"ne\n");
    }

    fn task() -> TaskId {
        "0123456789abcdef0123456789abcdef".parse().expect("an id")
    }
}
