//! What the status branch says that tasks made.

use std::collections::HashSet;

use git::Repository;
use runner_api::TreeFile;

use super::{Finding, MAX_TEXT_BYTES};

/// Digests by branch. Without its branch nothing can be said about who made a package, and that is one
/// finding, not one for each package.
pub(super) struct Recorded {
    branch: String,
    digests: Option<HashSet<String>>,
}

impl Recorded {
    /// Every SHA-256 that a status file names.
    pub(super) fn read(repository: &Repository, branch: &str) -> anyhow::Result<Self> {
        let mut recorded = Self {
            branch: branch.to_owned(),
            digests: None,
        };
        let Some(tip) = repository.head(branch)? else {
            return Ok(recorded);
        };
        let mut digests = HashSet::new();
        for entry in repository.list(tip, "")? {
            let bytes = repository
                .read(tip, &entry.path, MAX_TEXT_BYTES)?
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let words = text
                .split(|c: char| !c.is_ascii_hexdigit())
                .filter(|word| word.len() == 64);
            digests.extend(words.map(str::to_owned));
        }
        recorded.digests = Some(digests);
        Ok(recorded)
    }

    /// That the branch is gone.
    pub(super) fn branch_missing(&self) -> Option<Finding> {
        self.digests.is_none().then(|| Finding {
            path: format!("branch {}", self.branch),
            expected: "the state repository has it, with the results of all tasks".to_owned(),
            found: "no such branch: whether tasks made these packages cannot be told; a running control plane writes it anew".to_owned(),
        })
    }

    /// That no task made this package.
    pub(super) fn missing(&self, path: &str, file: &TreeFile) -> Option<Finding> {
        let digests = self.digests.as_ref()?;
        (!digests.contains(&file.sha256.to_string())).then(|| Finding {
            path: path.to_owned(),
            expected: format!("a result recorded on the branch {}", self.branch),
            found: format!("{}, which no task made", file.sha256),
        })
    }
}

#[cfg(test)]
mod tests {
    use git::{CommitMeta, Repository};

    use super::*;

    /// What is found of one package, and of the branch, when `recorded` is all that the branch has.
    fn check(recorded: Option<&str>, branch_is_missing: bool, package_is_unknown: bool) {
        let directory = tempfile::tempdir().expect("a directory");
        let repository = Repository::init_bare(directory.path().join("state.git")).expect("made");
        if let Some(text) = recorded {
            let meta = CommitMeta {
                name: "t".to_owned(),
                email: "t@localhost".to_owned(),
                time: 0,
                message: "status\n".to_owned(),
            };
            let edits = [("builds/2026/11/x.yaml", Some(text.as_bytes()))];
            let _made = repository
                .commit_files("answers", None, &edits, &meta)
                .expect("committed");
        }
        let recorded = Recorded::read(&repository, "answers").expect("read");
        let file = TreeFile {
            sha256: "a".repeat(64).parse().expect("a digest"),
            size: 1,
        };
        let missing = recorded.branch_missing();
        assert_eq!(missing.is_some(), branch_is_missing);
        if let Some(finding) = missing {
            assert_eq!(finding.path, "branch answers");
        }
        let unknown = recorded.missing("pool/x.deb", &file).is_some();
        assert_eq!(unknown, package_is_unknown);
    }

    #[test]
    fn a_missing_branch_is_one_finding_and_no_package_is_blamed() {
        check(None, true, false);
        check(Some("sha256: nothing\n"), false, true);
        check(Some(&format!("sha256: {}\n", "a".repeat(64))), false, false);
    }
}
