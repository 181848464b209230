//! Signatures in packages, judged by rpm 4.18.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "the judges are programs"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Desk, NOW, RICH_SPEC, key, rsa_key, small_package};
use openpgp::{KeyKind, SigningKey};
use repo_rpm::{Package, SignedBy, sign_file, sign_package, unsigned_digest};

impl Desk {
    fn import(&self, key: &SigningKey) {
        fs::write(self.path("import.asc"), key.public().to_armored()).unwrap();
        self.ok(
            "rpmkeys",
            &[
                "--dbpath",
                self.path("db").to_str().unwrap(),
                "--import",
                "import.asc",
            ],
        );
    }

    /// What `rpmkeys -Kv` says, and whether it is content.
    fn check(&self, package: &Path) -> (bool, String) {
        let out = self.run(
            "rpmkeys",
            &[
                "--dbpath",
                self.path("db").to_str().unwrap(),
                "-Kv",
                package.to_str().unwrap(),
            ],
        );
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    }

    /// Everything in both headers that is no signature.
    fn shown(&self, package: &Path) -> String {
        let query = "%{NEVRA} %{LONGSIGSIZE} %{LONGARCHIVESIZE} %{SIGMD5} %{SHA1HEADER} %{SHA256HEADER} [%{FILENAMES} ]";
        let db = self.path("db");
        self.ok(
            "rpm",
            &[
                "--dbpath",
                db.to_str().unwrap(),
                "-qp",
                "--nosignature",
                "--qf",
                query,
                package.to_str().unwrap(),
            ],
        )
    }

    fn accepted(&self, package: &Path, key: &SigningKey) {
        let (good, said) = self.check(package);
        let id = key.public().key_id();
        let line = said
            .lines()
            .find(|line| line.contains("Signature"))
            .unwrap_or_default();
        assert!(
            good && line.ends_with(&format!("key ID {}: OK", &id[8..])),
            "key {id}: {said}"
        );
        assert_eq!(said.matches("Signature").count(), 1, "{said}");
        assert!(
            !said.contains("BAD") && !said.contains("NOKEY") && !said.contains("NOTFOUND"),
            "{said}"
        );
    }
}

/// Where the payload of a package begins.
fn payload(bytes: &[u8]) -> &[u8] {
    &bytes[usize::try_from(Package::read(bytes).unwrap().header_range.end).unwrap()..]
}

#[test]
fn rpm_accepts_what_is_signed_here() {
    let desk = Desk::new();
    let keys = [key(), rsa_key()];
    keys.iter().for_each(|key| desk.import(key));
    let mut packages = desk.rpmbuild(RICH_SPEC);
    packages.push(desk.path("repo/small.rpm"));
    fs::write(&packages[3], small_package("small", "1.0")).unwrap();
    for path in &packages {
        let before = fs::read(path).unwrap();
        let built = unsigned_digest(before.as_slice()).unwrap();
        let shown = desk.shown(path);
        // Signing again replaces: Ed25519, RSA-4096 over it, Ed25519 over that.
        for key in [&keys[0], &keys[1], &keys[0]] {
            sign_file(path, key, NOW).unwrap();
            desk.accepted(path, key);
            let after = fs::read(path).unwrap();
            assert_eq!(after.len(), before.len());
            assert_eq!(payload(&after), payload(&before));
            assert_eq!(unsigned_digest(after.as_slice()).unwrap(), built);
            assert_eq!(
                Package::read(after.as_slice()).unwrap().signed_by,
                SignedBy::Key(key.public().fingerprint())
            );
            // In memory and in the file, first time or again: the same bytes.
            let mut in_memory = before.clone();
            sign_package(&mut in_memory, key, NOW).unwrap();
            assert!(
                in_memory == after,
                "signing {} differs between memory and file",
                path.display()
            );
        }
        assert_eq!(desk.shown(path), shown);
    }
}

