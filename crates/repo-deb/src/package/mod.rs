//! Reads `.deb` and `.udeb` files (deb(5)): control fields, digests and, if asked, the list of files.
//!
//! Callers: fragments for the indexes, the test role (which files must be there), the signer (does the file match).
//! The bytes are a stranger's: everything is bounded by the constants here, nothing panics, and the file is
//! streamed, so that memory does not grow with it.

mod ar;
mod listing;

use std::io::{self, Read};

use crate::deb822::{self, Dialect, Paragraph};
use crate::digest::{DigestRead, Digests};

pub use listing::{FileEntry, FileKind, MAX_FILES, MAX_LIST_BYTES, MAX_PATH_BYTES};

/// Longest `control` file in bytes. The longest real ones (Rust crates with thousands of `Provides`) have 200 KiB.
pub const MAX_CONTROL_BYTES: u64 = 4 << 20;
/// Most bytes `control.tar` may unpack to, scripts and `md5sums` included.
pub const MAX_CONTROL_TAR_BYTES: u64 = 64 << 20;
/// Most bytes `data.tar` may unpack to when its files are listed: about ten times the largest package in Debian.
pub const MAX_DATA_TAR_BYTES: u64 = 32 << 30;

/// Why a file cannot be read as a package. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read, or its compressed data are broken.
    #[error("read {part}")]
    Io {
        /// The part of the package, `control.tar`.
        part: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The outer archive is not the one deb(5) describes.
    #[error("read the package: {0}")]
    Layout(String),
    /// A part is larger than its limit here.
    #[error("read {part}: it holds more than {limit}, which no sound package does")]
    TooLarge {
        /// The part of the package.
        part: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// A member of an inner archive that must not be there.
    #[error("read {part}: {problem}")]
    Member {
        /// The part of the package.
        part: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The control file has a mistake.
    #[error("read the package's control file")]
    Control(#[from] deb822::Error),
}

/// Whether the list of files is wanted. Listing means unpacking `data.tar`, which takes longer than all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Leave `data.tar` packed; only its bytes are digested.
    Skip,
    /// Unpack it and list its files.
    List,
}

/// A binary package as far as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The paragraph of the control file.
    pub control: Paragraph,
    /// Size and digests of the whole file.
    pub digests: Digests,
    /// The files it installs, in the order of the archive; empty if not asked for.
    pub files: Vec<FileEntry>,
}

/// Reads one package to the end of `reader`.
///
/// # Errors
/// See [`Error`]; the reader's position is then unspecified.
pub fn read(reader: impl Read, contents: Contents) -> Result<Package, Error> {
    let mut archive = ar::Archive::open(DigestRead::new(reader))?;
    let version = archive.expect_member("debian-binary")?;
    check_format_version(version)?;
    let control = archive.expect_member("control.tar")?;
    let control = listing::control_file(control)?;
    let control = deb822::parse_one(&control, Dialect::Machine)?;
    let data = archive.expect_member("data.tar")?;
    let files = match contents {
        Contents::Skip => Vec::new(),
        Contents::List => listing::files(data)?,
    };
    let digests = archive.close()?.finish();
    Ok(Package {
        control,
        digests,
        files,
    })
}

fn check_format_version(mut member: ar::Member<'_, impl Read>) -> Result<(), Error> {
    // "2.0\n" today; deb(5) lets minor versions and further lines be added.
    let mut text = Vec::new();
    let part = "debian-binary";
    (&mut member.body)
        .take(64)
        .read_to_end(&mut text)
        .map_err(|source| Error::Io { part, source })?;
    match text.starts_with(b"2.") {
        true => Ok(()),
        false => Err(Error::Layout(format!(
            "format version {:?}, only 2.x is known",
            String::from_utf8_lossy(&text).trim_end()
        ))),
    }
}

#[cfg(test)]
mod tests;
