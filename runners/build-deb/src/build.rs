//! The build task: binary packages from a .dsc, offline, in an overlay.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use pipeline_spec::BuildOptions;
use runner_agent::{Halt, Job};
use runner_api::{
    Artifact, ArtifactKind, BuildFacts, BuildScope, BuildTask, BuiltPackage, Facts, FailureKind,
    Outcome, Step,
};
use runner_build::{Blame, Room};
use sandbox::{Command, Ended, EntryKind, Network, Root};
use serde::{Deserialize, Serialize};

use crate::root::{LOCAL_SOURCE, Roots, apt, local_archive, workspace_with};

/// What apt says when a build dependency cannot be had, as opposed to a mirror that does not answer.
const UNMET: [&str; 5] = [
    "Unmet build dependencies",
    "unmet dependencies",
    "Unable to correct problems",
    "but it is not installable",
    SCRIPT_FAILED,
];
/// What dpkg says of a maintainer script that fails: a linked build's is a stranger's program, and it
/// runs offline.
const SCRIPT_FAILED: &str = "script subprocess returned error";

/// Part of every layer's name: counts up when what is done to a layer changes.
const LAYER: &str = "2";
/// Where a layer lists its packages, the base's included. Only root can write there.
const BUILDROOT: &str = "/usr/lib/millrace/buildroot.json";
/// Largest such list, in bytes: a full desktop has 3,000 packages of 200 bytes.
const MAX_BUILDROOT_BYTES: u64 = 16 << 20;

/// A package of the buildroot.
#[derive(Debug, Serialize, Deserialize)]
struct Installed {
    name: String,
    version: String,
    arch: String,
    /// Of the .deb in the archive; empty when the archive has it no more.
    sha256: String,
}

pub(crate) async fn make(roots: &Roots, job: &Job, task: &BuildTask) -> Result<Outcome, Halt> {
    let (input, deps) = (job.dir().join("in"), job.dir().join("deps"));
    std::fs::create_dir_all(&input).map_err(Halt::infrastructure)?;
    let mut dsc_name = None;
    for artifact in job.input(&task.source)? {
        job.fetch(artifact, &input).await?;
        if artifact.kind == ArtifactKind::Dsc {
            dsc_name = Some(artifact.name.clone());
        }
    }
    let dsc_name = dsc_name
        .ok_or_else(|| Halt::trouble("find a .dsc among the results of the source task"))?;
    let mut packages = Vec::new();
    for dependency in &task.dependencies {
        packages.extend(job.input(dependency)?.iter().cloned());
    }
    let local = local_archive(job, &packages, &deps).await?;
    let root = dependencies(roots, job, task, &dsc_name, &local).await?;
    let room = workspace_with(roots, job, &root, &task.limits).await?;
    let buildroot = recorded(&room).await?;
    let scope = match task.scope {
        BuildScope::All => "-b",
        BuildScope::ArchitectureOnly => "-B",
    };
    let build = Command::build(["sh", "-ec", BUILD, "sh", &dsc_name, scope])
        .env("DEB_BUILD_OPTIONS", build_options(&task.options))
        .env("DEB_BUILD_PROFILES", profiles(&task.options))
        .env("FAKEROOTDONTTRYCHOWN", "1")
        .bind_read_only(&input, "/in")
        .writable("/build")
        .current_dir("/build");
    job.step(Step::Building);
    room.run(&build, "build", Blame::Package(FailureKind::Build))
        .await?;
    let mut artifacts = collect(&room, job).await?;
    room.close().await;
    let bytes = serde_json::to_vec_pretty(&buildroot).map_err(Halt::infrastructure)?;
    let list = job
        .store_bytes(bytes, "buildroot.json", ArtifactKind::Buildroot)
        .await?;
    let facts = Facts::Build(BuildFacts {
        buildroot: list.sha256,
    });
    artifacts.push(list);
    Ok(Outcome::Succeeded { artifacts, facts })
}

