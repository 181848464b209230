//! What a release or a revert changed, kept beside what it published.

use std::collections::BTreeMap;

use pipeline_spec::{RepositoryName, RequestPath, Sha256Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Placed, Pointer, TreeFile};

/// A release or a revert as it was decided, in the artifact store before its first pointer moves.
///
/// Each pointer names the publication that set it, and each publication the one before it in each
/// repository: from the pointers alone it can be read what every release added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The release.
    pub release: RequestPath,
    /// State-repository commit whose wish this is, 40 hex digits.
    pub commit: String,
    /// That commit's time as the ledger has it, seconds since 1970: never earlier than that of a
    /// publication before it.
    pub time: i64,
    /// Its place in the order of merges.
    pub sequence: u64,
    /// A revert takes away what the release had added.
    pub reverts: bool,
    /// All repositories that change, by name.
    pub repositories: BTreeMap<RepositoryName, Published>,
}

/// One repository of a [`Publication`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// As in [`Pointer`].
    pub generation: u64,
    /// As in [`Pointer`].
    pub tree: Sha256Digest,
    /// As in [`Pointer`].
    pub signatures: BTreeMap<String, TreeFile>,
    /// What the release adds; empty for a revert.
    pub packages: Vec<Placed>,
    /// The publication that clients saw before; `None` for a repository's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256Digest>,
}

impl Publication {
    /// The document and its digest, which [`Pointer::publication`] is.
    pub fn document(&self) -> (Sha256Digest, Vec<u8>) {
        let bytes = serde_json::to_vec(self).expect("a publication has only string keys");
        (Sha256Digest::new(Sha256::digest(&bytes).into()), bytes)
    }

    /// The pointer of one of its repositories; `publication` is its own digest.
    pub fn pointer(&self, name: &RepositoryName, publication: Sha256Digest) -> Option<Pointer> {
        let published = self.repositories.get(name)?;
        Some(Pointer {
            version: self.version,
            repository: name.clone(),
            generation: published.generation,
            commit: self.commit.clone(),
            tree: published.tree,
            signatures: published.signatures.clone(),
            publication,
        })
    }
}
