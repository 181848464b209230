//! One suite per port: what every adapter must hold, run against fresh ones.
//!
//! Callers: the tests of `platform-*`, `state-repo` and `memory`, with a closure that makes an
//! empty adapter. A suite panics with the sentence that was broken. Invariants: no sleeps and no
//! wall time, a suite moves a [`TestClock`] instead; what one adapter does and another need not
//! (exactly one receiver) is not asked here.

mod commits;
mod fair;
mod files;
mod forge;
mod messages;
mod pointers;
mod races;
mod removal;
mod rows;
mod time;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::{Clock, Commit};

pub use commits::state_repo;
pub use files::store;
pub use forge::{ForgeWorld, Home, Shown, forge};
pub use messages::queue;
pub use rows::ledger;
pub use time::clock;

/// The clock that an adapter under test follows, in the hands of the suite.
pub trait TestClock: Clock {
    /// Lets time pass. An adapter that follows the wall sleeps; the others just move on.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;
}

/// Somebody else with access to the state repository's origin.
pub trait Upstream {
    /// Commits `files` on top of `main` (`None` removes a path) and pushes; the new tip.
    fn push(&self, files: &[(&str, Option<&str>)], message: &str) -> impl Future<Output = Commit>;

    /// Replaces `main` by a commit without parents that has only `files`; the new tip.
    fn rewrite(&self, files: &[(&str, &str)]) -> impl Future<Output = Commit>;

    /// Replaces `main` by a commit with these parents and the files of the first; the new tip.
    fn grow(&self, parents: &[&str], message: &str) -> impl Future<Output = Commit>;

    /// The URL of another repository, and the commit that its branch `main` and its tag `v1` are at.
    fn other(&self) -> impl Future<Output = (String, Commit)>;
}

/// What a queue's adapter promises where the port leaves it open, and the time that it lives in.
#[derive(Debug, Clone, Copy)]
pub struct QueueManner {
    /// In which order due messages go out.
    pub order: Order,
    /// How long the suite hides a message, at least 4 seconds. Where time is moved by hand, any will do; where it
    /// passes, the suite waits for some of them.
    pub hidden: Duration,
    /// How soon a send ends a wait.
    pub wakes: Wakes,
    /// What the receipt of an earlier delivery does.
    pub stale: StaleReceipt,
}

impl QueueManner {
    /// Of a queue that sees all of its messages at once, under a clock that is moved by hand.
    pub const EXACT: Self = Self {
        order: Order::Exact,
        hidden: Duration::from_secs(10),
        wakes: Wakes::AtOnce,
        stale: StaleReceipt::RemovesNothing,
    };
}

/// The order that an adapter promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// All of what [`crate::TaskQueue`] says, each tenant by itself.
    Exact,
    /// The highest priority first. Who of one priority goes first is left to a service that treats tenants as one:
    /// the suite asks it for nothing.
    ByPriority,
}

/// What it does to acknowledge with the receipt of an earlier delivery. It is never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleReceipt {
    /// Somebody else has the message now, and keeps it.
    RemovesNothing,
    /// The message goes: its work was done by whoever had it first.
    MayRemove,
}

/// How soon a send ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// Before a number of other sends are done.
    AtOnce,
    /// In this time: between them is a network.
    Within(Duration),
}

/// Rounds of a race: enough that a missing lock shows.
const ROUNDS: usize = 40;
/// Rivals in one race.
const RIVALS: usize = 8;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
