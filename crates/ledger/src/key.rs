//! Keys: where a row lives. One partition is read in one query, so what is read together lies together.

use std::fmt;

use pipeline_spec::{RepositoryName, RequestPath};
use runner_api::{TaskId, TaskRef};
use serde::{Deserialize, Serialize};

use crate::{Message, QueueName};

/// Names of the partitions that are not a request's.
pub mod partition {
    /// The one [`crate::HeadRow`].
    pub const HEAD: &str = "head";
    /// [`crate::LeaseRow`] by task id: what sweep looks at.
    pub const LEASES: &str = "leases";
    /// [`crate::OutboxRow`]: what dispatch looks at.
    pub const OUTBOX: &str = "outbox";
    /// An index of requests that are not at rest: what sweep wakes.
    pub const OPEN: &str = "open";
    /// All requests by path: one small row each.
    pub const REQUESTS: &str = "requests";
    /// Requests whose file is there, newest first.
    pub const RECENT: &str = "recent";
    /// Of those, the ones that wait for a person, newest first.
    pub const FAILED: &str = "failed";
    /// [`crate::DeadLetterRow`] by queue and message: what `millrace status` shows.
    pub const DEAD: &str = "dead";
    /// The request of every task, by the task's id.
    pub const TASKS: &str = "tasks";
    /// [`crate::PullRow`] by number: pull requests that are open, or merged and not done.
    pub const PULLS: &str = "pulls";
    /// [`crate::WatchRow`] by commit: those whose requests are not all done.
    pub const WATCHED: &str = "watched";
    /// [`crate::PlannedRow`] by commit, and [`crate::PullRow`] of pull requests that are done by their newest commit.
    pub const PLANNED: &str = "planned";
    /// [`crate::AskedRow`] by what was asked for.
    pub const ASKED: &str = "asked";
    /// [`crate::Budget`] by what it is of.
    pub const BUDGETS: &str = "budgets";
    /// [`crate::ScratchRow`] by pull request and commit.
    pub const SCRATCH: &str = "scratch";
    /// [`crate::DurationsRow`] by package or repository.
    pub const DURATIONS: &str = "durations";
    /// Those of which a row may name a file of the artifact store. Beside them every request has a partition, also each
    /// that a row of [`SCRATCH`] names, every repository, and what waits for a request.
    pub const WITH_FILES: [&str; 9] = [
        HEAD, LEASES, OUTBOX, OPEN, REQUESTS, RECENT, FAILED, DEAD, TASKS,
    ];
}

/// Partition and sort key of a row. Sort keys order as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Rows of one partition are listed together, in order of `sort`.
    pub partition: String,
    /// Unique in the partition.
    pub sort: String,
}

