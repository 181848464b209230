//! One attempt from its grant to its delivered result.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use runner_api::protocol::Attempt;
use runner_api::{Grant, Outcome, Step};
use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::daemon::{Filled, Room, Shared};
use crate::deliver::{self, Report};
use crate::job::Note;
use crate::lease::{Lease, Verdict};
use crate::log_stream::LogStream;
use crate::{Halt, Job, clock};

/// How long a role gets to end after it was asked to stop. Then it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Why an attempt that nobody wants any more comes back. The request or the person that stopped it is
/// the control plane's to name.
const CANCELED: &str = "canceled";

/// How a role's run ended.
enum Ended {
    /// By itself, or stopped on request: there is something to say.
    With(Outcome),
    /// The lease is lost: there is nothing to say.
    Lost,
}

/// Works off `grant` once there is `room`, and delivers the result, if one is wanted.
pub(crate) async fn work_off(shared: &Arc<Shared>, grant: Grant, mut room: Room) {
    let started = clock::now();
    let attempt = Attempt {
        task: grant.task.clone(),
        attempt: grant.attempt,
    };
    tracing::info!(task = %attempt.task, attempt = attempt.attempt, "{}", grant.spec.title());
    let every = Duration::from_secs(grant.heartbeat_seconds);
    let prepared = prepare(shared, grant);
    let steps = match &prepared {
        Ok((job, _)) => job.steps(),
        Err(_) => watch::channel(None).1,
    };
    let lease = Lease::keep(Arc::clone(&shared.client), attempt.clone(), every, steps);
    let mut report = Report {
        attempt,
        outcome: Outcome::HandedBack {
            reason: String::new(),
        },
        started,
    };
    let job = match prepared {
        Ok((job, role)) => {
            let job = Arc::new(job);
            let stream = LogStream::start(&shared.client, &report.attempt, job.log());
            let ended = run(shared, &job, (role, &mut room), &lease).await;
            if let Ended::With(outcome) = ended {
                report.outcome = outcome;
                deliver::with_log(shared, report, &job, stream, &lease).await;
            }
            Some(job)
        }
        Err(halt) => {
            report.outcome = halt.into();
            deliver::without_log(shared, report, &lease).await;
            None
        }
    };
    drop(lease);
    // The tree may be large; deleting it is no work for the threads that serve connections.
    let gone = tokio::task::spawn_blocking(move || drop(job));
    if gone.await.is_err() {
        tracing::warn!("failed to remove a job's directory");
    }
}

/// Gives back a lease that arrived while the runner was already stopping.
pub(crate) async fn hand_back(shared: &Shared, grant: Grant) {
    let attempt = Attempt {
        task: grant.task,
        attempt: grant.attempt,
    };
    let report = Report {
        attempt,
        outcome: stopping(shared),
        started: clock::now(),
    };
    deliver::last_words(shared, report).await;
}

/// Says of an attempt of this runner's earlier, killed life that it is over. As trouble, not handed
/// back: a build that takes its runner down with it must not come again without end.
pub(crate) async fn bury(shared: &Shared, note: Note) {
    let message = format!(
        "finish: the runner {} was killed, and has started again",
        shared.client.runner()
    );
    let report = Report {
        attempt: note.attempt,
        outcome: Outcome::Infrastructure { message },
        started: note.started,
    };
    deliver::when_possible(shared, report).await;
}

fn stopping(shared: &Shared) -> Outcome {
    Outcome::HandedBack {
        reason: format!("the runner {} stops", shared.client.runner()),
    }
}

fn prepare(shared: &Shared, mut grant: Grant) -> Result<(Job, usize), Halt> {
    if grant.version > runner_api::VERSION {
        return Err(Halt::trouble(format!(
            "read the grant: it has version {}, and this runner knows up to {}; update the runner",
            grant.version,
            runner_api::VERSION
        )));
    }
    let wanted = grant.spec.role();
    let role = shared
        .roles
        .iter()
        .position(|role| role.serves().contains(&wanted))
        .ok_or_else(|| {
            Halt::trouble(format!(
                "find a program for the role {wanted}: this runner does not have it; take {wanted} out of runners/{}.yaml, or start a runner that does",
                shared.client.runner()
            ))
        })?;
    let blobs = Blobs::Remote {
        client: Arc::clone(&shared.client),
        links: Arc::new(std::mem::take(&mut grant.links)),
    };
    Ok((Job::new(grant, &shared.scratch, blobs)?, role))
}

async fn run(
    shared: &Arc<Shared>,
    job: &Arc<Job>,
    (role, room): (usize, &mut Room),
    lease: &Lease,
) -> Ended {
    if room.is_short() {
        job.step(Step::Waiting);
        job.log()
            .line("waiting for other jobs of this runner to end");
    }
    tokio::select! {
        biased;
        verdict = lease.over() => {
            return match verdict {
                Verdict::Lost => Ended::Lost,
                Verdict::Cancelled(_) => Ended::With(Outcome::HandedBack {
                    reason: CANCELED.to_owned(),
                }),
            };
        }
        () = shared.hand_back.cancelled() => return Ended::With(stopping(shared)),
        filled = room.fill() => {
            if let Filled::Drained = filled {
                return Ended::With(stopping(shared));
            }
        }
    }
    // A task of its own: a panic in a role ends the attempt, not the daemon.
    let mut work = tokio::spawn({
        let (shared, job) = (Arc::clone(shared), Arc::clone(job));
        async move { shared.roles[role].run(&job).await }
    });
    let verdict = tokio::select! {
        ended = &mut work => return Ended::With(outcome_of(ended)),
        verdict = lease.over() => Some(verdict),
        () = shared.hand_back.cancelled() => None,
    };
    if let Some(verdict) = &verdict {
        match verdict {
            Verdict::Cancelled(reason) => {
                tracing::info!(task = %job.grant().task, "canceled: {reason}");
                job.log().line(format_args!("canceled: {reason}"));
            }
            Verdict::Lost => {
                tracing::warn!(task = %job.grant().task, "the lease is lost: stopping")
            }
        }
    }
    job.cancelled().cancel();
    let ended = tokio::time::timeout(STOP_GRACE, &mut work).await;
    if ended.is_err() {
        tracing::warn!(task = %job.grant().task, "the job did not stop when asked: dropping it");
        work.abort();
        // Its things must be gone before the attempt is another's.
        let _ = work.await;
    }
    match (verdict, ended) {
        (Some(Verdict::Lost), _) => Ended::Lost,
        // At once: until then the task counts as leased, and nobody else gets it.
        (Some(Verdict::Cancelled(_)), _) => Ended::With(Outcome::HandedBack {
            reason: CANCELED.to_owned(),
        }),
        (None, Ok(Ok(done @ Outcome::Succeeded { .. }))) => Ended::With(done),
        (None, _) => Ended::With(stopping(shared)),
    }
}

fn outcome_of(ended: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    ended.unwrap_or_else(|error| {
        let words = match error.try_into_panic() {
            Ok(panic) => panic_words(&*panic),
            Err(error) => error.to_string(),
        };
        Halt::trouble(format!("work on the job: the runner panicked: {words}")).into()
    })
}

fn panic_words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
