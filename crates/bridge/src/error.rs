//! What can go wrong while the bridge is made. Each message reads after "failed to".

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no bridge. What was finished stays and is used by the next run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of the host is not there.
    #[error("run {program}: it is not installed; install it with: apt-get install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that carries it.
        package: &'static str,
    },

    /// A program of the host said no.
    #[error("{doing}: {program} answers {status}:\n{output}")]
    Command {
        /// What the program was to do, for a reader who does not know it.
        doing: String,
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },

    /// The mirror does not answer.
    #[error(
        "{doing}: the mirror that apt is configured with does not answer:\n{output}\n\
         Check the network and `apt-get update`, then run this again: it goes on where it stopped."
    )]
    Network {
        /// What was to be fetched.
        doing: String,
        /// What apt printed.
        output: String,
    },

    /// apt knows no Debian 12.
    #[error(
        "find Debian 12: no source in {} has suite `bookworm` and component `main`; \
         add one to a file in that directory, for example the line `deb MIRROR bookworm main`",
        .directory.display()
    )]
    NoSource {
        /// Where apt's configuration was read.
        directory: PathBuf,
    },

    /// Packages that were asked for do not exist.
    #[error("find {}: the mirror has no such package; leave it out of --include", .names.join(", "))]
    NoPackage {
        /// Their names.
        names: Vec<String>,
    },

    /// A .deb, control file or index that cannot be understood.
    #[error("read {what}: {reason}")]
    Malformed {
        /// Which object.
        what: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A package that cannot be said in RPM.
    #[error("convert {package}")]
    Convert {
        /// The Debian package.
        package: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },

    /// The RPM writer said no.
    #[error("write the RPM: {0}")]
    Rpm(#[from] rpm::Error),

    /// The signing key is unusable, or signing failed.
    #[error("sign with {}: {source}", .key.display())]
    Key {
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: openpgp::Error,
    },

    /// The file system said no.
    #[error("{doing} {}: {source}{}", .path.display(), hint(.source))]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error with its operation and object.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), reason: reason.into() }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; the bridge needs about 700 MB; free some space and run this again: it goes on where it stopped"
        }
        _ => "",
    }
}
