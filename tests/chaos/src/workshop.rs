//! The roles that build and test, pretended: valid results in milliseconds, by the real daemon.
//!
//! What a build makes is a function of the source commit; how it goes is not: some take seconds, some
//! fail by the machine's fault, some panic, some log a lot. That is drawn from the task's id and the
//! attempt, so that another attempt goes otherwise.

use std::path::Path;
use std::time::Duration;

use pipeline_spec::{Architecture, Format, Role as Name};
use runner_agent::{Halt, Job, Role, Running, settle};
use runner_api::{
    ArchVerdict, Artifact, ArtifactKind, BuildFacts, BuildScope, BuildTask, BuiltPackage, Facts,
    FailureKind, Origin, Outcome, SourceFacts, SourceTask, TaskSpec, TestCase, TestFacts,
};

use crate::{deb, rpm, upstream};

/// The word of a panic that is part of the play.
pub const PRETENDED_PANIC: &str = "a pretended panic of a role";
/// A log that goes in several pieces, in bytes.
const LONG_LOG_BYTES: usize = 700 * 1024;

/// Builds and tests.
#[derive(Debug, Default)]
pub struct Workshop;

impl Role for Workshop {
    fn serves(&self) -> &[Name] {
        &[Name::BuildDeb, Name::BuildRpm, Name::Test]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(work(job).await) })
    }
}

async fn work(job: &Job) -> Result<Outcome, Halt> {
    job.log().line(job.spec().title());
    hesitate(job).await?;
    let (artifacts, facts) = match job.spec() {
        TaskSpec::Source(task) => source(job, task).await?,
        TaskSpec::Build(task) => build(job, task).await?,
        TaskSpec::Test(_) | TaskSpec::Smoke(_) => {
            let case = TestCase {
                name: "install".to_owned(),
                problem: None,
            };
            (Vec::new(), Facts::Test(TestFacts { cases: vec![case] }))
        }
        spec => return Err(Halt::trouble(format!("do {}: no such role", spec.title()))),
    };
    job.log().line("done");
    Ok(Outcome::Succeeded { artifacts, facts })
}

/// How this attempt goes.
async fn hesitate(job: &Job) -> Result<(), Halt> {
    let grant = job.grant();
    let id = u64::from_str_radix(&grant.task.id.as_str()[..12], 16).expect("an id is hex digits");
    let mut rng = fastrand::Rng::with_seed(id ^ (u64::from(grant.attempt) << 48));
    let millis = match rng.u32(..100) {
        0..55 => 0,
        55..85 => rng.u64(20..400),
        85..96 => rng.u64(400..3_000),
        _ => rng.u64(3_000..8_000),
    };
    if rng.u32(..100) < 4 {
        let line = "all work and no play ".repeat(50);
        for _ in 0..LONG_LOG_BYTES / line.len() {
            job.log().line(&line);
        }
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(millis)) => {}
        () = job.cancelled().cancelled() => return Err(Halt::trouble("finish: it was stopped")),
    }
    match rng.u32(..100) {
        0..3 => Err(Halt::trouble("reach the pretended mirror: it is away")),
        3 => panic!("{PRETENDED_PANIC}"),
        _ => Ok(()),
    }
}

