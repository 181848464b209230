//! One published repository: every file by digest, then as a client looks at it.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
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

/// What stands under a name.
pub(super) enum Opened {
    /// A tree that can be looked at.
    Tree(Box<Verifier>),
    /// None: this is why.
    Nothing(Report),
}

impl Verifier {
    pub(super) fn open(
        layout: &Layout,
        repository: &Repository,
        name: &str,
    ) -> anyhow::Result<Opened> {
        let artifacts = layout.data().join("artifacts");
        let path = artifacts.join("pointers").join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let pointer = match pointer(name, &bytes) {
            Ok(pointer) => pointer,
            Err(finding) => return Ok(nothing(name, None, finding)),
        };
        let tree_bytes = match checked(&artifacts, &pointer.tree) {
            Ok(bytes) => bytes,
            Err(found) => {
                let finding = finding("the list of all its files", &pointer.tree, found);
                return Ok(nothing(name, Some(&pointer), finding));
            }
        };
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
        let suite = match &wish.layout {
            RepoLayout::Rpm { .. } => String::new(),
            RepoLayout::Deb { suite, .. } => suite.to_string(),
        };
        let tree = serde_json::from_slice(&tree_bytes)
            .with_context(|| format!("read the tree of {name}"))?;
        Ok(Opened::Tree(Box::new(Self {
            artifacts,
            tree,
            format: wish.format(),
            suite,
            keys,
            pointer,
            status_branch: config.project.status_branch.to_string(),
        })))
    }

    /// The branch that has the results, as the published commit says.
    pub(super) fn status_branch(&self) -> &str {
        &self.status_branch
    }

    pub(super) fn verify(&self, recorded: &Recorded) -> Report {
        let mut findings: Vec<Finding> = recorded.branch_missing().into_iter().collect();
        let spoilt = self.check_files(&mut findings);
        for (path, file) in self.files().filter(|(path, _)| is_package(path)) {
            findings.extend(recorded.missing(path, file));
        }
        self.check_as_client(&spoilt, &mut findings);
        Report {
            repository: self.pointer.repository.to_string(),
            commit: self.pointer.commit.clone(),
            generation: self.pointer.generation,
            files: self.files().count(),
            findings,
        }
    }

    fn files(&self) -> impl Iterator<Item = (&String, &TreeFile)> {
        self.tree.files.iter().chain(&self.pointer.signatures)
    }

    fn check_files(&self, findings: &mut Vec<Finding>) -> Spoilt {
        let mut spoilt = Spoilt::default();
        for (path, file) in self.files() {
            if let Err(found) = checked(&self.artifacts, &file.sha256)
                && spoilt.add(path, &file.sha256)
            {
                findings.push(finding(path, &file.sha256, found));
            }
        }
        spoilt
    }

