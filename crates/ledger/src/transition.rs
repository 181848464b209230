//! The one transition table.
//!
//! ```text
//! Blocked ⇄ Ready → Leased(n) → Succeeded | Failed | Excluded
//!             ↑         │
//!             └─────────┘ expiry, infrastructure error, handed back: attempt n+1
//! any open state → Canceled | Superseded;  Failed, Canceled → Blocked or Ready (retry, attempt n+1)
//! any closed state ⇄ the same, put aside (a newer version of the request does not want it)
//! ```
//!
//! Every event is matched against every state; what is not allowed is a [`Refusal`], never a guess.

mod attempt;
mod effects;
mod event;

use pipeline_spec::{RunnerId, Weight};
use runner_api::{Outcome, ResultManifest, Step, TaskRef, TaskSpec};

use crate::{Change, Ending, FailedBy, Millis, Share, Stop, TaskRow, TaskState};
use attempt::{again, describe, describe_stop, ended, ending};
use effects::change_to;
pub use event::{Event, Refusal, limits};

/// The change that `event` makes to `row`, read at `version`.
pub fn transition(
    row: &TaskRow,
    version: u64,
    event: &Event<'_>,
    now: Millis,
) -> Result<Change, Refusal> {
    let next = match event {
        Event::Unblock => unblock(row, now)?,
        Event::Lease {
            attempt,
            runner,
            lease_millis,
        } => lease(row, *attempt, runner, now, *lease_millis)?,
        Event::Heartbeat {
            attempt,
            runner,
            lease_millis,
            step,
        } => heartbeat(row, (*attempt, *step), runner, now + *lease_millis)?,
        Event::Finish(result) => finish(row, result, now)?,
        Event::Expire { attempt } => expire(row, *attempt, now)?,
        Event::Cancel { reason } => stop(
            row,
            Stop::Cancel {
                reason: (*reason).to_owned(),
            },
        )?,
        Event::Supersede { by } => stop(
            row,
            Stop::Supersede {
                by: (*by).to_owned(),
            },
        )?,
        Event::Retry => retry(row, now)?,
        Event::Revive => revive(row, now)?,
        Event::Share { share, weight } => reshare(row, share, *weight)?,
        Event::Offer => offer(row, now)?,
    };
    Ok(change_to(row, version, next, now))
}

fn with_state(row: &TaskRow, state: TaskState) -> TaskRow {
    TaskRow {
        state,
        ..row.clone()
    }
}

fn refuse(row: &TaskRow, event: &'static str) -> Refusal {
    Refusal::State {
        state: row.state.word(),
        event,
    }
}

fn unblock(row: &TaskRow, now: Millis) -> Result<TaskRow, Refusal> {
    match &row.state {
        TaskState::Blocked { next, .. } => Ok(with_state(
            row,
            TaskState::Ready {
                attempt: *next,
                not_before: now,
            },
        )),
        TaskState::Ready { .. }
        | TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "be unblocked")),
    }
}

/// The same state with another claim. One that is offered is offered once more, in its new place; what
/// is under way is not, since its runner was told already.
fn reshare(row: &TaskRow, share: &Share, weight: Weight) -> Result<TaskRow, Refusal> {
    match &row.state {
        TaskState::Blocked { .. } | TaskState::Ready { .. } => Ok(TaskRow {
            share: share.clone(),
            weight,
            ..row.clone()
        }),
        TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "take another place")),
    }
}

/// The same attempt, due now: of two sweeps one offers it, and the next waits as long again.
fn offer(row: &TaskRow, now: Millis) -> Result<TaskRow, Refusal> {
    match &row.state {
        TaskState::Ready { not_before, .. } if *not_before > now => {
            Err(Refusal::NotDue { due: *not_before })
        }
        TaskState::Ready { attempt, .. } => Ok(with_state(
            row,
            TaskState::Ready {
                attempt: *attempt,
                not_before: now,
            },
        )),
        TaskState::Blocked { .. }
        | TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "be offered again")),
    }
}

