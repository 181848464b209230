//! What `verify` and dnf each say about repositories that were tampered with.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "the judges are programs"
)]

mod common;

use std::fs::{self, File};
use std::path::PathBuf;

use common::{Desk, NOW, RICH_SPEC, key};
use openpgp::{KeyKind, PublicKey, SigningKey};
use repo_rpm::repodata::{Form, REPOMD, REPOMD_SIGNATURE};
use repo_rpm::verify::{Report, verify};
use repo_rpm::{sign_file, sign_package};

/// A signed repository of three packages.
fn published(form: Form) -> Desk {
    let desk = Desk::new();
    for path in desk.rpmbuild(RICH_SPEC) {
        sign_file(&path, &key(), NOW).unwrap();
    }
    desk.publish(form, Some(&key()));
    desk
}

impl Desk {
    fn verified_by(&self, keys: &[PublicKey]) -> Report {
        let repo = self.path("repo");
        verify(&move |path: &str| File::open(repo.join(path)), keys)
    }

    /// Findings as people see them, digests shortened.
    fn findings(&self) -> String {
        let report = self.verified_by(&[key().public().clone()]);
        let lines: Vec<String> = report
            .findings
            .iter()
            .map(|finding| shortened(&finding.to_string()))
            .collect();
        lines.join("\n")
    }

    /// Downloads a package with all checks on: index signature, digests, package signature.
    fn dnf_takes(&self) -> Result<(), String> {
        for dir in ["cache", "persist", "downloads"] {
            let _ = fs::remove_dir_all(self.path(dir));
        }
        let root = self.path("root");
        let _ = fs::remove_dir_all(&root);
        let gpgkey = format!("judged.gpgkey=file://{}", self.path("key.asc").display());
        let set = [
            &*gpgkey,
            "judged.gpgcheck=1",
            "judged.repo_gpgcheck=1",
            "tsflags=nodeps",
        ];
        let root = format!("--installroot={}", root.display());
        // Only the transaction checks package signatures; a missing dependency would stop it before that.
        let out = self.dnf(
            "repo",
            &set,
            &[&root, "--assumeyes", "install", "hello-data"],
        );
        let said = String::from_utf8_lossy(&out.stderr).into_owned()
            + &String::from_utf8_lossy(&out.stdout);
        if out.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    }

