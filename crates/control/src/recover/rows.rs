//! Rows out of a status file and its record.

use ledger::{
    AttemptRecord, Ending, FailedBy, Millis, Phase, RefRow, RequestRow, Share, TaskRow, TaskState,
};
use pipeline_spec::Weight;
use runner_api::{Outcome, ResultManifest, TaskRef, TaskSpec};

use super::RequestRecord;
use crate::render::{STOPPING, SUPERSEDED, StatusFile, StatusTask};

/// Attempts that may have begun since the status was written. The numbers of those that follow lie
/// beyond them, so that no runner's late word is taken for another's.
const UNKNOWN_ATTEMPTS: u32 = 100;

/// What one status file says.
pub(super) struct Answer {
    pub(super) row: RequestRow,
    pub(super) refs: Vec<RefRow>,
    pub(super) tasks: Vec<TaskRow>,
    /// Tasks of which an attempt was under way: it is made again.
    pub(super) again: usize,
    /// The rows say what the status branch does not.
    pub(super) is_news: bool,
}

impl Answer {
    /// # Errors
    /// One sentence, if file and record do not fit together.
    pub(super) fn of(file: StatusFile, record: RequestRecord, now: Millis) -> Result<Self, String> {
        let row = RequestRow {
            path: file.request.clone(),
            commit: file.commit,
            time: record.time,
            author: record.author,
            sequence: record.sequence,
            phase: phase(&file.phase)?,
            spec: record.spec,
            problems: file.problems,
            notes: file.notes,
        };
        let share = row.share();
        let refs = file.refs.into_iter().map(|it| RefRow {
            url: it.url,
            git_ref: it.git_ref,
            commit: it.commit,
            at: it.at,
        });
        let refs = refs.collect();
        let (mut tasks, mut again, mut is_news) = (record.past, 0, false);
        let mut specs = record.tasks;
        for status in file.tasks {
            let task = TaskRef {
                request: file.request.clone(),
                id: status.id.clone(),
            };
            let Some(spec) = specs.remove(&status.id) else {
                return Err(format!("the record does not know task {}", task.id));
            };
            let was_leased = status.state == "leased";
            is_news |= was_leased;
            let mut task = task_row(task, spec, status, now)?;
            again += usize::from(was_leased && matches!(task.state, TaskState::Ready { .. }));
            let id = &task.task.id;
            task.share = record.shares.get(id).unwrap_or(&share).clone();
            task.weight = record.weights.get(id).copied().unwrap_or_default();
            tasks.push(task);
        }
        Ok(Self {
            row,
            refs,
            tasks,
            again,
            is_news,
        })
    }

    /// Of a release that the status branch had not heard of: its tasks are done, and lost.
    pub(super) fn without_tasks(row: RequestRow) -> Self {
        Self {
            row,
            refs: Vec::new(),
            tasks: Vec::new(),
            again: 0,
            is_news: true,
        }
    }

    /// Something of it may still happen.
    pub(super) fn is_open(&self) -> bool {
        !self.row.phase.is_at_rest() || self.tasks.iter().any(|row| !row.state.is_closed())
    }
}

fn phase(word: &str) -> Result<Phase, String> {
    Ok(match word {
        "invalid" => Phase::Invalid,
        // Of a decision that no client saw, the tasks are there, and it is made again.
        "open" | "publishing" => Phase::Open,
        "succeeded" => Phase::Succeeded,
        "failed" => Phase::Failed,
        "canceled" => Phase::Canceled,
        "published" => Phase::Published,
        "reverting" => Phase::Reverting,
        "reverted" => Phase::Reverted,
        "removed" => Phase::Removed,
        other => return Err(format!("{other:?} is no phase")),
    })
}

fn task_row(
    task: TaskRef,
    spec: TaskSpec,
    status: StatusTask,
    now: Millis,
) -> Result<TaskRow, String> {
    let mut attempts = status.attempts.clone();
    if status.state == "leased" {
        attempts.extend(lost_attempt(&status, now));
    }
    let (why, planned) = (status.why.clone(), status.planned);
    let state = state(&task, status, &attempts, now)?;
    Ok(TaskRow {
        task,
        spec,
        state,
        why,
        planned,
        attempts,
        dropped: None,
        share: Share::default(),
        weight: Weight::ONE,
    })
}

