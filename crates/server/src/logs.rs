//! Logs while they grow: one file per attempt. When the attempt ends, its whole log is an artifact.

use std::io::SeekFrom;
use std::path::PathBuf;

use runner_api::TaskId;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::Error;

/// Longest log, in bytes: above what a project's limits allow.
const MAX_LOG_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Most that one read answers, in bytes.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// A directory of logs.
#[derive(Debug, Clone)]
pub struct Logs {
    directory: PathBuf,
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
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, task: &TaskId, attempt: u32) -> PathBuf {
        self.directory.join(format!("{task}-{attempt}.log"))
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

    /// Bytes from `offset`, at most 1 MiB, none after the end; `None`: no such log.
    pub async fn read(
        &self,
        task: &TaskId,
        attempt: u32,
        offset: u64,
    ) -> std::io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open(task, attempt).await? else {
            return Ok(None);
        };
        // No file is that long, and the system refuses to look beyond half of all numbers.
        if offset > MAX_LOG_BYTES {
            return Ok(Some(Vec::new()));
        }
        file.seek(SeekFrom::Start(offset)).await?;
        let mut bytes = Vec::new();
        file.take(MAX_READ_BYTES).read_to_end(&mut bytes).await?;
        Ok(Some(bytes))
    }

    /// The file itself; `None`: no such log.
    pub(crate) async fn open(&self, task: &TaskId, attempt: u32) -> std::io::Result<Option<File>> {
        match File::open(self.path(task, attempt)).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last `limit` bytes at most, from the beginning of a line, and whether there is more before.
    pub(crate) async fn tail(
        &self,
        task: &TaskId,
        attempt: u32,
        limit: u64,
    ) -> std::io::Result<(Vec<u8>, bool)> {
        let Some(file) = self.open(task, attempt).await? else {
            return Ok((Vec::new(), false));
        };
        let size = file.metadata().await?.len();
        drop(file);
        let from = size.saturating_sub(limit.min(MAX_READ_BYTES));
        let bytes = self.read(task, attempt, from).await?.unwrap_or_default();
        let begin = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if from > 0 => end + 1,
            _ => 0,
        };
        Ok((bytes[begin..].to_vec(), from > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_offset_is_any_number() {
        let directory = tempfile::tempdir().expect("a directory");
        let logs = Logs::new(directory.path().to_owned());
        let task: TaskId = "0123456789abcdef0123456789abcdef".parse().expect("an id");
        let append = async |offset| logs.append(&task, 1, offset, b"line\n").await;
        assert_eq!(append(0).await.expect("taken"), Appended::Yes);
        assert_eq!(append(0).await.expect("again"), Appended::Yes);
        assert_eq!(append(7).await.expect("looked"), Appended::Expected(5));
        for offset in [MAX_LOG_BYTES + 1, 1 << 63, u64::MAX - 4, u64::MAX] {
            let refused = append(offset).await;
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{refused:?}");
            let read = logs.read(&task, 1, offset).await.expect("read");
            assert_eq!(read.as_deref(), Some(&b""[..]), "{offset}");
        }
        let read = logs.read(&task, 1, 2).await.expect("read");
        assert_eq!(read.as_deref(), Some(&b"ne\n"[..]));
    }
}
