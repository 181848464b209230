//! Packages and metadata, judged by rpm and gpg.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "real tools on real files; the bench's helpers are part of the tests"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pipeline_spec::{Sha256Digest, Weight};
use runner_agent::{Job, Role as _};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, Failure, FailureKind, Grant, KeyFiles, Outcome, Recorded,
    SignMetadataTask, SignPackagesTask, TaskId, TaskRef, TaskSpec,
};
use runner_sign::{Keys, NewKey, Sign};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// 2026-11-01, when everything here is signed.
const TIME: i64 = 1_793_491_200;

struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["blobs", "jobs", "keys"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let bench = Self { home };
        bench.generate("main.key", openpgp::KeyKind::Ed25519);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn generate(&self, file: &str, kind: openpgp::KeyKind) {
        let new = NewKey {
            kind,
            user_id: "Test <test@example.org>",
            created: 1_700_000_000,
        };
        let public = Keys::generate(&self.path("keys"), &file.parse().unwrap(), new).unwrap();
        std::fs::write(self.path(&format!("{file}.public")), public).unwrap();
    }

    fn blob(&self, bytes: &[u8]) -> (Sha256Digest, u64) {
        let digest = Sha256Digest::new(Sha256::digest(bytes).into());
        std::fs::write(self.path("blobs").join(digest.to_string()), bytes).unwrap();
        (digest, bytes.len() as u64)
    }

    fn stored(&self) -> usize {
        std::fs::read_dir(self.path("blobs")).unwrap().count()
    }

    fn artifact(&self, name: &str, bytes: &[u8], kind: ArtifactKind) -> Artifact {
        let (sha256, size) = self.blob(bytes);
        Artifact {
            name: name.into(),
            sha256,
            size,
            kind,
            package: None,
        }
    }

    /// A real package out of rpmbuild.
    fn package(&self, name: &str) -> Recorded {
        let spec = self.path(&format!("{name}.spec"));
        let text = format!(
            "Name: {name}\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
             %description\nd\n%install\nmkdir -p %{{buildroot}}/usr/share\necho {name} > %{{buildroot}}/usr/share/{name}\n\
             %files\n/usr/share/{name}\n"
        );
        std::fs::write(&spec, text).unwrap();
        let top = format!("_topdir {}", self.path("rpmbuild").display());
        run(
            Command::new("rpmbuild")
                .args(["-bb", "--quiet", "--define", "_buildshell /bin/bash"])
                .args(["--define", &top])
                .arg(&spec),
            "rpm",
        );
        let file = format!("{name}-1.0-1.noarch.rpm");
        let bytes = std::fs::read(self.path("rpmbuild/RPMS/noarch").join(&file)).unwrap();
        let mut artifact = self.artifact(&file, &bytes, ArtifactKind::Rpm);
        artifact.package = Some(BuiltPackage {
            name: name.into(),
            version: "1.0-1".into(),
            arch: "noarch".into(),
            source: name.into(),
        });
        Recorded {
            artifact,
            built_by: task_ref(),
        }
    }

    async fn work(&self, spec: TaskSpec, inputs: BTreeMap<TaskId, Vec<Artifact>>) -> Outcome {
        let grant = Grant {
            version: runner_api::VERSION,
            task: task_ref(),
            attempt: 1,
            spec,
            inputs,
            lease_seconds: 60,
            heartbeat_seconds: 10,
            capacity: None,
            weight: Weight::ONE,
        };
        let job = Job::offline(grant, &self.path("jobs"), &self.path("blobs")).unwrap();
        let (keys, _) = Keys::open(self.path("keys")).unwrap();
        Sign::new(keys).run(&job).await
    }

    async fn sign(&self, packages: Vec<Recorded>) -> Outcome {
        self.sign_with("main", packages).await
    }

    async fn sign_with(&self, key: &str, packages: Vec<Recorded>) -> Outcome {
        self.sign_by(key, None, packages).await
    }

    async fn sign_by(
        &self,
        key: &str,
        files: Option<KeyFiles>,
        packages: Vec<Recorded>,
    ) -> Outcome {
        let task = SignPackagesTask {
            repository: "bridge-12".parse().unwrap(),
            key: key.parse().unwrap(),
            files,
            packages,
            time: TIME,
        };
        self.work(TaskSpec::SignPackages(Box::new(task)), BTreeMap::new())
            .await
    }

    /// What `keys/<id>.yaml` and `keys/<id>.asc` would say.
    fn files(&self, private: &str, public: &str) -> Option<KeyFiles> {
        let public = std::fs::read_to_string(self.path(&format!("{public}.public"))).unwrap();
        let private = private.parse().unwrap();
        Some(KeyFiles { private, public })
    }

    async fn sign_metadata(&self, unsigned: Vec<Artifact>) -> Outcome {
        let task = SignMetadataTask {
            repository: "bridge-12".parse().unwrap(),
            key: "main".parse().unwrap(),
            files: None,
            compose: task_ref(),
            time: TIME,
        };
        let inputs = BTreeMap::from([(task_ref().id, unsigned)]);
        self.work(TaskSpec::SignMetadata(Box::new(task)), inputs)
            .await
    }

    fn bytes(&self, artifact: &Artifact) -> Vec<u8> {
        std::fs::read(self.path("blobs").join(artifact.sha256.to_string())).unwrap()
    }
}

