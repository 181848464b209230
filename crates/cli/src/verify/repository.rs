//! One published repository: every file by digest, then as a client looks at it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use git::{CommitId, Repository};
use openpgp::PublicKey;
use pipeline_spec::{
    Config, Format, KeyFilePath, Layout as RepoLayout, Sha256Digest, is_config_path,
};
use runner_api::{Pointer, Tree, TreeFile};
use sha2::{Digest, Sha256};

use super::recorded::Recorded;
use super::{Finding, MAX_TEXT_BYTES, Report};
use crate::local::Layout;

/// What is published under one name, and what it is held against.
pub(super) struct Verifier {
    artifacts: PathBuf,
    pointer: Pointer,
    tree: Tree,
    format: Format,
    /// The folder below `dists/`; empty for RPM.
    suite: String,
    keys: Vec<PublicKey>,
    status_branch: String,
}

impl Verifier {
    pub(super) fn open(
        layout: &Layout,
        repository: &Repository,
        name: &str,
    ) -> anyhow::Result<Self> {
        let artifacts = layout.data().join("artifacts");
        let path = artifacts.join("pointers").join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let pointer: Pointer =
            serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?;
        let config = config(repository, pointer.commit.parse()?)?;
        let wish = config
            .repositories
            .get(&pointer.repository)
            .with_context(|| {
                format!("commit {} has no repositories/{name}.yaml", pointer.commit)
            })?;
        let key_path = KeyFilePath::of_key(&wish.key);
        let key_file = config
            .key_files
            .get(&key_path)
            .with_context(|| format!("commit {} has no {key_path}", pointer.commit))?;
        let keys = PublicKey::all_from_armored(&String::from_utf8_lossy(key_file))
            .with_context(|| format!("read {key_path}"))?;
        let tree_bytes = object(&artifacts, &pointer.tree)
            .with_context(|| format!("read the tree {} of {name}", pointer.tree))?;
        if Sha256::digest(&tree_bytes)[..] != pointer.tree.as_bytes()[..] {
            bail!(
                "the tree document of {name} is not the one that was published: its digest is not {}",
                pointer.tree
            );
        }
        let suite = match &wish.layout {
            RepoLayout::Rpm { .. } => String::new(),
            RepoLayout::Deb { suite, .. } => suite.to_string(),
        };
        let tree = serde_json::from_slice(&tree_bytes)
            .with_context(|| format!("read the tree of {name}"))?;
        Ok(Self {
            artifacts,
            tree,
            format: wish.format(),
            suite,
            keys,
            pointer,
            status_branch: config.project.status_branch.to_string(),
        })
    }

    /// The branch that has the results, as the published commit says.
    pub(super) fn status_branch(&self) -> &str {
        &self.status_branch
    }

    pub(super) fn verify(&self, recorded: &Recorded) -> Report {
        let mut findings: Vec<Finding> = recorded.branch_missing().into_iter().collect();
        for (path, file) in self.tree.files.iter().chain(&self.pointer.signatures) {
            self.check_file(path, file, &mut findings);
            if is_package(path) {
                findings.extend(recorded.missing(path, file));
            }
        }
        self.check_as_client(&mut findings);
        Report {
            repository: self.pointer.repository.to_string(),
            commit: self.pointer.commit.clone(),
            generation: self.pointer.generation,
            files: self.tree.files.len() + self.pointer.signatures.len(),
            findings,
        }
    }

    fn check_file(&self, path: &str, file: &TreeFile, findings: &mut Vec<Finding>) {
        let mut find = |found: String| {
            findings.push(Finding {
                path: path.to_owned(),
                expected: format!("sha256 {}", file.sha256),
                found,
            });
        };
        match object(&self.artifacts, &file.sha256) {
            Ok(bytes) => {
                let digest = hex::encode(Sha256::digest(&bytes));
                if digest != file.sha256.to_string() {
                    find(format!("sha256 {digest}"));
                }
            }
            Err(error) => find(error.to_string()),
        }
    }

    /// As dnf and apt look at it, by the libraries that know the formats.
    fn check_as_client(&self, findings: &mut Vec<Finding>) {
        match self.format {
            Format::Rpm => {
                for root in self.rpm_roots() {
                    let open = |path: &str| self.file(&format!("{root}{path}"));
                    let report = repo_rpm::verify::verify(&open, &self.keys);
                    findings.extend(report.findings.into_iter().map(|f| Finding {
                        path: format!("{root}{} ({})", f.path, f.what),
                        expected: f.expected,
                        found: f.found,
                    }));
                }
            }
            Format::Deb => {
                let mut read = |path: &str| {
                    let mut bytes = Vec::new();
                    self.file(path)?.read_to_end(&mut bytes)?;
                    Ok(bytes)
                };
                let report = repo_deb::verify(&mut read, &self.suite, &self.keys);
                findings.extend(report.findings.into_iter().map(|f| Finding {
                    path: f.path,
                    expected: f.expected,
                    found: f.found,
                }));
            }
        }
    }

    fn rpm_roots(&self) -> Vec<String> {
        self.tree
            .files
            .keys()
            .filter_map(|path| path.strip_suffix("repodata/repomd.xml"))
            .map(str::to_owned)
            .collect()
    }

    fn file(&self, path: &str) -> io::Result<std::fs::File> {
        let file = self
            .pointer
            .signatures
            .get(path)
            .or_else(|| self.tree.files.get(path));
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        std::fs::File::open(object_path(&self.artifacts, &file.sha256))
    }
}

fn is_package(path: &str) -> bool {
    [".rpm", ".deb", ".udeb", ".dsc"]
        .iter()
        .any(|ending| path.ends_with(ending))
}

fn object_path(artifacts: &Path, digest: &Sha256Digest) -> PathBuf {
    let hex = digest.to_string();
    artifacts.join("objects").join(&hex[..2]).join(&hex[2..])
}

fn object(artifacts: &Path, digest: &Sha256Digest) -> io::Result<Vec<u8>> {
    std::fs::read(object_path(artifacts, digest))
}

/// The configuration of a commit.
fn config(repository: &Repository, commit: CommitId) -> anyhow::Result<Config> {
    let mut files = Vec::new();
    for entry in repository.list(commit, "")? {
        if is_config_path(&entry.path)
            && let Some(bytes) = repository.read(commit, &entry.path, MAX_TEXT_BYTES)?
        {
            files.push((entry.path, bytes));
        }
    }
    let (config, _) = Config::load(
        files
            .iter()
            .map(|(path, bytes)| (path.as_str(), &bytes[..])),
    );
    Ok(config)
}
