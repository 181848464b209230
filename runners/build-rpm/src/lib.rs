//! The role `build-rpm`: source and binary RPMs in clean roots.
//!
//! A root is made by `dnf --installroot` from the platform's repositories and named by their
//! `repomd.xml`; build requirements are a layer on top, named by what they are; each build gets an
//! overlay on that, without network. Packages are downloaded first and installed offline. `rpmbuild`
//! runs as an unprivileged user. A platform with `backend: mock` is left to the `mock` of the host
//! instead.
//!
//! Invariants: a spec file is never parsed outside of a sandbox, since parsing one runs its shell; no
//! package is installed whose signature was not checked, except those of linked builds, which were
//! fetched by digest; the same inputs give the same packages where upstream allows it.

#![allow(
    clippy::disallowed_methods,
    reason = "a role works in its job's directory and starts the host's mock"
)]

mod backend;
mod build;
mod dnf;
mod download;
mod facts;
mod local;
mod lookaside;
mod mock;
mod repos;
mod requirements;
mod root;
mod rpmbuild;
mod source;

use std::path::Path;

use pipeline_spec::{Backend as BackendName, Platform, Role as RoleName};
use runner_agent::{Halt, Job, Role, Running, settle};
use runner_api::{Outcome, TaskSpec};
use sandbox::Sandbox;

pub use dnf::Dnf;
pub use local::{LocalRepo, make as local_repository};
pub use repos::{LOCAL, Repos};

use crate::backend::Backend;
use crate::mock::Mock;

/// The role.
#[derive(Debug)]
pub struct BuildRpm {
    dnf: Dnf,
    mock: Mock,
}

impl BuildRpm {
    /// Works with `sandbox`; what is known of repositories is kept below `state`.
    pub fn new(sandbox: Sandbox, state: &Path) -> Self {
        Self {
            dnf: Dnf::new(sandbox, state.join("repomd")),
            mock: Mock,
        }
    }

    async fn work(&self, job: &Job) -> Result<Outcome, Halt> {
        let target = match job.spec() {
            TaskSpec::Source(task) => &task.target,
            TaskSpec::Build(task) => &task.target,
            other => {
                return Err(Halt::trouble(format!(
                    "{}: the role build-rpm does not do that",
                    other.title()
                )));
            }
        };
        match backend_of(target)? {
            BackendName::Mock => with(&self.mock, job).await,
            _ => with(&self.dnf, job).await,
        }
    }
}

impl Role for BuildRpm {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::BuildRpm]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.work(job).await) })
    }
}

fn backend_of(target: &Platform) -> Result<BackendName, Halt> {
    match target.backend {
        BackendName::Mmdebstrap => Err(Halt::trouble(
            "use the platform: mmdebstrap makes no RPM roots",
        )),
        name => Ok(name),
    }
}

async fn with<B: Backend>(backend: &B, job: &Job) -> Result<Outcome, Halt> {
    match job.spec() {
        TaskSpec::Source(task) => source::make(backend, job, task).await,
        TaskSpec::Build(task) => build::make(backend, job, task).await,
        other => Err(Halt::trouble(format!(
            "{}: the role build-rpm does not do that",
            other.title()
        ))),
    }
}
