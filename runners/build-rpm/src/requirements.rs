//! Layers with build requirements.

use std::path::PathBuf;

use runner_agent::{Halt, Job};
use runner_api::{BuildTask, Failure, FailureKind, Outcome, Step};
use runner_build::{Blame, Room, key};
use sandbox::{Command, Ended, Network, Owner, Root, RootEntry};

use crate::backend::Srpm;
use crate::dnf::{Dnf, conf, copy_packages, source_script};
use crate::local::{self, LocalRepo};
use crate::repos::{LOCAL, Repos};
use crate::root::{MAKING, STEPS};
use crate::rpmbuild;

/// Part of every layer's name: counts up when what is done to a layer changes.
const LAYER: &str = "2";
/// Where a layer lists its packages as [`rpmbuild::INSTALLED_FORMAT`] does, the base's included. Only
/// root can write there.
const BUILDROOT: &str = "/usr/lib/millrace/buildroot";
/// Largest such list, in bytes: a full desktop has 3,000 packages of 120 bytes.
const MAX_BUILDROOT_BYTES: u64 = 16 << 20;

/// Where dnf sees the source RPM whose requirements it installs; it goes by the ending.
const REQUIREMENTS: &str = "/requirements.src.rpm";
/// `%generate_buildrequires` may ask anew with what it asked for at hand; more rounds than this are a loop.
const MAX_ROUNDS: usize = 8;

/// What dnf says when a requirement cannot be had, what tells most first.
const UNMET: [&str; 5] = [
    "No matching package to install",
    "nothing provides ",
    "Unable to find a match",
    "Not all dependencies satisfied",
    "Problem: ",
];
/// What rpm says of a scriptlet: a linked build's is a stranger's program.
const SCRIPTLET: &str = "scriptlet failed";
/// What it says when a repository cannot be reached or believed: not the package's fault.
const TROUBLE: [&str; 6] = [
    "Failed to download metadata",
    "Error downloading packages",
    "Cannot download",
    "Curl error",
    "GPG check FAILED",
    "Public key for",
];

impl Dnf {
    /// A root with what `srpm` requires, from the cache when the same was installed before.
    async fn dependencies(
        &self,
        job: &Job,
        (base, base_name, repos): &(Root, String, Repos),
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Root, Halt> {
        let wanted = requirements(srpm.package);
        let wanted_text = wanted.join("\n");
        let key = key(
            "rpm-layer",
            &[LAYER, base_name, &local.digest, &wanted_text],
        );
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
        for (word, network) in STEPS {
            let all: Vec<&str> = std::iter::once(word).chain(words.iter().copied()).collect();
            let step = repos
                .dnf(&conf(job), &all)
                .network(network)
                .bind_read_only(srpm.path, REQUIREMENTS)
                .bind_read_only(&local.directory, LOCAL);
            let (ended, tail) = room.try_run(&step).await?;
            settle_install(ended, &tail)?;
        }
        let clean = Command::prepare(["sh", "-ec", "rm -rf /var/cache/dnf /var/log/dnf*"])
            .network(Network::None);
        room.run(&clean, "clean the root", Blame::Us).await?;
        list_packages(&room).await?;
        new.commit().await.map_err(Halt::infrastructure)
    }

    /// A root with all that `srpm` requires on this platform.
    pub(crate) async fn complete(
        &self,
        job: &Job,
        task: &BuildTask,
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Root, Halt> {
        let base = self.base(job, &task.target, &task.keys, &task.arch).await?;
        job.step(Step::Dependencies);
        let room = self.room(job, &base.0, &task.limits).await?;
        let repack = source_script(rpmbuild::REPACK, task, srpm);
        let blame = Blame::Package(FailureKind::SourcePackage);
        room.run(&repack, "read the source RPM", blame).await?;
        let is_dynamic = has(&room, rpmbuild::DYNAMIC).await?;
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
            let asking = Srpm {
                path: &path,
                package: &package,
            };
            let made = self.dependencies(job, &base, &asking, local).await?;
            if is_dynamic {
                let room = self.room(job, &made, &task.limits).await?;
                asks = generated(&room, job, (task, srpm), &format!("asks-{round}")).await?;
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
                    "%generate_buildrequires asks for something new after {MAX_ROUNDS} rounds: what it prints does not settle"
                ),
            )),
        }
    }
}

