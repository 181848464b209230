//! What the library and its helper say to each other: one JSON line of request on the helper's standard input, one JSON line
//! per reply on its standard output.
//!
//! Both sides are built together; [`PROTOCOL`] catches a helper left over from another build.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Raised with every change of a type in this module.
pub(crate) const PROTOCOL: u32 = 2;

/// Where things are in the holder's mount namespace. The host's own root is at [`HOST`]; everything else is ours.
pub(crate) const HOST: &str = "/host";
/// The workspace's tmpfs.
pub(crate) const WORK: &str = "/w";
/// The root that commands see.
pub(crate) const ROOT: &str = "/w/root";
/// Scratch directories of commands, on the workspace's tmpfs.
pub(crate) const SCRATCH: &str = "/w/scratch";
/// The supervisor's own bind mounts: `/b/0`, `/b/1`, …
pub(crate) const BINDS: &str = "/b";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) protocol: u32,
    pub(crate) request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Mount a workspace and hold it until standard input ends.
    Hold(Hold),
    /// Run one command in a held workspace.
    Run(Box<Run>),
    /// Write standard input, after the request's line, to a file in the workspace.
    Put(Put),
    /// Answer with a file's size, then its bytes.
    Get(Get),
    /// Answer with a directory's entries.
    List(List),
    /// Make, remove or measure directories that belong to ids of the range.
    Admin(Admin),
}

/// How ids inside relate to ids outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mapping {
    /// A user namespace; the caller writes its maps when asked by [`Reply::WantsMap`].
    Namespace,
    /// The host's own ids: root on a kernel without user namespaces.
    Direct,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) mapping: Mapping,
    /// Read-only directories, topmost first. Empty for a root that is being made from nothing.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) upper: Upper,
    /// Bytes of the workspace's tmpfs.
    pub(crate) tmpfs_bytes: u64,
    pub(crate) style: Style,
}

/// Where changes go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Upper {
    /// The workspace's tmpfs: gone with the holder.
    Tmpfs,
    /// A directory with `upper` and `work` in it, both owned by root inside: a layer that is being made.
    Directory(PathBuf),
}

/// How the layers become one root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Style {
    /// An overlay mount.
    Overlay,
    /// A copy: slower, for kernels without overlay in user namespaces.
    Copy,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) mapping: Mapping,
    pub(crate) holder: u32,
    /// `cgroup.procs` files to enter before anything else.
    pub(crate) groups: Vec<PathBuf>,
    pub(crate) who: Owner,
    /// Mounted at `/b/0`, `/b/1`, … in this order.
    pub(crate) binds: Vec<Bind>,
    /// Made in the root if they are not there, owned by root inside.
    pub(crate) mount_points: Vec<MountPoint>,
    pub(crate) rlimits: Vec<(Rlimit, u64)>,
    /// bwrap's arguments, without `--json-status-fd`.
    pub(crate) bwrap: Vec<String>,
    /// The command, after bwrap's `--`.
    pub(crate) argv: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rlimit {
    Data,
    Processes,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Bind {
    /// A path of the host, with the caller's rights.
    Host(PathBuf),
    /// A path in the workspace's root; made as a directory of this owner if it is not there. No symbolic link is followed.
    Inside(PathBuf, Owner),
    /// A fresh directory on the workspace's tmpfs with this mode, removed after the command.
    Scratch(u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum MountPoint {
    Directory(PathBuf),
    /// A symbolic link in its place is replaced by an empty file.
    File(PathBuf),
}

/// Who owns a file, or runs a command, inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// Root of the workspace.
    Root,
    /// The build user, [`crate::BUILD_ID`].
    Build,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) mapping: Mapping,
    pub(crate) holder: u32,
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Get {
    pub(crate) mapping: Mapping,
    pub(crate) holder: u32,
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) mapping: Mapping,
    pub(crate) holder: u32,
    pub(crate) path: PathBuf,
    pub(crate) max_entries: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Admin {
    /// Made and given to root inside.
    pub(crate) make: Vec<PathBuf>,
    /// Removed with all they contain.
    pub(crate) remove: Vec<PathBuf>,
    /// Measured; answered with [`Reply::Sizes`] instead of [`Reply::Done`] if there are any.
    pub(crate) measure: Vec<PathBuf>,
}

/// What a directory entry is, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// One entry of a directory in the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The name, without any directory. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a regular file; 0 otherwise.
    pub size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The helper is in its user namespace and waits for a line after the maps are written.
    WantsMap,
    /// Done; for a holder: mounted.
    Done,
    /// The file's size; its bytes follow this line.
    File {
        size: u64,
    },
    Entries(Vec<Entry>),
    /// Bytes on disk of each directory that was to be measured; 0 for one that is gone.
    Sizes(Vec<u64>),
    Ended(ChildEnd),
    Failed(String),
}

/// How the supervised command ended, as the supervisor saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildEnd {
    /// bwrap reports that the command itself was started.
    pub(crate) started: bool,
    /// Exit code; 128 + n when a signal ended it.
    pub(crate) code: i32,
    /// The workspace's tmpfs was full at some moment while it ran.
    pub(crate) disk_was_full: bool,
    /// The largest process, in bytes.
    pub(crate) largest_process: u64,
}
