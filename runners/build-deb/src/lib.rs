//! The role `build-deb`: Debian source and binary packages in clean roots.
//!
//! A root is made by `mmdebstrap` from the platform's archives and named by their `InRelease` files;
//! build dependencies are a layer on top, named by what they are, downloaded first and installed
//! offline; each build gets an overlay on that, without network. `dpkg-buildpackage` runs as an unprivileged user.
//!
//! Invariants: `debian/rules` runs offline and nowhere but in the sandbox; what the archives offered is
//! recorded package by package; the same inputs give the same packages where upstream allows it.

#![allow(
    clippy::disallowed_methods,
    reason = "a role works in its job's directory and asks apt on the host for its sources"
)]

mod archive;
mod build;
mod control;
mod root;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_spec::Role as RoleName;
use runner_agent::{Halt, Job, Role, Running, settle};
use runner_api::{Outcome, TaskSpec};
use sandbox::Sandbox;

pub use archive::Archives;
pub use root::{LOCAL_SOURCE, Purpose, Roots, apt, local_archive, workspace_with};

/// The role.
pub struct BuildDeb {
    roots: Arc<Roots>,
}

impl BuildDeb {
    /// Works with `sandbox`; apt's lists are kept below `state`.
    pub fn new(sandbox: Sandbox, state: &Path) -> Self {
        Self {
            roots: Arc::new(Roots::new(sandbox, PathBuf::from(state).join("apt"))),
        }
    }
}

impl Role for BuildDeb {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::BuildDeb]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.work(job).await) })
    }
}

impl BuildDeb {
    async fn work(&self, job: &Job) -> Result<Outcome, Halt> {
        match job.spec() {
            TaskSpec::Source(task) => source::make(&self.roots, job, task).await,
            TaskSpec::Build(task) => build::make(&self.roots, job, task).await,
            other => Err(Halt::trouble(format!(
                "{}: the role build-deb does not do that",
                other.title()
            ))),
        }
    }
}
