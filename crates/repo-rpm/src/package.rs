//! What a package says about itself.

use std::io::{BufReader, Read};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::deps::{self, Dependency};
use crate::digest::each_chunk;
use crate::head::Head;
use crate::header::Header;
use crate::tags::{header as tag, signature as sigtag};
use crate::{Error, Sha256};

/// `RPMFILE_GHOST` of rpm 4.18: owned by the package, not part of its payload.
const FILE_FLAG_GHOST: u64 = 1 << 6;
/// File type bits of a mode, and their values for directories and symbolic links (`stat(2)`).
const MODE_TYPE: u64 = 0o170_000;
const MODE_DIRECTORY: u64 = 0o040_000;
const MODE_SYMLINK: u64 = 0o120_000;
const MODE_REGULAR: u64 = 0o100_000;

/// Holds all of a small package, so that it takes one read.
const HEAD_BUFFER_BYTES: usize = 16 << 10;

/// All paths of a package together. A header shares directory names between files, so a small one could claim a
/// long name for each of a million files; the largest real packages stay below 40 MiB.
const MAX_PATH_BYTES: usize = 256 << 20;

/// The metadata of one package file. Strings are as in the header; what the header lacks is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Name without version.
    pub name: String,
    /// 0 where the package has none.
    pub epoch: u64,
    /// Upstream version.
    pub version: String,
    /// Release of the packaging.
    pub release: String,
    /// `x86_64`, `noarch`, …; `src` for source packages, whatever machine made them.
    pub arch: String,
    /// File name of the source package that it was built from; `None` if it is one.
    pub source_rpm: Option<String>,
    /// One line.
    pub summary: String,
    /// Some lines.
    pub description: String,
    /// License expression.
    pub license: String,
    /// Home page.
    pub url: String,
    /// Distribution that made it.
    pub vendor: String,
    /// Obsolete category.
    pub group: String,
    /// Who packaged it.
    pub packager: String,
    /// Machine that built it.
    pub build_host: String,
    /// Seconds since 1970.
    pub build_time: u64,
    /// What it offers, itself included.
    pub provides: Vec<Dependency>,
    /// What it needs; of a source package: its build requirements.
    pub requires: Vec<Dependency>,
    /// What must not be installed beside it.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// Weak forward dependency, installed by default.
    pub recommends: Vec<Dependency>,
    /// Weak forward hint.
    pub suggests: Vec<Dependency>,
    /// Weak backward dependency.
    pub supplements: Vec<Dependency>,
    /// Weak backward hint.
    pub enhances: Vec<Dependency>,
    /// Files in header order; of a source package: spec, sources and patches by bare name.
    pub files: Vec<File>,
    /// Newest first, as in the spec file.
    pub changelogs: Vec<Changelog>,
    /// `BuildArch` of a source package: the binary packages' architectures where they differ from the builder's.
    pub build_archs: Vec<String>,
    /// `ExclusiveArch`: the only architectures to build for; empty means all.
    pub exclusive_arch: Vec<String>,
    /// `ExcludeArch`: architectures not to build for.
    pub exclude_arch: Vec<String>,
    /// How large it is.
    pub sizes: Sizes,
    /// Where the header is in the file. Clients can fetch just this; the payload begins at its end.
    pub header_range: Range<u64>,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Who claims to have signed it.
    pub signed_by: SignedBy,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The package file.
    pub package: u64,
    /// Its files when installed.
    pub installed: u64,
    /// Its payload, uncompressed.
    pub archive: u64,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path; a bare name in source packages.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// `st_mode`, with type bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Target of a symbolic link, else empty.
    pub link_to: String,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Owned, but made at run time; not in the payload.
    Ghost,
    /// A device, socket or pipe.
    Special,
}

/// One changelog entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changelog {
    /// Seconds since 1970.
    pub time: u64,
    /// `Name <mail> - version`.
    pub author: String,
    /// What changed.
    pub text: String,
}

/// What the signature header holds. A claim: only [`crate::verify`] checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignedBy {
    /// No signature.
    Nobody,
    /// A signature that names this key: fingerprint, or key id if it names no fingerprint.
    Key(String),
    /// Something in the place of a signature that is none.
    Unreadable,
}

