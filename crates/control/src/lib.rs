//! The use cases of the control plane, each a straight list of steps over the ports.
//!
//! | use case | step | when |
//! |---|---|---|
//! | [`Control::plan_head`] | compares the state repository with the ledger | a push, a sweep |
//! | [`Control::advance`] | writes the tasks of one request that should exist | after every event |
//! | [`Control::dispatch`] | drains the outbox into the queues | after every change, a sweep |
//! | [`Control::take`], [`Control::lease`], [`Control::heartbeat`], [`Control::finish`] | a runner's calls | |
//! | [`Control::collect`] | takes in a result that lies in the store | a runner put it there, a sweep |
//! | [`Control::report`] | renders requests into one commit on the status branch | batched |
//! | [`Control::review`] | tells each open pull request what merging it would do | a push to one, a merge, a timer |
//! | [`Control::answer_forge`] | does what people ask for at the forge, and looks there | a webhook, a timer |
//! | [`Control::tell`] | tells each planned commit and merged pull request how its work goes | a report, a timer |
//! | [`Control::sweep`] | expired leases, lost messages, open requests | a timer |
//! | [`Control::prune`] | removes artifacts that nothing names any more | a timer, a person |
//! | [`Control::recover`] | a lost ledger, from `main`, `status` and the artifact store | a person |
//!
//! Callers: the functions and the command line. Invariants: every write is conditional or a function of
//! rows under a condition; every use case may run twice, late, or be killed between any two steps, and
//! the next run goes on from what is written.

mod admit;
mod advance;
mod anew;
mod answer;
mod approved;
mod asked;
mod away;
mod budgets;
mod collect;
mod command;
mod compared;
mod config;
mod consistency;
mod dead;
mod dispatch;
mod dry_release;
mod dry_run;
mod durations;
mod files;
mod forecast;
mod jobs;
mod leans;
mod load;
mod markdown;
mod merged;
mod missed;
mod needs;
mod notice;
mod orphans;
mod plan_check;
mod planned;
mod publish;
mod query;
mod recover;
mod render;
mod reply;
mod report;
mod results_check;
mod review;
mod scratch;
mod shape;
mod sweep;
mod tell;
mod told_configuration;
mod turns;
mod unread;
mod work;
mod writer;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use ledger::{Change, Key, Message, Millis, QueueName};
use pipeline_spec::Diagnostic;
use ports::{Applied, Clock, Ledger, Place, Platform, TaskQueue};
use tokio::sync::{Mutex, Notify};

pub use admit::Planned;
pub use answer::Answered;
pub use asked::Answer;
use away::Away;
pub use collect::Collected;
pub use command::CommandError;
pub use config::Snapshot;
pub use dry_run::{
    CHECKOUT, DryRun, DryRunPackage, DryRunRepository, DryRunRequest, DryRunTask, DryRunWork,
    PackageChange, Remark,
};
pub use files::Checkout;
pub use forecast::Forecast;
pub use needs::DryRunNeed;
use needs::Heard;
pub use orphans::{Amount, Grace, Orphan, Pruned, Pruning, TooShort};
pub use query::{RepositoryStatus, RequestSummary, RunnerNeed, Status, TaskDetail};
pub use recover::Recovered;
pub use render::{ConfigurationFile, StatusFile, StatusRef, StatusTask, VERSION as STATUS_VERSION};
pub use report::Reported;
pub use review::Reviewed;
pub use sweep::Swept;
pub use tell::Told;
use unread::Unread;
use work::Enrolment;
pub use work::{LINK_LASTS, Leased, Refused, Taken, queues};

/// Why a use case stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world's trouble; the next run goes on.
    #[error(transparent)]
    Port(#[from] ports::Error),
    /// Others kept writing the same row.
    #[error("write {0}: other writers changed it {MAX_TRIES} times in a row")]
    Contended(String),
    /// As many pushes were made as the forge bears.
    #[error("push to the status branch: as many pushes were made as may be for now")]
    Full {
        /// The next one may be made then.
        until: Millis,
    },
    /// The configuration in the state repository cannot be used.
    #[error("read the configuration at {commit}: {} problem(s), the first is: {}", .diagnostics.len(), first(.diagnostics))]
    Config {
        /// At which commit.
        commit: String,
        /// All of them.
        diagnostics: Vec<Diagnostic>,
    },
    /// What is stored contradicts itself: an alarm.
    #[error("{0}")]
    Inconsistent(String),
}

