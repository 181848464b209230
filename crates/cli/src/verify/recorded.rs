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
