//! Rows: what the ledger knows. Facts only; wishes are in git, bytes are in the artifact store.

use std::collections::BTreeMap;

use pipeline_spec::{
    BuildRequest, Priority, ReleaseRequest, RepositoryName, RequestPath, RunnerId, Sha256Digest,
    Weight,
};
use runner_api::{
    Failure, Outcome, Placed, Pointer, Publication, ResultManifest, Step, TaskId, TaskRef, TaskSpec,
};
use serde::{Deserialize, Serialize};

use crate::{
    AskedRow, Budget, DurationsRow, Effect, Message, Millis, PlannedRow, PullRow, QueueName,
    ScratchRow, Share, Tenant, WatchRow,
};

/// A row as stored: its version counts writes, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// For the condition of the next write.
    pub version: u64,
    /// What is stored.
    pub row: Row,
}

/// Any row. Stored as JSON with a `row` tag; unknown tags are an error, not a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// At [`crate::Key::head`].
    Head(HeadRow),
    /// At [`crate::Key::request`].
    Request(Box<RequestRow>),
    /// At [`crate::Key::git_ref`].
    Ref(RefRow),
    /// At [`crate::Key::task`].
    Task(Box<TaskRow>),
    /// At [`crate::Key::lease`].
    Lease(LeaseRow),
    /// At [`crate::Key::outbox`].
    Outbox(OutboxRow),
    /// At [`crate::Key::open`], [`crate::Key::listed`], [`crate::Key::recent`], [`crate::Key::failed`],
    /// [`crate::Key::waiter`], [`crate::Key::turn`] and [`crate::Key::task_id`]: the request it points to.
    Index {
        /// Which request.
        request: RequestPath,
    },
    /// At [`crate::Key::status_branch`].
    StatusBranch(StatusBranchRow),
    /// At [`crate::Key::pull`].
    Pull(PullRow),
    /// At [`crate::Key::watch`].
    Watch(WatchRow),
    /// At [`crate::Key::planned`].
    Planned(PlannedRow),
    /// At [`crate::Key::asked`].
    Asked(AskedRow),
    /// At [`crate::Key::pushes`] and [`crate::Key::forge_writes`].
    Budget(Budget),
    /// At [`crate::Key::scratch`].
    Scratch(Box<ScratchRow>),
    /// At [`crate::Key::durations`].
    Durations(DurationsRow),
    /// At [`crate::Key::repository`].
    Repository(RepositoryRow),
    /// At [`crate::Key::contribution`].
    Contribution(Contribution),
    /// At [`crate::Key::dead_letter`].
    DeadLetter(DeadLetterRow),
}

/// How far the state repository has been planned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// Last commit planned whole, 40 hex digits.
    pub commit: String,
    /// The latest committer time among all planned commits, seconds since 1970. What is published never
    /// gets an earlier one: clients refuse indexes that are older than those they have.
    #[serde(default)]
    pub time: i64,
    /// Number of requests ever planned: gives the next its place in the order of merges.
    pub sequence: u64,
    /// Later commits of which some requests may have been planned, and perhaps not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// The rows were read back from the status branch, which may be behind: every request is compared
    /// with the next commit that is planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The rows were made without a status branch, beside repositories that were published: what only that
    /// branch named is kept until it is back, or a person gives it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_status: bool,
    /// The configuration of the last planned commit demands approvals: of another one, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guarded: bool,
    /// Why the newest commit could not be planned: its configuration is broken, or the branch is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What was passed over, by path: files in places where nothing reads them, links, published
    /// repositories without a file. Kept until the path changes; at most [`crate::limits::NOTICES_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Problem>,
    /// What people should know of the last planned commit as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
}

/// The status branch as the machine left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusBranchRow {
    /// The last commit at which the branch held all that it should, 40 hex digits. At another one,
    /// somebody else wrote, or a process ended in the middle: the branch is compared.
    pub commit: String,
}

/// A request as it was last planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// Its path is its name.
    pub path: RequestPath,
    /// The commit that brought this version of it; the configuration is read at this commit.
    pub commit: String,
    /// That commit's committer time, seconds since 1970: the time in everything that is published.
    pub time: i64,
    /// That commit's author, `Name <mail>`.
    pub author: String,
    /// Place in the order of merges.
    pub sequence: u64,
    /// What was asked; `None` when it could not be read.
    pub spec: Option<RequestSpec>,
    /// Where it stands.
    pub phase: Phase,
    /// What people must mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Why things are as they are: what waits, what was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// The request itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RequestSpec {
    /// Of `builds/`.
    Build(Box<BuildRequest>),
    /// Of `releases/`.
    Release(Box<ReleaseRequest>),
}

