//! RPM packages: installed with dnf, checked with rpm, removed.

use std::path::PathBuf;

use pipeline_spec::{Architecture, Platform};
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, BuiltPackage, PublicKeys, Step, TestTask};
use runner_build::{Blame, Room};
use runner_build_rpm::{Dnf, LOCAL, LocalRepo, Repos, local_repository};
use sandbox::{Command, Ended, Network, Root};

use crate::inspect::{self, LIST, tail, words};
use crate::report::Report;

/// What the checks themselves need, by names that all RPM distributions share.
const ROOT: [&str; 5] = ["bash", "coreutils", "grep", "rpm", "sed"];
/// What dnf says when a repository does not answer.
const NETWORK: [&str; 4] = [
    "Failed to download metadata",
    "Error downloading packages",
    "Cannot download",
    "Curl error",
];
/// Bits of a file in a header: its content is made by a program (`%ghost`), or it may be missing.
const MAY_BE_MISSING: u32 = 1 << 3 | 1 << 6;

/// A small root of the platform, and how dnf is called for it.
pub(crate) async fn base(
    dnf: &Dnf,
    job: &Job,
    (target, keys): (&Platform, &PublicKeys),
    arch: &Architecture,
) -> Result<(Root, Repos), Halt> {
    let mut target = target.clone();
    target.buildroot = ROOT
        .iter()
        .map(|name| name.parse().expect("a package name"))
        .collect();
    let (root, _, repos) = dnf.base(job, &target, keys, arch).await?;
    Ok((root, repos))
}

/// dnf's configuration, as the maker of the root wrote it.
pub(crate) fn conf(job: &Job) -> PathBuf {
    job.dir().join("conf")
}

/// Whether dnf says that a repository does not answer.
pub(crate) fn is_networks_fault(said: &str) -> bool {
    NETWORK.iter().any(|words| said.contains(words))
}

pub(crate) async fn test(dnf: &Dnf, job: &Job, task: &TestTask) -> Result<Report, Halt> {
    let built = job.input(&task.build)?;
    let mut offered: Vec<Artifact> = built.to_vec();
    for dependency in &task.dependencies {
        offered.extend(job.input(dependency)?.iter().cloned());
    }
    let local = local_repository(job, &offered, &job.dir().join("deps")).await?;
    let (root, repos) = base(dnf, job, (&task.target, &task.keys), &task.arch).await?;
    let mut report = Report::default();
    job.step(Step::Testing);
    for package in built.iter().filter_map(installable) {
        job.log()
            .line(format!("testing {} {}", package.name, package.version));
        let room = dnf.room(job, &root, &task.limits).await?;
        let trial = Trial {
            room: &room,
            job,
            repos: &repos,
            local: &local,
            package,
        };
        trial.run(&mut report).await?;
        room.close().await;
    }
    Ok(report)
}

/// Whether users install it: no debug symbols, no source.
fn installable(artifact: &Artifact) -> Option<&BuiltPackage> {
    let package = artifact.package.as_ref()?;
    let for_users = artifact.kind == ArtifactKind::Rpm
        && !package.name.ends_with("-debuginfo")
        && !package.name.ends_with("-debugsource");
    for_users.then_some(package)
}

/// One package in a root of its own.
struct Trial<'a> {
    room: &'a Room<'a>,
    job: &'a Job,
    repos: &'a Repos,
    local: &'a LocalRepo,
    package: &'a BuiltPackage,
}

