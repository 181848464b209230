//! The one transition table.
//!
//! ```text
//! Blocked ⇄ Ready → Leased(n) → Succeeded | Failed | Excluded
//!             ↑         │
//!             └─────────┘ expiry, infrastructure error, handed back: attempt n+1
//! any open state → Canceled | Superseded;  Failed, Canceled → Blocked or Ready (retry, attempt n+1)
//! ```
//!
//! Every event is matched against every state; what is not allowed is a [`Refusal`], never a guess.

use pipeline_spec::RunnerId;
use runner_api::{Outcome, ResultManifest, TaskRef, TaskSpec};

use crate::{
    AttemptRecord, Change, Ending, Expect, FailedBy, Key, LeaseRow, Message, Millis, QueueName,
    Row, Stop, TaskRow, TaskState,
};

/// Bounds of the table.
pub mod limits {
    /// Attempts that end in infrastructure trouble, without a result in between, before a task fails.
    /// A retry by a person gives as many again; an attempt that was handed back does not count.
    pub const MAX_ATTEMPTS: u32 = 5;
    /// Ended attempts kept in a row, so that it stays far below 400 KB.
    pub const ATTEMPTS_KEPT: usize = 20;
    /// First wait after infrastructure trouble; doubled with each attempt.
    pub const BACKOFF_MILLIS: i64 = 5_000;
    /// Longest wait.
    pub const MAX_BACKOFF_MILLIS: i64 = 600_000;
}

/// What happens to a task.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// All inputs are there.
    Unblock,
    /// The runner asks for the lease of an attempt.
    Lease {
        /// Which attempt the message named.
        attempt: u32,
        /// Who.
        runner: &'a RunnerId,
        /// How long without a heartbeat.
        lease_millis: i64,
    },
    /// The runner is alive.
    Heartbeat {
        /// Of which attempt.
        attempt: u32,
        /// Who.
        runner: &'a RunnerId,
        /// How long without the next one.
        lease_millis: i64,
    },
    /// The runner's last word.
    Finish(&'a ResultManifest),
    /// Sweep saw the lease's end.
    Expire {
        /// Of which attempt.
        attempt: u32,
    },
    /// A person, or the request's removal.
    Cancel {
        /// Why.
        reason: &'a str,
    },
    /// A newer version of the request does not want it.
    Supersede {
        /// The commit.
        by: &'a str,
    },
    /// A person wants another attempt.
    Retry,
    /// The request came back and wants it again.
    Revive,
}

/// Why an event does not apply. A value, not a fault: callers answer with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The task is in a state that the event does not fit.
    #[error("the task is {state}, so it cannot {event}")]
    State {
        /// Its state.
        state: &'static str,
        /// What was wanted.
        event: &'static str,
    },
    /// Another attempt holds, or held, the lease.
    #[error("attempt {asked} is not the current one ({current})")]
    Attempt {
        /// What the event named.
        asked: u32,
        /// What the row has.
        current: u32,
    },
    /// Another runner holds the lease.
    #[error("runner {holder} holds the lease")]
    Holder {
        /// Who.
        holder: RunnerId,
    },
    /// The lease has not ended yet, or the backoff has not.
    #[error("it is not due before {due}")]
    NotDue {
        /// When.
        due: Millis,
    },
    /// The very same result stands already.
    #[error("the result stands already")]
    Repeated,
}

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
        } => heartbeat(row, *attempt, runner, now, *lease_millis)?,
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
    };
    Ok(change_to(row, version, next, now))
}