const BUILD: &str = "
cp /in/* .
dpkg-source --no-check -x \"$1\" source
cd source
exec dpkg-buildpackage -us -uc \"$2\" -rfakeroot
";

fn build_options(options: &BuildOptions) -> String {
    // `without: [tests]` is RPM's word; Debian's is nocheck.
    let mut words: Vec<String> = options
        .without
        .iter()
        .map(|feature| match feature.as_str() {
            "tests" | "check" => "nocheck".to_owned(),
            "docs" | "doc" => "nodoc".to_owned(),
            other => format!("no{other}"),
        })
        .collect();
    words.extend(
        options
            .define
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    if !options
        .define
        .iter()
        .any(|(name, _)| name.as_str() == "parallel")
    {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        words.push(format!("parallel={processors}"));
    }
    words.join(" ")
}

fn profiles(options: &BuildOptions) -> String {
    options
        .profiles
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A root with the build dependencies, from the cache when the same were installed before.
async fn dependencies(
    roots: &Roots,
    job: &Job,
    task: &BuildTask,
    dsc_name: &str,
    local: &str,
) -> Result<Root, Halt> {
    let (base, base_name) = roots
        .base(job, &task.target, &task.keys, &task.arch)
        .await?;
    let dsc = std::fs::read(job.dir().join("in").join(dsc_name)).map_err(Halt::infrastructure)?;
    let wanted = relations(&dsc);
    let profiles = profiles(&task.options);
    let scope = match task.scope {
        BuildScope::All => "all",
        BuildScope::ArchitectureOnly => "arch",
    };
    let inputs = [LAYER, wanted.as_str(), local, scope, &profiles];
    let path = format!("/in/{dsc_name}");
    job.step(Step::Dependencies);
    let mut words = vec!["build-dep"];
    if task.scope == BuildScope::ArchitectureOnly {
        words.push("--arch-only");
    }
    words.push(&path);
    let install = async |room: &Room<'_>| install(room, job, &words, &profiles).await;
    roots
        .layer(job, (&base, &base_name), &inputs, install)
        .await
}

/// Runs apt with `words`, at first only to download: maintainer scripts, which may be a linked build's,
/// run offline.
async fn install(room: &Room<'_>, job: &Job, words: &[&str], profiles: &str) -> Result<(), Halt> {
    let (input, deps) = (job.dir().join("in"), job.dir().join("deps"));
    let sources = "/etc/apt/sources.list.d/millrace-build.list";
    let put = room.workspace().write(
        sources,
        0o644,
        sandbox::Owner::Root,
        LOCAL_SOURCE.as_bytes(),
    );
    put.await.map_err(Halt::infrastructure)?;
    let only_local = [
        "-o",
        "Dir::Etc::SourceList=/dev/null",
        "--no-list-cleanup",
        "update",
    ];
    let update = Command::prepare(apt(&only_local))
        .network(Network::None)
        .bind_read_only(&deps, "/deps");
    room.run(&update, "read the packages of other builds", Blame::Us)
        .await?;
    for (word, network) in [
        ("--download-only", Network::Host),
        ("--no-download", Network::None),
    ] {
        let all: Vec<&str> = std::iter::once(word).chain(words.iter().copied()).collect();
        let step = Command::prepare(apt(&all))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("DEB_BUILD_PROFILES", profiles)
            .network(network)
            .bind_read_only(&deps, "/deps")
            .bind_read_only(&input, "/in");
        let (ended, tail) = room.try_run(&step).await?;
        settle_install(ended, &tail)?;
    }
    // The root's programs may be a stranger's by now.
    let clean = Command::prepare([
        "sh",
        "-ec",
        "rm -f /etc/apt/sources.list.d/millrace-build.list; apt-get clean",
    ])
    .network(Network::None);
    let list = record(room).await?;
    let list = serde_json::to_vec(&list).map_err(Halt::infrastructure)?;
    room.run(&clean, "clean the root", Blame::Us).await?;
    let put = room
        .workspace()
        .write(BUILDROOT, 0o644, sandbox::Owner::Root, &list);
    put.await.map_err(Halt::infrastructure)
}

/// What [`install`] wrote down of the root. apt takes a second to find it out again.
async fn recorded(room: &Room<'_>) -> Result<Vec<Installed>, Halt> {
    let list = room.workspace().read(BUILDROOT, MAX_BUILDROOT_BYTES).await;
    let list = list.map_err(Halt::infrastructure)?;
    serde_json::from_slice(&list)
        .map_err(|error| Halt::trouble(format!("read {BUILDROOT} of the root: {error}")))
}

/// A dependency that does not exist is the package's fault; a mirror that does not answer is not.
fn settle_install(ended: Ended, tail: &str) -> Result<(), Halt> {
    if ended.success() {
        return Ok(());
    }
    let said: Vec<&str> = tail
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if UNMET.iter().any(|words| tail.contains(words)) {
        let excerpt = said[said.len().saturating_sub(12)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect();
        let find = |words: &[&str]| {
            said.iter()
                .find(|line| words.iter().any(|word| line.contains(word)))
                .map(|line| line.trim())
        };
        let (cause, fix) = match find(&[SCRIPT_FAILED]) {
            Some(line) => (
                line,
                "correct that package, whose maintainer scripts run without network",
            ),
            None => (
                find(&["Depends:", "builddeps:"]).unwrap_or_default(),
                "correct Build-Depends, or build what is missing first and link it with `with:`",
            ),
        };
        return Err(Outcome::Failed {
            failure: runner_api::Failure {
                kind: FailureKind::BuildDependencies,
                message: format!("a build dependency cannot be installed: {cause}; {fix}"),
                excerpt,
            },
            artifacts: Vec::new(),
        }
        .into());
    }
    Err(Halt::trouble(format!(
        "install the build dependencies: {ended}: {}",
        said.last().unwrap_or(&"")
    )))
}

/// The relation fields of a .dsc: what names a layer.
fn relations(dsc: &[u8]) -> String {
    let Ok(dsc) = repo_deb::source::Dsc::parse(dsc) else {
        return String::new();
    };
    let fields = [
        "Build-Depends",
        "Build-Depends-Arch",
        "Build-Depends-Indep",
        "Build-Conflicts",
        "Build-Conflicts-Arch",
        "Build-Conflicts-Indep",
    ];
    fields
        .iter()
        .map(|field| {
            format!(
                "{field}: {}\n",
                dsc.paragraph.get(field).unwrap_or_default()
            )
        })
        .collect()
}

/// Every installed package with its version and the archive's digest.
async fn record(room: &Room<'_>) -> Result<Vec<Installed>, Halt> {
    let query = Command::prepare(["sh", "-ec", RECORD]).network(Network::None);
    let text = room
        .query(&query, "list the packages of the root", Blame::Us)
        .await?;
    let (installed, known) = text.split_once("\n--\n").unwrap_or((&text, ""));
    let mut digests = BTreeMap::new();
    let (mut name, mut version, mut arch) = ("", "", "");
    for line in known.lines() {
        match line.split_once(": ") {
            Some(("Package", value)) => name = value,
            Some(("Version", value)) => version = value,
            Some(("Architecture", value)) => arch = value,
            Some(("SHA256", value)) => {
                digests.insert((name, version, arch), value.to_owned());
            }
            _ => {}
        }
    }
    let mut list = Vec::new();
    for line in installed.lines() {
        let mut words = line.split('\t');
        let (Some(name), Some(version), Some(arch)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        list.push(Installed {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: arch.to_owned(),
            sha256: digests
                .get(&(name, version, arch))
                .cloned()
                .unwrap_or_default(),
        });
    }
    list.sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
    Ok(list)
}

const RECORD: &str = "
dpkg-query -W -f '${Package}\\t${Version}\\t${Architecture}\\n'
echo --
dpkg-query -W -f '${Package}:${Architecture}=${Version}\\n' | sed 's/:all=/=/' |
  xargs apt-cache show 2>/dev/null | grep -E '^(Package|Version|Architecture|SHA256): ' || true
";

/// Everything that the build left beside its source.
async fn collect(room: &Room<'_>, job: &Job) -> Result<Vec<Artifact>, Halt> {
    let out = job.dir().join("out");
    std::fs::create_dir_all(&out).map_err(Halt::infrastructure)?;
    let given: Vec<_> = std::fs::read_dir(job.dir().join("in"))
        .map_err(Halt::infrastructure)?
        .filter_map(|entry| {
            entry
                .ok()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    let mut artifacts = Vec::new();
    for entry in room
        .workspace()
        .list("/build")
        .await
        .map_err(Halt::infrastructure)?
    {
        let Some(kind) = kind(&entry.name) else {
            continue;
        };
        if entry.kind != EntryKind::File || given.contains(&entry.name) {
            continue;
        }
        let path = out.join(&entry.name);
        room.copy_out(&format!("/build/{}", entry.name), &path)
            .await?;
        let package = if kind == ArtifactKind::Deb {
            Some(describe(&path, &entry.name)?)
        } else {
            None
        };
        artifacts.push(job.store(&path, &entry.name, kind, package).await?);
    }
    if !artifacts
        .iter()
        .any(|artifact| artifact.kind == ArtifactKind::Deb)
    {
        return Err(Halt::failed(
            FailureKind::Build,
            "the build ended well but made no package",
        ));
    }
    Ok(artifacts)
}

fn kind(name: &str) -> Option<ArtifactKind> {
    match name.rsplit_once('.')?.1 {
        "deb" | "udeb" | "ddeb" => Some(ArtifactKind::Deb),
        "changes" => Some(ArtifactKind::Changes),
        "buildinfo" => Some(ArtifactKind::Buildinfo),
        _ => None,
    }
}

fn describe(path: &std::path::Path, name: &str) -> Result<BuiltPackage, Halt> {
    let file = std::fs::File::open(path).map_err(Halt::infrastructure)?;
    let broken = |error: &dyn std::fmt::Display| {
        Halt::failed(
            FailureKind::Build,
            format!("the build made {name}, which cannot be read: {error}"),
        )
    };
    let package =
        repo_deb::package::read(file, repo_deb::package::Contents::Skip).map_err(|e| broken(&e))?;
    let field = |name: &str| package.control.get(name).unwrap_or_default().to_owned();
    let source = match package.control.get("Source") {
        // `Source: name (version)` when the versions differ.
        Some(source) => source
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        None => field("Package"),
    };
    Ok(BuiltPackage {
        name: field("Package"),
        version: field("Version"),
        arch: field("Architecture"),
        source,
    })
}