impl Package {
    /// Reads a package file to its end; the payload is only digested.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::TooLarge`] for what is no package, [`Error::Io`] if it cannot be read.
    pub fn read(reader: impl Read) -> Result<Self, Error> {
        let mut reader = BufReader::with_capacity(HEAD_BUFFER_BYTES, reader);
        let head = Head::read(&mut reader)?;
        let mut hasher = sha2::Sha256::new();
        hasher.update(head.bytes());
        let payload = each_chunk(reader, |chunk| hasher.update(chunk))?;
        let mut package = Self::from_head(&head)?;
        package.sizes.package = head.header_range().end + payload;
        package.sha256 = Sha256(hasher.finalize().into());
        Ok(package)
    }

    /// Everything but the size and digest of the file, which need the payload.
    pub(crate) fn from_head(head: &Head) -> Result<Self, Error> {
        let header = head.header()?;
        let signature = head.signature()?;
        let string = |tag| header.string(tag).unwrap_or_default().into_owned();
        let strings = |tag| header.strings(tag).map(|item| item.into_owned()).collect();
        let source_rpm = header.string(tag::SOURCE_RPM).map(|name| name.into_owned());
        let is_source = header.has(tag::SOURCE_PACKAGE) || source_rpm.is_none();
        Ok(Self {
            name: required(&header, tag::NAME, "name")?,
            epoch: header.number(tag::EPOCH).unwrap_or_default(),
            version: required(&header, tag::VERSION, "version")?,
            release: required(&header, tag::RELEASE, "release")?,
            arch: if is_source {
                "src".into()
            } else {
                required(&header, tag::ARCH, "architecture")?
            },
            source_rpm: source_rpm.filter(|_| !is_source),
            summary: string(tag::SUMMARY),
            description: string(tag::DESCRIPTION),
            license: string(tag::LICENSE),
            url: string(tag::URL),
            vendor: string(tag::VENDOR),
            group: string(tag::GROUP),
            packager: string(tag::PACKAGER),
            build_host: string(tag::BUILD_HOST),
            build_time: header.number(tag::BUILD_TIME).unwrap_or_default(),
            provides: deps::read(&header, tag::PROVIDES),
            requires: deps::read(&header, tag::REQUIRES),
            conflicts: deps::read(&header, tag::CONFLICTS),
            obsoletes: deps::read(&header, tag::OBSOLETES),
            recommends: deps::read(&header, tag::RECOMMENDS),
            suggests: deps::read(&header, tag::SUGGESTS),
            supplements: deps::read(&header, tag::SUPPLEMENTS),
            enhances: deps::read(&header, tag::ENHANCES),
            files: files(&header)?,
            changelogs: changelogs(&header),
            build_archs: strings(tag::BUILD_ARCHS),
            exclusive_arch: strings(tag::EXCLUSIVE_ARCH),
            exclude_arch: strings(tag::EXCLUDE_ARCH),
            sizes: Sizes {
                package: 0,
                installed: installed_size(&header),
                archive: archive_size(&header, &signature),
            },
            header_range: head.header_range(),
            sha256: Sha256([0; 32]),
            signed_by: signed_by(&signature),
        })
    }

    /// Whether it is a source package.
    #[must_use]
    pub fn is_source(&self) -> bool {
        self.source_rpm.is_none()
    }

    /// `[epoch:]version-release`, the epoch only where it is not 0.
    #[must_use]
    pub fn evr(&self) -> String {
        let Self {
            epoch,
            version,
            release,
            ..
        } = self;
        if *epoch == 0 {
            format!("{version}-{release}")
        } else {
            format!("{epoch}:{version}-{release}")
        }
    }

    /// `name-[epoch:]version-release.arch`.
    #[must_use]
    pub fn nevra(&self) -> String {
        format!("{}-{}.{}", self.name, self.evr(), self.arch)
    }

    /// `name-version-release.arch.rpm`: the name that rpmbuild gives the file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!(
            "{}-{}-{}.{}.rpm",
            self.name, self.version, self.release, self.arch
        )
    }
}

fn required(header: &Header<'_>, tag: u32, what: &str) -> Result<String, Error> {
    match header.string(tag) {
        Some(value) if !value.is_empty() => Ok(value.into_owned()),
        _ => Err(Error::malformed(format!("it has no {what}"))),
    }
}