/// Writes down what is installed, once for all builds in the root.
async fn list_packages(room: &Room<'_>) -> Result<(), Halt> {
    let query =
        Command::prepare(["rpm", "-qa", "--qf", rpmbuild::INSTALLED_FORMAT]).network(Network::None);
    let list = room
        .query(&query, "list the packages of the root", Blame::Us)
        .await?;
    room.workspace()
        .write(BUILDROOT, 0o644, Owner::Root, list.as_bytes())
        .await
        .map_err(Halt::infrastructure)
}

/// What [`list_packages`] wrote down.
pub(crate) async fn listed_packages(room: &Room<'_>) -> Result<String, Halt> {
    let list = room.workspace().read(BUILDROOT, MAX_BUILDROOT_BYTES).await;
    let list = list.map_err(Halt::infrastructure)?;
    String::from_utf8(list)
        .map_err(|_| Halt::trouble(format!("read {BUILDROOT} of the root: it is not UTF-8")))
}

/// Whether `/build` has an entry of that name.
async fn has(room: &Room<'_>, name: &str) -> Result<bool, Halt> {
    let entries = room.workspace().list("/build").await;
    Ok(entries
        .map_err(Halt::infrastructure)?
        .iter()
        .any(|entry| entry.name == name))
}

/// Runs `%generate_buildrequires`; answers a source RPM that lists all that is required, in the
/// directory `into` of the job, unless nothing is missing.
async fn generated(
    room: &Room<'_>,
    job: &Job,
    (task, srpm): (&BuildTask, &Srpm<'_>),
    into: &str,
) -> Result<Option<PathBuf>, Halt> {
    let generate = source_script(rpmbuild::GENERATE, task, srpm);
    let blame = Blame::Package(FailureKind::Build);
    room.run(&generate, "generate build requirements", blame)
        .await?;
    if !has(room, "SRPMS").await? {
        return Ok(None);
    }
    Ok(copy_packages(room, job, "/build/SRPMS", into).await?.pop())
}

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

/// A requirement that does not exist is the package's fault; a mirror that does not answer is not.
fn settle_install(ended: Ended, tail: &str) -> Result<(), Halt> {
    if ended.success() {
        return Ok(());
    }
    let said: Vec<&str> = tail
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let find = |words: &[&str]| {
        words
            .iter()
            .find_map(|word| said.iter().find(|line| line.contains(word)))
    };
    let (script, trouble) = (find(&[SCRIPTLET]), find(&TROUBLE));
    let unmet = || find(&UNMET).filter(|_| trouble.is_none());
    match script.or_else(unmet) {
        Some(line) => {
            let most = Failure::MAX_EXCERPT.min(said.len());
            let excerpt = said[said.len() - most..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect();
            let message = format!(
                "a build requirement cannot be installed: {}; {}",
                line.trim().trim_start_matches("- "),
                if script.is_some() {
                    "correct that package, whose scriptlets run without network"
                } else {
                    "correct BuildRequires, or build what is missing first and link it with `with:`"
                },
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
        None => {
            let line = trouble.or(said.last()).map_or("", |line| line.trim());
            Err(Halt::trouble(format!(
                "install the build requirements: {ended}: {line}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tail: &str, expect: &str) {
        let text = match settle_install(Ended::Exited(1), tail).map_err(Outcome::from) {
            Err(Outcome::Failed { failure, .. }) => failure.message,
            Err(Outcome::Infrastructure { message }) => format!("ours: {message}"),
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with(expect), "{text}");
    }

    #[test]
    fn whose_fault_a_failed_install_is() {
        let package = "a build requirement cannot be installed: ";
        check(
            "No matching package to install: 'x'\nNot all dependencies satisfied\n",
            &format!("{package}No matching package to install: 'x'; "),
        );
        check(
            "Error: \n Problem: conflicting requests\n  - nothing provides b >= 2 needed by a-1-1.x86_64\n",
            &format!("{package}nothing provides b >= 2 needed by a-1-1.x86_64; "),
        );
        check(
            "Error: Failed to download metadata for repo 'r': Cannot download repomd.xml\n",
            "ours: ",
        );
        check(
            "Problem: x\nError downloading packages:\n  Curl error (6)\n",
            "ours: ",
        );
        check(
            "Running scriptlet: a-1-1.x86_64 1/1\nerror: %prein(a-1-1.x86_64) scriptlet failed, exit status 1\nCurl error\n",
            &format!(
                "{package}error: %prein(a-1-1.x86_64) scriptlet failed, exit status 1; correct that package"
            ),
        );
        check("Error: GPG check FAILED\n", "ours: ");
        check("", "ours: ");
    }
}
