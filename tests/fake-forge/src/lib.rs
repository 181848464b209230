//! For tests: doubles of a forge, over real repositories and HTTP.
//!
//! [`Server`] serves repositories by `git http-backend`, with faults in front. [`forge::Forge`] is a whole GitHub or
//! Gitea of one repository: pull requests, checks, statuses, comments and permissions behind their HTTP API, and
//! signed webhooks out.
//!
//! Callers: tests, and `cargo xtask`. Invariants: it listens on this machine alone, and ends with the process. What it
//! answers fits the forges' own descriptions of their APIs: `tests/judged.rs` has them judge.
// A repository in JSON has more fields than the macro counts to.
#![recursion_limit = "256"]
#![allow(
    clippy::disallowed_methods,
    reason = "this room's business is programs, files and ports"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "what does not work here fails the test that asked for it"
)]

pub mod forge;
pub mod git;
mod http;
pub mod judge;

pub use git::{Fault, Server};
pub use http::{Got, send};
