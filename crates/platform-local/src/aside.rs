//! Putting a database away that is not to be used any more.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::io;
use crate::lock::FolderLock;
use crate::{Error, folders};

/// The database, and what SQLite keeps beside it.
const FILES: [&str; 3] = ["millrace.db", JOURNAL, "millrace.db-shm"];
const JOURNAL: &str = "millrace.db-wal";

/// Where they are until all are there. Killed in between, the next run moves the rest to them, and until
/// then nobody opens a database without its journal.
const PART: &str = "set-aside.part";

/// Moves ledger and queues of the state folder `state` into a new folder `set-aside-<n>` in it. Artifacts
/// stay. `None`: there were none.
///
/// # Errors
/// If another process has the folder open, or the disk refuses.
pub fn set_aside(state: &Path) -> Result<Option<PathBuf>, Error> {
    folders::make(state)?;
    let _lock = FolderLock::take(state)?;
    let part = state.join(PART);
    if !part.exists() {
        if !FILES.iter().any(|name| state.join(name).exists()) {
            return Ok(None);
        }
        fs::create_dir(&part).map_err(io("create", &part))?;
    }
    move_all(state, &part)?;
    let place = free_name(state);
    fs::rename(&part, &place).map_err(io("move", &part))?;
    folders::sync(state)?;
    Ok(Some(place))
}

/// Undoes [`set_aside`], which answered `place`: what stands in `state` since then is removed. Killed in
/// between, it leaves the old ones in `place`, or what an interrupted [`set_aside`] leaves.
///
/// # Errors
/// If a process has the folder open, or the disk refuses.
pub fn put_back(state: &Path, place: &Path) -> Result<(), Error> {
    let _lock = FolderLock::take(state)?;
    let part = state.join(PART);
    remove_all(state)?;
    // From here on nobody opens a database until all is in its place. Not before: an interrupted move is
    // completed by moving what stands in `state` over what is in the folder.
    fs::rename(place, &part).map_err(io("move", place))?;
    move_all(&part, state)?;
    fs::remove_dir(&part).map_err(io("remove", &part))?;
    folders::sync(state)
}

/// Removes database and journal from `state`, which the caller has locked.
pub(crate) fn remove_all(state: &Path) -> Result<(), Error> {
    for name in FILES.iter().rev() {
        match fs::remove_file(state.join(name)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(io("remove", &state.join(name))(cause));
            }
            _ => {}
        }
    }
    folders::sync(state)
}

/// The journal in `state`, if its database is gone, or has nothing in it. SQLite would delete it.
pub(crate) fn lone_journal(state: &Path) -> Option<PathBuf> {
    let length = |name| fs::metadata(state.join(name)).map(|file| file.len()).ok();
    let is_lone = length(FILES[0]).is_none_or(|bytes| bytes == 0);
    (is_lone && length(JOURNAL).is_some()).then(|| state.join(JOURNAL))
}

/// The database last, so that no database ever stands beside another one's journal.
fn move_all(from: &Path, to: &Path) -> Result<(), Error> {
    for name in FILES.iter().rev() {
        match fs::rename(from.join(name), to.join(name)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(io("move", &from.join(name))(cause));
            }
            _ => {}
        }
    }
    folders::sync(to)
}

/// The folder of a database that is not put aside whole: its process was killed.
pub(crate) fn unfinished(state: &Path) -> Option<PathBuf> {
    let part = state.join(PART);
    part.exists().then_some(part)
}

/// Nobody else takes it: the state folder is locked.
fn free_name(state: &Path) -> PathBuf {
    let mut places = (1..).map(|n: u32| state.join(format!("set-aside-{n}")));
    places
        .find(|place| !place.exists())
        .expect("there is always a next number")
}