    /// As dnf and apt look at it, by the libraries that know the formats. What they say of files that are
    /// `spoilt` has been said.
    fn check_as_client(&self, spoilt: &Spoilt, findings: &mut Vec<Finding>) {
        match self.format {
            Format::Rpm => {
                for root in self.rpm_roots() {
                    let open = |path: &str| self.file(&format!("{root}{path}"));
                    let report = repo_rpm::verify::verify(&open, &self.keys);
                    let news = report.findings.into_iter();
                    let news = news.filter(|f| !spoilt.explains(&format!("{root}{}", f.path)));
                    findings.extend(news.map(|f| Finding {
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
                let news = report.findings.into_iter();
                let news = news.filter(|f| !spoilt.explains(&f.path));
                findings.extend(news.map(|f| Finding {
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

/// Files that are not as they were published.
#[derive(Default)]
struct Spoilt {
    paths: HashSet<String>,
    digests: HashSet<Sha256Digest>,
}

impl Spoilt {
    /// Whether it is the first path of this file: an index has a second one by its digest.
    fn add(&mut self, path: &str, digest: &Sha256Digest) -> bool {
        self.paths.insert(path.to_owned());
        self.digests.insert(*digest)
    }

    /// Whether something of `path` is wrong because it is one of them, or the signature of one.
    fn explains(&self, path: &str) -> bool {
        let signed = [".asc", ".gpg"].iter().find_map(|it| path.strip_suffix(it));
        let is_spoilt = |path| self.paths.contains(path);
        is_spoilt(path) || signed.is_some_and(is_spoilt)
    }
}

/// The pointer of the repository `name`.
fn pointer(name: &str, bytes: &[u8]) -> Result<Pointer, Finding> {
    let wrong = |found: String| Finding {
        path: format!("pointers/{name}"),
        expected: format!("the pointer of {name}"),
        found,
    };
    let pointer: Pointer = serde_json::from_slice(bytes)
        .map_err(|cause| wrong(format!("no pointer at all: {cause}")))?;
    match pointer.repository.as_str() == name {
        true => Ok(pointer),
        false => Err(wrong(format!("the one of {}", pointer.repository))),
    }
}

/// The report of a repository of which no more can be looked at.
fn nothing(name: &str, pointer: Option<&Pointer>, finding: Finding) -> Opened {
    Opened::Nothing(Report {
        repository: name.to_owned(),
        commit: pointer.map_or_else(String::new, |it| it.commit.clone()),
        generation: pointer.map_or(0, |it| it.generation),
        files: 0,
        findings: vec![finding],
    })
}

fn finding(path: &str, expected: &Sha256Digest, found: String) -> Finding {
    Finding {
        path: path.to_owned(),
        expected: format!("sha256 {expected}"),
        found,
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

/// An artifact's bytes, if they have its digest; else what is there.
fn checked(artifacts: &Path, digest: &Sha256Digest) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(object_path(artifacts, digest)).map_err(|cause| cause.to_string())?;
    let found = Sha256::digest(&bytes);
    match found[..] == digest.as_bytes()[..] {
        true => Ok(bytes),
        false => Err(format!("sha256 {}", hex::encode(found))),
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runner_api::VERSION;

    use super::*;

    fn digest(text: &str) -> Sha256Digest {
        Sha256Digest::new(Sha256::digest(text).into())
    }

    fn base() -> serde_json::Value {
        serde_json::json!({
            "version": VERSION, "repository": "base", "generation": 1, "commit": "0".repeat(40),
            "tree": digest("tree"), "signatures": {}, "publication": digest("publication"),
        })
    }

    /// Paths of what is found of a Debian suite whose files say what they should, but for those with
    /// `damage`: they say it.
    fn found(files: &[(&str, &str)], damage: &BTreeMap<&str, &str>) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tree = Tree {
            version: VERSION,
            files: BTreeMap::new(),
        };
        for (path, text) in files {
            let sha256 = digest(text);
            let object = object_path(folder.path(), &sha256);
            std::fs::create_dir_all(object.parent().expect("a folder")).expect("made");
            std::fs::write(object, damage.get(path).unwrap_or(text)).expect("written");
            let size = text.len() as u64;
            tree.files
                .insert((*path).to_owned(), TreeFile { sha256, size });
        }
        let verifier = Verifier {
            artifacts: folder.path().to_owned(),
            pointer: pointer("base", base().to_string().as_bytes()).expect("a pointer"),
            tree,
            format: Format::Deb,
            suite: "s".to_owned(),
            keys: Vec::new(),
            status_branch: "status".to_owned(),
        };
        let mut findings = Vec::new();
        let spoilt = verifier.check_files(&mut findings);
        verifier.check_as_client(&spoilt, &mut findings);
        findings.into_iter().map(|it| it.path).collect()
    }

    /// Without keys no signature is good: those are found, and nothing else but what is spoilt.
    #[test]
    fn a_bad_file_is_one_finding() {
        let packages = "Filename: pool/x.deb\nSize: 1\nSHA256: 00\n";
        let by_hash = format!("dists/s/main/by-hash/SHA256/{}", digest(packages));
        let release = format!(
            "Codename: s\nSHA256:\n {} {} main/Packages\n",
            digest(packages),
            packages.len()
        );
        let files = [
            ("dists/s/InRelease", "signed"),
            ("dists/s/Release", &*release),
            ("dists/s/Release.gpg", "signature"),
            ("dists/s/main/Packages", packages),
            (&*by_hash, packages),
        ];
        let well = found(&files, &BTreeMap::new());
        let unsigned = ["dists/s/InRelease", "dists/s/Release.gpg"];
        assert_eq!(well[..2], unsigned, "{well:?}");
        // The same index under two paths.
        let damaged = found(&files, &[(&*by_hash, "flipped")].into());
        let of_index = |it: &&String| it.starts_with("dists/s/main/");
        assert_eq!(damaged.iter().filter(of_index).count(), 1, "{damaged:?}");
        // A text and its signature.
        let damaged = found(&files, &[("dists/s/Release", "flipped")].into());
        let of_release = |it: &&String| it.starts_with("dists/s/Release");
        assert_eq!(damaged.iter().filter(of_release).count(), 1, "{damaged:?}");
    }

    #[test]
    fn a_pointer_under_another_name_is_found() {
        let check = |name: &str, text: &str, expect: Option<&str>| {
            let found = pointer(name, text.as_bytes()).err();
            let found = found.map(|it| format!("{}: {}", it.path, it.found));
            assert_eq!(found.as_deref(), expect);
        };
        let text = base().to_string();
        check("base", &text, None);
        check("extra", &text, Some("pointers/extra: the one of base"));
        let why =
            "pointers/base: no pointer at all: EOF while parsing an object at line 1 column 1";
        check("base", "{", Some(why));
    }
}