fn lease(
    row: &TaskRow,
    asked: u32,
    runner: &RunnerId,
    now: Millis,
    lease_millis: i64,
) -> Result<TaskRow, Refusal> {
    match &row.state {
        TaskState::Ready {
            attempt,
            not_before,
        } => {
            if *attempt != asked {
                return Err(Refusal::Attempt {
                    asked,
                    current: *attempt,
                });
            }
            if *not_before > now {
                return Err(Refusal::NotDue { due: *not_before });
            }
            Ok(with_state(
                row,
                TaskState::Leased {
                    attempt: asked,
                    runner: runner.clone(),
                    since: now,
                    expires: now + lease_millis,
                    stop: None,
                    step: None,
                },
            ))
        }
        TaskState::Blocked { .. }
        | TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "be leased")),
    }
}

/// The lease that `runner` holds as `asked`, or why it does not.
fn held(
    row: &TaskRow,
    asked: u32,
    who: &RunnerId,
    event: &'static str,
) -> Result<(Millis, Option<Stop>), Refusal> {
    match &row.state {
        TaskState::Leased {
            attempt,
            runner,
            since,
            stop,
            ..
        } => {
            if *attempt != asked {
                return Err(Refusal::Attempt {
                    asked,
                    current: *attempt,
                });
            }
            if runner != who {
                return Err(Refusal::Holder {
                    holder: runner.clone(),
                });
            }
            Ok((*since, stop.clone()))
        }
        TaskState::Blocked { .. }
        | TaskState::Ready { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, event)),
    }
}

fn heartbeat(
    row: &TaskRow,
    (asked, step): (u32, Option<Step>),
    runner: &RunnerId,
    expires: Millis,
) -> Result<TaskRow, Refusal> {
    let (since, stop) = held(row, asked, runner, "take a heartbeat")?;
    Ok(with_state(
        row,
        TaskState::Leased {
            attempt: asked,
            runner: runner.clone(),
            since,
            expires,
            stop,
            step,
        },
    ))
}

fn finish(row: &TaskRow, result: &ResultManifest, now: Millis) -> Result<TaskRow, Refusal> {
    if let TaskState::Succeeded { result: stands } = &row.state
        && **stands == *result
    {
        return Err(Refusal::Repeated);
    }
    if let TaskState::Failed {
        result: Some(stands),
        ..
    } = &row.state
        && **stands == *result
    {
        return Err(Refusal::Repeated);
    }
    let (since, stop) = held(row, result.attempt, &result.runner, "take a result")?;
    let said = describe(&result.outcome);
    if let Some(stop) = stop {
        let end = describe_stop(&stop, &said);
        let ended = ended(row, since, now, (Ending::HandedBack, end));
        return Ok(with_state(&ended, stopped(stop, result.attempt)));
    }
    let ended = ended(row, since, now, (ending(&result.outcome), said));
    let attempt = result.attempt;
    let state = match &result.outcome {
        Outcome::Succeeded { .. } => TaskState::Succeeded {
            result: Box::new(result.clone()),
        },
        Outcome::Failed { failure, .. } => TaskState::Failed {
            attempt,
            by: FailedBy::Package(failure.clone()),
            result: Some(Box::new(result.clone())),
        },
        Outcome::Excluded { reason } => TaskState::Excluded {
            reason: reason.clone(),
        },
        Outcome::Infrastructure { message } => again(&ended, attempt, message, now),
        Outcome::HandedBack { .. } => TaskState::Ready {
            attempt: attempt + 1,
            not_before: now,
        },
    };
    Ok(with_state(&ended, state))
}

fn expire(row: &TaskRow, asked: u32, now: Millis) -> Result<TaskRow, Refusal> {
    match &row.state {
        TaskState::Leased {
            attempt,
            runner,
            since,
            expires,
            stop,
            ..
        } => {
            if *attempt != asked {
                return Err(Refusal::Attempt {
                    asked,
                    current: *attempt,
                });
            }
            if *expires > now {
                return Err(Refusal::NotDue { due: *expires });
            }
            let message = format!("runner {runner} sent no heartbeat; its lease ended");
            if let Some(stop) = stop.clone() {
                let end = describe_stop(&stop, &message);
                let ended = ended(row, *since, now, (Ending::HandedBack, end));
                return Ok(with_state(&ended, stopped(stop, asked)));
            }
            let ended = ended(row, *since, now, (Ending::Trouble, message.clone()));
            let state = again(&ended, asked, &message, now);
            Ok(with_state(&ended, state))
        }
        TaskState::Blocked { .. }
        | TaskState::Ready { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "expire")),
    }
}