impl RequestSpec {
    /// Whether `other` differs at most in what builds nothing anew: its place among others, and sizes.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }

    /// Without what builds nothing anew.
    pub fn plain(&self) -> Self {
        let mut spec = self.clone();
        match &mut spec {
            Self::Build(request) => {
                request.priority = Priority::Normal;
                let packages = request.packages.iter_mut();
                packages.for_each(|package| package.weight = Weight::ONE);
            }
            Self::Release(request) => request.priority = Priority::Normal,
        }
        spec
    }

    /// Before and after which others its work is done.
    pub fn priority(&self) -> Priority {
        match self {
            Self::Build(request) => request.priority,
            Self::Release(request) => request.priority,
        }
    }
}

impl RequestRow {
    /// What its tasks claim: on behalf of who brought this version of it.
    pub fn share(&self) -> Share {
        Share {
            tenant: Tenant::of_author(&self.author),
            priority: self
                .spec
                .as_ref()
                .map_or(Priority::Normal, RequestSpec::priority),
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// The file cannot be planned: see the problems.
    Invalid,
    /// Work is under way or waits.
    Open,
    /// A build: everything succeeded or was excluded.
    Succeeded,
    /// At rest with at least one failure; a retry opens it again.
    Failed,
    /// At rest without a failure: a person stopped the rest. A retry opens it again.
    Canceled,
    /// A release: decided, pointers are being flipped. Rolled forward whatever happens.
    Publishing(Decision),
    /// A release: clients see it.
    Published,
    /// A release whose file is gone: the repositories are being composed without it.
    Reverting,
    /// A release: gone from the repositories.
    Reverted,
    /// The file is gone; what was open is canceled.
    Removed,
}

impl Phase {
    /// Nothing will happen without a person or a commit.
    pub fn is_at_rest(&self) -> bool {
        !matches!(self, Self::Open | Self::Publishing(_) | Self::Reverting)
    }

    /// One word for people and status files.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Publishing(_) => "publishing",
            Self::Published => "published",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Removed => "removed",
        }
    }
}

/// All flips of one release or revert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// A revert takes the contribution away.
    pub reverts: bool,
    /// One per repository, in name order.
    pub flips: Vec<Flip>,
}

impl Decision {
    /// The decision that `publication` writes down; `digest` is of its document.
    pub fn of(publication: &Publication, digest: Sha256Digest) -> Self {
        let flips = publication.repositories.iter().filter_map(|(name, it)| {
            Some(Flip {
                pointer: publication.pointer(name, digest)?,
                packages: it.packages.clone(),
            })
        });
        Self {
            reverts: publication.reverts,
            flips: flips.collect(),
        }
    }
}

/// One repository's new pointer and what it changes in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// The pointer to set; its generation is the present one plus one.
    pub pointer: Pointer,
    /// What the release adds; empty for a revert.
    pub packages: Vec<Placed>,
}

/// Something a person must mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// File, package or repository.
    pub subject: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Package, task or repository.
    pub subject: String,
    /// Why.
    pub why: String,
}

/// A ref, resolved once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRow {
    /// Clone URL.
    pub url: String,
    /// As the request writes it.
    pub git_ref: String,
    /// What it was then, 40 hex digits.
    pub commit: String,
    /// When.
    pub at: Millis,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its name and place.
    pub task: TaskRef,
    /// What is to be done.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// Why it was planned.
    pub why: String,
    /// When it was planned.
    pub planned: Millis,
    /// Ended attempts, oldest first, at most [`crate::limits::ATTEMPTS_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    /// `Some`: it is closed, and the request does not want it since this commit. How it ended is kept,
    /// for the case that it is wanted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
    /// Its claim to runners.
    #[serde(default, skip_serializing_if = "Share::is_default")]
    pub share: Share,
    /// Slots of a runner's capacity that it takes.
    #[serde(default, skip_serializing_if = "Weight::is_one")]
    pub weight: Weight,
}

/// An ended attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: u32,
    /// Who had it.
    pub runner: RunnerId,
    /// When it was leased.
    pub leased: Millis,
    /// When it ended.
    pub ended: Millis,
    /// Whether it counts against the machine's patience.
    #[serde(default, skip_serializing_if = "Ending::is_result")]
    pub ending: Ending,
    /// How: one sentence.
    pub end: String,
}

/// How an attempt ended, as far as another one depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With a word on the package.
    #[default]
    Result,
    /// The machine's or the network's fault, or silence.
    Trouble,
    /// The runner gave it back.
    HandedBack,
}

impl Ending {
    fn is_result(&self) -> bool {
        *self == Self::Result
    }
}