impl Key {
    fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self {
            partition: partition.into(),
            sort: sort.into(),
        }
    }

    /// The head.
    pub fn head() -> Self {
        Self::new(partition::HEAD, "main")
    }

    /// The partition of a request: its row, its refs, its tasks.
    pub fn request_partition(path: &RequestPath) -> String {
        format!("request/{path}")
    }

    /// The row of a request.
    pub fn request(path: &RequestPath) -> Self {
        Self::new(Self::request_partition(path), "request")
    }

    /// A resolved ref of a request; `name` is the package's.
    pub fn git_ref(path: &RequestPath, url: &str, git_ref: &str) -> Self {
        Self::new(
            Self::request_partition(path),
            format!("ref/{url} {git_ref}"),
        )
    }

    /// A task.
    pub fn task(task: &TaskRef) -> Self {
        Self::new(
            Self::request_partition(&task.request),
            format!("task/{}", task.id),
        )
    }

    /// A lease.
    pub fn lease(id: &TaskId) -> Self {
        Self::new(partition::LEASES, id.as_str())
    }

    /// An outbox row: `stamp` orders, `what` makes it unique.
    pub fn outbox(stamp: crate::Millis, what: &str) -> Self {
        Self::new(partition::OUTBOX, format!("{stamp:015}/{what}"))
    }

    /// A message that was given up; one row however often it comes back.
    pub fn dead_letter(queue: &QueueName, message: &Message) -> Self {
        Self::new(partition::DEAD, format!("{queue} {}", message.name()))
    }

    /// A planned commit whose requests people wait for.
    pub fn watch(commit: &str) -> Self {
        Self::new(partition::WATCHED, commit)
    }

    /// What was planned before a commit.
    pub fn planned(commit: &str) -> Self {
        Self::new(partition::PLANNED, commit)
    }

    /// A pull request whose work is done. Those of one `head` follow its own [`Self::planned`].
    pub fn done_pull(head: &str, number: u64) -> Self {
        Self::new(partition::PLANNED, format!("{head} {number:012}"))
    }

    /// Something that was asked for at the forge.
    pub fn asked(id: &str) -> Self {
        Self::new(partition::ASKED, id)
    }

    /// How long tasks of a package or a repository took: `package/hello`, `repository/base`.
    pub fn durations(subject: &str) -> Self {
        Self::new(partition::DURATIONS, subject)
    }

    /// Pushes to the status branch.
    pub fn pushes() -> Self {
        Self::new(partition::BUDGETS, "pushes")
    }

    /// What was written at the forge: checks, statuses and comments.
    pub fn forge_writes() -> Self {
        Self::new(partition::BUDGETS, "writes")
    }

    /// Scratch builds of a commit of a pull request.
    pub fn scratch(number: u64, commit: &str) -> Self {
        Self::new(partition::SCRATCH, format!("{number:012} {commit}"))
    }

    /// A pull request that is open, or merged and not done.
    pub fn pull(number: u64) -> Self {
        Self::new(partition::PULLS, format!("{number:012}"))
    }

    /// Marks a request as not at rest.
    pub fn open(path: &RequestPath) -> Self {
        Self::new(partition::OPEN, path.to_string())
    }

    /// The request in the list of all.
    pub fn listed(path: &RequestPath) -> Self {
        Self::new(partition::REQUESTS, path.to_string())
    }

    /// The request in the list of those whose file is there.
    pub fn recent(path: &RequestPath, sequence: u64) -> Self {
        Self::new(partition::RECENT, newest_first(path, sequence))
    }

    /// The request in the list of those that wait for a person.
    pub fn failed(path: &RequestPath, sequence: u64) -> Self {
        Self::new(partition::FAILED, newest_first(path, sequence))
    }

    /// Which request a task is of.
    pub fn task_id(id: &TaskId) -> Self {
        Self::new(partition::TASKS, id.to_string())
    }

    /// How the machine left the status branch.
    pub fn status_branch() -> Self {
        Self::new(partition::HEAD, "status")
    }

    /// The partition of requests that build on `path`.
    pub fn waiters_partition(path: &RequestPath) -> String {
        format!("waiters/{path}")
    }

    /// Says that `waiter` builds on `path`.
    pub fn waiter(path: &RequestPath, waiter: &RequestPath) -> Self {
        Self::new(Self::waiters_partition(path), waiter.to_string())
    }

    /// The partition of a repository: its row and its contributions.
    pub fn repository_partition(name: &RepositoryName) -> String {
        format!("repository/{name}")
    }

    /// The row of a repository.
    pub fn repository(name: &RepositoryName) -> Self {
        Self::new(Self::repository_partition(name), "repository")
    }

    /// What one release adds to a repository.
    pub fn contribution(name: &RepositoryName, release: &RequestPath) -> Self {
        Self::new(
            Self::repository_partition(name),
            format!("release/{release}"),
        )
    }

    /// Who may change a repository now: a release takes the turns of all its repositories at once,
    /// or none.
    pub fn turn(name: &RepositoryName) -> Self {
        Self::new(Self::repository_partition(name), "turn")
    }
}

/// A later place in the order of merges sorts first.
fn newest_first(path: &RequestPath, sequence: u64) -> String {
    format!("{:016x} {path}", u64::MAX - sequence)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.partition, self.sort)
    }
}
