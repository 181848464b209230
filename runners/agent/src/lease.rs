//! Keeps a lease alive and hears when it is over.

use std::sync::Arc;
use std::time::Duration;

use runner_api::HeartbeatReply;
use runner_api::protocol::Attempt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::client::{Client, Trouble};

/// Shortest time between heartbeats, whatever the grant says.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

/// Why a lease is over before the job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody does not want the result any more, for this reason.
    Cancelled(String),
    /// The attempt is another's, or closed.
    Lost,
}

/// A lease and its heartbeats, which end when it is dropped.
pub(crate) struct Lease {
    verdict: watch::Receiver<Option<Verdict>>,
    beats: JoinHandle<()>,
}

impl Lease {
    pub(crate) fn keep(client: Arc<Client>, attempt: Attempt, every: Duration) -> Self {
        let (tell, verdict) = watch::channel(None);
        let beats = tokio::spawn(async move {
            let verdict = beat(&client, &attempt, every.max(MIN_HEARTBEAT)).await;
            tell.send_replace(Some(verdict));
            // The receiver must find the sender alive, however late it looks.
            std::future::pending::<()>().await;
        });
        Self { verdict, beats }
    }

    /// Resolves when the lease is over; never, while it is not.
    pub(crate) async fn over(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        let told = verdict.wait_for(Option::is_some).await;
        told.ok()
            .and_then(|verdict| verdict.clone())
            .unwrap_or(Verdict::Lost)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

async fn beat(client: &Client, attempt: &Attempt, every: Duration) -> Verdict {
    let mut backoff = Backoff::new();
    tokio::time::sleep(every).await;
    loop {
        match client.heartbeat(attempt).await {
            Ok(HeartbeatReply::Continue) => {
                backoff.reset();
                tokio::time::sleep(every).await;
            }
            Ok(HeartbeatReply::Cancel { reason }) => return Verdict::Cancelled(reason),
            Ok(HeartbeatReply::Lost) => return Verdict::Lost,
            // The job goes on: whether the lease still stands, only the control plane can say.
            Err(Trouble::Away(reason)) => {
                tracing::debug!(task = %attempt.task, "failed to send a heartbeat: {reason}");
                backoff.wait().await;
            }
            Err(trouble) => {
                tracing::warn!(task = %attempt.task, "failed to send a heartbeat: {trouble}");
                backoff.wait().await;
            }
        }
    }
}
