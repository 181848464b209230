//! How much one command may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The bounds of one command. Every one is enforced on every host; how tightly, [`crate::Capabilities`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all processes together, in bytes. Where a control group enforces it, what the command writes to the
    /// workspace's tmpfs is memory too, so the group's limit is this plus `disk_bytes`.
    pub memory_bytes: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Wall time from start to end.
    pub wall: Duration,
    /// Size of the workspace's tmpfs in bytes: everything that all commands of one workspace write. Taken when the workspace
    /// is opened; in [`crate::Workspace::run`] it only adds to the memory group's limit.
    pub disk_bytes: u64,
    /// Bytes of output, standard output and standard error together.
    pub log_bytes: u64,
}

impl Default for Limits {
    /// Room for an ordinary package on an ordinary builder.
    fn default() -> Self {
        Self {
            memory_bytes: 4 * GIB,
            processes: 4096,
            wall: Duration::from_secs(4 * 3600),
            disk_bytes: 16 * GIB,
            log_bytes: 256 * MIB,
        }
    }
}
