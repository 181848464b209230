//! What can happen to a task, why it may not, and the bounds of patience.

use pipeline_spec::{RunnerId, Weight};
use runner_api::{ResultManifest, Step};

use crate::{Millis, Share};

/// Bounds of the table.
pub mod limits {
    /// Attempts that end in infrastructure trouble, without a result in between, before a task fails.
    /// A retry by a person gives as many again; an attempt that was handed back does not count.
    pub const MAX_ATTEMPTS: u32 = 5;
    /// Ended attempts kept in a row at most, and at least as many less [`MAX_ATTEMPTS`] once there were more, so that it stays far below 400 KB.
    pub const ATTEMPTS_KEPT: usize = 20;
    /// Notices kept in the head's row, for the same reason. Those beyond are told of when others are mended.
    pub const NOTICES_KEPT: usize = 100;
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
        /// What it does.
        step: Option<Step>,
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
    /// A newer version of the request does not want it. What is closed is only put aside.
    Supersede {
        /// The commit.
        by: &'a str,
    },
    /// A person wants another attempt.
    Retry,
    /// The request came back and wants it again.
    Revive,
    /// The request says something else of its place among others now.
    Share {
        /// Its claim.
        share: &'a Share,
        /// Its size.
        weight: Weight,
    },
    /// Sweep thinks that the message to runners is lost or very late: it is sent once more.
    Offer,
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