fn files(header: &Header<'_>) -> Result<Vec<File>, Error> {
    let dirs: Vec<_> = header.strings(tag::DIR_NAMES).collect();
    let dir_indexes = header.numbers(tag::DIR_INDEXES);
    let with_dirs = header
        .strings(tag::BASE_NAMES)
        .zip(dir_indexes)
        .map(|(base, index)| {
            let dir = usize::try_from(index)
                .ok()
                .and_then(|index| dirs.get(index));
            (dir.map_or("", |dir| dir), base)
        });
    // rpm before 4.6 wrote whole paths into source packages.
    let old = header.strings(tag::OLD_FILE_NAMES).map(|path| ("", path));
    let mut modes = header.numbers(tag::FILE_MODES);
    let mut flags = header.numbers(tag::FILE_FLAGS);
    let mut sizes = header
        .numbers(tag::FILE_SIZES)
        .chain(header.numbers(tag::LONG_FILE_SIZES));
    let mut links = header.strings(tag::FILE_LINK_TOS);
    let mut files = Vec::new();
    let mut path_bytes = 0;
    for (dir, base) in with_dirs.chain(old) {
        path_bytes += dir.len() + base.len();
        if path_bytes > MAX_PATH_BYTES {
            let (found, limit) = (path_bytes as u64, MAX_PATH_BYTES as u64);
            return Err(Error::TooLarge {
                what: "length of all file names",
                found,
                limit,
            });
        }
        let mode = modes.next().unwrap_or_default();
        files.push(File {
            path: format!("{dir}{base}"),
            kind: file_kind(mode, flags.next().unwrap_or_default()),
            mode: u32::try_from(mode).unwrap_or_default(),
            size: sizes.next().unwrap_or_default(),
            link_to: links.next().unwrap_or_default().into_owned(),
        });
    }
    Ok(files)
}

fn file_kind(mode: u64, flags: u64) -> FileKind {
    match mode & MODE_TYPE {
        // A ghost directory is a directory to repodata and to dnf.
        MODE_DIRECTORY => FileKind::Directory,
        _ if flags & FILE_FLAG_GHOST != 0 => FileKind::Ghost,
        MODE_SYMLINK => FileKind::Symlink,
        // Source packages of old rpm versions carry no type bits.
        MODE_REGULAR | 0 => FileKind::Regular,
        _ => FileKind::Special,
    }
}

fn changelogs(header: &Header<'_>) -> Vec<Changelog> {
    let times = header.numbers(tag::CHANGELOG_TIME);
    let authors = header.strings(tag::CHANGELOG_NAME);
    let texts = header.strings(tag::CHANGELOG_TEXT);
    times
        .zip(authors)
        .zip(texts)
        .map(|((time, author), text)| Changelog {
            time,
            author: author.into_owned(),
            text: text.into_owned(),
        })
        .collect()
}

fn installed_size(header: &Header<'_>) -> u64 {
    header
        .number(tag::LONG_SIZE)
        .or_else(|| header.number(tag::SIZE))
        .unwrap_or_default()
}

fn archive_size(header: &Header<'_>, signature: &Header<'_>) -> u64 {
    let long = signature.number(sigtag::LONG_ARCHIVE_SIZE);
    let short = || signature.number(sigtag::PAYLOAD_SIZE);
    let old = || header.number(tag::ARCHIVE_SIZE);
    long.or_else(short).or_else(old).unwrap_or_default()
}

fn signed_by(signature: &Header<'_>) -> SignedBy {
    const TAGS: [u32; 5] = [
        sigtag::RSA,
        sigtag::DSA,
        sigtag::PGP,
        sigtag::GPG,
        sigtag::PGP5,
    ];
    let Some(tag) = TAGS.into_iter().find(|&tag| signature.has(tag)) else {
        return if signature.has(sigtag::OPENPGP) {
            SignedBy::Unreadable
        } else {
            SignedBy::Nobody
        };
    };
    let claimed = signature
        .binary(tag)
        .and_then(|packet| openpgp::SignatureInfo::claimed(packet).ok());
    claimed.map_or(SignedBy::Unreadable, |info| SignedBy::Key(info.fingerprint))
}
