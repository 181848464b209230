//! How the C library's allocator serves a process that waits most of its life: `docs/adr/0012`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Read by glibc when a process starts, and by no other C library.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Two threads that allocate at a time are as many as the control plane has work for.
const FEW: &str = "2";

/// Starts this program anew, in the same process, with few arenas. A wish of the user's stays.
///
/// Each thread that meets a taken arena gets one of its own, up to eight for each processor, and what is
/// freed in many arenas goes back to the kernel from few of them.
pub(crate) fn with_few_arenas() {
    if std::env::var_os(ARENAS).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1)).env(ARENAS, FEW);
    // It returns only when it failed: then it goes on as it is, with more memory.
    let _goes_on = again.exec();
}
