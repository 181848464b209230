//! The ledger's rows, the one transition table, and changes as data.
//!
//! Purpose: says what may happen to a task and what is written when it does. Callers: `control`
//! (applies the changes through `ports::Ledger`), adapters (store [`Row`]s under [`Key`]s).
//!
//! Invariants: pure and sync; `now` comes in as an argument; a [`Change`] applies whole or not at
//! all; everything that must happen after a change travels in the same change as an outbox row.

mod asked;
mod budget;
mod change;
mod durations;
pub mod format;
mod key;
mod row;
mod scratch;
mod share;
mod told;
mod transition;

pub use asked::{About, Asked, AskedRow, Comment, Wish};
pub use budget::{Budget, Ceiling};
pub use change::{Change, Condition, Effect, Expect, Message, QueueName, Write};
pub use durations::{DurationsRow, Took};
pub use key::{Key, partition};
pub use row::{
    AttemptRecord, Contribution, DeadLetterRow, Decision, Ending, FailedBy, Flip, HeadRow,
    LeaseRow, Note, OutboxRow, Phase, Problem, Record, RefRow, RepositoryRow, RequestRow,
    RequestSpec, Row, StatusBranchRow, Stop, TaskRow, TaskState, Tasks,
};
pub use scratch::ScratchRow;
pub use share::{Share, Tenant};
pub use told::{Configuration, Leans, PlannedRow, PullRow, RequestPlan, ReviewedPlan, WatchRow};
pub use transition::{Event, Refusal, limits, transition};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;
