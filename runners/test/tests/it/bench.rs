//! The role with a sandbox that is kept between runs, and a folder in the place of the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use openpgp::{KeyKind, SigningKey};
use pipeline_spec::{Limits, Repository, Sha256Digest};
use runner_agent::{Job, Role};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, ComposeTask, Facts, Failure, FailureKind, Grant, Outcome,
    Placed, TaskId, TaskRef, TaskSpec, TreeFile,
};
use runner_compose::Compose;
use runner_test::InstallTest;
use sandbox::{Config, Sandbox};
use sha2::{Digest as _, Sha256};

/// 2026-11-01.
pub(crate) const TIME: i64 = 1_793_491_200;

pub(crate) struct Bench {
    role: InstallTest,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-role");
        std::fs::create_dir_all(&state).expect("a cache directory");
        let sandbox = Sandbox::open(Config::new(state.join("sandbox")).helper(helper())).await;
        let role = InstallTest::new(sandbox.expect("a sandbox"), &state);
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let directory = directory.expect("a directory");
        for name in ["blobs", "scratch"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self { role, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn run(
        &self,
        spec: TaskSpec,
        inputs: Vec<(TaskRef, Vec<Artifact>)>,
    ) -> Outcome {
        self.run_by(&self.role, spec, inputs).await
    }

    async fn run_by(
        &self,
        role: &dyn Role,
        spec: TaskSpec,
        inputs: Vec<(TaskRef, Vec<Artifact>)>,
    ) -> Outcome {
        let grant = Grant {
            version: runner_api::VERSION,
            task: task_ref("task"),
            attempt: 1,
            spec,
            inputs: inputs
                .into_iter()
                .map(|(task, artifacts)| (task.id, artifacts))
                .collect(),
            lease_seconds: 60,
            heartbeat_seconds: 10,
        };
        let job = Job::offline(grant, &self.path("scratch"), &self.path("blobs")).expect("a job");
        let outcome = role.run(&job).await;
        // Shown by the test runner when the test fails.
        for job in std::fs::read_dir(self.path("scratch"))
            .expect("the scratch directory")
            .flatten()
        {
            println!(
                "{}",
                std::fs::read_to_string(job.path().join("log")).unwrap_or_default()
            );
        }
        outcome
    }

    pub(crate) fn store(&self, name: &str, bytes: &[u8], kind: ArtifactKind) -> Artifact {
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

    pub(crate) fn load(&self, artifact: &Artifact) -> Vec<u8> {
        std::fs::read(self.path("blobs").join(artifact.sha256.to_string())).expect("the blob")
    }

    /// A package that a host's tool made; `claim`: name, version, architecture.
    pub(crate) fn store_package(
        &self,
        file: &Path,
        kind: ArtifactKind,
        claim: [&str; 3],
    ) -> Artifact {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let mut artifact = self.store(name, &std::fs::read(file).expect("the package"), kind);
        let [name, version, arch] = claim.map(str::to_owned);
        artifact.package = Some(BuiltPackage {
            source: name.clone(),
            name,
            version,
            arch,
        });
        artifact
    }

    /// What compose makes of the packages.
    pub(crate) async fn compose(
        &self,
        layout: &Repository,
        packages: &[Artifact],
    ) -> Vec<Artifact> {
        let placed: Vec<Placed> = packages
            .iter()
            .map(|artifact| Placed {
                artifact: artifact.clone(),
                component: String::new(),
                built_by: task_ref("build"),
                files: Vec::new(),
            })
            .collect();
        let content = serde_json::to_vec(&placed).expect("JSON");
        let content = self.store("content", &content, ArtifactKind::Tree).sha256;
        let task = ComposeTask {
            repository: "test".parse().expect("a name"),
            layout: layout.clone(),
            content,
            time: TIME,
        };
        let compose = Compose::open(self.path("compose")).expect("a cache");
        match self
            .run_by(&compose, TaskSpec::Compose(Box::new(task)), Vec::new())
            .await
        {
            Outcome::Succeeded { artifacts, .. } => artifacts,
            other => panic!("{other:?}"),
        }
    }

    /// The cases of the report that the task stored, each failed one with what was seen. A task whose
    /// cases do not all pass has failed with `kind`, and names the first.
    #[track_caller]
    pub(crate) fn cases(&self, outcome: Outcome, kind: FailureKind) -> Vec<String> {
        let (artifacts, told) = match outcome {
            Outcome::Succeeded {
                artifacts,
                facts: Facts::Test(facts),
            } => {
                assert!(
                    facts.cases.iter().all(|case| case.problem.is_none()),
                    "{facts:?}"
                );
                (artifacts, None)
            }
            Outcome::Failed { failure, artifacts } => {
                assert_eq!(failure.kind, kind, "{failure:?}");
                assert!(
                    (1..=Failure::MAX_EXCERPT).contains(&failure.excerpt.len()),
                    "{failure:?}"
                );
                (artifacts, Some(failure.message))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(artifacts.len(), 1);
        assert_eq!(
            (artifacts[0].kind, artifacts[0].name.as_str()),
            (ArtifactKind::Tap, "test.tap")
        );
        let tap = String::from_utf8(self.load(&artifacts[0])).expect("UTF-8");
        let mut cases: Vec<String> = Vec::new();
        for line in tap.lines() {
            if line.starts_with("ok ") || line.starts_with("not ok ") {
                cases.push(line.to_owned());
            } else if let (Some(message), Some(last)) =
                (line.strip_prefix("  message: "), cases.last_mut())
            {
                last.push_str(": ");
                last.push_str(message.trim_matches('"'));
            }
        }
        let first = cases.iter().find(|case| case.starts_with("not ok"));
        assert_eq!(first.is_some(), told.is_some());
        if let (Some(first), Some(told)) = (first, told) {
            let (_, name) = first.split_once(" - ").expect("a name");
            let (name, _) = name.split_once(": ").expect("a message");
            assert!(
                told.starts_with(&format!("{name}: ")),
                "{told:?} does not begin with {name:?}"
            );
        }
        cases
    }
}

/// Among the cases of this package, which end in its name, `case` failed first, and `words` say why.
#[track_caller]
pub(crate) fn assert_failed(cases: &[String], case: &str, words: &str) {
    let (_, name) = case.rsplit_once(' ').expect("a case and a package");
    let marks = [format!(" {name}"), format!(" {name}: ")];
    let mut own = cases
        .iter()
        .filter(|line| line.ends_with(&marks[0]) || line.contains(&marks[1]));
    let failed = own.find(|line| line.starts_with("not ok"));
    let told =
        failed.is_some_and(|line| line.contains(&format!("- {case}: ")) && line.contains(words));
    assert!(
        told,
        "{case:?} did not fail first with {words:?}: {cases:#?}"
    );
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate(KeyKind::Ed25519, "Test <test@localhost>", 1_700_000_000).expect("a key")
}

pub(crate) fn limits() -> Limits {
    serde_json::from_str(
        r#"{"memory": "2GiB", "disk": "1GiB", "processes": 512, "hours": 1, "log": "4MiB"}"#,
    )
    .expect("limits")
}

pub(crate) fn task_ref(name: &str) -> TaskRef {
    let digits = hex(&Sha256::digest(name)[..16]);
    let id: TaskId = digits.parse().expect("an id");
    TaskRef {
        request: "builds/2026/11/test.yaml".parse().expect("a path"),
        id,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn no_keys() -> runner_api::PublicKeys {
    BTreeMap::new()
}

pub(crate) fn run(command: &mut Command, debian_package: &str) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install {debian_package}"));
    assert!(output.status.success(), "{name}: {output:?}");
}

pub(crate) fn write(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// The sandbox's helper program, which cargo puts beside the test's own directory.
fn helper() -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    let path = own
        .parent()
        .and_then(Path::parent)
        .expect("target/debug")
        .join("millrace-sandbox-init");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p sandbox`",
        path.display()
    );
    path
}

/// The file with a bit turned over, in the store.
pub(crate) fn flipped(bench: &Bench, path: &str, file: &TreeFile) -> TreeFile {
    let artifact = Artifact {
        name: path.to_owned(),
        sha256: file.sha256,
        size: file.size,
        kind: ArtifactKind::Unsigned,
        package: None,
    };
    let mut bytes = bench.load(&artifact);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let made = bench.store(path, &bytes, ArtifactKind::Unsigned);
    TreeFile {
        sha256: made.sha256,
        size: made.size,
    }
}

/// A program whose shared library is not beside it.
pub(crate) fn link_against_nothing(directory: &Path, program: &Path) {
    write(
        &directory.join("lib.c"),
        "int f(void) { return 0; }\n",
        0o644,
    );
    write(
        &directory.join("main.c"),
        "int f(void);\nint main(void) { return f(); }\n",
        0o644,
    );
    let library = directory.join("libnowhere.so.1");
    run(
        Command::new("gcc")
            .args(["-shared", "-Wl,-soname,libnowhere.so.1", "-o"])
            .arg(&library)
            .arg(directory.join("lib.c")),
        "gcc",
    );
    run(
        Command::new("gcc")
            .arg("-o")
            .arg(program)
            .arg(directory.join("main.c"))
            .arg(&library),
        "gcc",
    );
}
