//! One attempt as a role sees it.

use std::path::{Component, Path, PathBuf};

use pipeline_spec::Sha256Digest;
use runner_api::protocol::Attempt;
use runner_api::{Artifact, ArtifactKind, BuiltPackage, Grant, Step, TaskRef, TaskSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::blobs::{Blobs, Expect, Wanted};
use crate::transfer::Patience;
use crate::{Error, JobLog, clock};

/// Longest name of one file, in bytes, on every file system that matters.
const MAX_NAME_BYTES: usize = 255;

/// Beside the role's directory, and the artifact's name.
const LOG_FILE: &str = "log";
/// Beside it: a [`Note`].
const NOTE_FILE: &str = "attempt.json";
/// Most bytes of it that are read: a path and a few numbers.
const MAX_NOTE_BYTES: u64 = 16 * 1024;

/// Most bytes of a blob whose size nobody recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

/// One attempt at a task: what to do, where to do it, and the way to the artifact store.
#[derive(Debug)]
pub struct Job {
    grant: Grant,
    // Removed when the job is dropped.
    dir: TempDir,
    blobs: Blobs,
    log: JobLog,
    stop: CancellationToken,
    step: watch::Sender<Option<Step>>,
}

/// Which attempt a job's directory belongs to: whoever finds the directory of a killed runner can say
/// so to the control plane.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) attempt: Attempt,
    /// Seconds since 1970.
    pub(crate) started: i64,
}

impl Note {
    /// The note in a job's directory, if a whole one is there.
    pub(crate) fn read(job: &Path) -> Option<Self> {
        let path = job.join(NOTE_FILE);
        let size = std::fs::metadata(&path).ok()?.len();
        let text = (size <= MAX_NOTE_BYTES).then(|| std::fs::read(&path))?;
        serde_json::from_slice(&text.ok()?).ok()
    }

    fn write(&self, job: &Path) -> Result<(), Error> {
        let path = job.join(NOTE_FILE);
        let text = serde_json::to_vec(self).expect("a note has only string keys");
        std::fs::write(&path, text).map_err(Error::io("write", path))
    }
}

impl Job {
    /// A job whose blobs lie in a folder, named by digest, without a control plane: for trying a role
    /// by hand and in tests. `scratch` must exist.
    pub fn offline(grant: Grant, scratch: &Path, folder: &Path) -> Result<Self, Error> {
        let blobs = Blobs::Folder(folder.to_owned());
        Self::new(grant, scratch, blobs)
    }

