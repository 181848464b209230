//! The end of an attempt: the whole log as an artifact, then one manifest, sent until it is accepted
//! or stale.

use std::time::Duration;

use runner_api::protocol::Attempt;
use runner_api::{Artifact, Outcome, ResultManifest, ResultReply};

use crate::backoff::Backoff;
use crate::client::Trouble;
use crate::cloud::HandedIn;
use crate::daemon::Shared;
use crate::error::bounded;
use crate::lease::Lease;
use crate::log_stream::LogStream;
use crate::{Job, clock};

/// How long a runner that has to stop tries to say so.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a control plane that answers may refuse our proof before a result is given up: somebody
/// may be correcting the clock or the enrolment.
const UNPROVEN_PATIENCE: u32 = 300;

/// What is to be said of an attempt.
pub(crate) struct Report {
    pub(crate) attempt: Attempt,
    pub(crate) outcome: Outcome,
    pub(crate) started: i64,
}

/// Delivers with the job's log.
pub(crate) async fn with_log(
    shared: &Shared,
    report: Report,
    job: &Job,
    stream: LogStream,
    lease: &Lease,
) {
    unless_pointless(shared, lease, async {
        let ((), log) = tokio::join!(stream.finish(), store_log(job));
        send(shared, report, log, Way::of(shared)).await;
    })
    .await;
}

/// Delivers the result of a job that never began.
pub(crate) async fn without_log(shared: &Shared, report: Report, lease: &Lease) {
    let sent = send(shared, report, None, Way::of(shared));
    unless_pointless(shared, lease, sent).await;
}

/// Delivers without a lease to keep, for as long as a stopping runner has.
pub(crate) async fn last_words(shared: &Shared, report: Report) {
    let task = report.attempt.task.clone();
    let said = tokio::time::timeout(LAST_WORDS, send(shared, report, None, Way::Api)).await;
    if said.is_err() {
        tracing::warn!(%task, "the control plane is away: a lease will run out");
    }
}

/// Delivers without a lease to keep, whenever the control plane listens.
pub(crate) async fn when_possible(shared: &Shared, report: Report) {
    send(shared, report, None, Way::StoreUnlessThere).await;
}

/// Which way a result goes, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Into the store. If something is there, through the runner API too: it may be a stranger's.
    Store,
    /// Into the store, unless something is there: what was said before counts.
    StoreUnlessThere,
    /// Through the runner API: there is no time for two.
    Api,
}

impl Way {
    fn of(shared: &Shared) -> Self {
        match shared.hand_back.is_cancelled() {
            true => Self::Api,
            false => Self::Store,
        }
    }
}

/// Gives up when the lease is lost, or when the runner stops and the control plane stays away.
async fn unless_pointless(shared: &Shared, lease: &Lease, delivery: impl Future<Output = ()>) {
    let stopping = async {
        shared.hand_back.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        biased;
        () = delivery => {}
        () = lease.lost() => tracing::warn!("a result is not wanted any more: the lease is lost"),
        () = stopping => tracing::warn!("the control plane is away: a result stays undelivered, the lease will run out"),
    }
}

async fn store_log(job: &Job) -> Option<Artifact> {
    let log = job.log();
    if log.lost() {
        tracing::warn!(task = %job.grant().task, "bytes of the log were lost: the disk is full or the log too large");
    }
    if log.written() == 0 {
        return None;
    }
    let stored = job.store_log().await;
    stored
        .inspect_err(|error| tracing::warn!(task = %job.grant().task, "failed to {error}"))
        .ok()
}

async fn send(shared: &Shared, report: Report, log: Option<Artifact>, way: Way) {
    let mut manifest = ResultManifest {
        version: runner_api::VERSION,
        task: report.attempt.task,
        attempt: report.attempt.attempt,
        runner: shared.client.runner().clone(),
        outcome: report.outcome,
        log,
        started: report.started,
        finished: clock::now(),
    };
    tracing::info!(task = %manifest.task, attempt = manifest.attempt, "{}", headline(&manifest.outcome));
    let Err(refusal) = insist(shared, &manifest, way).await else {
        return;
    };
    tracing::error!(task = %manifest.task, "failed to deliver a result: {refusal}");
    // Without any result the task would wait for its lease to run out, and nobody would know why.
    manifest.outcome = Outcome::Infrastructure {
        message: bounded(format!("deliver the result: {refusal}")),
    };
    manifest.log = None;
    if let Err(refusal) = insist(shared, &manifest, Way::Api).await {
        tracing::error!(task = %manifest.task, "failed to deliver that either: {refusal}");
    }
}

/// Sends until there is an answer. `Err`: the control plane never takes this manifest.
async fn insist(shared: &Shared, manifest: &ResultManifest, way: Way) -> Result<(), Trouble> {
    let mut backoff = Backoff::new();
    let mut unproven = 0;
    loop {
        if let Some(cloud) = shared.cloud.as_ref().filter(|_| way != Way::Api) {
            match cloud.hand_in(&shared.client, manifest).await {
                Ok(HandedIn::Yes) => return Ok(()),
                Ok(HandedIn::Before) if way == Way::StoreUnlessThere => return Ok(()),
                Ok(HandedIn::Before) => {}
                Err(trouble) => {
                    tracing::warn!(task = %manifest.task, "failed to hand a result in, sending it instead: {trouble}");
                }
            }
        }
        match shared.client.result(manifest).await {
            Ok(ResultReply::Accepted) => return Ok(()),
            Ok(ResultReply::Stale { reason }) => {
                tracing::warn!(task = %manifest.task, "the result is stale: {reason}");
                return Ok(());
            }
            Err(trouble @ Trouble::Final { .. }) => return Err(trouble),
            Err(trouble @ Trouble::Unproven(_)) if unproven == UNPROVEN_PATIENCE => {
                return Err(trouble);
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::Unproven(_)) {
                    unproven += 1;
                }
                tracing::warn!(task = %manifest.task, "failed to deliver a result, trying again: {trouble}");
            }
        }
        backoff.wait().await;
    }
}

fn headline(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { artifacts, .. } => format!("succeeded: {} artifacts", artifacts.len()),
        Outcome::Failed { failure, .. } => format!("failed: {}", failure.message),
        Outcome::Excluded { reason } => format!("excluded: {reason}"),
        Outcome::Infrastructure { message } => format!("infrastructure error: failed to {message}"),
        Outcome::HandedBack { reason } => format!("handed back: {reason}"),
    }
}
