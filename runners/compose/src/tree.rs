//! What was made, and its way into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pipeline_spec::Sha256Digest;
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, Tree, TreeFile};
use sha2::{Digest as _, Sha256};

use crate::cache::Used;

/// Uploads at a time.
const UPLOADS: usize = 4;

/// A composed repository.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Files whose bytes were made here, by path.
    pub(crate) metadata: Vec<(String, Arc<[u8]>)>,
    /// Files that the store has already, by path.
    pub(crate) packages: Vec<(String, TreeFile)>,
    /// Those of `metadata` that wait for a signature.
    pub(crate) unsigned: BTreeSet<String>,
    /// What of the cache was used.
    pub(crate) used: Used,
}

/// Uploads the metadata and the tree. Returns the tree, then what is to be signed, by path.
pub(crate) async fn store(job: &Job, made: &Made) -> Result<Vec<Artifact>, Halt> {
    let files: BTreeMap<String, TreeFile> = made
        .metadata
        .iter()
        .map(|(path, bytes)| (path.clone(), describe(bytes)))
        .chain(made.packages.iter().cloned())
        .collect();
    let mut seen = BTreeSet::new();
    // By-hash names share their bytes.
    let uploads: Vec<_> = made
        .metadata
        .iter()
        .filter(|(path, _)| seen.insert(files[path].sha256))
        .map(|(path, bytes)| job.store_bytes(bytes.to_vec(), path, ArtifactKind::Unsigned))
        .collect();
    let _: Vec<Artifact> = stream::iter(uploads)
        .buffered(UPLOADS)
        .try_collect()
        .await?;

    let unsigned = made.unsigned.iter().map(|path| Artifact {
        name: path.clone(),
        sha256: files[path].sha256,
        size: files[path].size,
        kind: ArtifactKind::Unsigned,
        package: None,
    });
    let unsigned: Vec<Artifact> = unsigned.collect();
    let tree = Tree {
        version: runner_api::VERSION,
        files,
    };
    let document = serde_json::to_vec(&tree).expect("a tree is JSON");
    let tree_artifact = job
        .store_bytes(document, "tree.json", ArtifactKind::Tree)
        .await?;
    job.log()
        .line(format_args!("{} paths in the tree", tree.files.len()));
    Ok([vec![tree_artifact], unsigned].concat())
}

fn describe(bytes: &[u8]) -> TreeFile {
    TreeFile {
        sha256: Sha256Digest::new(Sha256::digest(bytes).into()),
        size: bytes.len() as u64,
    }
}