    fn flip(&self, path: &str, at: impl Fn(usize) -> usize) {
        let path = self.path("repo").join(path);
        let mut bytes = fs::read(&path).unwrap();
        let at = at(bytes.len());
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    fn metadata(&self, end: &str) -> String {
        let found = fs::read_dir(self.path("repo/repodata"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let found: PathBuf = found
            .into_iter()
            .find(|path| path.to_str().unwrap().ends_with(end))
            .unwrap();
        format!("repodata/{}", found.file_name().unwrap().to_str().unwrap())
    }
}

/// Hex runs of 16 digits and more are cut to `…`, so that a finding can be compared as a whole.
fn shortened(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for ch in text.chars().chain(['\n']) {
        if ch.is_ascii_hexdigit() && !ch.is_ascii_uppercase() {
            run.push(ch);
            continue;
        }
        out += if run.len() >= 16 { "…" } else { &run };
        run.clear();
        out.push(ch);
    }
    out.trim_end().to_owned()
}

const DATA: &str = "hello-data-1.2-3.el9.noarch.rpm";

#[test]
fn a_good_repository_has_no_findings_and_dnf_installs_from_it() {
    for form in [Form::Zstd, Form::Gzip] {
        let desk = published(form);
        let report = desk.verified_by(&[key().public().clone()]);
        assert_eq!((report.packages, report.findings), (3, vec![]));
        assert_eq!(report.revision, Some(NOW.to_string()));
        desk.dnf_takes().unwrap();
        assert!(desk.path("root/usr/share/doc/hello/data").exists());
    }
}

#[test]
fn a_flipped_byte_of_a_package() {
    let desk = published(Form::Zstd);
    desk.flip(DATA, |len| len - 10);
    assert_eq!(
        desk.findings(),
        format!("{DATA}: sha256: expected …, found …\n{DATA}: payload sha256: expected …, found …")
    );
    let said = desk.dnf_takes().unwrap_err();
    assert!(said.contains("incorrect checksum"), "{said}");
}

#[test]
fn a_flipped_byte_of_a_header() {
    let desk = published(Form::Zstd);
    let bytes = fs::read(desk.path("repo").join(DATA)).unwrap();
    let summary = bytes
        .windows(13)
        .position(|word| word == b"data of hello")
        .unwrap();
    desk.flip(DATA, |_| summary);
    let findings = desk.findings();
    assert!(
        findings.contains(&format!("{DATA}: sha256: expected …, found …")),
        "{findings}"
    );
    assert!(
        findings.contains(&format!("{DATA}: header sha256: expected …, found …")),
        "{findings}"
    );
    assert!(
        findings.contains("verify the signature of key …: it does not match the data"),
        "{findings}"
    );
    let said = desk.dnf_takes().unwrap_err();
    assert!(said.contains("incorrect checksum"), "{said}");
}

#[test]
fn an_unsigned_package_in_a_signed_repository() {
    let desk = Desk::new();
    desk.rpmbuild(RICH_SPEC);
    desk.publish(Form::Zstd, Some(&key()));
    let findings = desk.findings();
    let expected = format!("{DATA}: signature: expected a good one by key …, found no signature");
    assert_eq!(findings.lines().count(), 3);
    assert!(findings.contains(&expected), "{findings}");
    let said = desk.dnf_takes().unwrap_err();
    assert!(said.contains("is not signed"), "{said}");
}

#[test]
fn an_edited_index() {
    let desk = published(Form::Zstd);
    let path = desk.path("repo").join(REPOMD);
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("<revision>1", "<revision>2");
    fs::write(&path, edited).unwrap();
    assert_eq!(
        desk.findings(),
        "repodata/repomd.xml.asc: signature: expected a good one by key …, \
         found verify the signature of key …: it does not match the data; one of them was changed"
    );
    let said = desk.dnf_takes().unwrap_err();
    assert!(said.contains("GPG") || said.contains("signature"), "{said}");
}

#[test]
fn another_key() {
    let desk = published(Form::Zstd);
    let stranger = SigningKey::generate(KeyKind::Ed25519, "stranger", NOW).unwrap();
    let report = desk.verified_by(&[stranger.public().clone()]);
    assert_eq!(report.findings.len(), 4);
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.what == "signature" && finding.found.contains("it is by key"))
    );
    fs::write(desk.path("key.asc"), stranger.public().to_armored()).unwrap();
    let said = desk.dnf_takes().unwrap_err();
    assert!(said.contains("GPG"), "{said}");
    // One of several keys is enough.
    let report = desk.verified_by(&[stranger.public().clone(), key().public().clone()]);
    assert_eq!(report.findings, vec![]);
    assert_eq!(desk.verified_by(&[]).findings.len(), 4);
}

#[test]
fn changed_metadata() {
    let check = |end: &str, says: &[&str]| {
        let desk = published(Form::Zstd);
        let path = desk.metadata(end);
        desk.flip(&path, |len| len / 2);
        let findings = desk.findings();
        assert!(
            findings.contains(&format!("-{end}: sha256: expected …, found …")),
            "{findings}"
        );
        says.iter()
            .for_each(|says| assert!(findings.contains(says), "{findings}"));
    };
    check("primary.xml.zst", &[]);
    check("filelists.xml.gz", &[]);
    check("other.xml.zst", &[]);
}

#[test]
fn missing_files() {
    let desk = published(Form::Zstd);
    fs::remove_file(desk.path("repo").join(DATA)).unwrap();
    fs::remove_file(desk.path("repo").join(desk.metadata("other.xml.gz"))).unwrap();
    let findings = desk.findings();
    assert!(
        findings.contains(&format!(
            "{DATA}: file: expected a readable package, found No such file"
        )),
        "{findings}"
    );
    assert!(
        findings.contains("other.xml.gz: file: expected a readable file, found No such file"),
        "{findings}"
    );
    fs::remove_file(desk.path("repo").join(REPOMD_SIGNATURE)).unwrap();
    assert!(
        desk.findings()
            .contains("repodata/repomd.xml.asc: file: expected a readable file")
    );
    fs::remove_file(desk.path("repo").join(REPOMD)).unwrap();
    assert!(
        desk.findings()
            .starts_with("repodata/repomd.xml: file: expected a readable file")
    );
}

/// A package of ours, signed by us, in the place of another: only the index can tell.
#[test]
fn a_swapped_package() {
    let desk = published(Form::Zstd);
    let mut other = common::small_package("hello-data", "9");
    sign_package(&mut other, &key(), NOW).unwrap();
    fs::write(desk.path("repo").join(DATA), other).unwrap();
    let findings = desk.findings();
    assert!(
        findings.contains(&format!(
            "{DATA}: package: expected hello-data-1:1.2-3.el9.noarch, found hello-data-9-1.noarch"
        )),
        "{findings}"
    );
}

#[test]
fn an_index_that_leads_out_of_the_repository() {
    let desk = published(Form::Zstd);
    let path = desk.path("repo").join(REPOMD);
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("href=\"repodata/", "href=\"../repodata/");
    fs::write(&path, edited).unwrap();
    assert!(desk.findings().contains(
        "repodata/repomd.xml: location: expected a path below the repository, found \"../repodata/"
    ));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(300))]

    /// Any byte of a repository may be any other: findings, never panics, never silence.
    #[test]
    fn every_changed_byte_is_found(file in 0usize..9, at in 0usize..100_000, bit in 0u8..8) {
        let mut files = GOOD.with(Clone::clone);
        let count = files.len();
        let (_, bytes) = &mut files[file % count];
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let open = move |path: &str| {
            let found = files.iter().find(|(name, _)| name == path).map(|(_, bytes)| std::io::Cursor::new(bytes.clone()));
            found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        };
        let report = verify(&open, &[key().public().clone()]);
        // The armor of a signature has bytes that mean nothing (comments, line ends): all else is covered.
        proptest::prop_assert!(!report.findings.is_empty() || file % count == 0);
    }
}

thread_local! {
    /// Signature, index, metadata and one package.
    static GOOD: Vec<(String, Vec<u8>)> = {
        let desk = Desk::new();
        let mut package = common::small_package("small", "1.0");
        sign_package(&mut package, &key(), NOW).unwrap();
        fs::write(desk.path("repo/small.rpm"), &package).unwrap();
        let made = desk.publish(Form::Zstd, Some(&key()));
        let signature = fs::read(desk.path("repo").join(REPOMD_SIGNATURE)).unwrap();
        let mut files = vec![(REPOMD_SIGNATURE.to_owned(), signature), (REPOMD.to_owned(), made.repomd)];
        files.extend(made.files);
        files.push(("small.rpm".to_owned(), package));
        files
    };
}
