//! The build task: binary packages from a source RPM, offline, in an overlay.

use std::path::Path;

use runner_agent::{Halt, Job};
use runner_api::{
    Artifact, ArtifactKind, BuildFacts, BuildScope, BuildTask, BuiltPackage, Facts, FailureKind,
    Outcome,
};
use serde::Serialize;

use crate::backend::{Backend, Srpm};
use crate::local;

/// A package of the buildroot.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Installed {
    name: String,
    version: String,
    arch: String,
    /// SHA-256 of the package's header, which holds the digests of its files. It stays the same when
    /// the package is signed again.
    header_sha256: String,
}

pub(crate) async fn make<B: Backend>(
    backend: &B,
    job: &Job,
    task: &BuildTask,
) -> Result<Outcome, Halt> {
    let input = job.dir().join("in");
    std::fs::create_dir_all(&input).map_err(Halt::infrastructure)?;
    let source = job
        .input(&task.source)?
        .iter()
        .find(|artifact| artifact.kind == ArtifactKind::Srpm);
    let source = source
        .ok_or_else(|| Halt::trouble("find a source RPM among the results of the source task"))?;
    let path = job.fetch(source, &input).await?;
    let package = local::read(&path, &source.name)?;
    let mut packages = Vec::new();
    for dependency in &task.dependencies {
        packages.extend(job.input(dependency)?.iter().cloned());
    }
    let local = local::make(job, &packages, &job.dir().join("deps")).await?;
    let srpm = Srpm {
        path: &path,
        package: &package,
    };
    let built = backend.build(job, task, &srpm, &local).await?;
    let mut artifacts = Vec::new();
    for path in &built.packages {
        artifacts.extend(keep(job, task.scope, path).await?);
    }
    if artifacts.is_empty() {
        let message = match task.scope {
            BuildScope::All => {
                "the build ended well but made no package: has the spec a %files section?"
            }
            BuildScope::ArchitectureOnly => {
                "the build ended well but made no package for this architecture: write `BuildArch: noarch` for the whole package"
            }
        };
        return Err(Halt::failed(FailureKind::Build, message));
    }
    let bytes =
        serde_json::to_vec_pretty(&buildroot(&built.installed)).map_err(Halt::infrastructure)?;
    let list = job
        .store_bytes(bytes, "buildroot.json", ArtifactKind::Buildroot)
        .await?;
    let facts = Facts::Build(BuildFacts {
        buildroot: list.sha256,
    });
    artifacts.push(list);
    Ok(Outcome::Succeeded { artifacts, facts })
}

/// Stores a package, unless another architecture's build makes it.
async fn keep(job: &Job, scope: BuildScope, path: &Path) -> Result<Option<Artifact>, Halt> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        Halt::failed(
            FailureKind::Build,
            "the build made a package whose name is not UTF-8",
        )
    })?;
    let package = local::read(path, name)?;
    if scope == BuildScope::ArchitectureOnly && package.arch == "noarch" {
        return Ok(None);
    }
    let described = BuiltPackage {
        name: package.name.clone(),
        version: package.evr(),
        arch: package.arch.clone(),
        source: source_name(package.source_rpm.as_deref().unwrap_or_default()).to_owned(),
    };
    Ok(Some(
        job.store(path, name, ArtifactKind::Rpm, Some(described))
            .await?,
    ))
}

/// `a-b` of `a-b-1.0-1.src.rpm`.
fn source_name(file: &str) -> &str {
    let mut parts = file.rsplitn(3, '-');
    parts.nth(2).unwrap_or(file)
}

/// The packages of an `rpm -qa`, sorted; keys that rpm keeps as packages are left out.
fn buildroot(text: &str) -> Vec<Installed> {
    let mut list: Vec<Installed> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split('\t').map(str::to_owned);
            let package = Installed {
                name: words.next()?,
                version: words.next()?,
                arch: words.next()?,
                header_sha256: words.next()?,
            };
            (package.name != "gpg-pubkey").then_some(package)
        })
        .collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_source_files() {
        for (file, expect) in [
            ("a-b-1.0-1.src.rpm", "a-b"),
            ("a-1-1.nosrc.rpm", "a"),
            ("", ""),
        ] {
            assert_eq!(source_name(file), expect);
        }
    }

    #[test]
    fn lists_of_rpm() {
        let list = buildroot(
            "warning: x\nb\t1-1\tx86_64\tff\ngpg-pubkey\t1-1\t(none)\t(none)\na\t2:1-1\tnoarch\tee\n",
        );
        let text: Vec<_> = list
            .iter()
            .map(|p| format!("{} {} {} {}", p.name, p.version, p.arch, p.header_sha256))
            .collect();
        assert_eq!(text, ["a 2:1-1 noarch ee", "b 1-1 x86_64 ff"]);
    }
}
