//! Source packages and what a build says about itself: `.dsc` (dsc(5)), `.changes` (deb-changes(5)) and
//! `.buildinfo` (deb-buildinfo(5)).
//!
//! Callers: the build role (which files belong together), the signer (do they match), fragments for `Sources`.
//! Signatures around the text are taken off, not checked. SHA-256 is required: files from before 2009 lack it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clearsigned::{self, signed_text};
use crate::deb822::{self, Dialect, Paragraph};
use crate::digest::{Md5Digest, Sha1Digest, Sha256Digest};
use crate::names::{self, Architecture, FileName, PackageName, PackageVersion};

/// Largest control file of this kind in bytes. A `.buildinfo` of a large build has 100 KiB.
pub const MAX_BYTES: usize = 16 << 20;
/// Files one of them may list.
pub const MAX_LISTED_FILES: usize = 10_000;

/// Why a file cannot be read. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is larger than [`MAX_BYTES`].
    #[error("read the {0} file: it is larger than {MAX_BYTES} bytes")]
    TooLarge(&'static str),
    /// The armour around the text is broken.
    #[error("read the {kind} file's signed text")]
    Signed {
        /// `.dsc`, `.changes` or `.buildinfo`.
        kind: &'static str,
        /// The cause.
        #[source]
        source: clearsigned::Error,
    },
    /// The text has a mistake.
    #[error("read the {kind} file")]
    Text {
        /// `.dsc`, `.changes` or `.buildinfo`.
        kind: &'static str,
        /// The mistake and its line.
        #[source]
        source: deb822::Error,
    },
}

/// A file that a control file names, with what it says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// The name, without directories.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// From `Files`, where that field exists.
    pub md5: Option<Md5Digest>,
    /// From `Checksums-Sha1`, where that field exists.
    pub sha1: Option<Sha1Digest>,
    /// From `Checksums-Sha256`.
    pub sha256: Sha256Digest,
}

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsc {
    /// Its name.
    pub source: PackageName,
    /// Its version.
    pub version: PackageVersion,
    /// The binary packages it can make.
    pub binaries: Vec<String>,
    /// Architectures and wildcards (`any`, `linux-any`, `all`) it can be built for.
    pub architectures: Vec<String>,
    /// The files it is made of, the `.dsc` itself not among them.
    pub files: Vec<ListedFile>,
    /// All fields.
    pub paragraph: Paragraph,
}

/// What one build hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The source package's name.
    pub source: PackageName,
    /// The version of the packages made (a binary-only rebuild has one of its own).
    pub version: PackageVersion,
    /// Architectures built, `source` included if the source is part of it.
    pub architectures: Vec<String>,
    /// The suite in the changelog's first line.
    pub distribution: String,
    /// Every file handed over.
    pub files: Vec<ListedFile>,
    /// All fields.
    pub paragraph: Paragraph,
}

/// The record of one build and what was installed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buildinfo {
    /// The source package's name.
    pub source: PackageName,
    /// The version of the packages made.
    pub version: PackageVersion,
    /// Architecture of the machine that built.
    pub build_architecture: Architecture,
    /// What came out.
    pub files: Vec<ListedFile>,
    /// The build dependencies that were installed, as `Installed-Build-Depends` lists them.
    pub installed: Vec<Installed>,
    /// All fields.
    pub paragraph: Paragraph,
}

/// One package that was installed for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The binary package's name.
    pub package: PackageName,
    /// Its architecture, where it is not the build's own.
    pub architecture: Option<Architecture>,
    /// Its version.
    pub version: PackageVersion,
}

impl Dsc {
    /// Reads a `.dsc`, signed or not.
    ///
    /// # Errors
    /// A broken armour, a mistake in the text with its line, or a field that is missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        read(".dsc", bytes, |paragraph| {
            let (source, version) = source_and_version(&paragraph)?;
            Ok(Self {
                source,
                version,
                binaries: list(&paragraph, "Binary", ','),
                architectures: list(&paragraph, "Architecture", ' '),
                files: listed_files(&paragraph, Md5Field::Required)?,
                paragraph,
            })
        })
    }

    /// The name dpkg-source gives the file, `hello_2.10-3.dsc`.
    ///
    /// # Errors
    /// If name and version together are too long for a file name.
    pub fn file_name(&self) -> Result<FileName, names::Error> {
        format!("{}_{}.dsc", self.source, self.version.without_epoch()).parse()
    }
}

impl Changes {
    /// Reads a `.changes`, signed or not.
    ///
    /// # Errors
    /// As [`Dsc::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        read(".changes", bytes, |paragraph| {
            let (source, version) = source_and_version(&paragraph)?;
            Ok(Self {
                source,
                version,
                architectures: list(&paragraph, "Architecture", ' '),
                distribution: paragraph.require("Distribution")?.to_owned(),
                files: listed_files(&paragraph, Md5Field::Required)?,
                paragraph,
            })
        })
    }
}

impl Buildinfo {
    /// Reads a `.buildinfo`, signed or not.
    ///
    /// # Errors
    /// As [`Dsc::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        read(".buildinfo", bytes, |paragraph| {
            let (source, version) = source_and_version(&paragraph)?;
            Ok(Self {
                source,
                version,
                build_architecture: parse_field(&paragraph, "Build-Architecture")?,
                files: listed_files(&paragraph, Md5Field::Absent)?,
                installed: installed(&paragraph)?,
                paragraph,
            })
        })
    }
}

