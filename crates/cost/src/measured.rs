//! Jobs as the simulator played and counted them.

use serde::{Deserialize, Serialize};

use crate::Usage;

/// `UPDATE=1 cargo test -p simulator --test cost` writes it, and that test fails when it is not what is counted.
const COUNTED: &str = include_str!("measured.json");

/// A job from plan to done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Packages of the request.
    pub packages: u64,
    /// Architectures that each is built for.
    pub architectures: u64,
    /// Tasks that end at the same moment: what they cause is done together.
    pub at_once: u64,
    /// Tasks, of all kinds.
    pub tasks: u64,
    /// Of these, builds.
    pub builds: u64,
    /// What it took.
    pub usage: Usage,
}

impl Job {
    /// Requests of the control plane to DynamoDB, SQS and S3, for each task.
    pub fn requests_per_task(&self) -> f64 {
        self.usage.control_plane_requests() as f64 / self.tasks as f64
    }
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Build requests, small ones first: sources, builds and tests. One task ends at a time.
    pub builds: Vec<Job>,
    /// A large build request while many runners work: a piece of a mass rebuild.
    pub mass: Job,
    /// A release of two RPM repositories: packages signed, composed, metadata signed.
    pub release: Job,
    /// One sweep where nothing happens.
    pub sweep: Usage,
    /// One sweep while a request like `mass` is open, half done.
    pub open_request: Usage,
    /// One call of a runner that waits 20 seconds for work and gets none. It asks two queues.
    pub poll: Usage,
    /// One heartbeat.
    pub heartbeat: Usage,
    /// One piece of a log.
    pub log_piece: Usage,
}

impl Measured {
    /// The numbers of this version of the program.
    ///
    /// # Panics
    /// Never: a test of this crate reads them.
    pub fn counted() -> Self {
        serde_json::from_str(COUNTED).expect("a test reads it")
    }

    /// The smallest measured build request that has as many tasks, or the largest: reads grow with a request.
    pub fn build_like(&self, tasks: u64) -> &Job {
        let larger = self.builds.iter().find(|job| job.tasks >= tasks);
        larger.unwrap_or(&self.builds[self.builds.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read_and_asked() {
        let measured = Measured::counted();
        let tasks: Vec<_> = measured.builds.iter().map(|job| job.tasks).collect();
        assert!(tasks.is_sorted() && !tasks.is_empty(), "{tasks:?}");
        let last = tasks[tasks.len() - 1];
        for (asked, expect) in [(1, tasks[0]), (tasks[0] + 1, tasks[1]), (last * 2, last)] {
            assert_eq!(measured.build_like(asked).tasks, expect, "{asked} tasks");
        }
    }
}
