//! The backend `dnf`: roots by the host's `dnf --installroot`, everything else in the root itself.

use std::path::{Path, PathBuf};

use runner_agent::{Halt, Job};
use runner_api::{BuildTask, FailureKind, SourceTask, Step};
use runner_build::{Blame, Room};
use sandbox::{Command, EntryKind, Sandbox};

use crate::backend::{Backend, Built, Srpm, Tree};
use crate::local::LocalRepo;
use crate::requirements::listed_packages;
use crate::rpmbuild;

/// The backend.
#[derive(Debug)]
pub struct Dnf {
    pub(crate) sandbox: Sandbox,
    pub(crate) state: PathBuf,
}

impl Dnf {
    /// Over `sandbox`; indexes of remote repositories are remembered in `state`.
    pub fn new(sandbox: Sandbox, state: PathBuf) -> Self {
        Self { sandbox, state }
    }

    /// A fresh overlay over the base root, with a source task's limits.
    async fn source_room<'a>(&self, job: &'a Job, task: &SourceTask) -> Result<Room<'a>, Halt> {
        let arch = task.target.architectures.primary();
        let (root, ..) = self.base(job, &task.target, &task.keys, arch).await?;
        job.step(Step::Source);
        self.room(job, &root, &task.limits).await
    }
}

/// Of the job: what is bound into dnf's sandbox.
pub(crate) fn conf(job: &Job) -> PathBuf {
    job.dir().join("conf")
}

fn script(text: &str, words: &[&str]) -> Command {
    Command::build(["sh", "-ec", text, "sh"].iter().chain(words).copied())
        .writable("/build")
        .current_dir("/build")
}

fn tree_script(text: &str, task: &SourceTask, tree: &Tree<'_>) -> Command {
    let options = rpmbuild::options(
        &task.target,
        &task.options,
        task.target.architectures.primary().as_str(),
    );
    let words: Vec<&str> = ["/tree", tree.spec]
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .collect();
    script(text, &words)
        .env("SOURCE_DATE_EPOCH", tree.time.to_string())
        .bind_read_only(tree.directory, "/tree")
        .bind_read_only(tree.extra, "/extra")
}

/// A script over the source RPM of a build.
pub(crate) fn source_script(text: &str, task: &BuildTask, srpm: &Srpm<'_>) -> Command {
    let options = rpmbuild::options(&task.target, &task.options, task.arch.as_str());
    let words: Vec<&str> = std::iter::once("/in.src.rpm")
        .chain(options.iter().map(String::as_str))
        .collect();
    script(text, &words)
        .env(
            "SOURCE_DATE_EPOCH",
            rpmbuild::epoch(srpm.package).to_string(),
        )
        .bind_read_only(srpm.path, "/in.src.rpm")
}

impl Backend for Dnf {
    async fn expand(&self, job: &Job, task: &SourceTask, tree: &Tree<'_>) -> Result<String, Halt> {
        let room = self.source_room(job, task).await?;
        let command = tree_script(rpmbuild::EXPAND, task, tree);
        let text = room
            .query(
                &command,
                "read the spec file",
                Blame::Package(FailureKind::SourcePackage),
            )
            .await?;
        room.close().await;
        Ok(text)
    }

    async fn pack(&self, job: &Job, task: &SourceTask, tree: &Tree<'_>) -> Result<PathBuf, Halt> {
        let room = self.source_room(job, task).await?;
        let command = tree_script(rpmbuild::PACK, task, tree);
        let packed = room
            .run(
                &command,
                "make the source RPM",
                Blame::Package(FailureKind::SourcePackage),
            )
            .await;
        packed.map_err(rpmbuild::reclassify)?;
        let mut found = copy_packages(&room, job, "/build/SRPMS", "srpm").await?;
        room.close().await;
        match (found.pop(), found.len()) {
            (Some(path), 0) => Ok(path),
            _ => Err(Halt::failed(
                FailureKind::SourcePackage,
                "rpmbuild -bs did not make exactly one source RPM",
            )),
        }
    }

    async fn provides(&self, job: &Job, task: &SourceTask, srpm: &Path) -> Result<String, Halt> {
        let room = self.source_room(job, task).await?;
        let options = rpmbuild::options(
            &task.target,
            &task.options,
            task.target.architectures.primary().as_str(),
        );
        let words: Vec<&str> = ["/in.src.rpm", rpmbuild::PROVIDES_FORMAT]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .collect();
        let command = script(rpmbuild::PROVIDES, &words).bind_read_only(srpm, "/in.src.rpm");
        let text = room
            .query(
                &command,
                "read the spec of the source RPM",
                Blame::Package(FailureKind::SourcePackage),
            )
            .await?;
        room.close().await;
        Ok(text)
    }

    async fn build(
        &self,
        job: &Job,
        task: &BuildTask,
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Built, Halt> {
        let root = self.complete(job, task, srpm, local).await?;
        let room = self.room(job, &root, &task.limits).await?;
        let installed = listed_packages(&room).await?;
        let command = source_script(rpmbuild::BUILD, task, srpm);
        job.step(Step::Building);
        let built = room
            .run(&command, "build", Blame::Package(FailureKind::Build))
            .await;
        built.map_err(rpmbuild::reclassify)?;
        let packages = copy_packages(&room, job, "/build/RPMS", "out").await?;
        room.close().await;
        Ok(Built {
            packages,
            installed,
        })
    }
}

/// Copies the RPMs of a directory of the room into one of the job.
pub(crate) async fn copy_packages(
    room: &Room<'_>,
    job: &Job,
    from: &str,
    to: &str,
) -> Result<Vec<PathBuf>, Halt> {
    let out = job.dir().join(to);
    std::fs::create_dir_all(&out).map_err(Halt::infrastructure)?;
    let mut paths = Vec::new();
    for entry in room
        .workspace()
        .list(from)
        .await
        .map_err(Halt::infrastructure)?
    {
        if entry.kind == EntryKind::File && entry.name.ends_with(".rpm") {
            let path = out.join(&entry.name);
            room.copy_out(&format!("{from}/{}", entry.name), &path)
                .await?;
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