fn read<T>(
    kind: &'static str,
    bytes: &[u8],
    build: impl FnOnce(Paragraph) -> Result<T, deb822::Error>,
) -> Result<T, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge(kind));
    }
    let text = signed_text(bytes).map_err(|source| Error::Signed { kind, source })?;
    deb822::parse_one(&text, Dialect::Machine)
        .and_then(build)
        .map_err(|source| Error::Text { kind, source })
}

/// `Source` (which may carry the source's own version in parentheses, not used here) and `Version`.
fn source_and_version(
    paragraph: &Paragraph,
) -> Result<(PackageName, PackageVersion), deb822::Error> {
    let source = paragraph.require("Source")?;
    let name = source.split_once(" (").map_or(source, |(name, _)| name);
    let name = name
        .parse()
        .map_err(|error| paragraph.value_error("Source", error))?;
    Ok((name, parse_field(paragraph, "Version")?))
}

/// A field of one word.
pub(crate) fn parse_field<T>(paragraph: &Paragraph, field: &'static str) -> Result<T, deb822::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let value = paragraph.require(field)?;
    value
        .parse()
        .map_err(|error| paragraph.value_error(field, error))
}

fn list(paragraph: &Paragraph, field: &str, separator: char) -> Vec<String> {
    let value = paragraph.get(field).unwrap_or_default();
    value
        .split([separator, '\n'])
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a kind of file carries the old `Files` field.
#[derive(Clone, Copy, PartialEq)]
enum Md5Field {
    Required,
    Absent,
}

fn listed_files(
    paragraph: &Paragraph,
    md5_field: Md5Field,
) -> Result<Vec<ListedFile>, deb822::Error> {
    paragraph.require("Checksums-Sha256")?;
    let sha256 = checksums::<Sha256Digest>(paragraph, "Checksums-Sha256")?;
    let sha1 = checksums::<Sha1Digest>(paragraph, "Checksums-Sha1")?;
    let md5 = checksums::<Md5Digest>(paragraph, "Files")?;
    if !sha1.is_empty() {
        agree(paragraph, "Checksums-Sha1", &sha1, &sha256)?;
    }
    if md5_field == Md5Field::Required || !md5.is_empty() {
        agree(paragraph, "Files", &md5, &sha256)?;
    }
    let file = |(name, (size, sha256)): (FileName, (u64, Sha256Digest))| ListedFile {
        size,
        md5: md5.get(&name).map(|&(_, digest)| digest),
        sha1: sha1.get(&name).map(|&(_, digest)| digest),
        sha256,
        name,
    };
    Ok(sha256.into_iter().map(file).collect())
}

type Checksums<D> = BTreeMap<FileName, (u64, D)>;

/// Lines of `digest size [section priority] name`.
pub(crate) fn checksums<D>(
    paragraph: &Paragraph,
    field: &str,
) -> Result<Checksums<D>, deb822::Error>
where
    D: std::str::FromStr<Err: std::fmt::Display>,
{
    let mut files = BTreeMap::new();
    let value = paragraph.get(field).unwrap_or_default();
    for line in value.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
        let (digest, size, name) = match words[..] {
            [digest, size, name] | [digest, size, _, _, name] => (digest, size, name),
            _ => {
                return Err(
                    paragraph.value_error(field, "expected lines of digest, size and file name")
                );
            }
        };
        let digest = digest
            .parse()
            .map_err(|error: D::Err| paragraph.value_error(field, error))?;
        let size = size
            .parse()
            .map_err(|_| paragraph.value_error(field, format!("`{size}` is not a size")))?;
        let name: FileName = name
            .parse()
            .map_err(|error| paragraph.value_error(field, error))?;
        if files.len() == MAX_LISTED_FILES {
            return Err(paragraph.value_error(
                field,
                format!("it lists more than {MAX_LISTED_FILES} files"),
            ));
        }
        if files.insert(name, (size, digest)).is_some() {
            return Err(paragraph.value_error(field, "it lists a file twice"));
        }
    }
    Ok(files)
}

/// The same names and sizes in both fields.
fn agree<D>(
    paragraph: &Paragraph,
    field: &str,
    files: &Checksums<D>,
    sha256: &Checksums<Sha256Digest>,
) -> Result<(), deb822::Error> {
    let same = files.len() == sha256.len()
        && files
            .iter()
            .zip(sha256)
            .all(|((a, (a_size, _)), (b, (b_size, _)))| a == b && a_size == b_size);
    match same {
        true => Ok(()),
        false => {
            Err(paragraph.value_error(field, "it lists other files or sizes than Checksums-Sha256"))
        }
    }
}

/// `libc6 (= 2.36-9), libfoo:i386 (= 1)`.
fn installed(paragraph: &Paragraph) -> Result<Vec<Installed>, deb822::Error> {
    const FIELD: &str = "Installed-Build-Depends";
    let one = |text: String| {
        let broken = || paragraph.value_error(FIELD, format!("`{text}` is not `name (= version)`"));
        let (name, version) = text
            .strip_suffix(')')
            .and_then(|text| text.split_once(" (= "))
            .ok_or_else(broken)?;
        let (name, architecture) = match name.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture.parse().map_err(|_| broken())?)),
            None => (name, None),
        };
        Ok(Installed {
            package: name.parse().map_err(|_| broken())?,
            architecture,
            version: version.parse().map_err(|_| broken())?,
        })
    };
    list(paragraph, FIELD, ',').into_iter().map(one).collect()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