impl Trial<'_> {
    async fn run(&self, report: &mut Report) -> Result<(), Halt> {
        let BuiltPackage {
            name,
            version,
            arch,
            ..
        } = self.package;
        let case = format!("install {name}");
        let was_there = self.installed().await?.is_some();
        let wanted = format!("{name}-{version}.{arch}");
        for (word, network) in [
            ("--downloadonly", Network::Host),
            ("--cacheonly", Network::None),
        ] {
            let (ended, said) = self.dnf(&[word, "install", &wanted], network).await?;
            if ended.success() {
                continue;
            }
            if network == Network::Host && is_networks_fault(&said) {
                return Err(Halt::trouble(format!(
                    "download what {name} requires: {}",
                    words(ended, &said)
                )));
            }
            report.fail(case, words(ended, &said), tail(&said));
            return Ok(());
        }
        let found = self.installed().await?.unwrap_or_default();
        let expect = match version.split_once(':') {
            Some(_) => version.clone(),
            None => format!("0:{version}"),
        };
        if !found.lines().any(|line| line == expect) {
            report.fail(
                case,
                format!(
                    "rpm says that {:?} is installed in the place of {expect}",
                    found.trim()
                ),
                [],
            );
            return Ok(());
        }
        report.pass(case);
        self.check(report).await?;
        // What every machine of the platform has is not removed.
        if !was_there {
            self.remove(report).await?;
        }
        Ok(())
    }

    async fn dnf(&self, words: &[&str], network: Network) -> Result<(Ended, String), Halt> {
        let from_local = format!("--repofrompath=millrace-local,file://{LOCAL}");
        // Built a moment ago and fetched by digest: signatures come with the release. Documentation is
        // installed, so that every file can be looked at.
        let mut all = vec![
            from_local.as_str(),
            "--setopt=millrace-local.gpgcheck=0",
            "--setopt=millrace-local.repo_gpgcheck=0",
            "--setopt=millrace-local.priority=1",
            "--setopt=tsflags=",
        ];
        all.extend(words);
        let command = self
            .repos
            .dnf(&conf(self.job), &all)
            .bind_read_only(&self.local.directory, LOCAL)
            .network(network);
        let (ended, said) = self.room.try_run(&command).await?;
        // dnf forgives a scriptlet that fails after the files are there.
        let broken = said.lines().any(|line| line.contains("scriptlet failed"));
        Ok(if broken && ended.success() {
            (Ended::Exited(1), said)
        } else {
            (ended, said)
        })
    }

    async fn rpm(&self, script: &str, what: &str) -> Result<String, Halt> {
        let query =
            Command::prepare(["sh", "-c", script, "sh", &self.package.name]).network(Network::None);
        self.room.query(&query, what, Blame::Us).await
    }

    async fn installed(&self) -> Result<Option<String>, Halt> {
        let script = "rpm -q --qf '%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n' \"$1\" || true";
        let said = self.rpm(script, "ask rpm for the package").await?;
        Ok((!said.contains("is not installed")).then_some(said))
    }

    async fn check(&self, report: &mut Report) -> Result<(), Halt> {
        let name = &self.package.name;
        let script = "rpm -q --qf '[%{FILEFLAGS:hex} %{FILENAMES}\\n]' \"$1\"";
        let listed = self.rpm(script, "list the package's files").await?;
        inspect::remember(self.room, &present(&listed)).await?;
        let problems = inspect::inspect(self.room).await?;
        report.judge(format!("files of {name}"), &problems.files);
        report.judge(format!("libraries of {name}"), &problems.libraries);
        let changed = self
            .rpm("rpm -V \"$1\" || true", "verify the package")
            .await?;
        let changed: Vec<String> = changed
            .lines()
            .map(|line| format!("rpm -V says: {}", line.trim()))
            .collect();
        report.judge(format!("verify {name}"), &changed);
        Ok(())
    }

    async fn remove(&self, report: &mut Report) -> Result<(), Halt> {
        let name = &self.package.name;
        let case = format!("remove {name}");
        let (ended, said) = self
            .dnf(&["--cacheonly", "remove", name], Network::None)
            .await?;
        if !ended.success() {
            report.fail(case, words(ended, &said), tail(&said));
            return Ok(());
        }
        let look = Command::prepare(["sh", "-c", LEFT, "sh", LIST]).network(Network::None);
        let left = self
            .room
            .query(&look, "look for files that are left", Blame::Us)
            .await?;
        let left: Vec<String> = left
            .lines()
            .map(|path| format!("{path} is left behind"))
            .collect();
        report.judge(case, &left);
        Ok(())
    }
}

/// The paths that must be there, of lines `flags path`.
fn present(listed: &str) -> String {
    listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(flags, _)| {
            u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & MAY_BE_MISSING == 0)
        })
        .flat_map(|(_, path)| [path, "\n"])
        .collect()
}

/// Directories may stay, and so may files that another package has too.
const LEFT: &str = "
while IFS= read -r path; do
  if [ -d \"$path\" ] && [ ! -L \"$path\" ]; then continue; fi
  if [ -e \"$path\" ] || [ -L \"$path\" ]; then
    rpm -qf \"$path\" >/dev/null 2>&1 || printf '%s\\n' \"$path\"
  fi
done <\"$1\"
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ghosts_need_not_be_there() {
        assert_eq!(
            present("0 /a\n40 /ghost\n12 /b c\n8 /maybe\nx /y\n"),
            "/a\n/b c\n"
        );
    }
}
