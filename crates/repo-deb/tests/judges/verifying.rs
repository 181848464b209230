//! What `verify` finds in a repository that someone changed after publishing.

use std::fs;
use std::io::Write;
use std::path::Path;

use openpgp::{PublicKey, SigningKey};
use repo_deb::{NoCache, Report, Sha256Digest, sign_release, verify};

use crate::common::{DATE, Recipe, Shelf, build_deb, build_source, key, write_all};

struct World {
    directory: tempfile::TempDir,
    shelf: Shelf,
    key: SigningKey,
}

fn world() -> World {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut shelf = Shelf::default();
    shelf.add_deb(&build_deb(directory.path(), &Recipe::default()));
    shelf.add_deb(&build_deb(
        directory.path(),
        &Recipe {
            name: "data",
            architecture: "all",
            ..Recipe::default()
        },
    ));
    shelf.add_dsc(&build_source(directory.path(), "hello", "1.0"));
    let key = key();
    write_all(
        directory.path(),
        &shelf.compose_with(&NoCache),
        &key,
        &shelf.paths,
    );
    World {
        directory,
        shelf,
        key,
    }
}

fn report(root: &Path, keys: &[PublicKey]) -> Report {
    let mut read = |path: &str| fs::read(root.join(path));
    verify(&mut read, "bookworm", keys)
}

/// The findings after `change`, with digests, fingerprints and sizes reduced to their kind.
fn check(change: impl FnOnce(&Path, &World), expect: &[&str]) {
    let world = world();
    change(world.directory.path(), &world);
    let report = report(world.directory.path(), &[world.key.public().clone()]);
    let findings: Vec<String> = report
        .findings
        .iter()
        .map(|finding| without_digits(&finding.to_string()))
        .collect();
    assert_eq!(findings, expect);
}

fn without_digits(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let end = part.get(word.len()..).unwrap_or_default();
        let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        out.push_str(match word.len() {
            64 if hex => "DIGEST",
            40 if hex => "KEY",
            _ if end == " " && word.parse::<u64>().is_ok() => "N",
            _ => word,
        });
        out.push_str(end);
    }
    out
}

