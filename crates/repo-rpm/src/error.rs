use std::io;

use thiserror::Error as ThisError;

use crate::Sha256;

/// Why a package or repository could not be read, signed or written. Fragments that read after "failed to".
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a package, or a broken one.
    #[error("read the package: {reason}")]
    Malformed {
        /// What is wrong with it, in rpm's words where rpm has some.
        reason: String,
    },

    /// The package asks for more memory or time than any real one.
    #[error("read the package: {what} is {found}, the limit is {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// What the package says.
        found: u64,
        /// What is accepted.
        limit: u64,
    },

    /// The reader or the file system failed.
    #[error("{what}")]
    Io {
        /// Operation and object.
        what: String,
        /// What the system said.
        source: io::Error,
    },

    /// A package of this kind cannot be signed so that clients see it.
    #[error("sign the package: {reason}")]
    Unsignable {
        /// Why, and what to do.
        reason: String,
    },

    /// The key could not sign.
    #[error("sign the package")]
    Key(#[from] openpgp::Error),

    /// A path that clients would not look up below the repository.
    #[error("publish {location:?}: a location is relative, without `.`, `..` or empty parts")]
    Location {
        /// The path as given.
        location: String,
    },

    /// Two packages want the same path, or one package is listed twice.
    #[error("publish {first} and {second}: same {what}; list each package once")]
    Duplicate {
        /// What is the same: "location" or "package".
        what: &'static str,
        /// Path of the first one.
        first: String,
        /// Path of the other one.
        second: String,
    },

    /// The fragment of a listed package could not be had.
    #[error("publish {location}: no metadata for package {sha256}")]
    Fragment {
        /// Path of the package in the repository.
        location: String,
        /// Digest of the package file.
        sha256: Sha256,
        /// What the source of fragments said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed {
            reason: reason.into(),
        }
    }
}
