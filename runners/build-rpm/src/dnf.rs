//! The backend `dnf`: roots by the host's `dnf --installroot`, everything else in the root itself.

use std::path::{Path, PathBuf};

use pipeline_spec::{Architecture, Platform};
use runner_agent::{Halt, Job};
use runner_api::{BuildTask, Failure, FailureKind, Outcome, PublicKeys, SourceTask};
use runner_build::{Blame, Room, key, sandbox_limits};
use sandbox::{Command, Ended, EntryKind, Limits, Network, Root, RootEntry, Sandbox};

use crate::backend::{Backend, Built, Srpm, Tree};
use crate::local::{self, LocalRepo};
use crate::repos::{Age, DATABASE, LOCAL, Repos};
use crate::rpmbuild;

/// Makers of roots share this bound; a root is a few hundred MiB.
const MAKING: Limits = Limits {
    memory_bytes: 4 << 30,
    processes: 4096,
    wall: std::time::Duration::from_secs(3600),
    disk_bytes: 8 << 30,
    log_bytes: 64 << 20,
};
/// Part of every root's name: counts up when what is done to a root changes.
const RECIPE: &str = "1";

/// Where dnf sees the source RPM whose requirements it installs; it goes by the ending.
const REQUIREMENTS: &str = "/requirements.src.rpm";
/// `%generate_buildrequires` may ask anew with what it asked for at hand; more rounds than this are a loop.
const MAX_ROUNDS: usize = 8;

/// What dnf says when a requirement cannot be had.
const UNMET: [&str; 5] = [
    "No matching package to install",
    "nothing provides ",
    "Unable to find a match",
    "Not all dependencies satisfied",
    "Problem: ",
];
/// What it says when a repository cannot be reached or believed: not the package's fault.
const TROUBLE: [&str; 6] = [
    "Failed to download metadata",
    "Error downloading packages",
    "Cannot download",
    "Curl error",
    "GPG check FAILED",
    "Public key for",
];

/// The backend.
#[derive(Debug)]
pub struct Dnf {
    sandbox: Sandbox,
    state: PathBuf,
}

impl Dnf {
    /// Over `sandbox`; indexes of remote repositories are remembered in `state`.
    pub fn new(sandbox: Sandbox, state: PathBuf) -> Self {
        Self { sandbox, state }
    }

    /// A platform's base root and the name of its content; and dnf's configuration for it.
    pub async fn base(
        &self,
        job: &Job,
        target: &Platform,
        keys: &PublicKeys,
        arch: &Architecture,
    ) -> Result<(Root, String, Repos), Halt> {
        let words = |list: &[pipeline_spec::RootPackage]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (first, packages) = (words(&target.first), words(&target.buildroot));
        let (mut age, mut missing) = (Age::Fresh, None);
        let (name, repos, new) = loop {
            let repos = Repos::of(target, keys, arch, (&self.state, age)).await?;
            let parts = [
                RECIPE,
                arch.as_str(),
                &repos.digest(),
                &first.join(" "),
                &packages.join(" "),
            ];
            let key = key("rpm", &parts);
            let name = key.as_str().to_owned();
            // A root must hold what its name says, so one is made from what is there this minute.
            if age == Age::Now
                && let Some((_, new)) = missing.take_if(|(known, _)| *known == name)
            {
                break (name, repos, new);
            }
            match self
                .sandbox
                .root(&key, None)
                .await
                .map_err(Halt::infrastructure)?
            {
                RootEntry::Ready(root) => {
                    repos.write(&conf(job))?;
                    return Ok((root, name, repos));
                }
                RootEntry::Missing(new) if age == Age::Now => break (name, repos, new),
                RootEntry::Missing(new) => missing = Some((name, new)),
            }
            age = Age::Now;
        };
        repos.write(&conf(job))?;
        job.log().line(format!("making the root {name} with dnf"));
        let room = Room::new(job, new.workspace().clone(), MAKING);
        for transaction in [first, packages] {
            if transaction.is_empty() {
                continue;
            }
            let words: Vec<&str> = std::iter::once("install")
                .chain(transaction.iter().map(String::as_str))
                .collect();
            room.run(
                &repos.dnf(&conf(job), &words),
                "make a root with dnf",
                Blame::Us,
            )
            .await?;
        }
        let setup = Command::prepare(["sh", "-ec", SETUP, "sh", DATABASE]).network(Network::None);
        room.run(&setup, "prepare the root", Blame::Us).await?;
        Ok((
            new.commit().await.map_err(Halt::infrastructure)?,
            name,
            repos,
        ))
    }

