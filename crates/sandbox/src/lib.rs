//! Clean roots and locked rooms: runs trusted distribution tools and strangers' builds in overlay roots that see
//! nothing of the host.
//!
//! Callers: the build, test and compose runners. The steps are always the same:
//!
//! ```no_run
//! # async fn example() -> Result<(), sandbox::Error> {
//! use sandbox::{CancellationToken, Command, Config, Limits, RootEntry, RootKey, Sandbox};
//! let sandbox = Sandbox::open(Config::new("/var/lib/millrace/sandbox")).await?;
//! let (limits, never) = (Limits::default(), CancellationToken::new());
//! let mut log = Vec::new();
//! let root = match sandbox.root(&RootKey::new("bookworm-amd64-0a1b")?, None).await? {
//!     RootEntry::Ready(root) => root,
//!     RootEntry::Missing(new) => {
//!         let unpack = Command::prepare_on_host(["tar", "-xf", "/in/root.tar", "-C", "/workspace"])
//!             .bind_read_only("/srv/roots", "/in");
//!         new.workspace().run(&unpack, &limits, &mut log, &never).await?;
//!         new.commit().await?
//!     }
//! };
//! let workspace = sandbox.workspace(&root, limits.disk_bytes).await?;
//! workspace.run(&Command::prepare(["apt-get", "install", "-y", "gcc"]), &limits, &mut log, &never).await?;
//! let build = Command::build(["make"]).writable("/build").current_dir("/build");
//! let ended = workspace.run(&build, &limits, &mut log, &never).await?;
//! # Ok(()) }
//! ```
//!
//! # How it holds together
//! A workspace is a **holder**: a process (`millrace-sandbox-init`) in a user and mount namespace of its own, in which the
//! overlay and its size-limited tmpfs are mounted. Every command is started by a **supervisor** (the same program), which
//! joins those namespaces, drops what it may, and starts `bwrap`. No mount ever appears in the host's mount table.
//! Holder and supervisors read a pipe whose other end only the caller has: when the caller dies, however it dies, the pipe
//! closes, they end, and the kernel takes processes, mounts and tmpfs with them. What can outlive a `kill -9` is empty
//! control groups and half-made roots; [`Sandbox::open`] sweeps both.
//!
//! # Invariants
//! * Root inside is never an id that owns anything on the host: it is the first of a range of subordinate ids.
//! * A path that a build could have written is opened with `openat2` confined to the workspace, never by name.
//! * A build's end is told apart from our own trouble: [`Ended`] is the build's, [`Error`] is ours.

#![allow(
    clippy::disallowed_methods,
    reason = "the business of this crate is processes, mounts and directories of this machine"
)]

mod cache;
mod cgroup;
mod command;
mod error;
mod helper;
mod host;
#[doc(hidden)]
pub mod init;
mod limits;
mod probe;
mod run;
mod sandbox;
mod watch;
mod wire;
mod workspace;

pub use cache::{NewRoot, Root, RootEntry, RootKey};
pub use command::{BUILD_ID, Command, HOST_ROOT, Network, Rights};
pub use error::Error;
pub use host::{Capabilities, Enforcement, IdRange, Identity, Overlay};
pub use limits::Limits;
pub use run::{Ended, LogSink};
pub use sandbox::{Config, Sandbox};
pub use tokio_util::sync::CancellationToken;
pub use wire::{Entry, EntryKind, Owner};
pub use workspace::Workspace;
