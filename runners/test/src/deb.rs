//! Debian packages: installed with apt, checked with dpkg, purged.

use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, BuiltPackage, Step, TestTask};
use runner_build::{Blame, Room};
use runner_build_deb::{LOCAL_SOURCE, Purpose, Roots, apt, local_archive, workspace_with};
use sandbox::{Command, Network, Owner};

use crate::inspect::{self, LIST, tail, words};
use crate::report::Report;

/// What apt says when a mirror does not answer, as opposed to packages that do not fit together.
const NETWORK: [&str; 5] = [
    "Failed to fetch",
    "Unable to fetch some archives",
    "Could not resolve",
    "Could not connect",
    "Temporary failure",
];
/// Packages of a local archive win over the platform's, whatever their versions are.
pub(crate) const PREFERENCES: &str = "Package: *\nPin: origin \"\"\nPin-Priority: 1001\n";

pub(crate) async fn test(roots: &Roots, job: &Job, task: &TestTask) -> Result<Report, Halt> {
    let built = job.input(&task.build)?;
    let mut offered: Vec<Artifact> = built.to_vec();
    for dependency in &task.dependencies {
        offered.extend(job.input(dependency)?.iter().cloned());
    }
    // An installer's packages are none that apt should see.
    offered.retain(|artifact| artifact.name.ends_with(".deb"));
    local_archive(job, &offered, &job.dir().join("deps")).await?;
    let platform = (&task.target, &task.keys);
    let (root, _) = roots
        .base_for(Purpose::Install, job, platform, &task.arch)
        .await?;
    let mut report = Report::default();
    job.step(Step::Testing);
    for package in built.iter().filter_map(installable) {
        job.log()
            .line(format!("testing {} {}", package.name, package.version));
        let room = workspace_with(roots, job, &root, &task.limits).await?;
        one(&room, job, package, &mut report).await?;
        room.close().await;
    }
    Ok(report)
}

/// Whether users install it: no debug symbols, and nothing for the installer.
fn installable(artifact: &Artifact) -> Option<&BuiltPackage> {
    let package = artifact.package.as_ref()?;
    let for_users = artifact.kind == ArtifactKind::Deb
        && artifact.name.ends_with(".deb")
        && !package.name.ends_with("-dbgsym");
    for_users.then_some(package)
}

async fn one(
    room: &Room<'_>,
    job: &Job,
    package: &BuiltPackage,
    report: &mut Report,
) -> Result<(), Halt> {
    let name = package.name.as_str();
    let deps = job.dir().join("deps");
    offer(room, LOCAL_SOURCE).await?;
    let update = Command::prepare(update_only())
        .network(Network::None)
        .bind_read_only(&deps, "/deps");
    room.run(&update, "read the packages of the build", Blame::Us)
        .await?;
    let before = status(room, name).await?;
    let install = format!("install {name}");
    let wanted = format!("{name}={}", package.version);
    for (word, network) in [
        ("--download-only", Network::Host),
        ("--no-download", Network::None),
    ] {
        let command = Command::prepare(apt(&["--allow-downgrades", word, "install", &wanted]))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .network(network)
            .bind_read_only(&deps, "/deps");
        let (ended, said) = room.try_run(&command).await?;
        if ended.success() {
            continue;
        }
        if network == Network::Host && NETWORK.iter().any(|words| said.contains(words)) {
            return Err(Halt::trouble(format!(
                "download what {name} depends on: {}",
                words(ended, &said)
            )));
        }
        report.fail(install, words(ended, &said), tail(&said));
        return Ok(());
    }
    let after = status(room, name).await?;
    let expect = format!("installed {}", package.version);
    if after != expect {
        report.fail(
            install,
            format!("dpkg says `{after}` in the place of `{expect}`"),
            [],
        );
        return Ok(());
    }
    report.pass(install);
    check(room, name, report).await?;
    // What every machine of the platform has is not removed.
    if !before.starts_with("installed ") {
        remove(room, name, report).await?;
    }
    Ok(())
}

/// Writes the line of a local archive into the workspace and prefers what is there.
pub(crate) async fn offer(room: &Room<'_>, line: &str) -> Result<(), Halt> {
    for (path, text) in [
        ("/etc/apt/sources.list.d/millrace.list", line),
        ("/etc/apt/preferences.d/millrace.pref", PREFERENCES),
    ] {
        let put = room
            .workspace()
            .write(path, 0o644, Owner::Root, text.as_bytes());
        put.await.map_err(Halt::infrastructure)?;
    }
    Ok(())
}

/// Reads the local archive's index and keeps the platform's as they are.
pub(crate) fn update_only() -> Vec<String> {
    let words = [
        "-o",
        "Dir::Etc::SourceList=/dev/null",
        "-o",
        "Dir::Etc::SourceParts=/etc/apt/sources.list.d",
        "--no-list-cleanup",
        "update",
    ];
    apt(&words)
}

async fn status(room: &Room<'_>, name: &str) -> Result<String, Halt> {
    let script =
        "dpkg-query -W -f '${db:Status-Status} ${Version}\\n' \"$1\" 2>/dev/null || echo unknown";
    let query = Command::prepare(["sh", "-c", script, "sh", name]).network(Network::None);
    let text = room
        .query(&query, "ask dpkg for the package's status", Blame::Us)
        .await?;
    Ok(text.trim().to_owned())
}

async fn check(room: &Room<'_>, name: &str, report: &mut Report) -> Result<(), Halt> {
    let list = Command::prepare(["dpkg-query", "-L", name]).network(Network::None);
    let paths = room
        .query(&list, "list the package's files", Blame::Us)
        .await?;
    inspect::remember(room, &paths).await?;
    let problems = inspect::inspect(room).await?;
    report.judge(format!("files of {name}"), &problems.files);
    report.judge(format!("libraries of {name}"), &problems.libraries);
    let verify = Command::prepare(["dpkg", "--verify", name]).network(Network::None);
    let (ended, said) = room.try_run(&verify).await?;
    let mut changed: Vec<String> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("dpkg --verify says: {}", line.trim()))
        .collect();
    if changed.is_empty() && !ended.success() {
        changed.push(format!("dpkg --verify: {ended}"));
    }
    report.judge(format!("verify {name}"), &changed);
    Ok(())
}

async fn remove(room: &Room<'_>, name: &str, report: &mut Report) -> Result<(), Halt> {
    let purge = Command::prepare(apt(&["purge", name]))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .network(Network::None);
    let (ended, said) = room.try_run(&purge).await?;
    let case = format!("remove {name}");
    if !ended.success() {
        report.fail(case, words(ended, &said), tail(&said));
        return Ok(());
    }
    let look = Command::prepare(["sh", "-c", LEFT, "sh", LIST]).network(Network::None);
    let left = room
        .query(&look, "look for files that are left", Blame::Us)
        .await?;
    let left: Vec<String> = left
        .lines()
        .map(|path| format!("{path} is left behind"))
        .collect();
    report.judge(case, &left);
    Ok(())
}

/// Directories may stay, and so may files that another package has too.
const LEFT: &str = "
while IFS= read -r path; do
  if [ -d \"$path\" ] && [ ! -L \"$path\" ]; then continue; fi
  if [ -e \"$path\" ] || [ -L \"$path\" ]; then
    dpkg-query -S \"$path\" >/dev/null 2>&1 || printf '%s\\n' \"$path\"
  fi
done <\"$1\"
";
