//! What goes wrong, by whose hand, in words for the person who reads it.

use std::path::PathBuf;

use crate::{CommitId, ObjectId};

/// Who can mend an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The person who wrote the address, the ref or the files.
    User,
    /// Nobody here: the same call may succeed later, when the network, the server or a full disk is well again.
    Transient,
    /// Nobody soon: stored data is broken, or a server does not speak git.
    Broken,
}

/// A failure; the text reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that is not used as given.
    #[error("use the repository address {url:?}: {reason}")]
    Address {
        /// As given, without a password.
        url: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// A branch, ref or path name git does not allow.
    #[error("use the name {name:?}: {reason}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing there, or something that is not a git repository.
    #[error("find a git repository at {url}: {reason}")]
    RepositoryMissing {
        /// Where.
        url: String,
        /// What was found instead.
        reason: String,
    },
    /// The server wants a login, or another one.
    #[error("read {url}: {reason}")]
    AccessDenied {
        /// Where.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The repository has no such branch or tag.
    #[error("find {name:?} in {url}: no branch or tag has this name")]
    RefMissing {
        /// Where.
        url: String,
        /// As asked for.
        name: String,
    },
    /// A short name that means two things.
    #[error("choose {name:?} in {url}: {} are different commits; write one of them in full", candidates.join(" and "))]
    RefAmbiguous {
        /// Where.
        url: String,
        /// As asked for.
        name: String,
        /// Full names of what it could be.
        candidates: Vec<String>,
    },
    /// The connection, the name lookup or the server failed.
    #[error("talk to {url}: {reason}")]
    Network {
        /// To whom.
        url: String,
        /// The chain of causes, scrubbed.
        reason: String,
    },
    /// The server answers, and what it says is not used.
    #[error("use the answer of {url}: {reason}")]
    Server {
        /// Whose.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refuses the push, though the branch did not move: a hook or a protection.
    #[error("push {branch} to {url}: the server refuses it: {reason}")]
    Refused {
        /// Where.
        url: String,
        /// The full name of the branch.
        branch: String,
        /// The server's words.
        reason: String,
    },
    /// More than the caller or this crate allows.
    #[error("{operation}: it has more than the {limit} {unit} that are allowed")]
    Limit {
        /// Reads after "failed to".
        operation: String,
        /// How many.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A commit that a stranger may have made, and that is too large to be fetched.
    #[error(
        "fetch commit {commit}: it brings more than the {limit} bytes that are allowed; take what is large out of it"
    )]
    TooLarge {
        /// Which.
        commit: CommitId,
        /// How many bytes one object of it may have, or all that is sent.
        limit: u64,
    },
    /// The server began to send objects, and says that it cannot go on.
    #[error("fetch from {url}: the server gives up and says: {reason}")]
    GaveUp {
        /// Which.
        url: String,
        /// The server's words, scrubbed.
        reason: String,
    },
    /// An object is not in the repository.
    #[error("find object {id} in {repository}: it is not there")]
    ObjectMissing {
        /// Which.
        id: ObjectId,
        /// Where.
        repository: PathBuf,
    },
    /// A path that is a link, a submodule or a directory where a file was asked for.
    #[error("read {path} of commit {commit}: it is {what}, not a file")]
    NotAFile {
        /// Which.
        path: String,
        /// Where.
        commit: CommitId,
        /// What it is.
        what: &'static str,
    },
    /// A tree that is not written to a directory.
    #[error("check out {path:?} of commit {commit}: {reason}")]
    Checkout {
        /// The entry's path.
        path: String,
        /// Whose.
        commit: CommitId,
        /// Why not.
        reason: String,
    },
    /// Stored or received data that git would not write.
    #[error("{operation}: {reason}")]
    Corrupt {
        /// Reads after "failed to".
        operation: String,
        /// What is wrong.
        reason: String,
    },
    /// The file system.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Reads after "failed to".
        operation: &'static str,
        /// What file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Another process holds a branch's lock.
    #[error("lock {}: another process holds it; if none does, it is taken over after a minute", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl Error {
    /// Who can mend it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Address { .. }
            | Self::Name { .. }
            | Self::RepositoryMissing { .. }
            | Self::AccessDenied { .. }
            | Self::RefMissing { .. }
            | Self::RefAmbiguous { .. }
            | Self::Refused { .. }
            | Self::Limit { .. }
            | Self::TooLarge { .. }
            | Self::NotAFile { .. }
            | Self::Checkout { .. } => Class::User,
            // It may be short of memory.
            Self::Network { .. } | Self::GaveUp { .. } | Self::Locked { .. } | Self::Io { .. } => {
                Class::Transient
            }
            Self::Server { .. } | Self::ObjectMissing { .. } | Self::Corrupt { .. } => {
                Class::Broken
            }
        }
    }

    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    /// What `gix` says while it reads or writes objects.
    pub(crate) fn corrupt(operation: impl Into<String>) -> impl FnOnce(gix::Error) -> Self {
        let operation = operation.into();
        move |error| Self::Corrupt {
            operation,
            reason: describe(&error),
        }
    }
}

/// Longest text taken over from other people's errors, in characters.
const MAX_REASON: usize = 600;

/// An error and its causes in one line, without repetition and control characters.
pub(crate) fn describe(error: &gix::Error) -> String {
    let mut text = String::new();
    for part in error.iter_errors().map(ToString::to_string) {
        if part.is_empty() || text.contains(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    printable(&text)
}

/// One line that is safe to print.
pub(crate) fn printable(text: &str) -> String {
    let mut out: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_REASON)
        .collect();
    if text.chars().count() > MAX_REASON {
        out.push('…');
    }
    out.trim().to_owned()
}