fn stop(row: &TaskRow, wanted: Stop) -> Result<TaskRow, Refusal> {
    let state = match &row.state {
        TaskState::Blocked { .. } | TaskState::Ready { .. } => stopped(wanted, row.state.attempt()),
        // What a person stopped may not be wanted either: then it is no part of the answer any more.
        TaskState::Leased {
            stop: Some(before), ..
        } if !matches!(
            (before, &wanted),
            (Stop::Cancel { .. }, Stop::Supersede { .. })
        ) =>
        {
            return Err(Refusal::State {
                state: "stopping already",
                event: "be stopped again",
            });
        }
        // The runner hears it with its next heartbeat; its result, or the lease's end, closes the task.
        TaskState::Leased {
            attempt,
            runner,
            since,
            expires,
            step,
            ..
        } => TaskState::Leased {
            attempt: *attempt,
            runner: runner.clone(),
            since: *since,
            expires: *expires,
            stop: Some(wanted),
            step: *step,
        },
        TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. } => return put_aside(row, wanted),
        TaskState::Superseded { .. } => return Err(refuse(row, "be stopped")),
    };
    Ok(with_state(row, state))
}

/// What is closed stays as it ended, out of sight, until it is wanted again.
fn put_aside(row: &TaskRow, wanted: Stop) -> Result<TaskRow, Refusal> {
    match wanted {
        Stop::Supersede { by } if row.dropped.is_none() => Ok(TaskRow {
            dropped: Some(by),
            ..row.clone()
        }),
        Stop::Supersede { .. } | Stop::Cancel { .. } => Err(refuse(row, "be stopped")),
    }
}

fn retry(row: &TaskRow, now: Millis) -> Result<TaskRow, Refusal> {
    if row.dropped.is_some() {
        return Err(Refusal::State {
            state: "not wanted any more",
            event: "be retried",
        });
    }
    match &row.state {
        // A task that was canceled while it was blocked still misses its inputs.
        TaskState::Failed { attempt, .. } | TaskState::Canceled { attempt, .. } => {
            Ok(with_state(row, first_state(&row.spec, attempt + 1, now)))
        }
        TaskState::Blocked { .. }
        | TaskState::Ready { .. }
        | TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Excluded { .. }
        | TaskState::Superseded { .. } => Err(refuse(row, "be retried")),
    }
}

fn revive(row: &TaskRow, _now: Millis) -> Result<TaskRow, Refusal> {
    if row.dropped.is_some() {
        return Ok(TaskRow {
            dropped: None,
            ..row.clone()
        });
    }
    match &row.state {
        TaskState::Superseded { attempt, .. } | TaskState::Canceled { attempt, .. } => {
            // Blocked, not Ready: its inputs are looked at anew before a runner sees it.
            Ok(with_state(
                row,
                TaskState::Blocked {
                    on: row.spec.inputs().into_iter().cloned().collect(),
                    next: attempt + 1,
                },
            ))
        }
        TaskState::Blocked { .. }
        | TaskState::Ready { .. }
        | TaskState::Leased { .. }
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. } => Err(refuse(row, "be revived")),
    }
}

fn stopped(stop: Stop, attempt: u32) -> TaskState {
    match stop {
        Stop::Cancel { reason } => TaskState::Canceled { attempt, reason },
        Stop::Supersede { by } => TaskState::Superseded { attempt, by },
    }
}

/// Blocked on its inputs, or ready when it has none.
fn first_state(spec: &TaskSpec, attempt: u32, now: Millis) -> TaskState {
    let on: Vec<TaskRef> = spec.inputs().into_iter().cloned().collect();
    if on.is_empty() {
        TaskState::Ready {
            attempt,
            not_before: now,
        }
    } else {
        TaskState::Blocked { on, next: attempt }
    }
}

impl TaskRow {
    /// A new row: blocked on its inputs, or ready when it has none. Not written yet.
    pub fn planned(task: TaskRef, spec: TaskSpec, why: String, now: Millis) -> Self {
        let state = first_state(&spec, 1, now);
        Self {
            task,
            spec,
            state,
            why,
            planned: now,
            attempts: Vec::new(),
            dropped: None,
            share: Share::default(),
            weight: Weight::ONE,
        }
    }
}
