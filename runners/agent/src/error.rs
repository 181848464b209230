//! What can go wrong on the runner's side, and how a role stops early.

use std::io;
use std::path::PathBuf;

use pipeline_spec::Sha256Digest;
use runner_api::{Failure, FailureKind, Outcome};

/// Characters of a message that travels to the control plane; the rest is in the log.
const MAX_MESSAGE_CHARS: usize = 4000;

/// Why the runner could not do its part. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the runner's own.
    #[error("{action} {}: {cause}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The object.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The control plane cannot be reached, or is in trouble itself.
    #[error("{call}: {reason}")]
    Unreachable {
        /// The call, as a verb and its object.
        call: String,
        /// What was seen last.
        reason: String,
    },
    /// The control plane refuses the call; sending it again changes nothing.
    #[error("{call}: the control plane answers {status}: {reason}")]
    Refused {
        /// The call, as a verb and its object.
        call: String,
        /// HTTP status.
        status: u16,
        /// Its own words.
        reason: String,
    },
    /// The store does not have a blob that the task names.
    #[error("fetch {name}: the store has no blob {sha256}")]
    Missing {
        /// The artifact's name.
        name: String,
        /// Its digest.
        sha256: Sha256Digest,
    },
    /// A blob is not what was recorded.
    #[error(
        "fetch {name}: {expected} was recorded, but the store sent {found}; it was tampered with or damaged"
    )]
    Tampered {
        /// The artifact's name.
        name: String,
        /// Size and digest as recorded.
        expected: String,
        /// Size and digest as found.
        found: String,
    },
    /// A name that is no plain file name.
    #[error(
        "use {0:?} as a file name: one part without '/' is expected, not '.' or '..', at most 255 bytes"
    )]
    BadName(String),
    /// The grant lacks the outputs of a task that the specification names.
    #[error("find the outputs of task {0} among the grant's inputs")]
    NoInput(String),
    /// The runner's configuration or identity cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The attempt was stopped.
    #[error("finish: the attempt was stopped")]
    Stopped,
}

impl Error {
    /// For `map_err`: names the action and the object.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io {
            action,
            path,
            cause,
        }
    }
}

/// Why a role stops before its end: an outcome that is not success, small enough for a `Result`.
#[derive(Debug)]
pub struct Halt(Box<Outcome>);

impl Halt {
    /// Our fault or the network's. Takes any error that reads after "failed to", and keeps its causes.
    pub fn infrastructure(error: impl std::error::Error) -> Self {
        Self::trouble(chain(&error))
    }

    /// The same, from a fragment that reads after "failed to".
    pub fn trouble(message: impl Into<String>) -> Self {
        Outcome::Infrastructure {
            message: bounded(message.into()),
        }
        .into()
    }

    /// The package's fault: a sentence for people that says what failed and what to do.
    pub fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Outcome::Failed {
            failure: Failure {
                kind,
                message: bounded(message.into()),
                excerpt: Vec::new(),
            },
            artifacts: Vec::new(),
        }
        .into()
    }
}

impl From<Outcome> for Halt {
    fn from(outcome: Outcome) -> Self {
        Self(Box::new(outcome))
    }
}

impl From<Halt> for Outcome {
    fn from(halt: Halt) -> Self {
        *halt.0
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::infrastructure(error)
    }
}

/// An error and its causes in one line. A cause that its parent already quotes is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

pub(crate) fn bounded(text: String) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