#[test]
fn replaces_what_rpmsign_made_and_rpmsign_replaces_ours() {
    let desk = Desk::new();
    let (ours, theirs) = (
        key(),
        SigningKey::generate(KeyKind::Ed25519, "theirs", NOW).unwrap(),
    );
    desk.import(&ours);
    desk.import(&theirs);
    fs::write(
        desk.path("sec"),
        theirs.to_armored_secret().unwrap().as_bytes(),
    )
    .unwrap();
    desk.ok("gpg", &["--batch", "--quiet", "--import", "sec"]);
    let rpmsign = |path: &Path| {
        desk.ok(
            "rpmsign",
            &[
                "--define",
                "__gpg /usr/bin/gpg",
                "--define",
                "_gpg_name theirs",
                "--addsign",
                path.to_str().unwrap(),
            ],
        );
    };
    let path = &desk.rpmbuild(RICH_SPEC)[0];
    rpmsign(path);
    desk.accepted(path, &theirs);
    sign_file(path, &ours, NOW).unwrap();
    desk.accepted(path, &ours);
    rpmsign(path);
    desk.accepted(path, &theirs);
    desk.ok("gpgconf", &["--kill", "gpg-agent"]);
}

#[test]
fn rpm_refuses_what_was_changed() {
    let desk = Desk::new();
    desk.import(&key());
    let path = desk.path("repo/small.rpm");
    let mut package = small_package("small", "1.0");
    sign_package(&mut package, &key(), NOW).unwrap();
    let header = Package::read(package.as_slice()).unwrap().header_range;
    let middle = usize::try_from((header.start + header.end) / 2).unwrap();
    for at in [middle, package.len() - 1] {
        let mut changed = package.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert!(!desk.check(&path).0, "byte {at}");
    }
    // A key that was not imported.
    let stranger = SigningKey::generate(KeyKind::Ed25519, "stranger", NOW).unwrap();
    let mut other = package.clone();
    sign_package(&mut other, &stranger, NOW).unwrap();
    fs::write(&path, &other).unwrap();
    let (good, said) = desk.check(&path);
    assert!(!good && said.contains("NOKEY"), "{said}");
}

#[test]
fn makes_room_where_there_is_none() {
    let desk = Desk::new();
    desk.import(&rsa_key());
    let built = rpm::PackageBuilder::new("tight", "1", "MIT", "noarch", "no reserved space")
        .using_config(
            rpm::BuildConfig::v4()
                .compression(rpm::CompressionType::None)
                .reserved_space(None),
        )
        .build()
        .unwrap();
    let path = desk.path("repo/tight.rpm");
    built.write_file(&path).unwrap();
    let before = fs::read(&path).unwrap();
    sign_file(&path, &rsa_key(), NOW).unwrap();
    let after = fs::read(&path).unwrap();
    assert!(after.len() > before.len());
    assert_eq!(
        unsigned_digest(after.as_slice()).unwrap(),
        unsigned_digest(before.as_slice()).unwrap()
    );
    desk.accepted(&path, &rsa_key());
}

#[test]
fn refuses_what_clients_would_take_for_unsigned() {
    let sign = |mut package: Vec<u8>| {
        sign_package(&mut package, &key(), NOW)
            .unwrap_err()
            .to_string()
    };
    let built = rpm::PackageBuilder::new("v6", "1", "MIT", "noarch", "x")
        .using_config(rpm::BuildConfig::v6())
        .build()
        .unwrap();
    let mut v6 = Vec::new();
    built.write(&mut v6).unwrap();
    assert!(sign(v6).contains("it is in the v6 format"));

    let mut changed = small_package("small", "1.0");
    let header = Package::read(changed.as_slice()).unwrap().header_range;
    let name = usize::try_from(header.start).unwrap();
    let at = name
        + changed[name..]
            .windows(5)
            .position(|word| word == b"small")
            .unwrap();
    changed[at] = b'S';
    assert!(sign(changed).contains("its header does not match its SHA-256"));
    assert!(sign(vec![0; 500]).contains("it is not an RPM package"));
    // The key's own reasons come through.
    let early = sign_package(&mut small_package("small", "1.0"), &key(), 5).unwrap_err();
    assert!(
        std::error::Error::source(&early)
            .unwrap()
            .to_string()
            .contains("is valid from"),
        "{early:?}"
    );
}
