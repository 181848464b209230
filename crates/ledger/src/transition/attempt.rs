//! How an attempt ends: its line in the history, and whether another one follows.

use runner_api::Outcome;

use super::limits;
use crate::{AttemptRecord, Ending, FailedBy, Millis, Stop, TaskRow, TaskState};

/// Another attempt after trouble that is ours, with exponential backoff, or the end of patience.
/// `ended`: the row with this very attempt in its history.
pub(super) fn again(ended: &TaskRow, attempt: u32, message: &str, now: Millis) -> TaskState {
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
    let doubled = (limits::BACKOFF_MILLIS << doublings).min(limits::MAX_BACKOFF_MILLIS);
    TaskState::Ready {
        attempt: attempt + 1,
        not_before: now + doubled + jitter(ended, attempt, doubled),
    }
}

/// Up to a quarter of `wait`, from the task's id and the attempt: what failed together, as when a mirror
/// was down, does not come back together.
fn jitter(row: &TaskRow, attempt: u32, wait: Millis) -> Millis {
    let digits = row.task.id.as_str().bytes();
    let seed = digits.fold(u64::from(attempt), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let quarter = wait.unsigned_abs() / 4;
    i64::try_from((seed >> 16) % (quarter + 1)).unwrap_or(0)
}

/// The row with its leased attempt written into the history.
pub(super) fn ended(
    row: &TaskRow,
    leased: Millis,
    now: Millis,
    (ending, end): (Ending, String),
) -> TaskRow {
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
        let kept = row.attempts.len();
        let surplus = kept.saturating_sub(limits::ATTEMPTS_KEPT);
        // In steps of patience, so that the count of what is kept goes on in its own.
        let step = limits::MAX_ATTEMPTS as usize;
        row.attempts
            .drain(..surplus.next_multiple_of(step).min(kept));
    }
    row
}

pub(super) fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Excluded { .. } => {
            Ending::Result
        }
        Outcome::Infrastructure { .. } => Ending::Trouble,
        Outcome::HandedBack { .. } => Ending::HandedBack,
    }
}

pub(super) fn describe(outcome: &Outcome) -> String {
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

/// The end of an attempt that was to stop: what was wanted, and what the runner said, if anything.
pub(super) fn describe_stop(stop: &Stop, said: &str) -> String {
    let wanted = match stop {
        Stop::Cancel { reason } => format!("canceled: {reason}"),
        Stop::Supersede { by } => format!("superseded by {by}"),
    };
    format!("{wanted} ({said})")
}