/// Writes the row, its lease index and the effects that follow from the new state alone.
fn change_to(row: &TaskRow, version: u64, next: TaskRow, now: Millis) -> Change {
    let task = row.task.clone();
    let mut change = Change::default();
    match (&row.state, &next.state) {
        (
            _,
            TaskState::Leased {
                attempt, expires, ..
            },
        ) => {
            let lease = LeaseRow {
                task: task.clone(),
                attempt: *attempt,
                expires: *expires,
            };
            change.put(Key::lease(&task.id), Row::Lease(lease));
        }
        (TaskState::Leased { .. }, _) => change.delete(Key::lease(&task.id)),
        _ => {}
    }
    if let TaskState::Ready {
        attempt,
        not_before,
    } = next.state
    {
        let queue = QueueName::work(next.spec.role(), next.spec.arch());
        let message = Message::Attempt {
            task: task.clone(),
            attempt,
        };
        change.effect(queue, message, not_before);
    }
    let heartbeat = matches!(
        (&row.state, &next.state),
        (TaskState::Leased { stop: was, .. }, TaskState::Leased { stop: is, .. }) if was == is
    );
    if !heartbeat {
        let request = task.request.clone();
        if next.state.is_closed() {
            change.effect(
                QueueName::advance(),
                Message::Advance {
                    request: request.clone(),
                },
                now,
            );
        }
        change.effect(QueueName::report(), Message::Report { request }, now);
    }
    change.replace(
        Key::task(&task),
        Expect::Version(version),
        Row::Task(Box::new(next)),
    );
    change
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
    asked: u32,
    runner: &RunnerId,
    now: Millis,
    lease_millis: i64,
) -> Result<TaskRow, Refusal> {
    let (since, stop) = held(row, asked, runner, "take a heartbeat")?;
    Ok(with_state(
        row,
        TaskState::Leased {
            attempt: asked,
            runner: runner.clone(),
            since,
            expires: now + lease_millis,
            stop,
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
    let ended = ended(
        row,
        since,
        now,
        (ending(&result.outcome), describe(&result.outcome)),
    );
    if let Some(stop) = stop {
        return Ok(with_state(&ended, stopped(stop, result.attempt)));
    }
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
            let ended = ended(row, *since, now, (Ending::Trouble, message.clone()));
            let state = match stop.clone() {
                Some(stop) => stopped(stop, asked),
                None => again(&ended, asked, &message, now),
            };
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
        // The runner hears it with its next heartbeat; its result, or the lease's end, closes the task.
        TaskState::Leased {
            attempt,
            runner,
            since,
            expires,
            stop: None,
        } => TaskState::Leased {
            attempt: *attempt,
            runner: runner.clone(),
            since: *since,
            expires: *expires,
            stop: Some(wanted),
        },
        TaskState::Leased { stop: Some(_), .. } => {
            return Err(Refusal::State {
                state: "stopping already",
                event: "be stopped again",
            });
        }
        TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Excluded { .. }
        | TaskState::Canceled { .. }
        | TaskState::Superseded { .. } => return Err(refuse(row, "be stopped")),
    };
    Ok(with_state(row, state))
}

fn retry(row: &TaskRow, now: Millis) -> Result<TaskRow, Refusal> {
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

/// Another attempt after trouble that is ours, with exponential backoff, or the end of patience.
/// `ended`: the row with this very attempt in its history.
fn again(ended: &TaskRow, attempt: u32, message: &str, now: Millis) -> TaskState {
    let troubles = ended
        .attempts
        .iter()
        .rev()
        .take_while(|record| record.ending != Ending::Result)
        .filter(|record| record.ending == Ending::Trouble)
        .count() as u32;
    // A person's retry leaves the history as it is: patience ends at each multiple.
    if troubles.is_multiple_of(limits::MAX_ATTEMPTS) {
        return TaskState::Failed {
            attempt,
            by: FailedBy::Infrastructure {
                message: message.to_owned(),
            },
            result: None,
        };
    }
    let doublings = troubles % limits::MAX_ATTEMPTS - 1;
    let doubled = limits::BACKOFF_MILLIS << doublings;
    TaskState::Ready {
        attempt: attempt + 1,
        not_before: now + doubled.min(limits::MAX_BACKOFF_MILLIS),
    }
}

/// The row with its leased attempt written into the history.
fn ended(row: &TaskRow, leased: Millis, now: Millis, (ending, end): (Ending, String)) -> TaskRow {
    let mut row = row.clone();
    if let TaskState::Leased {
        attempt, runner, ..
    } = &row.state
    {
        row.attempts.push(AttemptRecord {
            attempt: *attempt,
            runner: runner.clone(),
            leased,
            ended: now,
            ending,
            end,
        });
        let surplus = row.attempts.len().saturating_sub(limits::ATTEMPTS_KEPT);
        row.attempts.drain(..surplus);
    }
    row
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Excluded { .. } => {
            Ending::Result
        }
        Outcome::Infrastructure { .. } => Ending::Trouble,
        Outcome::HandedBack { .. } => Ending::HandedBack,
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { .. } => "succeeded".to_owned(),
        Outcome::Failed { failure, .. } => format!("failed: {}", failure.message),
        Outcome::Excluded { reason } => format!("excluded: {reason}"),
        Outcome::Infrastructure { message } => {
            format!("infrastructure error: failed to {message}")
        }
        Outcome::HandedBack { reason } => format!("handed back: {reason}"),
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
        }
    }

    /// The change that brings this new row into the ledger, with the effects of its state.
    pub fn insert(&self) -> Change {
        let mut change = Change::default();
        if let TaskState::Ready {
            attempt,
            not_before,
        } = self.state
        {
            let queue = QueueName::work(self.spec.role(), self.spec.arch());
            let task = self.task.clone();
            change.effect(queue, Message::Attempt { task, attempt }, not_before);
        }
        change.replace(
            Key::task(&self.task),
            Expect::Absent,
            Row::Task(Box::new(self.clone())),
        );
        change
    }
}
