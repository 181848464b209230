//! The file `sources` beside a spec: digests of the sources that are not in git.
//!
//! Fedora's form, which `sha512sum --tag` writes: `SHA512 (name) = hex`. SHA-256 is taken too.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use runner_agent::Halt;
use runner_api::FailureKind;
use sha2::{Digest, Sha256, Sha512};

/// Largest file `sources`, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// Its name.
pub(crate) const FILE: &str = "sources";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// A plain file name.
    pub(crate) name: String,
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// Reads the file of a package's directory; none is an empty one.
pub(crate) fn read(directory: &Path) -> Result<Vec<Listed>, Halt> {
    let path = directory.join(FILE);
    // A directory of that name holds plain sources; a symbolic link could lead out of the tree.
    if !std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(Halt::infrastructure)?;
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(Halt::infrastructure)?;
    parse(&String::from_utf8_lossy(&bytes))
        .map_err(|message| Halt::failed(FailureKind::SourcePackage, message))
}

/// The lines, or a sentence that says what is wrong and how to correct it.
fn parse(text: &str) -> Result<Vec<Listed>, String> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let fix = "write it with `sha512sum --tag NAME`";
            line_of(line).map_err(|reason| format!("line {number} of `sources` {reason}: {fix}"))
        })
        .collect()
}

fn line_of(line: &str) -> Result<Listed, String> {
    if let Some((word, name)) = line.split_once(char::is_whitespace)
        && word.len() == 32
        && is_hex(word)
    {
        let name = name.trim().trim_start_matches('*');
        return Err(format!(
            "has only an MD5 digest of {name}, which proves nothing"
        ));
    }
    let parts = line
        .split_once(" (")
        .and_then(|(algorithm, rest)| Some((algorithm, rest.rsplit_once(") = ")?)));
    let Some((algorithm, (name, hex))) = parts else {
        return Err("is not `SHA512 (name) = digest`".to_owned());
    };
    let (algorithm, digits) = match algorithm {
        "SHA256" => (Algorithm::Sha256, 64),
        "SHA512" => (Algorithm::Sha512, 128),
        other => {
            return Err(format!(
                "has a digest by {other}; only SHA512 and SHA256 are taken"
            ));
        }
    };
    let hex = hex.trim().to_ascii_lowercase();
    if hex.len() != digits || !is_hex(&hex) {
        return Err(format!("has a digest that is not {digits} hex digits"));
    }
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(format!("names {name:?}, which is no plain file name"));
    }
    Ok(Listed {
        name: name.to_owned(),
        algorithm,
        hex,
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Listed {
    /// Holds a file against its digest.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Halt> {
        let found = match self.algorithm {
            Algorithm::Sha256 => digest::<Sha256>(path),
            Algorithm::Sha512 => digest::<Sha512>(path),
        };
        let found = found.map_err(Halt::infrastructure)?;
        if found == self.hex {
            return Ok(());
        }
        let message = format!(
            "{} has the digest {found}, but `sources` says {}: either the file was changed, or the line is old; check before you correct it",
            self.name, self.hex
        );
        Err(Halt::failed(FailureKind::ChecksumMismatch, message))
    }
}

fn digest<D: Digest + std::io::Write>(path: &Path) -> std::io::Result<String> {
    let mut hash = D::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

/// Absolute addresses of the sources and patches of an expanded spec, by file name. `#/name` at the end
/// of an address gives the name, as rpm has it.
pub(crate) fn addresses(spec: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in spec.lines() {
        let Some((tag, value)) = line.split_once(':') else {
            continue;
        };
        let tag = tag.trim().to_ascii_lowercase();
        let is_source = ["source", "patch"].iter().any(|word| {
            tag.strip_prefix(word)
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        });
        let value = value.trim();
        if is_source
            && ["https://", "http://", "file://"]
                .iter()
                .any(|scheme| value.starts_with(scheme))
        {
            let name = value.rsplit('/').next().unwrap_or(value);
            let address = value.split_once("#/").map_or(value, |(address, _)| address);
            found.insert(name.to_owned(), address.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &str) {
        let text = match parse(line) {
            Ok(list) => list
                .iter()
                .map(|l| format!("{} {:?}", l.name, l.algorithm))
                .collect::<Vec<_>>()
                .join(", "),
            Err(message) => message,
        };
        assert!(text.contains(expect), "{line}: {text}");
    }

    #[test]
    fn lines_of_sources() {
        let (md5, sha256, sha512) = ("a".repeat(32), "b".repeat(64), "c".repeat(128));
        check(
            &format!("SHA512 (x-1.tar.gz) = {sha512}"),
            "x-1.tar.gz Sha512",
        );
        check(
            &format!("# c\n\nSHA256 (x (1).tgz) = {sha256}"),
            "x (1).tgz Sha256",
        );
        check(
            &format!("{md5}  x-1.tar.gz"),
            "only an MD5 digest of x-1.tar.gz",
        );
        check(&format!("MD5 (x) = {md5}"), "only SHA512 and SHA256");
        check(&format!("SHA512 (x) = {sha256}"), "not 128 hex digits");
        check(&format!("SHA256 (../x) = {sha256}"), "no plain file name");
        check("x", "line 1 of `sources` is not `SHA512 (name) = digest`");
    }

    #[test]
    fn addresses_of_sources() {
        let spec = "Name: x\nSource0: https://h/x-1.tgz\nsource: http://h/d?id=1#/y.tgz\nPatch12: fix.patch\nSourceLicense: https://h/z\n";
        let found: Vec<_> = addresses(spec).into_iter().collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found,
            [
                pair("x-1.tgz", "https://h/x-1.tgz"),
                pair("y.tgz", "http://h/d?id=1")
            ]
        );
    }
}
