//! Keeps a lease alive and hears when it is over.

use std::sync::Arc;
use std::time::Duration;

use runner_api::protocol::Attempt;
use runner_api::{Heartbeat, HeartbeatReply, Step};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::client::{Client, Trouble};

/// Shortest time between heartbeats, whatever the grant says.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);
/// A new step is told this long after the last heartbeat, at the earliest: each one is a durable write
/// for the control plane, and nobody reads a step that lasts shorter.
const STEP_DELAY: Duration = Duration::from_secs(1);

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
    /// Sends a heartbeat `every` so often, with the newest of `steps`.
    pub(crate) fn keep(
        client: Arc<Client>,
        attempt: Attempt,
        every: Duration,
        steps: watch::Receiver<Option<Step>>,
    ) -> Self {
        let (tell, verdict) = watch::channel(None);
        let beats = tokio::spawn(async move {
            let verdict = beat(&client, attempt, every.max(MIN_HEARTBEAT), steps).await;
            tell.send_replace(Some(verdict));
            // The receiver must find the sender alive, however late it looks.
            std::future::pending::<()>().await;
        });
        Self { verdict, beats }
    }

    /// Resolves when no result can be delivered any more; never, while one can. The result of a cancelled
    /// attempt can: it says that the runner has let go.
    pub(crate) async fn lost(&self) {
        let mut verdict = self.verdict.clone();
        // Heartbeats end with the lease alone, so a sender that is gone is as good as a lost lease.
        let _ = verdict
            .wait_for(|verdict| *verdict == Some(Verdict::Lost))
            .await;
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

async fn beat(
    client: &Client,
    attempt: Attempt,
    every: Duration,
    mut steps: watch::Receiver<Option<Step>>,
) -> Verdict {
    let mut backoff = Backoff::new();
    let mut beat = Heartbeat {
        attempt,
        step: None,
    };
    due(every, &mut steps).await;
    loop {
        beat.step = *steps.borrow_and_update();
        match client.heartbeat(&beat).await {
            Ok(HeartbeatReply::Continue) => {
                backoff.reset();
                due(every, &mut steps).await;
            }
            Ok(HeartbeatReply::Cancel { reason }) => return Verdict::Cancelled(reason),
            Ok(HeartbeatReply::Lost) => return Verdict::Lost,
            // The job goes on: whether the lease still stands, only the control plane can say.
            Err(Trouble::Away(reason)) => {
                tracing::debug!(task = %beat.attempt.task, "failed to send a heartbeat: {reason}");
                backoff.wait().await;
            }
            Err(trouble) => {
                tracing::warn!(task = %beat.attempt.task, "failed to send a heartbeat: {trouble}");
                backoff.wait().await;
            }
        }
    }
}

/// Until the next heartbeat is due: after `every`, or sooner with a new step.
async fn due(every: Duration, steps: &mut watch::Receiver<Option<Step>>) {
    let new_step = async {
        tokio::time::sleep(STEP_DELAY).await;
        if steps.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    // Either is a reason.
    let _ = tokio::time::timeout(every, new_step).await;
}
