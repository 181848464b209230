//! The daemon half of every runner: takes leases, keeps them alive, hands each attempt to a [`Role`]
//! and delivers its result.
//!
//! Callers: `millrace-runner` and `millrace-signer`, which bring the roles; `millrace up`, which starts
//! them. A role sees one [`Job`]: the grant, a private directory, blobs by digest, a log, and the wish
//! to stop.
//!
//! Invariants:
//! * A lease that is lost ends the job, and nothing of it is delivered. A cancelled one ends the job and
//!   is handed back at once.
//! * What a killed daemon was at, the next one of that name tells the control plane when it starts.
//! * The control plane may vanish at any time: a job goes on, and its result is delivered later.
//! * A blob is believed only when its digest and size fit. No name of a stranger leaves the directory
//!   it is fetched into.
//! * Trouble with a log never fails a job.
//! * The identity key is in no log, message or argument list.

#![allow(
    clippy::disallowed_methods,
    reason = "the business of this crate is the daemon's own files, clock and process"
)]

mod attempt;
mod backoff;
mod blobs;
pub mod cli;
mod client;
mod clock;
mod cloud;
mod config;
mod daemon;
mod deliver;
mod error;
mod identity;
mod job;
mod lease;
mod log;
mod log_stream;
mod role;
mod transfer;
mod upload;

pub use cloud::{Cloud, Found, HandedIn, Keys, Later, Open};
pub use config::{Config, ControlUrl, Settings};
pub use daemon::{Shutdown, run, run_in_cloud};
pub use error::{Error, Halt};
pub use identity::{Identity, read_private, read_private_up_to};
pub use job::{Job, Limit};
pub use log::JobLog;
pub use role::{Role, Running, settle};
pub use tokio_util::sync::CancellationToken;
