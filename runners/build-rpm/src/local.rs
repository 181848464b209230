//! The packages of linked builds as a repository that dnf reads.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use repo_rpm::cache::{Block, BlockCache};
use repo_rpm::repodata::{self, Form, Member, Options};
use repo_rpm::{Fragment, Package};
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, FailureKind};
use sha2::{Digest, Sha256};

/// A directory of packages with `repodata/`.
#[derive(Debug)]
pub struct LocalRepo {
    /// Where it is.
    pub directory: PathBuf,
    /// Names its content.
    pub digest: String,
    /// Whether there is anything in it.
    pub is_empty: bool,
}

/// Fetches the binary packages among `artifacts` into `directory`. Of two with one file name the first
/// counts: dependencies are listed nearest first.
pub async fn make(job: &Job, artifacts: &[Artifact], directory: &Path) -> Result<LocalRepo, Halt> {
    std::fs::create_dir_all(directory.join("repodata")).map_err(Halt::infrastructure)?;
    let (mut names, mut members, mut fragments) = (BTreeSet::new(), Vec::new(), HashMap::new());
    for artifact in artifacts
        .iter()
        .filter(|artifact| artifact.kind == ArtifactKind::Rpm)
    {
        if !names.insert(artifact.name.clone()) {
            continue;
        }
        let path = job.fetch(artifact, directory).await?;
        let package = read(&path, &artifact.name)?;
        members.push(Member {
            location: artifact.name.clone(),
            sha256: package.sha256,
        });
        fragments.insert(package.sha256, Fragment::render(&package));
    }
    let is_empty = members.is_empty();
    let options = Options {
        revision: 1,
        form: Form::Zstd,
        threads: NonZeroUsize::MIN,
    };
    let written =
        repodata::write(members, &fragments, &Forgetful, options).map_err(Halt::infrastructure)?;
    for (name, bytes) in &written.files {
        std::fs::write(directory.join(name), bytes).map_err(Halt::infrastructure)?;
    }
    std::fs::write(directory.join(repodata::REPOMD), &written.repomd)
        .map_err(Halt::infrastructure)?;
    let digest = hex::encode(Sha256::digest(&written.repomd));
    Ok(LocalRepo {
        directory: directory.to_owned(),
        digest,
        is_empty,
    })
}

/// Reads a package that a build made.
pub(crate) fn read(path: &Path, name: &str) -> Result<Package, Halt> {
    let file = std::fs::File::open(path).map_err(Halt::infrastructure)?;
    Package::read(file).map_err(|error| {
        Halt::failed(
            FailureKind::Build,
            format!("{name} is not a package that can be read: {error}"),
        )
    })
}

/// A repository of a few packages is rendered anew each time.
struct Forgetful;

impl BlockCache for Forgetful {
    fn get(&self, _: &repo_rpm::Sha256) -> Option<Block> {
        None
    }

    fn put(&self, _: &repo_rpm::Sha256, _: &Block) {}
}