/// Name and version of a commit: the text of its one file.
async fn commit_text(origin: &Origin) -> Result<(String, u32), Halt> {
    let Origin::Git { url, commit, .. } = origin else {
        return Err(Halt::trouble("fetch the source: only git is pretended"));
    };
    let path = url.to_string();
    let directory = Path::new(path.trim_start_matches("file://"));
    let output = tokio::process::Command::new("git")
        .arg("--git-dir")
        .arg(directory)
        .args(["show", &format!("{commit}:package")])
        .output()
        .await
        .map_err(|cause| Halt::trouble(format!("start git: {cause}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (name, version) = text.trim().split_once(' ').unwrap_or_default();
    match version.parse() {
        Ok(version) => Ok((name.to_owned(), version)),
        Err(_) => Err(Halt::trouble(format!(
            "read {commit}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

type Made = (Vec<Artifact>, Facts);

async fn source(job: &Job, task: &SourceTask) -> Result<Made, Halt> {
    let (name, number) = commit_text(&task.origin).await?;
    let package = upstream::find(&name)
        .ok_or_else(|| Halt::trouble(format!("find {name} among the pretended packages")))?;
    let (version, artifacts) = match task.target.format() {
        Format::Rpm => {
            let version = number.to_string();
            let bytes = rpm::package(&rpm::Spec {
                name: &name,
                version: &version,
                release: "1",
                arch: "x86_64",
                source_rpm: None,
            });
            let version = format!("{version}-1");
            let file = format!("{name}-{version}.src.rpm");
            let claim = claim(&name, &version, "src", &name);
            let srpm = store(job, bytes, &file, (ArtifactKind::Srpm, Some(claim)));
            (version, vec![srpm.await?])
        }
        Format::Deb => {
            let version = number.to_string();
            let tar = deb::tarball(&name, &version);
            let dsc = deb::dsc(&name, &version, &tar);
            let claim = claim(&name, &version, "source", &name);
            let file = format!("{name}_{version}.dsc");
            let dsc = store(job, dsc, &file, (ArtifactKind::Dsc, Some(claim))).await?;
            let file = format!("{name}_{version}.tar.xz");
            let tar = store(job, tar, &file, (ArtifactKind::SourceFile, None)).await?;
            (version, vec![dsc, tar])
        }
    };
    let verdict = |(i, arch): (usize, &Architecture)| ArchVerdict {
        arch: arch.clone(),
        verdict: match (i, package.refuses) {
            (_, Some(refused)) if refused == arch.as_str() => Err(format!("Refuses: {refused}")),
            (0, _) => Ok(BuildScope::All),
            _ => Ok(BuildScope::ArchitectureOnly),
        },
    };
    let architectures = task.target.architectures.iter().enumerate();
    let facts = SourceFacts {
        version,
        build_requires: package.requires.iter().map(ToString::to_string).collect(),
        provides: vec![name.clone(), format!("{name}-devel")],
        architectures: architectures.map(verdict).collect(),
        name,
    };
    Ok((artifacts, Facts::Source(facts)))
}

async fn build(job: &Job, task: &BuildTask) -> Result<Made, Halt> {
    let source = job.input(&task.source)?;
    let claimed = source.iter().find_map(|artifact| artifact.package.clone());
    let claimed =
        claimed.ok_or_else(|| Halt::trouble("find the source package among the inputs"))?;
    // The real ones fetch all of it too.
    for artifact in source {
        job.fetch(artifact, &job.dir()).await?;
    }
    let (name, arch) = (claimed.name.as_str(), task.arch.as_str());
    let number = claimed.version.split('-').next().unwrap_or_default();
    if number.parse().is_ok_and(upstream::is_broken) {
        let message = format!("{name} {number} does not compile.");
        return Err(Halt::failed(FailureKind::Build, message));
    }
    let common = match task.target.format() {
        Format::Rpm => "noarch",
        Format::Deb => "all",
    };
    let mut wanted = vec![(name.to_owned(), arch)];
    if task.scope == BuildScope::All {
        wanted.push((format!("{name}-doc"), common));
    }
    let mut artifacts = Vec::new();
    for (package, arch) in wanted {
        artifacts.push(one(job, (&package, arch), &claimed, task.target.format()).await?);
    }
    // Differs between attempts, as real ones do: who takes two results of one task shows it.
    let grant = job.grant();
    let root = format!(
        "root of {} attempt {} in process {}\n",
        grant.task.id,
        grant.attempt,
        std::process::id()
    );
    let root = store(
        job,
        root.into_bytes(),
        "buildroot.json",
        (ArtifactKind::Buildroot, None),
    )
    .await?;
    let buildroot = root.sha256;
    artifacts.push(root);
    Ok((artifacts, Facts::Build(BuildFacts { buildroot })))
}

async fn one(
    job: &Job,
    (name, arch): (&str, &str),
    source: &BuiltPackage,
    format: Format,
) -> Result<Artifact, Halt> {
    let version = source.version.as_str();
    let claim = claim(name, version, arch, &source.name);
    match format {
        Format::Rpm => {
            let (number, release) = version.split_once('-').unwrap_or((version, "1"));
            let source_rpm = format!("{}-{version}.src.rpm", source.name);
            let bytes = rpm::package(&rpm::Spec {
                name,
                version: number,
                release,
                arch,
                source_rpm: Some(&source_rpm),
            });
            let file = format!("{name}-{version}.{arch}.rpm");
            store(job, bytes, &file, (ArtifactKind::Rpm, Some(claim))).await
        }
        Format::Deb => {
            let bytes = deb::binary(name, version, arch, &source.name);
            let file = format!("{name}_{version}_{arch}.deb");
            store(job, bytes, &file, (ArtifactKind::Deb, Some(claim))).await
        }
    }
}

fn claim(name: &str, version: &str, arch: &str, source: &str) -> BuiltPackage {
    BuiltPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
        source: source.to_owned(),
    }
}

async fn store(
    job: &Job,
    bytes: Vec<u8>,
    name: &str,
    (kind, package): (ArtifactKind, Option<BuiltPackage>),
) -> Result<Artifact, Halt> {
    let mut artifact = job.store_bytes(bytes, name, kind).await?;
    artifact.package = package;
    Ok(artifact)
}
