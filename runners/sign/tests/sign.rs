//! Packages and metadata, judged by rpm and gpg.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "real tools on real files; the bench's helpers are part of the tests"
)]

mod bench;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use bench::{Bench, TIME, gpgv_accepts, made, refusal, rpm_accepts, trouble};
use pipeline_spec::RequestPath;
use runner_api::{ArtifactKind, Recorded, SignMetadataTask, SignPackagesTask, TaskRef, TaskSpec};
use runner_sign::{Keys, NewKey};
use sha2::{Digest as _, Sha256};

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
            rpm_accepts(&bench, &public, &new);
        }
        assert_eq!(
            made(bench.sign_with(key, packages.clone()).await),
            signed,
            "same bytes again"
        );
    }
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
async fn nothing_of_a_scratch_build_is_signed() {
    let bench = Bench::new();
    let real = bench.package("aa");
    let release = bench::task_ref();
    let build = "builds/2026/11/a.yaml".parse().unwrap();
    let scratch = TaskRef {
        request: RequestPath::scratch(7, &"ab".repeat(20), &build).unwrap(),
        ..release.clone()
    };
    let built = |built_by: &TaskRef| {
        let packages = vec![Recorded {
            built_by: built_by.clone(),
            ..real.clone()
        }];
        TaskSpec::SignPackages(Box::new(SignPackagesTask {
            repository: "bridge-12".parse().unwrap(),
            key: "main".parse().unwrap(),
            files: None,
            packages,
            time: TIME,
        }))
    };
    let index = |compose: &TaskRef| {
        TaskSpec::SignMetadata(Box::new(SignMetadataTask {
            repository: "bridge-12".parse().unwrap(),
            key: "main".parse().unwrap(),
            files: None,
            compose: compose.clone(),
            time: TIME,
        }))
    };
    let before = bench.stored();
    for (task, spec) in [
        (&scratch, built(&release)),
        (&release, built(&scratch)),
        (&scratch, index(&release)),
        (&release, index(&scratch)),
    ] {
        let inputs = BTreeMap::from([(release.id.clone(), bench.unsigned())]);
        let outcome = bench.work_of(task.clone(), spec, inputs).await;
        assert!(
            refusal(outcome).ends_with("is a scratch build, and nothing of one is ever released.")
        );
    }
    assert_eq!(bench.stored(), before + bench.unsigned().len());
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
    rpm_accepts(&bench, &public, &bench.bytes(&signed[0]));
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
    rpm_accepts(&bench, &file, &bench.bytes(&signed[0]));
}

#[tokio::test]
async fn gpg_accepts_signed_metadata() {
    let bench = Bench::new();
    let signed = made(bench.sign_metadata(bench.unsigned()).await);
    gpgv_accepts(&bench, &bench.path("main.key.public"), &signed);
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
