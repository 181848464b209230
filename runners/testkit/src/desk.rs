//! Tasks given to a role without a control plane.

use std::path::{Path, PathBuf};
use std::process::Command;

use pipeline_spec::{Limits, RequestPath, Sha256Digest, Weight};
use runner_agent::{Job, Role};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, FailureKind, Grant, Origin, Outcome, TaskId, TaskRef,
    TaskSpec,
};
use sha2::{Digest as _, Sha256};

use crate::host;

/// When everything is committed: 2023-11-14, with the zone.
const COMMITTED: &str = "1700000000 +0000";

/// A directory of its own for one test, with a folder in the place of the store.
pub struct Desk {
    directory: tempfile::TempDir,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// An empty one.
    pub fn new() -> Self {
        let directory = host::scratch();
        for name in ["blobs", "scratch"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self { directory }
    }

    /// A place for a file or directory of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A job as the daemon would make it.
    pub fn job(&self, spec: TaskSpec, inputs: Vec<(TaskRef, Vec<Artifact>)>) -> Job {
        let grant = Grant {
            version: runner_api::VERSION,
            task: task_ref(&spec),
            attempt: 1,
            spec,
            inputs: inputs
                .into_iter()
                .map(|(task, artifacts)| (task.id, artifacts))
                .collect(),
            links: std::collections::BTreeMap::new(),
            proof: None,
            lease_seconds: 60,
            heartbeat_seconds: 10,
            capacity: None,
            weight: Weight::ONE,
        };
        Job::offline(grant, &self.path("scratch"), &self.path("blobs")).expect("a job")
    }

    /// What `role` makes of a task. Its log is shown when the test fails.
    pub async fn run(
        &self,
        role: &dyn Role,
        spec: TaskSpec,
        inputs: Vec<(TaskRef, Vec<Artifact>)>,
    ) -> Outcome {
        let job = self.job(spec, inputs);
        let outcome = role.run(&job).await;
        let jobs = std::fs::read_dir(self.path("scratch")).expect("the scratch directory");
        for job in jobs.flatten() {
            let log = std::fs::read_to_string(job.path().join("log"));
            println!("{}", log.unwrap_or_default());
        }
        outcome
    }

    /// A git repository with the given files, and the origin that names its only commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> Origin {
        let tree = tempfile::tempdir_in(self.directory.path())
            .expect("a directory")
            .keep();
        for (path, text) in files {
            host::write(&tree.join(path), text, 0o644);
        }
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command
                .arg("-C")
                .arg(&tree)
                .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
                .args(args)
                .env("GIT_COMMITTER_DATE", COMMITTED)
                .env("GIT_AUTHOR_DATE", COMMITTED);
            host::run(&mut command, "git").trim().to_owned()
        };
        git(&["init", "-q"]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "x"]);
        Origin::Git {
            url: format!("file://{}", tree.display()).parse().expect("a URL"),
            commit: git(&["rev-parse", "HEAD"]),
            subdir: None,
        }
    }

    /// Puts bytes into the store.
    pub fn store(&self, name: &str, bytes: &[u8], kind: ArtifactKind) -> Artifact {
        let sha256 = Sha256Digest::new(Sha256::digest(bytes).into());
        std::fs::write(self.path("blobs").join(sha256.to_string()), bytes).expect("a blob");
        Artifact {
            name: name.to_owned(),
            sha256,
            size: bytes.len() as u64,
            kind,
            package: None,
        }
    }

    /// A package that a host's tool made; `claim`: name, version, architecture.
    pub fn store_package(&self, file: &Path, kind: ArtifactKind, claim: [&str; 3]) -> Artifact {
        let name = file.file_name().and_then(|name| name.to_str());
        let bytes = std::fs::read(file).expect("the package");
        let mut artifact = self.store(name.expect("a name"), &bytes, kind);
        let [name, version, arch] = claim.map(str::to_owned);
        artifact.package = Some(BuiltPackage {
            source: name.clone(),
            name,
            version,
            arch,
        });
        artifact
    }

    /// What the store has.
    pub fn load(&self, artifact: &Artifact) -> Vec<u8> {
        std::fs::read(self.path("blobs").join(artifact.sha256.to_string())).expect("the blob")
    }
}

fn request() -> RequestPath {
    "builds/2026/11/test.yaml".parse().expect("a path")
}

/// The task of a specification.
pub fn task_ref(spec: &TaskSpec) -> TaskRef {
    TaskRef {
        id: TaskId::of(&request(), spec),
        request: request(),
    }
}

/// A task that is only named.
pub fn named(name: &str) -> TaskRef {
    let digits = hex::encode(&Sha256::digest(name)[..16]);
    TaskRef {
        request: request(),
        id: digits.parse().expect("an id"),
    }
}

/// Small ones, so that what goes beyond them is quickly done.
pub fn limits() -> Limits {
    serde_json::from_str(
        r#"{"memory": "2GiB", "disk": "1GiB", "processes": 512, "hours": 1, "log": "4MiB"}"#,
    )
    .expect("limits")
}

/// What was made, if it went well.
#[track_caller]
pub fn artifacts_of(outcome: &Outcome) -> &[Artifact] {
    let Outcome::Succeeded { artifacts, .. } = outcome else {
        panic!("{outcome:?}")
    };
    artifacts
}

/// The package is at fault, in this way, and message or excerpt say so in these words.
#[track_caller]
pub fn assert_failed(outcome: &Outcome, kind: FailureKind, words: &str) {
    let Outcome::Failed { failure, .. } = outcome else {
        panic!("{words}: {outcome:?}")
    };
    let text = format!("{} {}", failure.message, failure.excerpt.join("\n"));
    assert!(
        failure.kind == kind && text.contains(words),
        "{words}: {:?} {text}",
        failure.kind
    );
}

/// Nobody's package is at fault, and the message says what happened.
#[track_caller]
pub fn assert_trouble(outcome: &Outcome, words: &str) {
    let Outcome::Infrastructure { message } = outcome else {
        panic!("{words}: {outcome:?}")
    };
    assert!(message.contains(words), "{words}: {message}");
}
