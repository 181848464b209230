//! The role `test`: packages are installed, checked and removed in clean roots, and a staged repository
//! is used as its users will use it, before it is published.
//!
//! What judges is the distribution's own client: apt and dpkg, dnf and rpm. Every package gets an
//! overlay of its own on a small root of the platform. Dependencies are downloaded first; maintainer
//! scripts then run without network, as root of a user namespace.
//!
//! Callers: the runner. Invariants: what a client refuses is the package's or the repository's fault, a
//! mirror that does not answer is not; every task ends with a TAP report that names each case; in a
//! smoke test no signature check is turned off.

#![allow(
    clippy::disallowed_methods,
    reason = "a role works in its job's directory"
)]

mod deb;
mod inspect;
mod report;
mod rpm;
mod smoke_deb;
mod smoke_rpm;
mod staged;

use std::path::Path;
use std::sync::Arc;

use pipeline_spec::{Format, Role as RoleName};
use runner_agent::{Halt, Job, Role, Running, settle};
use runner_api::{FailureKind, Outcome, TaskSpec};
use sandbox::Sandbox;

/// The role.
pub struct InstallTest {
    deb: Arc<runner_build_deb::Roots>,
    rpm: Arc<runner_build_rpm::Dnf>,
}

impl InstallTest {
    /// Works with `sandbox`; indexes of the platforms' archives are kept below `state`.
    pub fn new(sandbox: Sandbox, state: &Path) -> Self {
        // apt locks its lists: the build role has others.
        let deb = runner_build_deb::Roots::new(sandbox.clone(), state.join("apt-test"));
        let rpm = runner_build_rpm::Dnf::new(sandbox, state.join("repomd"));
        Self {
            deb: Arc::new(deb),
            rpm: Arc::new(rpm),
        }
    }

    async fn work(&self, job: &Job) -> Result<Outcome, Halt> {
        match job.spec() {
            TaskSpec::Test(task) => {
                let report = match task.target.format() {
                    Format::Deb => deb::test(&self.deb, job, task).await?,
                    Format::Rpm => rpm::test(&self.rpm, job, task).await?,
                };
                report.finish(job, FailureKind::Test).await
            }
            TaskSpec::Smoke(task) => {
                let report = match task.target.format() {
                    Format::Deb => smoke_deb::test(&self.deb, job, task).await?,
                    Format::Rpm => smoke_rpm::test(&self.rpm, job, task).await?,
                };
                report.finish(job, FailureKind::Smoke).await
            }
            _ => Err(Halt::trouble(format!(
                "{}: the role test does not do that",
                job.spec().title()
            ))),
        }
    }
}

impl Role for InstallTest {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::Test]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.work(job).await) })
    }
}