fn edit(root: &Path, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(root.join(path)).expect("a published file");
    change(&mut bytes);
    fs::write(root.join(path), bytes).expect("the edited file");
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn remove(root: &Path, path: &str) {
    fs::remove_file(root.join(path)).expect("a published file");
}

/// Publishes an index with other bytes and signs that, as a signer who was handed a wrong index would.
fn publish_index(root: &Path, world: &World, path: &str, bytes: &[u8]) {
    let directory = root.join("dists/bookworm");
    let line = |bytes: &[u8]| format!("{} {} {path}\n", Sha256Digest::of(bytes), bytes.len());
    let before = fs::read(directory.join(path)).expect("the index");
    fs::write(directory.join(path), bytes).expect("the new index");
    let parent = directory
        .join(path)
        .parent()
        .expect("a directory")
        .join("by-hash/SHA256");
    fs::write(parent.join(Sha256Digest::of(bytes).to_string()), bytes).expect("its other name");
    let release = fs::read_to_string(directory.join("Release")).expect("Release");
    let release = release.replace(&line(&before), &line(bytes));
    let signed = sign_release(release.as_bytes(), &world.key, DATE).expect("signatures");
    fs::write(directory.join("Release"), release).expect("Release");
    fs::write(directory.join("InRelease"), signed.in_release).expect("InRelease");
    fs::write(directory.join("Release.gpg"), signed.release_gpg).expect("Release.gpg");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

const DEB: &str = "pool/main/h/hello/hello_1.0-1_amd64.deb";
const INDEX: &str = "main/binary-amd64/Packages.gz";

#[test]
fn a_sound_repository() {
    let world = world();
    let report = report(
        world.directory.path(),
        &[key().public().clone(), world.key.public().clone()],
    );
    assert_eq!(report.findings, []);
    assert_eq!(report.signed_by, Some(world.key.public().fingerprint()));
    // Two components, each with two architectures and its sources, in two forms; two packages, a .dsc and its archive.
    assert_eq!((report.indexes, report.files), (12, 4));
}

#[test]
fn packages_that_changed() {
    let expected = format!("{DEB}: expected N bytes, sha256 DIGEST, found");
    let another = format!("{expected} N bytes, sha256 DIGEST");
    check(|root, _| edit(root, DEB, |bytes| flip(bytes)), &[&another]);
    check(|root, _| edit(root, DEB, |deb| deb.push(0)), &[&another]);
    check(
        |root, _| remove(root, DEB),
        &[&format!("{expected} no such file")],
    );
    let archive = "pool/main/h/hello/hello_1.0.tar.xz";
    check(
        |root, _| edit(root, archive, |bytes| flip(bytes)),
        &[&another.replace(DEB, archive)],
    );
    check(
        |root, _| {
            remove(root, DEB);
            fs::create_dir(root.join(DEB)).expect("a directory in its place");
        },
        &[&format!(
            "{expected} a file that cannot be read: Is a directory (os error 21)"
        )],
    );
}

#[test]
fn signatures_that_do_not_hold() {
    let none = "expected a good signature by KEY, found none (could not verify the signature";
    let in_release = format!("dists/bookworm/InRelease: {none}");
    let gpg = format!("dists/bookworm/Release.gpg: {none}");
    check(
        |root, world| {
            let paths = &world.shelf.paths;
            write_all(root, &world.shelf.compose_with(&NoCache), &key(), paths);
        },
        &[
            &format!("{in_release}: it is by key KEY, not by KEY)"),
            &format!("{gpg}: it is by key KEY, not by KEY)"),
        ],
    );
    let rename = |bytes: &mut Vec<u8>| {
        *bytes = String::from_utf8_lossy(bytes)
            .replace("stable", "oldold")
            .into_bytes()
    };
    let mismatch = "of key KEY: it does not match the data; one of them was changed";
    check(
        |root, _| edit(root, "dists/bookworm/InRelease", rename),
        &[&format!("{in_release} {mismatch})")],
    );
    check(
        |root, _| edit(root, "dists/bookworm/Release", rename),
        &[
            &format!("{gpg} {mismatch})"),
            "dists/bookworm/Release: expected the text that InRelease signs, found another text, sha256 DIGEST",
        ],
    );
    check(
        |root, _| {
            for name in ["InRelease", "Release", "Release.gpg"] {
                remove(root, &format!("dists/bookworm/{name}"));
            }
        },
        &[
            "dists/bookworm/InRelease: expected the signed Release, found no such file",
            "dists/bookworm/Release: expected the plain Release, found no such file",
            "dists/bookworm/Release.gpg: expected the detached signature, found no such file",
        ],
    );
}

#[test]
fn indexes_that_changed() {
    let path = format!("dists/bookworm/{INDEX}");
    let expected = "expected N bytes, sha256 DIGEST, found";
    check(
        |root, _| edit(root, &path, |bytes| flip(bytes)),
        &[&format!("{path}: {expected} N bytes, sha256 DIGEST")],
    );
    check(
        |root, _| remove(root, &path),
        &[&format!("{path}: {expected} no such file")],
    );
    check(
        |root, _| {
            let digest = Sha256Digest::of(&fs::read(root.join(&path)).expect("the index"));
            remove(
                root,
                &format!("dists/bookworm/main/binary-amd64/by-hash/SHA256/{digest}"),
            );
        },
        &[&format!(
            "dists/bookworm/main/binary-amd64/by-hash/SHA256/DIGEST: {expected} no such file"
        )],
    );
}

#[test]
fn indexes_that_were_signed_and_are_wrong() {
    let wrong = |index: &[u8], expect: &[&str]| {
        check(
            |root, world| publish_index(root, world, INDEX, index),
            expect,
        );
    };
    let path = format!("dists/bookworm/{INDEX}");
    let unpacks = format!("{path}: expected an index that unpacks to");
    wrong(
        &gzip(b""),
        &[&format!(
            "{unpacks} N bytes, sha256 DIGEST, found N bytes, sha256 DIGEST"
        )],
    );
    wrong(
        &gzip(&vec![b'x'; 1 << 20]),
        &[&format!(
            "{unpacks} its listed size, found the unpacked size passes its limit"
        )],
    );
    wrong(
        b"this is not gzip at all",
        &[&format!(
            "{unpacks} its listed size, found invalid gzip header"
        )],
    );
    // A plain index of another text, in a component where nothing else is.
    let contrib = "dists/bookworm/contrib/binary-amd64/Packages";
    let other = "N bytes, sha256 DIGEST, found N bytes, sha256 DIGEST";
    let stanza = b"Package: x\nFilename: ../../etc/passwd\nSize: 1\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    check(
        |root, world| {
            fs::write(
                root.join("dists/bookworm/contrib/binary-amd64/Packages"),
                b"",
            )
            .expect("a plain index");
            publish_index(root, world, "contrib/binary-amd64/Packages", stanza);
        },
        &[
            &format!("{contrib}.gz: expected an index that unpacks to {other}"),
            &format!("{contrib}.xz: expected an index that unpacks to {other}"),
            &format!(
                "{contrib}: expected files below the repository's root, found ../../etc/passwd"
            ),
        ],
    );
}
