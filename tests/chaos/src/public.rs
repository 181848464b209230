//! What clients can see: pointers, the trees they name, and every file of those.
//!
//! Looked at from outside, in the folder that the server serves from. During the storm a look is cheap:
//! a new pointer must name objects that are all there, and generations only grow. In the end every
//! object is hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runner_api::{Pointer, Tree, TreeFile};
use sha2::{Digest as _, Sha256};

use crate::machine::Machine;
use crate::wishes::REPOSITORIES;

/// The generation that was seen last of each repository, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Public {
    seen: BTreeMap<&'static str, u64>,
    pub(crate) findings: Vec<String>,
    /// Flips that were seen.
    pub(crate) flips: usize,
}

impl Public {
    /// Looks at pointers that have changed.
    pub(crate) fn look(&mut self, machine: &Machine) {
        for (name, ..) in REPOSITORIES {
            let pointer = match pointer(machine, name) {
                Ok(Some(pointer)) => pointer,
                Ok(None) => {
                    if self.seen.contains_key(name) {
                        self.findings.push(format!("{name}: the pointer is gone"));
                    }
                    continue;
                }
                Err(error) => {
                    self.findings.push(format!("{name}: {error:#}"));
                    continue;
                }
            };
            let before = self.seen.insert(name, pointer.generation);
            if before == Some(pointer.generation) {
                continue;
            }
            self.flips += 1;
            if let Some(before) = before.filter(|before| *before > pointer.generation) {
                let now = pointer.generation;
                self.findings
                    .push(format!("{name}: generation {now} came after {before}"));
            }
            let found = incomplete(machine, &pointer);
            let found = found.unwrap_or_else(|error| vec![format!("{error:#}")]);
            let prefix = format!("{name}, generation {}", pointer.generation);
            self.findings
                .extend(found.into_iter().map(|what| format!("{prefix}: {what}")));
        }
    }
}

fn artifacts(machine: &Machine) -> PathBuf {
    machine.data().join("data/artifacts")
}

/// What a repository is now; `None`: it was never published.
pub(crate) fn pointer(machine: &Machine, name: &str) -> Result<Option<Pointer>> {
    let path = artifacts(machine).join("pointers").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The tree that a pointer names.
pub(crate) fn tree(machine: &Machine, pointer: &Pointer) -> Result<Tree> {
    let path = object(&artifacts(machine), &pointer.tree.to_string());
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
}

/// Where an object lies.
pub(crate) fn object_path(machine: &Machine, digest: &str) -> PathBuf {
    object(&artifacts(machine), digest)
}

fn object(artifacts: &Path, digest: &str) -> PathBuf {
    let (shard, rest) = digest.split_at(2);
    artifacts.join("objects").join(shard).join(rest)
}

/// Files of a pointer that are not there, or have another size.
fn incomplete(machine: &Machine, pointer: &Pointer) -> Result<Vec<String>> {
    let tree = tree(machine, pointer)?;
    let artifacts = artifacts(machine);
    let wrong = |(path, file): (&String, &TreeFile)| {
        let object = object(&artifacts, &file.sha256.to_string());
        match std::fs::metadata(&object) {
            Ok(meta) if meta.len() == file.size => None,
            Ok(meta) => Some(format!(
                "{path} has {} bytes, not {}",
                meta.len(),
                file.size
            )),
            Err(error) => Some(format!("{path} is not there: {error}")),
        }
    };
    let files = tree.files.iter().chain(&pointer.signatures);
    let mut found: Vec<String> = files.filter_map(wrong).collect();
    let publication = object(&artifacts, &pointer.publication.to_string());
    if !publication.exists() {
        found.push(format!(
            "its publication {} is not there",
            pointer.publication
        ));
    }
    Ok(found)
}

/// Objects of the whole store whose bytes do not have the digest that they are called by.
pub(crate) fn damaged_objects(machine: &Machine) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for shard in std::fs::read_dir(artifacts(machine).join("objects"))? {
        let shard = shard?;
        for entry in std::fs::read_dir(shard.path())? {
            let path = entry?.path();
            let bytes = std::fs::read(&path)?;
            let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
            let claimed =
                name(&shard.path()).unwrap_or_default() + &name(&path).unwrap_or_default();
            let real = hex::encode(Sha256::digest(&bytes));
            if claimed != real {
                found.push(format!("object {claimed} has the digest {real}"));
            }
        }
    }
    Ok(found)
}

/// Names of the package files that clients can see.
pub(crate) fn packages(machine: &Machine, pointer: &Pointer) -> Result<BTreeSet<String>> {
    const ENDINGS: [&str; 4] = [".rpm", ".deb", ".dsc", ".tar.xz"];
    let tree = tree(machine, pointer)?;
    let names = tree
        .files
        .keys()
        .map(|path| path.rsplit('/').next().unwrap_or(path));
    let packages = names.filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
    Ok(packages.map(str::to_owned).collect())
}
