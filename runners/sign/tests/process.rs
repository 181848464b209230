//! The real program: makes keys, signs for a control plane in memory, and keeps quiet about its keys.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a real process with real files; the bench's helpers are part of the tests"
)]

#[path = "../../agent/tests/fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use fake::Fake;
use pipeline_spec::Runner;
use runner_api::{Artifact, ArtifactKind, Outcome, SignMetadataTask, TaskRef, TaskSpec};
use tempfile::TempDir;

const REPOMD: &[u8] = b"<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"></repomd>\n";

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-signer"));
    command.args(words);
    command
}

fn keygen(folder: &Path) -> Output {
    program(&[
        "keygen",
        "--file",
        "main.key",
        "--user-id",
        "Test <test@example.org>",
        "--keys",
    ])
    .arg(folder)
    .args(["--created", "1700000000"])
    .output()
    .unwrap()
}

struct Bench {
    home: TempDir,
    public: String,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        let output = keygen(&home.path().join("keys"));
        assert!(output.status.success(), "{output:?}");
        let public = String::from_utf8(output.stdout).unwrap();
        Self { home, public }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn enroll(&self) -> Runner {
        let output = program(&["enroll", "--id", "s1", "--arch", "x86_64", "--key"])
            .arg(self.path("identity"))
            .output()
            .unwrap();
        serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    fn run(&self, control: &str) -> Command {
        let mut command = program(&["run", "--runner", "s1", "--control", control, "--key"]);
        command
            .arg(self.path("identity"))
            .arg("--work")
            .arg(self.path("work"))
            .arg("--keys")
            .arg(self.path("keys"))
            .env("MILLRACE_LOG", "trace");
        command
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_signs_and_no_key_is_in_its_log() {
    let bench = Bench::new();
    let fake = Fake::start();
    fake.enroll("s1", bench.enroll().key);
    let compose = TaskRef {
        request: "releases/2026/11/a.yaml".parse().unwrap(),
        id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
    };
    let unsigned = Artifact {
        name: "x86_64/repodata/repomd.xml".into(),
        sha256: fake.put_blob(REPOMD),
        size: REPOMD.len() as u64,
        kind: ArtifactKind::Unsigned,
        package: None,
    };
    let task = SignMetadataTask {
        repository: "test".parse().unwrap(),
        key: "main".parse().unwrap(),
        files: None,
        compose: compose.clone(),
        time: 1_793_491_200,
    };
    let inputs = BTreeMap::from([(compose.id, vec![unsigned])]);
    let task = fake.queue(TaskSpec::SignMetadata(Box::new(task)), inputs);
    let log = std::fs::File::create(bench.path("stderr")).unwrap();
    let signer = Killed(bench.run(&fake.url()).stderr(log).spawn().unwrap());
    let result = fake.result(task).await;
    drop(signer);

    let Outcome::Succeeded { artifacts, .. } = &result.outcome else {
        panic!("{result:?}");
    };
    let signature = fake.state().blobs[&artifacts[0].sha256].clone();
    let public = openpgp::PublicKey::from_armored(&bench.public).unwrap();
    let armored = std::str::from_utf8(&signature).unwrap();
    public.verify_detached_armored(REPOMD, armored).unwrap();

    let log = std::fs::read_to_string(bench.path("stderr")).unwrap();
    assert!(log.contains(&public.fingerprint()), "{log}");
    for secret in ["keys/main.key", "identity"] {
        let text = std::fs::read_to_string(bench.path(secret)).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.len() > 40).collect();
        assert!(!lines.is_empty());
        assert!(!lines.iter().any(|line| log.contains(line)), "{log}");
    }
}

#[test]
fn a_key_is_made_for_its_owner_alone_and_never_overwritten() {
    let bench = Bench::new();
    let key = bench.path("keys/main.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();
    let again = keygen(&bench.path("keys"));
    assert!(!again.status.success());
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn the_public_half_goes_where_it_is_wanted() {
    let bench = Bench::new();
    let file = bench.path("main.asc");
    let words = [
        "keygen",
        "--file",
        "second.key",
        "--user-id",
        "Second",
        "--kind",
        "rsa4096",
    ];
    let output = program(&words)
        .arg("--keys")
        .arg(bench.path("keys"))
        .arg("--public")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let public = std::fs::read_to_string(&file).unwrap();
    openpgp::PublicKey::from_armored(&public).unwrap();
    let help = program(&["keygen", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--keys <DIR>",
        "--file <NAME>",
        "--user-id <TEXT>",
        "--public <FILE>",
        "mode 0600",
    ] {
        assert!(help.contains(flag), "{help}");
    }
}

#[test]
fn it_does_not_start_with_a_key_that_others_can_read() {
    let bench = Bench::new();
    bench.enroll();
    let key = bench.path("keys/main.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let output = bench.run("http://127.0.0.1:9").output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stderr).unwrap();
    let expect = format!(
        "Error: use {}: others than its owner have rights on it (mode 0640); run: chmod 600 {}\n",
        key.display(),
        key.display()
    );
    assert!(words.ends_with(&expect), "{words}");
}
