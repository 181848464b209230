//! Sends a growing log in pieces, for people who watch. The whole log is an artifact besides.

use std::sync::Arc;
use std::time::Duration;

use runner_api::protocol::{Attempt, MAX_LOG_CHUNK_BYTES};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::JobLog;
use crate::backoff::Backoff;
use crate::client::{Client, LogReply, Trouble};

/// A piece is sent when the log has this many bytes more, …
const EAGER_BYTES: u64 = 64 * 1024;
/// … or when its oldest byte is this old.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The status of an answer that wants no piece of any log.
const GONE: u16 = 410;
/// How long the last pieces may take after the job.
const LAST_PIECES: Duration = Duration::from_secs(5);

/// The stream of one attempt; ends when it is dropped.
pub(crate) struct LogStream {
    sender: JoinHandle<()>,
    complete: CancellationToken,
}

impl LogStream {
    pub(crate) fn start(client: &Arc<Client>, attempt: &Attempt, log: JobLog) -> Self {
        let complete = CancellationToken::new();
        let source = Source {
            client: Arc::clone(client),
            attempt: attempt.clone(),
            log,
            complete: complete.clone(),
        };
        Self {
            sender: tokio::spawn(source.send_all()),
            complete,
        }
    }

    /// Sends what is left, but not for long.
    pub(crate) async fn finish(mut self) {
        self.complete.cancel();
        if tokio::time::timeout(LAST_PIECES, &mut self.sender)
            .await
            .is_err()
        {
            tracing::debug!("the end of a log was not streamed in time");
        }
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

struct Source {
    client: Arc<Client>,
    attempt: Attempt,
    log: JobLog,
    complete: CancellationToken,
}

impl Source {
    async fn send_all(self) {
        let mut backoff = Backoff::new();
        let mut sent = 0;
        while self.has_more(sent).await {
            match self.send_piece(sent).await {
                Ok(offset) => {
                    backoff.reset();
                    sent = offset;
                }
                Err(Trouble::Away(_) | Trouble::Passing(_)) => backoff.wait().await,
                // No growing logs are kept there.
                Err(Trouble::Final { status: GONE, .. }) => return,
                Err(trouble) => {
                    tracing::warn!(task = %self.attempt.task, "failed to send a piece of log: {trouble}");
                    return;
                }
            }
        }
    }

    /// Waits until a piece from `sent` on is due; `false` when the log is complete and sent.
    async fn has_more(&self, sent: u64) -> bool {
        let longer_than = |size| async move {
            while self.log.written() <= size {
                self.log.grown().await;
            }
        };
        tokio::select! {
            () = longer_than(sent) => {}
            () = self.complete.cancelled() => return self.log.written() > sent,
        }
        tokio::select! {
            () = longer_than(sent + EAGER_BYTES - 1) => {}
            () = tokio::time::sleep(MAX_AGE) => {}
            () = self.complete.cancelled() => {}
        }
        true
    }

    /// Sends a piece that begins at `sent` and returns where the next one begins.
    async fn send_piece(&self, sent: u64) -> Result<u64, Trouble> {
        let ours = |reason: String| Trouble::Final { status: 0, reason };
        let piece = self
            .log
            .read(sent, MAX_LOG_CHUNK_BYTES)
            .map_err(|cause| ours(format!("read the log: {cause}")))?;
        let next = sent + piece.len() as u64;
        match self.client.log(&self.attempt, sent, piece).await? {
            LogReply::Taken => Ok(next),
            LogReply::Expects(offset) if offset != sent && offset <= self.log.written() => {
                Ok(offset)
            }
            LogReply::Expects(offset) => Err(ours(format!(
                "the control plane expects byte {offset} of a log with {} bytes",
                self.log.written()
            ))),
        }
    }
}
