//! What can go wrong on our side. A build that fails is no error: see [`crate::Ended`].

use std::io;
use std::path::PathBuf;

/// Why a sandbox could not do its part. Reads after "failed to". All variants are infrastructure errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the sandbox's own state.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The object.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A host program did not start.
    #[error("start {program} (Debian package {package})")]
    Program {
        /// The program's name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The helper is not where it should be.
    #[error(
        "find the helper millrace-sandbox-init (looked at {}); install it beside the runner, or in a checkout run: cargo build -p sandbox",
        looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoHelper {
        /// Every place that was tried.
        looked_at: Vec<PathBuf>,
    },
    /// The helper refused or failed; the text names the system call's object and cause.
    #[error("{step}: {reason}")]
    Helper {
        /// What the helper was asked for.
        step: &'static str,
        /// Its own words.
        reason: String,
    },
    /// The room could not be set up, so the command never started.
    #[error("set up the sandbox for {program}: {reason}")]
    Setup {
        /// The program that did not get to run.
        program: String,
        /// The last words of bwrap or of the supervisor.
        reason: String,
    },
    /// The host lacks something that no fallback covers.
    #[error("use this host as a sandbox: {reason}")]
    Unsupported {
        /// What is missing and what to do, for people.
        reason: String,
    },
    /// A key that cannot be a file name.
    #[error(
        "use {key:?} as a root's key: it must be 1 to 128 of a-z, A-Z, 0-9, '.', '_', '-', '+' and not begin with '.'"
    )]
    BadKey {
        /// The key as given.
        key: String,
    },
    /// A file inside the workspace is not what the caller asked for.
    #[error("read {path} in the workspace: {reason}")]
    Inside {
        /// The path inside the workspace.
        path: String,
        /// Missing, not a regular file, larger than allowed.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: names the action and the object.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
