//! How many files this process may have open, and how many connections fit into that.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use server::Connections;

/// Open files that are enough. Runners are started with the same limit, and old programs close every file up to it
/// before they start another.
const ENOUGH: u64 = 16_384;
/// Files for all but connections: the database, the store, git, runners.
const OTHERS: u64 = 256;
/// A connection and the file that is sent on it.
const A_CONNECTION: u64 = 2;
/// As few as a machine with its runners needs.
const LEAST: u64 = 16;
/// More would be memory alone.
const MOST: u64 = 4_096;
/// Longest wait for a request's headers. A connection that is kept open between two requests ends after it, too: longer
/// than runners at work say nothing.
const SILENT: Duration = Duration::from_secs(10);
/// Clients of repositories write what they read to slow disks, and pause for it; nobody pauses for longer.
const UNREAD: Duration = Duration::from_secs(60);

/// Has as many files as may be, and answers how many connections are served with them.
pub(super) fn connections() -> Connections {
    Connections {
        most: usize::try_from(fitting(raised())).expect("it has a bound"),
        silent: SILENT,
        unread: UNREAD,
    }
}

/// The limit of open files: the hard one, if that is not more than enough.
fn raised() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let wanted = hard.min(ENOUGH).max(soft);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

fn fitting(files: u64) -> u64 {
    (files.saturating_sub(OTHERS) / A_CONNECTION).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files() {
        assert_eq!(fitting(0), LEAST);
        assert_eq!(fitting(1_024), 384);
        assert_eq!(fitting(ENOUGH), MOST);
        assert_eq!(fitting(u64::MAX), MOST);
    }
}