    /// A root with what `srpm` requires, from the cache when the same was installed before.
    async fn dependencies(
        &self,
        job: &Job,
        (base, base_name, repos): &(Root, String, Repos),
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Root, Halt> {
        let wanted = requirements(srpm.package);
        let key = key("rpm-layer", &[base_name, &local.digest, &wanted.join("\n")]);
        let new = match self
            .sandbox
            .root(&key, Some(base))
            .await
            .map_err(Halt::infrastructure)?
        {
            RootEntry::Ready(root) => return Ok(root),
            RootEntry::Missing(new) => new,
        };
        job.log().line("installing the build requirements");
        let room = Room::new(job, new.workspace().clone(), MAKING);
        let from_local = format!("--repofrompath=millrace-local,file://{LOCAL}");
        let mut words = vec!["builddep"];
        if !local.is_empty {
            // Fetched by digest, so their signatures, which come with the release, are not missed.
            words.extend([
                from_local.as_str(),
                "--setopt=millrace-local.gpgcheck=0",
                "--setopt=millrace-local.repo_gpgcheck=0",
            ]);
        }
        words.push(REQUIREMENTS);
        let install = repos
            .dnf(&conf(job), &words)
            .bind_read_only(srpm.path, REQUIREMENTS)
            .bind_read_only(&local.directory, LOCAL);
        let (ended, tail) = room.try_run(&install).await?;
        settle_install(ended, &tail)?;
        let clean = Command::prepare(["sh", "-ec", "rm -rf /var/cache/dnf /var/log/dnf*"])
            .network(Network::None);
        room.run(&clean, "clean the root", Blame::Us).await?;
        new.commit().await.map_err(Halt::infrastructure)
    }

    /// A root with all that `srpm` requires on this platform.
    async fn complete(
        &self,
        job: &Job,
        task: &BuildTask,
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Root, Halt> {
        let base = self.base(job, &task.target, &task.keys, &task.arch).await?;
        let room = self.room(job, &base.0, &task.limits).await?;
        let repack = source_script(rpmbuild::REPACK, task, srpm);
        room.run(
            &repack,
            "read the source RPM",
            Blame::Package(FailureKind::SourcePackage),
        )
        .await?;
        let is_dynamic = room
            .workspace()
            .list("/build")
            .await
            .map_err(Halt::infrastructure)?
            .iter()
            .any(|entry| entry.name == rpmbuild::DYNAMIC);
        let mut asks = copy_packages(&room, job, "/build/SRPMS", "asks-0")
            .await?
            .pop();
        room.close().await;
        let (mut root, mut known) = (None, Vec::new());
        for round in 1..=MAX_ROUNDS {
            let Some(path) = asks.take() else { break };
            let package = local::read(&path, "the source RPM")?;
            let asked = requirements(&package);
            if root.is_some() && asked == known {
                break;
            }
            known = asked;
            let made = self
                .dependencies(
                    job,
                    &base,
                    &Srpm {
                        path: &path,
                        package: &package,
                    },
                    local,
                )
                .await?;
            if is_dynamic {
                let room = self.room(job, &made, &task.limits).await?;
                let generate = source_script(rpmbuild::GENERATE, task, srpm);
                room.run(
                    &generate,
                    "generate build requirements",
                    Blame::Package(FailureKind::Build),
                )
                .await?;
                let entries = room
                    .workspace()
                    .list("/build")
                    .await
                    .map_err(Halt::infrastructure)?;
                if entries.iter().any(|entry| entry.name == "SRPMS") {
                    asks = copy_packages(&room, job, "/build/SRPMS", &format!("asks-{round}"))
                        .await?
                        .pop();
                }
                room.close().await;
            }
            root = Some(made);
        }
        match (root, asks) {
            (Some(root), None) => Ok(root),
            (None, _) => Err(Halt::failed(
                FailureKind::SourcePackage,
                "rpmbuild -bs made no source RPM of the source RPM's spec",
            )),
            (_, Some(_)) => Err(Halt::failed(
                FailureKind::BuildDependencies,
                format!(
                    "%generate_buildrequires still asks for more after {MAX_ROUNDS} rounds: what it prints does not settle"
                ),
            )),
        }
    }

    /// A fresh overlay over the base root, with a source task's limits.
    async fn source_room<'a>(&self, job: &'a Job, task: &SourceTask) -> Result<Room<'a>, Halt> {
        let arch = task.target.architectures.primary();
        let (root, ..) = self.base(job, &task.target, &task.keys, arch).await?;
        self.room(job, &root, &task.limits).await
    }

