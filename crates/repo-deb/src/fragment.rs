//! What the indexes say about one package, made once from its file and kept by the SHA-256 of that file.
//!
//! A [`Fragment`] is the package's whole stanza except the line that depends on where it is published, and an
//! [`Entry`] is the small part that composing needs for every package: which index, which place in it, which files in
//! the pool. Both are functions of the file's bytes and [`STANZA_VERSION`], so they can be cached for ever.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::deb822::{self, Dialect, Paragraph};
use crate::digest::{Digests, Sha256Digest};
use crate::names::{self, Architecture, Component, FileName, PackageName, PackageVersion};
use crate::package::Package;
use crate::source::{Dsc, ListedFile, checksums, parse_field};

/// Changes when the same file would get another stanza than before; part of every cache key.
pub const STANZA_VERSION: u32 = 1;

/// Fields that an index or dpkg's database owns. A package that brings its own (a `Filename` that points elsewhere, a
/// `Status` that apt would believe) does not get them published.
const NOT_THE_PACKAGES: [&str; 17] = [
    "Filename",
    "Directory",
    "Size",
    "MD5sum",
    "SHA1",
    "SHA256",
    "SHA512",
    "Status",
    "Config-Version",
    "Conffiles",
    "Triggers-Pending",
    "Triggers-Awaited",
    "Optional",
    "Class",
    "Revision",
    "Package-Revision",
    "Package_Revision",
];

/// Why a package gets no place in an index. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field that the indexes need is missing or wrong.
    #[error("make the package's index entry")]
    Field(#[from] deb822::Error),
    /// The package's name and version do not fit into a file name.
    #[error("make the package's index entry")]
    FileName(#[from] names::Error),
    /// A stored fragment does not describe the package it is stored for.
    #[error("use the stored index entry of {package}: {problem}; make it again from the package")]
    Mismatch {
        /// The package's name.
        package: PackageName,
        /// What differs.
        problem: &'static str,
    },
}

/// The three kinds of packages a Debian repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A binary package.
    Deb,
    /// A binary package for the installer, in an index of its own.
    Udeb,
    /// A source package.
    Source,
}

/// One file in the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFile {
    /// Its name there.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// Digest of its bytes, by which the store knows it.
    pub sha256: Sha256Digest,
}

/// What composing needs to know of every package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Deb, udeb or source.
    pub kind: Kind,
    /// The package's name.
    pub package: PackageName,
    /// The package's version.
    pub version: PackageVersion,
    /// Its architecture; `source` for a source package.
    pub architecture: Architecture,
    /// The source package it comes from, which names the pool directory.
    pub source: PackageName,
    /// The `.deb`, `.udeb` or `.dsc`.
    pub file: PoolFile,
    /// The other files of a source package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PoolFile>,
}

impl Entry {
    /// The digest that names the package: of its `.deb` or `.dsc`.
    pub fn digest(&self) -> &Sha256Digest {
        &self.file.sha256
    }

    /// `pool/main/h/hello`, `pool/main/libx/libxml2`.
    pub fn pool_directory(&self, component: &Component) -> String {
        let source = self.source.as_str();
        let letters = if source.starts_with("lib") { 4 } else { 1 };
        let prefix = source.get(..letters).unwrap_or(source);
        // Joined and not formatted: this runs for every package of every index.
        ["pool", component.as_str(), prefix, source].join("/")
    }

    /// Paths in the pool of the package's file and, for a source package, of its other files.
    pub fn pool_files(&self, component: &Component) -> impl Iterator<Item = (String, &PoolFile)> {
        let directory = self.pool_directory(component);
        std::iter::once(&self.file)
            .chain(&self.parts)
            .map(move |file| ([&directory, "/", file.name.as_str()].concat(), file))
    }

    /// The last line of the stanza, which says where the files are.
    pub(crate) fn place(&self, component: &Component) -> String {
        let directory = self.pool_directory(component);
        match self.kind {
            Kind::Deb | Kind::Udeb => {
                ["Filename: ", &directory, "/", self.file.name.as_str(), "\n"].concat()
            }
            Kind::Source => ["Directory: ", &directory, "\n"].concat(),
        }
    }
}

/// A package's index entry, complete but for its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// The part that composing needs.
    pub entry: Entry,
    /// The stanza without its `Filename` or `Directory`, lines ended by `\n`.
    pub stanza: String,
}

impl Fragment {
    /// The entry of a `.deb` or `.udeb`.
    ///
    /// # Errors
    /// A missing or wrong `Package`, `Version`, `Architecture` or `Source`.
    pub fn from_package(package: &Package) -> Result<Self, Error> {
        let Package {
            control, digests, ..
        } = package;
        let name: PackageName = parse_field(control, "Package")?;
        let version: PackageVersion = parse_field(control, "Version")?;
        let architecture: Architecture = parse_field(control, "Architecture")?;
        let (kind, extension) = match control.get("Package-Type") {
            Some("udeb") => (Kind::Udeb, "udeb"),
            _ => (Kind::Deb, "deb"),
        };
        let file_name = format!(
            "{name}_{}_{architecture}.{extension}",
            version.without_epoch()
        );
        let entry = Entry {
            kind,
            source: source_name(control, &name)?,
            file: pool_file(file_name.parse()?, digests),
            package: name,
            version,
            architecture,
            parts: Vec::new(),
        };
        let mut stanza = published(control);
        stanza.lead_with("Package", "Package");
        let mut stanza = stanza.to_string();
        let Digests {
            size,
            md5,
            sha1,
            sha256,
        } = digests;
        write!(
            stanza,
            "Size: {size}\nMD5sum: {md5}\nSHA1: {sha1}\nSHA256: {sha256}\n"
        )
        .expect("writing to a string cannot fail");
        Ok(Self { entry, stanza })
    }