    pub(crate) fn new(grant: Grant, scratch: &Path, blobs: Blobs) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(scratch)
            .map_err(Error::io("create a directory for the job in", scratch))?;
        let note = Note {
            attempt: Attempt {
                task: grant.task.clone(),
                attempt: grant.attempt,
            },
            started: clock::now(),
        };
        note.write(dir.path())?;
        let log = JobLog::create(&dir.path().join(LOG_FILE))?;
        let work = dir.path().join("work");
        std::fs::create_dir(&work).map_err(Error::io("create", &work))?;
        Ok(Self {
            grant,
            dir,
            blobs,
            log,
            stop: CancellationToken::new(),
            step: watch::Sender::new(None),
        })
    }

    /// The lease that the job works under.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What to do.
    pub fn spec(&self) -> &TaskSpec {
        &self.grant.spec
    }

    /// A directory of the job's own, mode 0700, empty at first, removed after the job. Nothing but the
    /// role writes in it: let no build do so.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The log; clones write to the same one.
    pub fn log(&self) -> JobLog {
        self.log.clone()
    }

    /// Cancelled when the job has to stop.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells people who wait what is done now. Nothing depends on it.
    pub fn step(&self, step: Step) {
        self.step.send_replace(Some(step));
    }

    /// What [`Self::step`] was told last.
    pub(crate) fn steps(&self) -> watch::Receiver<Option<Step>> {
        self.step.subscribe()
    }

    /// The artifacts of a task that the specification names.
    pub fn input(&self, task: &TaskRef) -> Result<&[Artifact], Error> {
        self.grant
            .inputs
            .get(&task.id)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::NoInput(task.to_string()))
    }

    /// Fetches `artifact` into the directory `into` under its own name and returns the path. The bytes
    /// have the recorded size and digest; no file is there otherwise. An existing file is an error.
    pub async fn fetch(&self, artifact: &Artifact, into: &Path) -> Result<PathBuf, Error> {
        let path = into.join(file_name(&artifact.name)?);
        self.fetch_to(artifact, &path).await?;
        Ok(path)
    }

    /// Fetches `artifact` as the new file `path`.
    pub async fn fetch_to(&self, artifact: &Artifact, path: &Path) -> Result<(), Error> {
        let wanted = Wanted {
            name: &artifact.name,
            sha256: &artifact.sha256,
            expect: Expect::Exactly(artifact.size),
        };
        self.unless_stopped(self.blobs.fetch(wanted, path)).await
    }

    /// Reads a small blob into memory.
    pub async fn fetch_bytes(
        &self,
        name: &str,
        sha256: &Sha256Digest,
        limit: Limit,
    ) -> Result<Vec<u8>, Error> {
        let wanted = Wanted {
            name,
            sha256,
            expect: Expect::AtMost(limit.0),
        };
        self.unless_stopped(self.blobs.read(wanted)).await
    }

    /// Puts the regular file `path` into the store and returns how to call it. A blob that is there
    /// already is not sent again. A symbolic link is refused, because a build may have made it.
    pub async fn store(
        &self,
        path: &Path,
        name: &str,
        kind: ArtifactKind,
        package: Option<BuiltPackage>,
    ) -> Result<Artifact, Error> {
        self.step(Step::Uploading);
        let (sha256, size) = self
            .unless_stopped(self.blobs.put_file(path, Patience::Blob))
            .await?;
        Ok(Artifact {
            name: name.to_owned(),
            sha256,
            size,
            kind,
            package,
        })
    }

    /// Puts bytes into the store.
    pub async fn store_bytes(
        &self,
        bytes: Vec<u8>,
        name: &str,
        kind: ArtifactKind,
    ) -> Result<Artifact, Error> {
        let sha256 = Sha256Digest::new(Sha256::digest(&bytes).into());
        let size = bytes.len() as u64;
        self.unless_stopped(self.blobs.put_bytes(bytes, &sha256))
            .await?;
        Ok(Artifact {
            name: name.to_owned(),
            sha256,
            size,
            kind,
            package: None,
        })
    }

    /// Puts the whole log into the store; also when the job was stopped.
    pub(crate) async fn store_log(&self) -> Result<Artifact, Error> {
        let path = self.dir.path().join(LOG_FILE);
        let (sha256, size) = self.blobs.put_file(&path, Patience::Log).await?;
        Ok(Artifact {
            name: LOG_FILE.into(),
            sha256,
            size,
            kind: ArtifactKind::Log,
            package: None,
        })
    }

    async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::Stopped),
            result = work => result,
        }
    }
}

/// `name` if it is one plain part of a path.
pub(crate) fn file_name(name: &str) -> Result<&str, Error> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None)
            if part == name && name.len() <= MAX_NAME_BYTES && !name.contains('\0') =>
        {
            Ok(name)
        }
        _ => Err(Error::BadName(name.chars().take(MAX_NAME_BYTES).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_files() {
        for good in ["tree_2.1.0-1_amd64.deb", "..x", ".hidden", "a b"] {
            assert_eq!(file_name(good).ok(), Some(good));
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "a/b",
            "a/",
            "../a",
            "./a",
            "a\0",
            &long,
        ] {
            assert!(matches!(file_name(bad), Err(Error::BadName(_))), "{bad:?}");
        }
    }
}
