//! Checks a published suite from its signatures down to every package's bytes. Caller: `millrace verify`.
//!
//! It goes on after a finding, so that one report names everything that is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use openpgp::PublicKey;
use serde::Serialize;

use crate::deb822::{Dialect, Paragraph, Paragraphs};
use crate::digest::Sha256Digest;
use crate::names::FileName;
use crate::release::{self, Indexes, stays_below};
use crate::source::checksums;
use crate::unpack;

/// Largest unpacked index in bytes. Debian's own `Packages` of all architectures together is a fifth of it.
pub const MAX_INDEX_BYTES: u64 = 2 << 30;
/// Findings after which a report ends: a repository this broken needs no longer list.
pub const MAX_FINDINGS: usize = 1_000;

/// How files of the repository are read: path below its root to bytes. A missing file is
/// [`io::ErrorKind::NotFound`].
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> io::Result<Vec<u8>>;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Path below the repository's root.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
        } = self;
        write!(f, "{path}: expected {expected}, found {found}")
    }
}

/// What was checked and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Fingerprint of the key that signed `InRelease`, if one of the given keys did.
    pub signed_by: Option<String>,
    /// Indexes whose bytes were checked, each compression counted.
    pub indexes: usize,
    /// Files of packages whose bytes were checked.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Everything wrong, in the order it was met; empty for a sound suite.
    pub findings: Vec<Finding>,
}

/// Checks the suite under `dists/<codename>`.
pub fn verify(read: ReadFile<'_>, codename: &str, keys: &[PublicKey]) -> Report {
    let mut check = Check {
        read,
        directory: format!("dists/{codename}"),
        report: Report::default(),
    };
    if let Some(indexes) = check.signed_indexes(keys) {
        let mut files = Files::new();
        for (stem, forms) in by_stem(&indexes) {
            if let Some(text) = check.index(&stem, &forms) {
                check.stanzas(&stem, &text, &mut files);
            }
        }
        for (path, expect) in &files {
            check.package_file(path, expect);
        }
    }
    check.report
}

/// Files of packages by path below the root.
type Files = BTreeMap<String, (u64, Sha256Digest)>;

/// The forms of one index: suffix to size and digest.
type Forms = BTreeMap<String, (u64, Sha256Digest)>;

const PACKED: [&str; 2] = [".gz", ".xz"];

fn by_stem(indexes: &Indexes) -> BTreeMap<String, Forms> {
    let mut stems: BTreeMap<String, Forms> = BTreeMap::new();
    for (path, expect) in indexes {
        let suffix = PACKED
            .into_iter()
            .find(|suffix| path.ends_with(suffix))
            .unwrap_or("");
        let stem = path.strip_suffix(suffix).unwrap_or(path);
        stems
            .entry(stem.to_owned())
            .or_default()
            .insert(suffix.to_owned(), *expect);
    }
    stems
}

struct Check<'a> {
    read: ReadFile<'a>,
    directory: String,
    report: Report,
}

