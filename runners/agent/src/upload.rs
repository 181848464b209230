//! Bodies on their way out.
//!
//! Callers: `transfer`. Invariant: an upload has no time of its own, however large it is and however thin the line. It
//! goes on while it moves, and is left when it stands still.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests;

use std::fs::File;
use std::io::{Cursor, Seek as _};
use std::time::Duration;

use reqwest::Body;
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio_util::bytes::Bytes;
use tokio_util::io::{InspectReader, ReaderStream};

use crate::client::Trouble;

/// A body goes out in pieces of so many bytes. A piece is taken when the kernel has room: at most a third of 4 MiB, by
/// Linux's default, goes out in between, so a line of 200 kbit/s is never taken for one that stands still.
const PIECE_BYTES: usize = 64 * 1024;

/// How long an upload may stand still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Until the connection takes the next piece.
    pub(crate) piece: Duration,
    /// From the last piece to the answer: what this side's buffers hold, some megabytes, is still on its way, and the
    /// store has to write it all down.
    pub(crate) answer: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            piece: Duration::from_secs(60),
            answer: Duration::from_secs(5 * 60),
        }
    }
}

/// A body, sent as often as needed.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    File { file: File, size: u64 },
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// From the start, and how it moves.
    pub(crate) fn body(&self) -> std::io::Result<(Body, Motion)> {
        Ok(match self {
            Self::Bytes(bytes) => in_pieces(Cursor::new(bytes.clone())),
            Self::File { file, .. } => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                in_pieces(tokio::fs::File::from_std(file))
            }
        })
    }
}

fn in_pieces(reader: impl AsyncRead + Send + 'static) -> (Body, Motion) {
    let (taken, motion) = watch::channel(());
    // Nothing is read before there is room for it.
    let reader = InspectReader::new(reader, move |_| {
        taken.send_replace(());
    });
    let stream = ReaderStream::with_capacity(reader, PIECE_BYTES);
    (Body::wrap_stream(stream), Motion(motion))
}

/// Hears of each piece of a body that is taken. The other end goes with the body's end.
pub(crate) struct Motion(watch::Receiver<()>);

impl Motion {
    /// What `call` answers, which sends the body; trouble when it stands still.
    pub(crate) async fn watch<T>(
        self,
        pace: Pace,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            answer = call => answer,
            stands = self.stands_still(pace) => Err(Trouble::Away(stands)),
        }
    }

    async fn stands_still(mut self, pace: Pace) -> String {
        loop {
            match tokio::time::timeout(pace.piece, self.0.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break,
                Err(_) => return format!("no part of the body was taken for {:?}", pace.piece),
            }
        }
        tokio::time::sleep(pace.answer).await;
        format!("no answer came for {:?} after the body", pace.answer)
    }
}
