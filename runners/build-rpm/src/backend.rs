//! What a maker of buildroots must be able to do.

use std::path::{Path, PathBuf};

use runner_agent::{Halt, Job};
use runner_api::{BuildTask, SourceTask};

use crate::local::LocalRepo;

/// A git tree on its way to a source RPM.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    /// The package's directory.
    pub(crate) directory: &'a Path,
    /// The spec's file name in it.
    pub(crate) spec: &'a str,
    /// A directory with the sources that are not in the tree.
    pub(crate) extra: &'a Path,
    /// The commit's time, seconds since 1970.
    pub(crate) time: i64,
}

/// What a build left.
#[derive(Debug)]
pub(crate) struct Built {
    /// Binary RPMs in a directory of the job.
    pub(crate) packages: Vec<PathBuf>,
    /// Lines of [`crate::rpmbuild::INSTALLED_FORMAT`]: what the buildroot held.
    pub(crate) installed: String,
}

/// A maker of buildroots. Everything of a package runs in its sandbox, offline.
pub(crate) trait Backend: Sync {
    /// The spec of `tree` with its macros expanded.
    fn expand(
        &self,
        job: &Job,
        task: &SourceTask,
        tree: &Tree<'_>,
    ) -> impl Future<Output = Result<String, Halt>> + Send;

    /// Makes a source RPM of `tree`, and answers where it is.
    fn pack(
        &self,
        job: &Job,
        task: &SourceTask,
        tree: &Tree<'_>,
    ) -> impl Future<Output = Result<PathBuf, Halt>> + Send;

    /// What `srpm` requires and what its binary packages will provide: what
    /// [`crate::rpmbuild::PROVIDES`] prints.
    fn provides(
        &self,
        job: &Job,
        task: &SourceTask,
        srpm: &Path,
    ) -> impl Future<Output = Result<String, Halt>> + Send;

    /// Builds `srpm`.
    fn build(
        &self,
        job: &Job,
        task: &BuildTask,
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> impl Future<Output = Result<Built, Halt>> + Send;
}

/// A source RPM to build.
#[derive(Debug)]
pub(crate) struct Srpm<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// What its header says.
    pub(crate) package: &'a repo_rpm::Package,
}
