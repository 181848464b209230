//! Putting a database away that is not to be used any more.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::io;
use crate::lock::FolderLock;
use crate::{Error, folders};

/// The database, and what SQLite keeps beside it.
const FILES: [&str; 3] = ["millrace.db", "millrace.db-wal", "millrace.db-shm"];

/// Moves ledger and queues of the state folder `state` into a new folder `set-aside-<n>` in it. Artifacts
/// stay. `None`: there were none.
///
/// # Errors
/// If another process has the folder open, or the disk refuses.
pub fn set_aside(state: &Path) -> Result<Option<PathBuf>, Error> {
    folders::make(state)?;
    let _lock = FolderLock::take(state)?;
    if !FILES.iter().any(|name| state.join(name).exists()) {
        return Ok(None);
    }
    let place = match half(state) {
        Some(place) => place,
        None => new_folder(state)?,
    };
    // The database last: killed in between, the next run moves it to the rest, and until then nobody
    // opens it without its journal.
    for name in FILES.iter().rev() {
        match fs::rename(state.join(name), place.join(name)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(io("move", &state.join(name))(cause));
            }
            _ => {}
        }
    }
    folders::sync(&place)?;
    folders::sync(state)?;
    Ok(Some(place))
}

/// The folder that has the journal of the database which is still in `state`.
pub(crate) fn half(state: &Path) -> Option<PathBuf> {
    let [database, journals @ ..] = &FILES;
    if !state.join(database).exists() {
        return None;
    }
    (1..)
        .map(|n| folder(state, n))
        .take_while(|place| place.exists())
        .find(|place| {
            let has = |name: &&str| place.join(name).exists();
            journals.iter().any(has) && !place.join(database).exists()
        })
}

fn folder(state: &Path, n: u32) -> PathBuf {
    state.join(format!("set-aside-{n}"))
}

fn new_folder(state: &Path) -> Result<PathBuf, Error> {
    let mut n = 1;
    loop {
        let place = folder(state, n);
        match fs::create_dir(&place) {
            Ok(()) => return Ok(place),
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => n += 1,
            Err(cause) => return Err(io("create", &place)(cause)),
        }
    }
}
