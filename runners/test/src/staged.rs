//! A composed repository and its signatures as files, before anyone else sees them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use runner_agent::{Halt, Job, Limit};
use runner_api::{Artifact, ArtifactKind, FailureKind, SmokeTask, Tree, TreeFile};

/// Largest tree document, in bytes: a million paths.
const MAX_TREE_BYTES: u64 = 256 << 20;
/// Downloads at a time.
const DOWNLOADS: usize = 8;

/// A repository below a directory of the job.
pub(crate) struct Staged<'a> {
    job: &'a Job,
    directory: PathBuf,
    files: BTreeMap<String, TreeFile>,
}

impl<'a> Staged<'a> {
    /// Reads the tree of the task and puts the signatures into a fresh directory.
    pub(crate) async fn of(job: &'a Job, task: &SmokeTask) -> Result<Self, Halt> {
        let directory = job.dir().join("repo");
        std::fs::create_dir_all(&directory).map_err(Halt::infrastructure)?;
        let document = job
            .input(&task.compose)?
            .iter()
            .find(|artifact| artifact.kind == ArtifactKind::Tree)
            .ok_or_else(|| Halt::trouble("find the tree among the results of the compose task"))?;
        let bytes = job
            .fetch_bytes(&document.name, &document.sha256, Limit(MAX_TREE_BYTES))
            .await?;
        let tree: Tree = serde_json::from_slice(&bytes).map_err(Halt::infrastructure)?;
        let staged = Self {
            job,
            directory,
            files: tree.files,
        };
        for artifact in job.input(&task.signatures)? {
            if artifact.kind == ArtifactKind::Signature {
                let file = TreeFile {
                    sha256: artifact.sha256,
                    size: artifact.size,
                };
                staged.fetch(&artifact.name, &file).await?;
            }
        }
        Ok(staged)
    }

    /// Where it lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fetches the files whose path is `wanted`.
    pub(crate) async fn lay(&self, wanted: impl Fn(&str) -> bool) -> Result<(), Halt> {
        let fetches = self
            .files
            .iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, file)| self.fetch(path, file));
        let fetches: Vec<_> = fetches.collect();
        stream::iter(fetches)
            .buffer_unordered(DOWNLOADS)
            .try_collect()
            .await
    }

    async fn fetch(&self, path: &str, file: &TreeFile) -> Result<(), Halt> {
        let plain = !path.is_empty()
            && Path::new(path)
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
            && !path.contains(['\\', '\0']);
        if !plain {
            let message = format!("The tree has a path that no repository can have: {path:?}.");
            return Err(Halt::failed(FailureKind::Smoke, message));
        }
        let target = self.directory.join(path);
        if target.exists() {
            return Ok(());
        }
        let parent = target.parent().unwrap_or(&self.directory);
        std::fs::create_dir_all(parent).map_err(Halt::infrastructure)?;
        let artifact = Artifact {
            name: path.to_owned(),
            sha256: file.sha256,
            size: file.size,
            kind: ArtifactKind::Unsigned,
            package: None,
        };
        Ok(self.job.fetch_to(&artifact, &target).await?)
    }
}
