//! Git without the git binary: the only room that knows `gix`.
//!
//! Callers: `state-repo` (snapshots, differences, commits of the state repository), the control plane's
//! resolver of requests' refs, and the runners, which check out sources. Everything here blocks: async
//! callers wrap it in `spawn_blocking`.
//!
//! Invariants:
//! * A commit moves a branch only from the commit the caller names ([`Repository::commit_files`]), here and
//!   over HTTP, and its objects are on disk before the branch moves.
//! * What a stranger's server or repository says is bounded in time, bytes and entries, never runs anything
//!   (no hooks, filters, submodules, `git-upload-pack`), and never leads outside the directory given.
//! * Secrets live in [`Credentials`] alone: addresses with a password are refused, errors are scrubbed.
//! * No configuration of the machine or the user is read, so that two machines do the same.

#![allow(
    clippy::disallowed_methods,
    reason = "an adapter: repositories are files, and limits on strangers' servers need the clock"
)]

mod build;
mod checkout;
mod durable;
mod error;
mod fetch;
mod history;
mod hold;
mod http;
mod id;
mod local;
mod maintain;
mod merge_base;
mod names;
mod pack;
mod push;
mod read;
mod remote;
mod repository;
mod resolve;
mod said;
mod url;
mod wire;

pub use build::{CommitMeta, Edit};
pub use checkout::{Checkout, Limits, checkout};
pub use error::{Class, Error};
pub use history::CommitInfo;
pub use id::{CommitId, ObjectId, ParseIdError};
pub use merge_base::MergeBase;
pub use read::{Change, ChangeKind, Entry, Kind, ObjectKind};
pub use repository::{Outcome, Repository};
pub use resolve::{Resolved, ls_remote};
pub use url::{Credentials, Login, RemoteUrl};

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;