fn task_ref() -> TaskRef {
    TaskRef {
        request: "releases/2026/11/a.yaml".parse().unwrap(),
        id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
    }
}

fn run(command: &mut Command, debian_package: &str) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install {debian_package}"));
    assert!(output.status.success(), "{name}: {output:?}");
    output
}

fn made(outcome: Outcome) -> Vec<Artifact> {
    match outcome {
        Outcome::Succeeded { artifacts, .. } => artifacts,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed {
            failure:
                Failure {
                    kind: FailureKind::SigningRefused,
                    message,
                    ..
                },
            artifacts,
        } if artifacts.is_empty() => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rpm_accepts_signed_packages_and_only_the_signature_changed() {
    let bench = Bench::new();
    bench.generate("old.key", openpgp::KeyKind::Rsa4096);
    let packages = vec![bench.package("aa"), bench.package("bb")];
    for key in ["main", "old"] {
        let signed = made(bench.sign_with(key, packages.clone()).await);
        let names: Vec<_> = signed
            .iter()
            .map(|artifact| artifact.name.as_str())
            .collect();
        assert_eq!(names, ["aa-1.0-1.noarch.rpm", "bb-1.0-1.noarch.rpm"]);
        for (before, after) in packages.iter().zip(&signed) {
            let (old, new) = (bench.bytes(&before.artifact), bench.bytes(after));
            let digest = |bytes: &[u8]| repo_rpm::unsigned_digest(bytes).unwrap();
            assert_eq!(digest(&old), digest(&new));
            assert_ne!(before.artifact.sha256, after.sha256);
            assert_eq!(before.artifact.package, after.package);
            let public = bench.path(&format!("{key}.key.public"));
            let verdict = rpmkeys(&bench, &public, &new);
            assert!(verdict.contains("Signature"), "{verdict}");
            assert!(
                !verdict.contains("NOKEY") && !verdict.contains("BAD"),
                "{verdict}"
            );
        }
        assert_eq!(
            made(bench.sign_with(key, packages.clone()).await),
            signed,
            "same bytes again"
        );
    }
}

fn rpmkeys(bench: &Bench, public: &Path, package: &[u8]) -> String {
    let db = tempfile::tempdir().unwrap();
    let file = bench.path("judged.rpm");
    std::fs::write(&file, package).unwrap();
    let rpmkeys = || {
        let mut command = Command::new("rpmkeys");
        command.arg("--dbpath").arg(db.path());
        command
    };
    run(rpmkeys().arg("--import").arg(public), "rpm");
    let output = run(rpmkeys().args(["-Kv"]).arg(&file), "rpm");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_package_that_is_not_the_recorded_one_is_refused_and_nothing_is_uploaded() {
    let bench = Bench::new();
    let good = bench.package("aa");
    let victim = bench.package("bb");
    let before = bench.stored();
    let path = bench.path("blobs").join(victim.artifact.sha256.to_string());
    let original = std::fs::read(&path).unwrap();
    let digest = victim.artifact.sha256;

    let mut tampered = original.clone();
    *tampered.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &tampered).unwrap();
    let found = hex(&Sha256::digest(&tampered));
    let size = original.len();
    assert_eq!(
        refusal(bench.sign(vec![good.clone(), victim.clone()]).await),
        format!(
            "Nothing is signed: build 0123456789ab of releases/2026/11/a.yaml recorded bb-1.0-1.noarch.rpm as {digest} ({size} bytes), \
             but the store has {found} ({size} bytes). Find out who changed the store, and build it again."
        )
    );

    std::fs::write(&path, &original).unwrap();
    let mut renamed = victim.clone();
    renamed.artifact.package.as_mut().unwrap().name = "openssl".into();
    assert_eq!(
        refusal(bench.sign(vec![good.clone(), renamed]).await),
        "Nothing is signed: bb-1.0-1.noarch.rpm was recorded as openssl-1.0-1.noarch, but its header says bb-1.0-1.noarch."
    );

    let mut text = good.clone();
    text.artifact = bench.artifact("x.rpm", b"no package", ArtifactKind::Rpm);
    let words = refusal(bench.sign(vec![good.clone(), text.clone()]).await);
    assert!(
        words.starts_with("Nothing is signed, because of x.rpm: failed to read the package"),
        "{words}"
    );

    text.artifact.kind = ArtifactKind::Deb;
    let words = refusal(bench.sign(vec![good.clone(), text]).await);
    assert!(
        words.starts_with("Nothing is signed: x.rpm is no RPM package."),
        "{words}"
    );
    assert_eq!(
        bench.stored(),
        before + 1,
        "only the blob that the test itself made is new"
    );
}

#[tokio::test]
async fn the_key_is_the_file_that_its_description_names() {
    let bench = Bench::new();
    bench.generate("autumn-2026.secret", openpgp::KeyKind::Ed25519);
    let package = vec![bench.package("aa")];
    let files = bench.files("autumn-2026.secret", "autumn-2026.secret");
    // A file of the id's own name is there, and is not meant.
    let signed = made(bench.sign_by("main", files, package).await);
    let public = bench.path("autumn-2026.secret.public");
    let verdict = rpmkeys(&bench, &public, &bench.bytes(&signed[0]));
    assert!(
        verdict.contains("Signature") && !verdict.contains("NOKEY"),
        "{verdict}"
    );
}

#[tokio::test]
async fn a_private_key_of_another_pair_signs_nothing() {
    let bench = Bench::new();
    bench.generate("other.key", openpgp::KeyKind::Ed25519);
    let before = bench.stored() + 1;
    let files = bench.files("main.key", "other.key");
    let fingerprint = |file: &str| {
        let text = bench.files(file, file).unwrap().public;
        openpgp::PublicKey::from_armored(&text)
            .unwrap()
            .fingerprint()
    };
    assert_eq!(
        refusal(
            bench
                .sign_by("main", files, vec![bench.package("aa")])
                .await
        ),
        format!(
            "Nothing is signed with main: the signer's file main.key holds the key {}, but keys/main.asc is {}. \
             Put the private half of that key there, or correct keys/main.asc.",
            fingerprint("main.key"),
            fingerprint("other.key")
        )
    );
    assert_eq!(bench.stored(), before, "only the package itself is stored");
}

#[tokio::test]
async fn a_missing_blob_or_key_is_no_refusal() {
    let bench = Bench::new();
    let package = bench.package("aa");
    let trouble = |outcome| match outcome {
        Outcome::Infrastructure { message } => message,
        other => panic!("{other:?}"),
    };
    let words = trouble(bench.sign_with("other", vec![package.clone()]).await);
    assert!(
        words.starts_with("find the private key other: the signer's folder"),
        "{words}"
    );
    let named = bench.files("gone.key", "main.key");
    let words = trouble(bench.sign_by("main", named, vec![package.clone()]).await);
    let expect = format!(
        "find the private key main: the signer's folder {} has no gone.key; put it there with mode 0600",
        bench.path("keys").display()
    );
    assert_eq!(words, expect);
    std::fs::remove_file(
        bench
            .path("blobs")
            .join(package.artifact.sha256.to_string()),
    )
    .unwrap();
    let words = trouble(bench.sign(vec![package]).await);
    assert!(words.contains("the store has no blob"), "{words}");
}

/// An older commit may be merged after the key was made: the signature is as old as the key then.
#[tokio::test]
async fn a_key_that_is_younger_than_the_commit_signs_with_its_own_time() {
    let bench = Bench::new();
    let created = u64::try_from(TIME).unwrap() + 86_400;
    let new = NewKey {
        kind: openpgp::KeyKind::Ed25519,
        user_id: "Test <test@example.org>",
        created,
    };
    let public = Keys::generate(&bench.path("keys"), &"young.key".parse().unwrap(), new).unwrap();
    let package = bench.package("aa");
    let signed = made(bench.sign_with("young", vec![package.clone()]).await);
    let again = made(bench.sign_with("young", vec![package]).await);
    assert_eq!(signed, again);
    let file = bench.path("young.asc");
    std::fs::write(&file, public).unwrap();
    let verdict = rpmkeys(&bench, &file, &bench.bytes(&signed[0]));
    assert!(
        verdict.contains("Signature") && !verdict.contains("NOKEY") && !verdict.contains("BAD"),
        "{verdict}"
    );
}

#[tokio::test]
async fn gpg_accepts_signed_metadata() {
    let bench = Bench::new();
    let repomd = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"></repomd>\n";
    let release = b"Origin: Test\nSuite: stable\nCodename: bookworm\nSHA256:\n 00 1 main/binary-amd64/Packages\n";
    let unsigned = vec![
        bench.artifact("x86_64/repodata/repomd.xml", repomd, ArtifactKind::Unsigned),
        bench.artifact("tree.json", b"{}", ArtifactKind::Tree),
        bench.artifact("dists/bookworm/Release", release, ArtifactKind::Unsigned),
    ];
    let signed = made(bench.sign_metadata(unsigned).await);
    let names: Vec<_> = signed
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "x86_64/repodata/repomd.xml.asc",
            "dists/bookworm/InRelease",
            "dists/bookworm/Release.gpg"
        ]
    );
    let check = |signature: &Artifact, data: Option<&[u8]>| {
        let ring = bench.path("ring.gpg");
        let mut dearmor = Command::new("gpg");
        dearmor
            .args(["--batch", "--yes", "--dearmor", "-o"])
            .arg(&ring);
        run(dearmor.arg(bench.path("main.key.public")), "gpg");
        let file = bench.path("signature");
        std::fs::write(&file, bench.bytes(signature)).unwrap();
        let mut gpgv = Command::new("gpgv");
        gpgv.arg("--keyring").arg(&ring).arg(&file);
        if let Some(data) = data {
            let path = bench.path("data");
            std::fs::write(&path, data).unwrap();
            gpgv.arg(path);
        }
        run(&mut gpgv, "gpgv");
    };
    check(&signed[0], Some(repomd));
    check(&signed[1], None);
    check(&signed[2], Some(release));
}

