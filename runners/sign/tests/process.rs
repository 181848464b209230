//! The real program: makes keys, signs for a control plane in memory, and keeps quiet about its keys.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a real process with real files; the bench's helpers are part of the tests"
)]

#[path = "bench/approved.rs"]
mod approved;
#[path = "bench/aws.rs"]
mod aws;
#[path = "../../agent/tests/fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use approved::History;
use aws_sdk_kms::types::KeySpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fake::Fake;
use pipeline_spec::Runner;
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, FailureKind, KeyFiles, Outcome, PrivateHalf, Proof,
    ProofObject, Recorded, SignMetadataTask, SignPackagesTask, TaskId, TaskRef, TaskSpec,
};
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

    fn run(&self) -> Command {
        let mut command = program(&["run", "--runner", "s1", "--key"]);
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

/// What the signer makes of a `repomd.xml`, and what it logs.
async fn signs(bench: &Bench, files: Option<KeyFiles>, mut signer: Command) -> (String, String) {
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
        files,
        compose: compose.clone(),
        time: 1_793_491_200,
    };
    let inputs = BTreeMap::from([(compose.id, vec![unsigned])]);
    let task = fake.queue(TaskSpec::SignMetadata(Box::new(task)), inputs);
    let log = std::fs::File::create(bench.path("stderr")).unwrap();
    signer.args(["--control", &fake.url()]);
    let signer = Killed(signer.stderr(log).spawn().unwrap());
    let result = fake.result(task).await;
    drop(signer);

    let Outcome::Succeeded { artifacts, .. } = &result.outcome else {
        panic!("{result:?}");
    };
    let signature = fake.state().blobs[&artifacts[0].sha256].clone();
    let log = std::fs::read_to_string(bench.path("stderr")).unwrap();
    (String::from_utf8(signature.to_vec()).unwrap(), log)
}

#[tokio::test]
async fn it_signs_and_no_key_is_in_its_log() {
    let bench = Bench::new();
    let (signature, log) = signs(&bench, None, bench.run()).await;
    let public = openpgp::PublicKey::from_armored(&bench.public).unwrap();
    public.verify_detached_armored(REPOMD, &signature).unwrap();

    assert!(log.contains(&public.fingerprint()), "{log}");
    for secret in ["keys/main.key", "identity"] {
        let text = std::fs::read_to_string(bench.path(secret)).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.len() > 40).collect();
        assert!(!lines.is_empty());
        assert!(!lines.iter().any(|line| log.contains(line)), "{log}");
    }
}

