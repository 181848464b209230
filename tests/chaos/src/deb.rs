//! Debian packages without files, binary and source: real enough for the composer and `millrace verify`.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// When everything in the archives was last changed: 2026-11-01.
const TIME: u64 = 1_793_491_200;

/// A binary package: deb(5).
pub(crate) fn binary(name: &str, version: &str, arch: &str, source: &str) -> Vec<u8> {
    let control = format!(
        "Package: {name}\nSource: {source}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Chaos <chaos@localhost>\nSection: misc\nPriority: optional\nDescription: pretended\n It has no files.\n"
    );
    let mut file = b"!<arch>\n".to_vec();
    member(&mut file, "debian-binary", b"2.0\n");
    member(
        &mut file,
        "control.tar",
        &tar("./control", control.as_bytes()),
    );
    let text = format!("{name} {version} {arch}\n");
    let path = format!("./usr/share/{name}/version");
    member(&mut file, "data.tar", &tar(&path, text.as_bytes()));
    file
}

fn member(file: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let header = format!(
        "{name:<16}{TIME:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        100_644,
        bytes.len()
    );
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        file.push(b'\n');
    }
}

fn tar(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(TIME);
    header.set_entry_type(tar::EntryType::Regular);
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_data(&mut header, path, bytes)
        .and_then(|()| builder.into_inner())
        .expect("writing to memory does not fail")
}

/// The only file that a source package lists.
pub(crate) fn tarball(name: &str, version: &str) -> Vec<u8> {
    format!("the source of {name} {version}\n").into_bytes()
}

/// The `.dsc`: dsc(5).
pub(crate) fn dsc(name: &str, version: &str, tarball: &[u8]) -> Vec<u8> {
    let (size, file) = (tarball.len(), format!("{name}_{version}.tar.xz"));
    let (md5, sha256) = (
        hex::encode(Md5::digest(tarball)),
        hex::encode(Sha256::digest(tarball)),
    );
    format!(
        "Format: 3.0 (native)\nSource: {name}\nBinary: {name}, {name}-doc\nArchitecture: any all\nVersion: {version}\nMaintainer: Chaos <chaos@localhost>\nStandards-Version: 4.6.2\nPackage-List:\n {name} deb misc optional arch=any\nChecksums-Sha256:\n {sha256} {size} {file}\nFiles:\n {md5} {size} {file}\n"
    )
    .into_bytes()
}
