//! What the tests of the role share: a folder for all it needs, real packages, and the judges rpm and gpg.
#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use pipeline_spec::{Sha256Digest, Weight};
use runner_agent::{Job, Role as _};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, Failure, FailureKind, Grant, KeyFiles, Outcome,
    PrivateHalf, Recorded, SignMetadataTask, SignPackagesTask, TaskId, TaskRef, TaskSpec,
};
use runner_sign::{Keys, NewKey, Sign, Vault};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// 2026-11-01, when everything here is signed.
pub(crate) const TIME: i64 = 1_793_491_200;

pub(crate) struct Bench {
    home: TempDir,
    /// For keys that are in no file.
    pub(crate) vault: Option<Arc<dyn Vault>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["blobs", "jobs", "keys"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let bench = Self { home, vault: None };
        bench.generate("main.key", openpgp::KeyKind::Ed25519);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn generate(&self, file: &str, kind: openpgp::KeyKind) {
        let new = NewKey {
            kind,
            user_id: "Test <test@example.org>",
            created: 1_700_000_000,
        };
        let public = Keys::generate(&self.path("keys"), &file.parse().unwrap(), new).unwrap();
        std::fs::write(self.path(&format!("{file}.public")), public).unwrap();
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> (Sha256Digest, u64) {
        let digest = Sha256Digest::new(Sha256::digest(bytes).into());
        std::fs::write(self.path("blobs").join(digest.to_string()), bytes).unwrap();
        (digest, bytes.len() as u64)
    }

    pub(crate) fn stored(&self) -> usize {
        std::fs::read_dir(self.path("blobs")).unwrap().count()
    }

    pub(crate) fn artifact(&self, name: &str, bytes: &[u8], kind: ArtifactKind) -> Artifact {
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
    pub(crate) fn package(&self, name: &str) -> Recorded {
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

    pub(crate) async fn work(
        &self,
        spec: TaskSpec,
        inputs: BTreeMap<TaskId, Vec<Artifact>>,
    ) -> Outcome {
        self.work_of(task_ref(), spec, inputs).await
    }

    pub(crate) async fn work_of(
        &self,
        task: TaskRef,
        spec: TaskSpec,
        inputs: BTreeMap<TaskId, Vec<Artifact>>,
    ) -> Outcome {
        let grant = Grant {
            version: runner_api::VERSION,
            task,
            attempt: 1,
            spec,
            inputs,
            links: BTreeMap::new(),
            proof: None,
            lease_seconds: 60,
            heartbeat_seconds: 10,
            capacity: None,
            weight: Weight::ONE,
        };
        let job = Job::offline(grant, &self.path("jobs"), &self.path("blobs")).unwrap();
        let (mut keys, _) = Keys::open(self.path("keys")).unwrap();
        if let Some(vault) = &self.vault {
            keys = keys.with_vault(Arc::clone(vault));
        }
        Sign::new(keys).run(&job).await
    }

    pub(crate) async fn sign(&self, packages: Vec<Recorded>) -> Outcome {
        self.sign_with("main", packages).await
    }

    pub(crate) async fn sign_with(&self, key: &str, packages: Vec<Recorded>) -> Outcome {
        self.sign_by(key, None, packages).await
    }

    pub(crate) async fn sign_by(
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
    pub(crate) fn files(&self, private: &str, public: &str) -> Option<KeyFiles> {
        let public = std::fs::read_to_string(self.path(&format!("{public}.public"))).unwrap();
        let private = PrivateHalf::File(private.parse().unwrap());
        Some(KeyFiles { private, public })
    }

    pub(crate) async fn sign_metadata(&self, unsigned: Vec<Artifact>) -> Outcome {
        self.sign_metadata_by(None, unsigned).await
    }

    pub(crate) async fn sign_metadata_by(
        &self,
        files: Option<KeyFiles>,
        unsigned: Vec<Artifact>,
    ) -> Outcome {
        let task = SignMetadataTask {
            repository: "bridge-12".parse().unwrap(),
            key: "main".parse().unwrap(),
            files,
            compose: task_ref(),
            time: TIME,
        };
        let inputs = BTreeMap::from([(task_ref().id, unsigned)]);
        self.work(TaskSpec::SignMetadata(Box::new(task)), inputs)
            .await
    }

    pub(crate) fn bytes(&self, artifact: &Artifact) -> Vec<u8> {
        std::fs::read(self.path("blobs").join(artifact.sha256.to_string())).unwrap()
    }
}

pub(crate) fn task_ref() -> TaskRef {
    TaskRef {
        request: "releases/2026/11/a.yaml".parse().unwrap(),
        id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
    }
}

pub(crate) fn run(command: &mut Command, debian_package: &str) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install {debian_package}"));
    assert!(output.status.success(), "{name}: {output:?}");
    output
}

pub(crate) fn made(outcome: Outcome) -> Vec<Artifact> {
    match outcome {
        Outcome::Succeeded { artifacts, .. } => artifacts,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn refusal(outcome: Outcome) -> String {
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

#[track_caller]
pub(crate) fn trouble(outcome: Outcome) -> String {
    match outcome {
        Outcome::Infrastructure { message } => message,
        other => panic!("{other:?}"),
    }
}

const REPOMD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"></repomd>\n";
const RELEASE: &[u8] =
    b"Origin: Test\nSuite: stable\nCodename: bookworm\nSHA256:\n 00 1 main/binary-amd64/Packages\n";

impl Bench {
    /// What a compose leaves to be signed, of both formats.
    pub(crate) fn unsigned(&self) -> Vec<Artifact> {
        vec![
            self.artifact("x86_64/repodata/repomd.xml", REPOMD, ArtifactKind::Unsigned),
            self.artifact("tree.json", b"{}", ArtifactKind::Tree),
            self.artifact("dists/bookworm/Release", RELEASE, ArtifactKind::Unsigned),
        ]
    }
}

/// The signatures of [`Bench::unsigned`].
pub(crate) fn gpgv_accepts(bench: &Bench, public: &Path, signed: &[Artifact]) {
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
    gpgv(bench, public, &signed[0], Some(REPOMD));
    gpgv(bench, public, &signed[1], None);
    gpgv(bench, public, &signed[2], Some(RELEASE));
}

fn gpgv(bench: &Bench, public: &Path, signature: &Artifact, data: Option<&[u8]>) {
    let ring = bench.path("ring.gpg");
    let mut dearmor = Command::new("gpg");
    dearmor
        .args(["--batch", "--yes", "--dearmor", "-o"])
        .arg(&ring);
    run(dearmor.arg(public), "gpg");
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
}

/// Whether rpm finds a good signature of `public` in the package.
pub(crate) fn rpm_accepts(bench: &Bench, public: &Path, package: &[u8]) {
    let verdict = rpmkeys(bench, public, package);
    assert!(verdict.contains("Signature"), "{verdict}");
    assert!(
        !verdict.contains("NOKEY") && !verdict.contains("BAD"),
        "{verdict}"
    );
}