fn first(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .first()
        .map(|d| format!("{}:{}: {}", d.path, d.line, d.message))
        .unwrap_or_default()
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// How often a conditional write is tried again from the reading on.
pub(crate) const MAX_TRIES: usize = 10;
/// Files of which the store is asked at a time: a first compose names all packages of a distribution.
pub(crate) const FILES_AT_A_TIME: usize = 64;
/// Rows read in one go.
pub(crate) const PAGE: usize = 500;

/// What an installation decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// The branch that holds the wishes.
    pub branch: String,
    /// The branch that holds the answers.
    pub status_branch: String,
    /// A lease ends this long after the last heartbeat.
    pub lease_seconds: u64,
    /// Runners send a heartbeat this often.
    pub heartbeat_seconds: u64,
    /// How long a file of the artifact store is kept that nothing names.
    pub grace: Grace,
    /// Pushes to the status branch in any minute, of all processes together: for a state repository at a forge, which
    /// blocks whoever pushes too often. `None`: as many as there is something to say.
    pub pushes_a_minute: Option<NonZeroU32>,
    /// Whether planned commits are kept in sight until their requests are done: somebody calls [`Control::tell`].
    pub checks: bool,
    /// Where people reach pages and logs, for links in checks. Without a slash at its end.
    pub public_url: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            branch: "main".to_owned(),
            status_branch: "status".to_owned(),
            lease_seconds: 60,
            heartbeat_seconds: 10,
            grace: Grace::default(),
            pushes_a_minute: None,
            checks: false,
            public_url: None,
        }
    }
}

/// The control plane over one choice of adapters.
pub struct Control<P: Platform> {
    platform: P,
    options: Options,
    snapshots: Mutex<Vec<Arc<Snapshot>>>,
    /// Told after every change that has effects, so that dispatch need not poll.
    changed: Notify,
    /// See [`Control::report_time`].
    report_millis: AtomicI64,
    /// See [`Control::runner`].
    enrolment: Mutex<Option<Enrolment>>,
    /// Addresses of packages' sources that did not answer.
    away: Away,
    /// Newest commits of pull requests that git could not read.
    unread: Unread,
    /// Runners that call this process.
    heard: Heard,
    /// The commit whose configuration was last found to be broken.
    broken: Mutex<String>,
}

impl<P: Platform> Control<P> {
    /// A control plane.
    pub fn new(platform: P, options: Options) -> Self {
        Self {
            platform,
            options,
            snapshots: Mutex::new(Vec::new()),
            changed: Notify::new(),
            report_millis: AtomicI64::new(0),
            enrolment: Mutex::new(None),
            away: Away::default(),
            unread: Unread::default(),
            heard: Heard::default(),
            broken: Mutex::default(),
        }
    }

    /// The adapters.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// What was decided.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Resolves when a change with effects was applied since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn now(&self) -> Millis {
        self.platform.clock().now()
    }

    /// Applies a change and tells dispatch.
    pub(crate) async fn apply(&self, change: Change) -> Result<Applied> {
        if change.size() > Change::MAX_ROWS {
            return Err(Error::Inconsistent(format!(
                "apply a change of {} rows: {} are allowed",
                change.size(),
                Change::MAX_ROWS
            )));
        }
        let effects = !change.effects.is_empty();
        let applied = self.platform.ledger().apply(change, self.now()).await?;
        if effects && applied == Applied::Done {
            self.changed.notify_one();
        }
        Ok(applied)
    }

    /// Asks for a request to be looked at, outside of a change. Lost at worst until the next sweep.
    pub(crate) async fn wake(&self, request: &pipeline_spec::RequestPath) -> Result<()> {
        let message = Message::Advance {
            request: request.clone(),
        };
        Ok(self
            .platform
            .queue()
            .send(&QueueName::advance(), &message, &Place::at(self.now()))
            .await?)
    }
}

/// A conflict's row, for the error that ends a loop of tries.
pub(crate) fn contended(key: &Key) -> Error {
    Error::Contended(key.to_string())
}