    /// The entry of a source package, from its `.dsc` and the digests of that file.
    ///
    /// # Errors
    /// If name and version do not fit into a file name.
    pub fn from_dsc(dsc: &Dsc, digests: &Digests) -> Result<Self, Error> {
        let file = pool_file(dsc.file_name()?, digests);
        let part = |listed: &ListedFile| PoolFile {
            name: listed.name.clone(),
            size: listed.size,
            sha256: listed.sha256,
        };
        let mut stanza = published(&dsc.paragraph);
        stanza.remove("Package");
        stanza.lead_with("Source", "Package");
        // `Source` may carry a version in parentheses, as a `.changes` does; the index has the name alone.
        stanza.set("Package", dsc.source.as_str());
        let Digests {
            size,
            md5,
            sha1,
            sha256,
        } = digests;
        for (field, digest) in [
            ("Files", md5.to_string()),
            ("Checksums-Sha1", sha1.to_string()),
            ("Checksums-Sha256", sha256.to_string()),
        ] {
            if let Some(others) = stanza.get(field) {
                let others = others.trim_start_matches('\n');
                let with_dsc = format!("\n {digest} {size} {}\n{others}", file.name);
                stanza.set(field, with_dsc);
            }
        }
        let entry = Entry {
            kind: Kind::Source,
            package: dsc.source.clone(),
            version: dsc.version.clone(),
            architecture: "source".parse().expect("a plain word"),
            source: dsc.source.clone(),
            file,
            parts: dsc.files.iter().map(part).collect(),
        };
        Ok(Self {
            entry,
            stanza: stanza.to_string(),
        })
    }

    /// Says whether a fragment that comes from a store is one for `entry` and a single well-formed stanza.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), Error> {
        let mismatch = |problem| Error::Mismatch {
            package: entry.package.clone(),
            problem,
        };
        if self.entry != *entry {
            return Err(mismatch("it is another package's"));
        }
        let stanza = deb822::parse_one(self.stanza.as_bytes(), Dialect::Machine)?;
        let is = |field: &str, value: &str| stanza.get(field) == Some(value);
        if !self.stanza.ends_with('\n') || self.stanza.contains("\n\n") {
            return Err(mismatch("it is not one stanza"));
        }
        if !is("Package", entry.package.as_str()) || !is("Version", entry.version.as_str()) {
            return Err(mismatch("its name or version differs"));
        }
        let files_agree = match entry.kind {
            Kind::Source => source_files_agree(&stanza, entry)?,
            Kind::Deb | Kind::Udeb => {
                is("Architecture", entry.architecture.as_str())
                    && is("Size", &entry.file.size.to_string())
                    && is("SHA256", &entry.file.sha256.to_string())
            }
        };
        match files_agree && stanza.get("Filename").is_none() && stanza.get("Directory").is_none() {
            true => Ok(()),
            false => Err(mismatch("its files, sizes or digests differ")),
        }
    }
}

fn source_files_agree(stanza: &Paragraph, entry: &Entry) -> Result<bool, Error> {
    let listed = checksums::<Sha256Digest>(stanza, "Checksums-Sha256")?;
    let mut files = std::iter::once(&entry.file).chain(&entry.parts);
    Ok(listed.len() == 1 + entry.parts.len()
        && files.all(|file| listed.get(&file.name) == Some(&(file.size, file.sha256))))
}

fn published(control: &Paragraph) -> Paragraph {
    let mut stanza = control.clone();
    for field in NOT_THE_PACKAGES {
        stanza.remove(field);
    }
    // An empty value says nothing, and apt reads `Essential:` followed by the next line in its own way.
    let empty: Vec<String> = stanza
        .fields()
        .iter()
        .filter(|field| field.value.is_empty())
        .map(|field| field.name.clone())
        .collect();
    for field in empty {
        stanza.remove(&field);
    }
    stanza
}

/// `Source: name (version)`, or the package's own name if the field is absent.
fn source_name(control: &Paragraph, package: &PackageName) -> Result<PackageName, Error> {
    let Some(source) = control.get("Source") else {
        return Ok(package.clone());
    };
    let name = source.split_once(" (").map_or(source, |(name, _)| name);
    Ok(name
        .parse()
        .map_err(|error| control.value_error("Source", error))?)
}

fn pool_file(name: FileName, digests: &Digests) -> PoolFile {
    PoolFile {
        name,
        size: digests.size,
        sha256: digests.sha256,
    }
}
