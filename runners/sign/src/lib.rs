//! The sign role: puts signatures into packages and beside repository metadata.
//!
//! Caller: `millrace-signer`, a process with an identity of its own and the only one that opens private
//! keys.
//!
//! Invariants:
//! * A package is signed only if size, SHA-256, name, version and architecture are what its build
//!   recorded, and only its signature header changes.
//! * If one file of a task is refused, nothing of the task is uploaded.
//! * Only `…/repodata/repomd.xml` and `dists/<suite>/Release` are signed as metadata, and only if they
//!   look the part: a signature over arbitrary bytes could be presented as something else.
//! * For a repository whose rules the signer has itself ([`Demands`]) nothing is signed without the approvals that they
//!   demand, which it sees for itself.
//! * Nothing is signed for a scratch build, and nothing that one has made.
//! * A private key is in memory while a task needs it, and in no log, message or argument list. One in a vault never is:
//!   without a vault nothing is asked of any network but the control plane.

#![allow(
    clippy::disallowed_methods,
    reason = "the business of this crate is key files and packages on this machine, and whether keys have ended"
)]

mod demands;
mod keys;
mod metadata;
mod packages;
mod vault;

use std::time::{SystemTime, UNIX_EPOCH};

use pipeline_spec::{KeyId, Role as RoleName};
use runner_agent::{Halt, Job, Role, Running, settle};
use runner_api::{FailureKind, Grant, Outcome, TaskRef, TaskSpec};

pub use demands::Demands;
pub use keys::{Error, Keys, NewKey};
pub use vault::{Opening, RemoteKey, Vault};

/// Signs with the keys of one folder.
#[derive(Debug)]
pub struct Sign {
    keys: Keys,
    demands: Demands,
}

impl Sign {
    /// A signer with these keys.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            demands: Demands::default(),
        }
    }

    /// The same, that signs nothing without these approvals.
    #[must_use]
    pub fn demanding(self, demands: Demands) -> Self {
        Self { demands, ..self }
    }

    async fn work(&self, job: &Job) -> Result<Outcome, Halt> {
        refuse_scratch(job.grant())?;
        self.demands.check(job.grant(), now())?;
        match job.spec() {
            TaskSpec::SignPackages(task) => packages::sign(job, task, &self.keys).await,
            TaskSpec::SignMetadata(task) => metadata::sign(job, task, &self.keys).await,
            other => Err(Halt::trouble(format!(
                "{}: it is no task for a signer",
                other.title()
            ))),
        }
    }
}

impl Role for Sign {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::Sign]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.work(job).await) })
    }
}

/// A scratch build is for trying out. The control plane has walls of its own; this one holds without it.
fn refuse_scratch(grant: &Grant) -> Result<(), Halt> {
    let named: Vec<&TaskRef> = match &grant.spec {
        TaskSpec::SignPackages(task) => task.packages.iter().map(|it| &it.built_by).collect(),
        TaskSpec::SignMetadata(task) => vec![&task.compose],
        _ => Vec::new(),
    };
    let mut all = std::iter::once(&grant.task).chain(named);
    match all.find(|task| task.request.is_scratch()) {
        Some(task) => Err(refused(format!(
            "Nothing is signed: {task} is a scratch build, and nothing of one is ever released."
        ))),
        None => Ok(()),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn refused(message: impl Into<String>) -> Halt {
    Halt::failed(FailureKind::SigningRefused, message)
}

/// The time of the commit; of a commit that is older than the key, the time of the key. Either way the
/// same task gives the same signature. Signature times are unsigned in OpenPGP.
fn signature_time(id: &KeyId, key: &openpgp::SigningKey, time: i64) -> Result<u64, Halt> {
    let time = u64::try_from(time).map_err(|_| {
        refused(format!(
            "Nothing is signed with {id}: the time of the commit, {time}, is before 1970."
        ))
    })?;
    Ok(time.max(key.created()))
}