/// With credentials as an instance's profile gives them: for some hours, with a token.
fn with_credentials(command: &mut Command) -> &mut Command {
    command
        .env("AWS_ENDPOINT_URL_KMS", aws::endpoint())
        .env("AWS_REGION", aws::REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", SECRETS[0])
        .env("AWS_SESSION_TOKEN", SECRETS[1])
}

const SECRETS: [&str; 2] = [
    "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjEXAMPLETOKEN",
];

#[tokio::test]
async fn a_key_in_kms_gets_its_certificate_and_signs_and_no_credentials_are_in_the_log() {
    let bench = Bench::new();
    let (kms, born) = aws::make_key(KeySpec::EccNistEdwards25519).await;
    let certificate = |more: &[&str]| {
        let mut command = program(&["certificate", "--user-id", "Test <test@example.org>"]);
        command.args(["--kms", &kms]).args(more);
        let output = with_credentials(&mut command).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let public = certificate(&[]);
    assert_eq!(public, certificate(&["--created", &born.to_string()]));
    let older = certificate(&["--created", "1700000000"]);
    let file = bench.path("main.asc");
    assert_eq!(certificate(&["--public", file.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), public);

    let private = PrivateHalf::Kms { kms };
    let public = older.clone();
    let mut signer = bench.run();
    with_credentials(&mut signer).arg("--kms");
    let (signature, log) = signs(&bench, Some(KeyFiles { private, public }), signer).await;
    let public = openpgp::PublicKey::from_armored(&older).unwrap();
    public.verify_detached_armored(REPOMD, &signature).unwrap();
    assert!(log.contains("keys in AWS KMS"), "{log}");
    for secret in SECRETS {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "of a log at its finest");
    }
}

#[test]
fn a_key_that_kms_does_not_have_makes_no_certificate() {
    let mut command = program(&["certificate", "--user-id", "Test", "--kms", "alias/nobody"]);
    let output = with_credentials(&mut command).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    let words = String::from_utf8(output.stderr).unwrap();
    let expect = "Error: read the public half of the KMS key alias/nobody: there is none in this region and account;";
    assert!(words.starts_with(expect), "{words}");
    let mut command = program(&["certificate", "--user-id", "Test", "--kms", "main.key"]);
    let words = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(
        words.contains("it is neither an ARN nor an alias"),
        "{words}"
    );
}

#[test]
fn without_credentials_or_a_region_it_says_what_to_do() {
    let says = |more: &[(&str, &str)]| {
        let mut command = program(&["certificate", "--user-id", "Test", "--kms", "alias/main"]);
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(more.iter().copied());
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let words = says(&[("AWS_REGION", aws::REGION)]);
    assert!(
        words.contains("AWS does not know who asks; give"),
        "{words}"
    );
    let words = says(&[]);
    assert!(words.contains("no region is known; write"), "{words}");
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
    let output = bench
        .run()
        .args(["--control", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stderr).unwrap();
    let expect = format!(
        "Error: use {}: others than its owner have rights on it (mode 0640); run: chmod 600 {}\n",
        key.display(),
        key.display()
    );
    assert!(words.ends_with(&expect), "{words}");
}

const A: &str = "releases/2026/11/a.yaml";
const B: &str = "releases/2026/11/b.yaml";
const BUILD: &str = "builds/2026/11/app.yaml";
const TO_TEST: &str = "from: [builds/2026/11/app.yaml]\nto: [test]\n";

/// A signer with `--approvals`, and a control plane that shows it what it likes.
struct Demanding {
    fake: Fake,
    _signer: Killed,
    asked: i64,
}

impl Demanding {
    fn start(bench: &Bench, history: &History) -> Self {
        history.write_rules(&bench.path("approvals"));
        let fake = Fake::start();
        fake.enroll("s1", bench.enroll().key);
        let log = std::fs::File::create(bench.path("stderr")).unwrap();
        let mut signer = bench.run();
        signer.arg("--approvals").arg(bench.path("approvals"));
        signer.args(["--control", &fake.url()]).stderr(log);
        Self {
            fake,
            _signer: Killed(signer.spawn().unwrap()),
            asked: 0,
        }
    }

    /// The time of the next task, so that no two are one.
    fn time(&mut self) -> i64 {
        self.asked += 1;
        1_793_491_200 + self.asked
    }

    async fn ask(
        &self,
        spec: TaskSpec,
        inputs: BTreeMap<TaskId, Vec<Artifact>>,
        proof: Option<Proof>,
    ) -> Outcome {
        self.fake.state().proof = proof;
        let task = self.fake.queue_of(A, spec, inputs);
        self.fake.result(task).await.outcome
    }

    /// Has an index of `repository` signed, for release `A`.
    async fn index(&mut self, repository: &str, proof: Option<Proof>) -> Outcome {
        let compose = TaskRef {
            request: A.parse().unwrap(),
            id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        };
        let unsigned = Artifact {
            name: "x86_64/repodata/repomd.xml".into(),
            sha256: self.fake.put_blob(REPOMD),
            size: REPOMD.len() as u64,
            kind: ArtifactKind::Unsigned,
            package: None,
        };
        let inputs = BTreeMap::from([(compose.id.clone(), vec![unsigned])]);
        let task = SignMetadataTask {
            repository: repository.parse().unwrap(),
            key: "main".parse().unwrap(),
            files: None,
            compose,
            time: self.time(),
        };
        let spec = TaskSpec::SignMetadata(Box::new(task));
        self.ask(spec, inputs, proof).await
    }

    /// Has a package signed that `build` made. It is none: whoever looks into it fails in other words.
    async fn package(&mut self, build: &str, proof: Proof) -> Outcome {
        let bytes: &[u8] = b"no package";
        let package = BuiltPackage {
            name: "app".into(),
            version: "1.0-1".into(),
            arch: "noarch".into(),
            source: "app".into(),
        };
        let artifact = Artifact {
            name: "app-1.0-1.noarch.rpm".into(),
            sha256: self.fake.put_blob(bytes),
            size: bytes.len() as u64,
            kind: ArtifactKind::Rpm,
            package: Some(package),
        };
        let built_by = TaskRef {
            request: build.parse().unwrap(),
            id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        };
        let task = SignPackagesTask {
            repository: "test".parse().unwrap(),
            key: "main".parse().unwrap(),
            files: None,
            packages: vec![Recorded { artifact, built_by }],
            time: self.time(),
        };
        let spec = TaskSpec::SignPackages(Box::new(task));
        self.ask(spec, BTreeMap::new(), Some(proof)).await
    }
}

/// What a signer says that refuses.
#[track_caller]
fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { failure, artifacts }
            if failure.kind == FailureKind::SigningRefused && artifacts.is_empty() =>
        {
            let why = "Nothing is signed for test, because this signer demands approvals: ";
            let says = failure.message.strip_prefix(why);
            says.unwrap_or_else(|| panic!("{}", failure.message))
                .to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signer_signs_what_shows_the_approvals_that_it_demands() {
    let (bench, mut history) = (Bench::new(), History::new());
    history.write(BUILD, Some("build"));
    history.write(A, Some(TO_TEST));
    let mut signer = Demanding::start(&bench, &history);
    assert_eq!(
        refusal(signer.index("test", None).await),
        format!("none of {A} were shown.")
    );
    let is_signed = |outcome: &Outcome| matches!(outcome, Outcome::Succeeded { .. });
    let free = signer.index("other", None).await;
    assert!(is_signed(&free), "no rule names it: {free:?}");

    history.approve(A, &["alice"]);
    let half = history.proof(A, &[BUILD]).await;
    assert_eq!(
        refusal(signer.index("test", Some(half)).await),
        format!("{A} needs 1 more approval, by bob, for test.")
    );
    history.approve(A, &["bob"]);
    let whole = history.proof(A, &[BUILD]).await;
    let signed = signer.index("test", Some(whole.clone())).await;
    assert!(is_signed(&signed), "{signed:?}");

    let other = "builds/2026/11/other.yaml";
    assert_eq!(
        refusal(signer.package(other, whole.clone()).await),
        format!("{A} as it was approved is not made of {other}.")
    );
    let looked_into = format!("{:?}", signer.package(BUILD, whole).await);
    assert!(!looked_into.contains("approv"), "{looked_into}");
}

#[tokio::test]
async fn approvals_of_another_request_or_of_its_removal_are_not_those_of_this() {
    let (bench, mut history) = (Bench::new(), History::new());
    history.write(BUILD, Some("build"));
    history.write(A, Some(TO_TEST));
    let to_more = TO_TEST.replace("[test]", "[test, other]");
    history.write(B, Some(&to_more));
    history.approve(B, &["alice", "bob"]);
    let mut signer = Demanding::start(&bench, &history);
    let mut others = history.proof(B, &[BUILD]).await;
    assert_eq!(
        refusal(signer.index("test", Some(others.clone())).await),
        format!("its proof does not have {A}.")
    );
    others.objects.push(ProofObject {
        kind: "blob".to_owned(),
        bytes: BASE64.encode(TO_TEST),
    });
    assert_eq!(
        refusal(signer.index("test", Some(others)).await),
        format!("{A} needs 2 approvals, by alice or bob, for test.")
    );

    history.write(A, None);
    history.approve(A, &["alice", "bob"]);
    let removal = history.proof(A, &[]).await;
    let index = signer.index("test", Some(removal.clone())).await;
    assert!(matches!(index, Outcome::Succeeded { .. }), "{index:?}");
    assert_eq!(
        refusal(signer.package(BUILD, removal).await),
        format!("{A} is removed, and a removal signs no packages.")
    );
}

#[test]
fn it_does_not_start_with_rules_that_demand_nothing_or_keys_that_are_missing() {
    let bench = Bench::new();
    bench.enroll();
    let folder = bench.path("approvals");
    History::new().write_rules(&folder);
    let says = || {
        let mut signer = bench.run();
        signer.arg("--approvals").arg(&folder);
        signer.args(["--control", "http://127.0.0.1:9"]);
        let output = signer.output().unwrap();
        assert!(!output.status.success());
        let words = String::from_utf8(output.stderr).unwrap();
        words.lines().last().unwrap_or_default().to_owned()
    };
    let folder = folder.display();
    std::fs::remove_file(format!("{folder}/keys/people/bob.asc")).unwrap();
    assert_eq!(
        says(),
        format!(
            "Error: failed to read {folder}/keys/people/bob.asc: it is not there, and policy.yaml names bob"
        )
    );
    std::fs::write(format!("{folder}/keys/people/bob.asc"), "no key").unwrap();
    let words = says();
    let begin = format!("Error: failed to read {folder}/keys/people/bob.asc:1: ");
    assert!(words.starts_with(&begin), "{words}");
    std::fs::write(format!("{folder}/policy.yaml"), "approvals: []\n").unwrap();
    std::fs::remove_file(format!("{folder}/keys/people/bob.asc")).unwrap();
    assert_eq!(
        says(),
        format!(
            "Error: failed to read {folder}/policy.yaml: it demands no `approvals`; add them, or leave `--approvals` out"
        )
    );
}