    /// A fresh overlay on `root` with the limits of a task.
    pub async fn room<'a>(
        &self,
        job: &'a Job,
        root: &Root,
        limits: &pipeline_spec::Limits,
    ) -> Result<Room<'a>, Halt> {
        let limits = sandbox_limits(limits);
        let workspace = self
            .sandbox
            .workspace(root, limits.disk_bytes)
            .await
            .map_err(Halt::infrastructure)?;
        Ok(Room::new(job, workspace, limits))
    }
}

/// A build user, a place to build, the database where the root's own rpm looks, and a small cache.
const SETUP: &str = r#"
mkdir -p /build
grep -q '^[^:]*:[^:]*:1000:' /etc/passwd || echo 'builder:x:1000:1000::/build:/bin/sh' >> /etc/passwd
grep -q '^[^:]*:[^:]*:1000:' /etc/group || echo 'builder:x:1000:' >> /etc/group
chown 1000:1000 /build
own=$(rpm -E '%{_dbpath}')
if [ "$own" != "$1" ] && [ ! "$own" -ef "$1" ]; then
  mkdir -p "$own"
  cp -a "$1"/. "$own"
  rm -rf "$1"
  ln -s "$own" "$1"
fi
rm -rf /var/log/dnf* /var/cache/dnf/*/packages
"#;

/// All that a source RPM requires and refuses, sorted.
fn requirements(srpm: &repo_rpm::Package) -> Vec<String> {
    let lines = |mark: &'static str, list: &[repo_rpm::Dependency]| {
        list.iter()
            .map(|d| format!("{mark}{} {} {}", d.name, d.flags, d.version))
            .collect::<Vec<_>>()
    };
    let mut all = lines("", &srpm.requires);
    all.extend(lines("!", &srpm.conflicts));
    all.sort();
    all
}

/// Of the job: what is bound into dnf's sandbox.
fn conf(job: &Job) -> PathBuf {
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
fn source_script(text: &str, task: &BuildTask, srpm: &Srpm<'_>) -> Command {
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
        let query = Command::prepare(["rpm", "-qa", "--qf", rpmbuild::INSTALLED_FORMAT])
            .network(Network::None);
        let installed = room
            .query(&query, "list the packages of the root", Blame::Us)
            .await?;
        let command = source_script(rpmbuild::BUILD, task, srpm);
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
async fn copy_packages(
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

/// A requirement that does not exist is the package's fault; a mirror that does not answer is not.
fn settle_install(ended: Ended, tail: &str) -> Result<(), Halt> {
    if ended.success() {
        return Ok(());
    }
    let said: Vec<&str> = tail
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let has = |words: &[&str]| {
        said.iter()
            .find(|line| words.iter().any(|word| line.contains(word)))
    };
    match (has(&TROUBLE), has(&UNMET)) {
        (None, Some(line)) => {
            let most = Failure::MAX_EXCERPT.min(said.len());
            let excerpt = said[said.len() - most..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect();
            let message = format!(
                "a build requirement cannot be installed: {}; correct BuildRequires, or build what is missing first and link it with `with:`",
                line.trim().trim_start_matches("- "),
            );
            let failure = Failure {
                kind: FailureKind::BuildDependencies,
                message,
                excerpt,
            };
            Err(Outcome::Failed {
                failure,
                artifacts: Vec::new(),
            }
            .into())
        }
        (line, _) => {
            let line = line.or(said.last()).map_or("", |line| line.trim());
            Err(Halt::trouble(format!(
                "install the build requirements: {ended}: {line}"
            )))
        }
    }
}