/// States of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TaskState {
    /// Inputs are missing. `next` is the attempt it will have once they are there.
    Blocked {
        /// Tasks it waits for.
        on: Vec<TaskRef>,
        /// Its next attempt.
        next: u32,
    },
    /// Wants a runner.
    Ready {
        /// The attempt that will be leased.
        attempt: u32,
        /// Backoff: not before.
        not_before: Millis,
    },
    /// A runner has it.
    Leased {
        /// Fencing number.
        attempt: u32,
        /// Who.
        runner: RunnerId,
        /// Since.
        since: Millis,
        /// Until, unless a heartbeat comes.
        expires: Millis,
        /// A person or a newer request wants it to stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop: Option<Stop>,
        /// What the runner said last that it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Step>,
    },
    /// Done.
    Succeeded {
        /// The one accepted result.
        result: Box<ResultManifest>,
    },
    /// Ended without success.
    Failed {
        /// The last attempt.
        attempt: u32,
        /// Whose fault.
        by: FailedBy,
        /// The accepted result, if one came.
        result: Option<Box<ResultManifest>>,
    },
    /// The package does not want this architecture.
    Excluded {
        /// The line that says so.
        reason: String,
    },
    /// Stopped by a person, or its request is gone.
    Canceled {
        /// Last attempt, 0 if none.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// A newer version of the request does not want it.
    Superseded {
        /// Last attempt, 0 if none.
        attempt: u32,
        /// The commit.
        by: String,
    },
}

/// How a leased task is to end when its runner lets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stop", rename_all = "kebab-case")]
pub enum Stop {
    /// As [`TaskState::Canceled`].
    Cancel {
        /// Why.
        reason: String,
    },
    /// As [`TaskState::Superseded`].
    Supersede {
        /// The commit.
        by: String,
    },
}

/// Whose fault a failure is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum FailedBy {
    /// The package's.
    Package(Failure),
    /// The machine's, after all attempts.
    Infrastructure {
        /// The last trouble.
        message: String,
    },
}

impl TaskState {
    /// One word for people and status files.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "blocked",
            Self::Ready { .. } => "ready",
            Self::Leased { .. } => "leased",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Excluded { .. } => "excluded",
            Self::Canceled { .. } => "canceled",
            Self::Superseded { .. } => "superseded",
        }
    }

    /// Nothing will happen to it without a person or a commit.
    pub fn is_closed(&self) -> bool {
        !matches!(
            self,
            Self::Blocked { .. } | Self::Ready { .. } | Self::Leased { .. }
        )
    }

    /// The last attempt that was leased, 0 if none was.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Blocked { next, .. } => next - 1,
            Self::Ready { attempt, .. } => attempt - 1,
            Self::Leased { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::Canceled { attempt, .. }
            | Self::Superseded { attempt, .. } => *attempt,
            Self::Succeeded { result } => result.attempt,
            Self::Excluded { .. } => 0,
        }
    }
}

impl TaskRow {
    /// Closed, and of no interest to the request as it is now.
    pub fn is_past(&self) -> bool {
        self.dropped.is_some() || matches!(self.state, TaskState::Superseded { .. })
    }

    /// Succeeded, and wanted.
    pub fn is_done(&self) -> bool {
        self.dropped.is_none() && matches!(self.state, TaskState::Succeeded { .. })
    }

    /// The accepted result's artifacts; none before success.
    pub fn artifacts(&self) -> &[runner_api::Artifact] {
        match &self.state {
            TaskState::Succeeded { result } => match &result.outcome {
                Outcome::Succeeded { artifacts, .. } => artifacts,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// The accepted result's facts.
    pub fn facts(&self) -> Option<&runner_api::Facts> {
        match &self.state {
            TaskState::Succeeded { result } => match &result.outcome {
                Outcome::Succeeded { facts, .. } => Some(facts),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A lease in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// On which task.
    pub task: TaskRef,
    /// Which attempt.
    pub attempt: u32,
    /// Until.
    pub expires: Millis,
}

/// An effect that has not been handed to its queue yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The effect.
    pub effect: Effect,
}

/// A message that was given up: whoever took it failed again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// From which queue.
    pub queue: QueueName,
    /// The message.
    pub message: Message,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// The last error.
    pub error: String,
    /// When it was given up.
    pub at: Millis,
}

/// A published repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// What clients see.
    pub pointer: Pointer,
}

/// What one release adds to one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// The release.
    pub release: RequestPath,
    /// To which repository.
    pub repository: RepositoryName,
    /// Place in the order of merges.
    pub sequence: u64,
    /// Signed packages, sorted by name.
    pub packages: Vec<Placed>,
}

/// Tasks of a request by id: what planning and reporting work on.
pub type Tasks = BTreeMap<TaskId, TaskRow>;
