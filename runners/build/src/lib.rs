//! What the build and test roles share: fetching sources, rooms with the task's limits, and the
//! translation of how a command ended into whose fault it is.
//!
//! Callers: `runner-build-deb`, `runner-build-rpm`, `runner-test`. Invariants: a command of the package
//! ends in `Failed`, a tool of ours in `Infrastructure`; nothing of a source is run here.

#![allow(
    clippy::disallowed_methods,
    reason = "fetched sources lie in the job's own directory"
)]

mod room;
mod source;

pub use room::{Blame, Room, key, sandbox_limits};
pub use source::{Fetched, fetch, transfer};