impl Check<'_> {
    fn find(&mut self, path: &str, expected: impl fmt::Display, found: impl fmt::Display) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding {
                path: path.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }

    fn is_full(&self) -> bool {
        self.report.findings.len() >= MAX_FINDINGS
    }

    /// The bytes of a file that must be there.
    fn must_read(&mut self, path: &str, expected: impl fmt::Display) -> Option<Vec<u8>> {
        match (self.read)(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.find(path, expected, "no such file");
                None
            }
            Err(error) => {
                self.find(
                    path,
                    expected,
                    format!("a file that cannot be read: {error}"),
                );
                None
            }
        }
    }

    /// The indexes that the signed text lists; the plain `Release`'s if no signature is good, to find what else is.
    fn signed_indexes(&mut self, keys: &[PublicKey]) -> Option<Indexes> {
        let path = |name: &str| format!("{}/{name}", self.directory);
        let (in_release_path, release_path, gpg_path) =
            (path("InRelease"), path("Release"), path("Release.gpg"));
        let in_release = self.must_read(&in_release_path, "the signed Release");
        let release = self.must_read(&release_path, "the plain Release");
        let gpg = self.must_read(&gpg_path, "the detached signature");

        let signed = in_release.and_then(|file| self.in_release(&in_release_path, &file, keys));
        if let (Some(release), Some(gpg)) = (&release, gpg) {
            self.release_gpg(&gpg_path, release, &gpg, keys);
        }
        if let (Some(signed), Some(release)) = (&signed, &release)
            && signed.trim_ascii_end() != release.trim_ascii_end()
        {
            let found = format!("another text, sha256 {}", Sha256Digest::of(release));
            self.find(&release_path, "the text that InRelease signs", found);
        }
        match release::parse_indexes(&signed.or(release)?) {
            Ok(indexes) => Some(indexes),
            Err(error) => {
                self.find(&release_path, "a Release file", error);
                None
            }
        }
    }

    fn in_release(&mut self, path: &str, file: &[u8], keys: &[PublicKey]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(file);
        let verified = first_good(keys, |key| {
            key.verify_cleartext(&text).map(|signed| (key, signed))
        });
        match verified {
            Ok((key, signed)) => {
                self.report.signed_by = Some(key.fingerprint());
                Some(signed.text.into_bytes())
            }
            Err(cause) => {
                self.find(path, signature_by(keys), cause);
                None
            }
        }
    }

    fn release_gpg(&mut self, path: &str, release: &[u8], gpg: &[u8], keys: &[PublicKey]) {
        let armored = String::from_utf8_lossy(gpg);
        if let Err(cause) = first_good(keys, |key| key.verify_detached_armored(release, &armored)) {
            self.find(path, signature_by(keys), cause);
        }
    }

    /// Checks every published form of an index and gives its text, if one form is sound.
    fn index(&mut self, stem: &str, forms: &Forms) -> Option<Vec<u8>> {
        let plain = forms.get("").copied();
        let mut text = None;
        for (suffix, expect) in forms {
            let path = format!("{}/{stem}{suffix}", self.directory);
            let has_packed_form = forms.keys().any(|suffix| !suffix.is_empty());
            if suffix.is_empty() && has_packed_form && !self.exists(&path) {
                continue;
            }
            let Some(bytes) = self.sound_file(&path, expect) else {
                continue;
            };
            self.report.indexes += 1;
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            self.sound_file(&format!("{parent}/by-hash/SHA256/{}", expect.1), expect);
            text = self.unpacked(&path, suffix, bytes, plain).or(text);
        }
        text
    }

    fn exists(&mut self, path: &str) -> bool {
        !matches!((self.read)(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The bytes of a file if they have the size and digest expected.
    fn sound_file(&mut self, path: &str, &(size, sha256): &(u64, Sha256Digest)) -> Option<Vec<u8>> {
        let expected = described(size, &sha256);
        let bytes = self.must_read(path, &expected)?;
        let (found_size, found) = (bytes.len() as u64, Sha256Digest::of(&bytes));
        if (found_size, found) != (size, sha256) {
            self.find(path, expected, described(found_size, &found));
            return None;
        }
        Some(bytes)
    }

    fn unpacked(
        &mut self,
        path: &str,
        suffix: &str,
        bytes: Vec<u8>,
        plain: Option<(u64, Sha256Digest)>,
    ) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let limit = plain.map_or(MAX_INDEX_BYTES, |(size, _)| size.min(MAX_INDEX_BYTES));
        let unpacked = unpack::open(suffix, bytes.as_slice(), limit)
            .and_then(|mut reader| reader.read_to_end(&mut text));
        if let Err(error) = unpacked {
            self.find(path, "an index that unpacks to its listed size", error);
            return None;
        }
        if let Some((size, sha256)) = plain
            && (text.len() as u64, Sha256Digest::of(&text)) != (size, sha256)
        {
            let found = described(text.len() as u64, &Sha256Digest::of(&text));
            self.find(
                path,
                format!("an index that unpacks to {}", described(size, &sha256)),
                found,
            );
            return None;
        }
        Some(text)
    }

    /// Collects the files that an index names.
    fn stanzas(&mut self, stem: &str, text: &[u8], files: &mut Files) {
        let path = format!("{}/{stem}", self.directory);
        let listed = match stem.rsplit('/').next() {
            Some("Packages") => binary_file,
            Some("Sources") => source_files,
            _ => return,
        };
        let mut collect = || {
            for paragraph in Paragraphs::new(text, Dialect::Machine)? {
                let paragraph = paragraph?;
                for (file, expect) in listed(&paragraph)? {
                    if !stays_below(&file) {
                        self.find(&path, "files below the repository's root", &file);
                    } else if let Some(before) = files.insert(file.clone(), expect)
                        && before != expect
                    {
                        self.find(
                            &file,
                            described(before.0, &before.1),
                            described(expect.0, &expect.1),
                        );
                    }
                }
            }
            Ok::<(), crate::deb822::Error>(())
        };
        if let Err(error) = collect() {
            self.find(&path, "an index of packages", error);
        }
    }

    fn package_file(&mut self, path: &str, expect: &(u64, Sha256Digest)) {
        if !self.is_full() && self.sound_file(path, expect).is_some() {
            self.report.files += 1;
            self.report.bytes += expect.0;
        }
    }
}

type Listed = Vec<(String, (u64, Sha256Digest))>;

fn binary_file(paragraph: &Paragraph) -> Result<Listed, crate::deb822::Error> {
    let path = paragraph.require("Filename")?.to_owned();
    let size = paragraph.require("Size")?;
    let size = size
        .parse()
        .map_err(|_| paragraph.value_error("Size", format!("`{size}` is not a size")))?;
    let sha256 = paragraph.require("SHA256")?.parse();
    let sha256 = sha256.map_err(|error| paragraph.value_error("SHA256", error))?;
    Ok(vec![(path, (size, sha256))])
}

fn source_files(paragraph: &Paragraph) -> Result<Listed, crate::deb822::Error> {
    let directory = paragraph.require("Directory")?;
    paragraph.require("Checksums-Sha256")?;
    let place = |(name, expect): (FileName, _)| (format!("{directory}/{name}"), expect);
    let files = checksums::<Sha256Digest>(paragraph, "Checksums-Sha256")?;
    Ok(files.into_iter().map(place).collect())
}

/// The first key's answer that is good, or the causes of all that are not.
fn first_good<'k, T>(
    keys: &'k [PublicKey],
    mut verify: impl FnMut(&'k PublicKey) -> Result<T, openpgp::Error>,
) -> Result<T, String> {
    let mut causes = Vec::new();
    for key in keys {
        match verify(key) {
            Ok(good) => return Ok(good),
            Err(error) => causes.push(error.to_string()),
        }
    }
    causes.dedup();
    Err(match causes.is_empty() {
        true => "no key to check with".to_owned(),
        false => format!("none (could not {})", causes.join("; could not ")),
    })
}

fn signature_by(keys: &[PublicKey]) -> String {
    let keys: Vec<String> = keys.iter().map(PublicKey::fingerprint).collect();
    format!("a good signature by {}", keys.join(" or "))
}

fn described(size: u64, sha256: &Sha256Digest) -> String {
    format!("{size} bytes, sha256 {sha256}")
}
