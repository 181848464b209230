//! Why a state folder cannot be opened.

use std::io;
use std::path::{Path, PathBuf};

/// What [`crate::LocalPlatform::open`] fails with. What fails later is a [`ports::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("open {path}: process {holder} uses it; stop that process, or choose another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process id, or what could be learned of it.
        holder: String,
    },
    /// Written by a program that is newer than this one.
    #[error(
        "open {path}: its format is {found}, and this program knows {known}; \
         start the newer program that wrote it"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What this program writes.
        known: i64,
    },
    /// A database of some other program.
    #[error("open {path}: it is a database, but not one of Millrace")]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The database's bytes are not what SQLite wrote.
    #[error(
        "open {path}: the file is damaged: {found}. Rebuild it with `millrace recover --replace`; or \
         move it and {path}-wal and {path}-shm away, put a backup in its place, and start again"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found first, in one line.
        found: String,
    },
    /// A process ended while it put the database aside.
    #[error(
        "open {path}: its last changes are in {aside}, where an interrupted `millrace recover --replace` \
         put them; run `millrace recover --replace` again"
    )]
    HalfAside {
        /// The database.
        path: PathBuf,
        /// The folder.
        aside: PathBuf,
    },
    /// A journal without its database.
    #[error(
        "open {path}: it is not there, and its last changes are, in {journal}, which another database would \
         delete. Bring {path} back beside it, if you have it; else `millrace recover --replace` puts the \
         journal aside and rebuilds the ledger"
    )]
    LoneJournal {
        /// The database.
        path: PathBuf,
        /// What SQLite had written beside it.
        journal: PathBuf,
    },
    /// The file system says no.
    #[error("{operation} {path}: {cause}")]
    Io {
        /// Reads after "failed to".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What was said. The text above has it: as a source too, people would read it twice.
        cause: io::Error,
    },
    /// SQLite says no.
    #[error("open {path}: {cause}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was said; as above.
        cause: rusqlite::Error,
    },
}

impl Error {
    /// What SQLite says while it opens `path`.
    pub(crate) fn of_sqlite(path: &Path, cause: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match cause.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::damaged(path, &cause.to_string()),
            _ => Self::Sqlite {
                path: path.to_owned(),
                cause,
            },
        }
    }

    /// `path` is damaged; `found` may have several lines.
    pub(crate) fn damaged(path: &Path, found: &str) -> Self {
        let words: Vec<&str> = found.split_whitespace().collect();
        Self::Damaged {
            path: path.to_owned(),
            found: words.join(" "),
        }
    }
}

/// Turns an [`io::Error`] into an error of `operation` on `path`.
pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Io {
        operation,
        path: path.to_owned(),
        cause,
    }
}

/// A port's error out of what SQLite says: damage is an alarm, the rest may pass.
pub(crate) fn sqlite(operation: &str, cause: &rusqlite::Error) -> ports::Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match cause.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => ports::Error::corrupt(operation, cause),
        Some(DiskFull) => ports::Error::transient(
            operation,
            "the disk that holds the state folder is full; free some space, and it goes on",
        ),
        _ => ports::Error::transient(operation, cause),
    }
}