fn lost_attempt(status: &StatusTask, now: Millis) -> Option<AttemptRecord> {
    Some(AttemptRecord {
        attempt: status.attempt,
        runner: status.runner.as_ref()?.parse().ok()?,
        leased: status.planned,
        ended: now,
        ending: Ending::HandedBack,
        end: "the ledger was lost while it ran".to_owned(),
    })
}

fn state(
    task: &TaskRef,
    status: StatusTask,
    attempts: &[AttemptRecord],
    now: Millis,
) -> Result<TaskState, String> {
    let (attempt, next) = (status.attempt, status.attempt + 1 + UNKNOWN_ATTEMPTS);
    let reason = status.reason.clone().unwrap_or_default();
    let ready = TaskState::Ready {
        attempt: next,
        not_before: now,
    };
    Ok(match status.state.as_str() {
        "blocked" => TaskState::Blocked {
            on: status.waits_for,
            next,
        },
        "ready" => ready,
        // The runner of one that was to stop hears with its next heartbeat that it is not wanted.
        "leased" => match reason.strip_prefix(STOPPING) {
            Some(reason) => match reason.strip_prefix(SUPERSEDED) {
                // Not left to the planner: it does not look at a request whose other tasks have ended.
                Some(by) => TaskState::Superseded {
                    attempt: attempt + UNKNOWN_ATTEMPTS,
                    by: by.to_owned(),
                },
                None => TaskState::Canceled {
                    attempt,
                    reason: reason.to_owned(),
                },
            },
            None => ready,
        },
        "succeeded" => TaskState::Succeeded {
            result: Box::new(succeeded(task, &status)?),
        },
        "failed" => failed(task, status, attempts)?,
        "excluded" => TaskState::Excluded { reason },
        "canceled" => TaskState::Canceled { attempt, reason },
        other => return Err(format!("{other:?} is no state of task {}", task.id)),
    })
}

fn succeeded(task: &TaskRef, status: &StatusTask) -> Result<ResultManifest, String> {
    let facts = status.facts.clone();
    let outcome = Outcome::Succeeded {
        artifacts: status.artifacts.clone(),
        facts: facts.ok_or_else(|| format!("task {} has succeeded and has no facts", task.id))?,
    };
    manifest(task, status, outcome)
}

fn failed(
    task: &TaskRef,
    status: StatusTask,
    attempts: &[AttemptRecord],
) -> Result<TaskState, String> {
    let attempt = status.attempt;
    let Some(failure) = status.failure.clone() else {
        let message = attempts.last().map_or("", |last| last.end.as_str());
        return Ok(TaskState::Failed {
            attempt,
            by: FailedBy::Infrastructure {
                message: message.to_owned(),
            },
            result: None,
        });
    };
    let outcome = Outcome::Failed {
        failure: failure.clone(),
        artifacts: status.artifacts.clone(),
    };
    let result = manifest(task, &status, outcome)?;
    Ok(TaskState::Failed {
        attempt,
        by: FailedBy::Package(failure),
        result: Some(Box::new(result)),
    })
}

/// The accepted result, as the runner had sent it.
fn manifest(
    task: &TaskRef,
    status: &StatusTask,
    outcome: Outcome,
) -> Result<ResultManifest, String> {
    let incomplete = || format!("task {} has no runner or no times", task.id);
    let runner = status.runner.as_ref().ok_or_else(incomplete)?;
    let (started, finished) = status.ran.ok_or_else(incomplete)?;
    Ok(ResultManifest {
        version: runner_api::VERSION,
        task: task.clone(),
        attempt: status.attempt,
        runner: runner.parse().map_err(|_| incomplete())?,
        outcome,
        log: status.log.clone(),
        started,
        finished,
    })
}