#[tokio::test]
async fn metadata_that_does_not_look_the_part_is_refused() {
    let bench = Bench::new();
    let check = async |name: &str, bytes: &[u8], words: &str| {
        let unsigned = bench.artifact(name, bytes, ArtifactKind::Unsigned);
        let before = bench.stored();
        assert_eq!(refusal(bench.sign_metadata(vec![unsigned]).await), words);
        assert_eq!(bench.stored(), before);
    };
    check(
        "repodata/other.xml",
        b"<repomd/>",
        "\"repodata/other.xml\" is not signed: only …/repodata/repomd.xml and dists/<suite>/Release are.",
    )
    .await;
    check(
        "repodata/repomd.xml",
        b"I owe you a house.",
        "repodata/repomd.xml is not signed: it is no repomd document.",
    )
    .await;
    check(
        "dists/sid/Release",
        b"Suite: trixie\nSHA256:\n 00 1 x\n",
        "dists/sid/Release is not signed: neither its Suite nor its Codename is sid.",
    )
    .await;
    check(
        "dists/sid/Release",
        b"Suite: sid\n",
        "dists/sid/Release is not signed: it has no SHA256 list, so a signature would cover nothing.",
    )
    .await;
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let bench = Bench::new();
    let path = bench.path("keys/main.key");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for bad in [0o640, 0o604, 0o660] {
        mode(bad).unwrap();
        let words = Keys::open(bench.path("keys")).unwrap_err().to_string();
        let expect = format!(
            "use {}: others than its owner have rights on it (mode {bad:04o}); run: chmod 600 {}",
            path.display(),
            path.display()
        );
        assert_eq!(words, expect);
    }
    mode(0o400).unwrap();
    assert_eq!(Keys::open(bench.path("keys")).unwrap().1.len(), 1);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
