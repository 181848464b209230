//! The SQLite file: how it is opened, what is in it, who reads and who writes.
//!
//! Ledger and queues share one file on purpose: what 32 callers want at one moment, rows and
//! messages alike, is then one transaction and one fsync, and two files would be two.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::Result;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::io;
use crate::lock::FolderLock;
use crate::turns::ASIDE;
use crate::writer::Writer;
use crate::{Error, aside, blocking, folders};

/// Version of the tables and of the JSON in them: `PRAGMA user_version`.
const FORMAT: i64 = STEPS.len() as i64;
const _: () = assert!(
    FORMAT == ledger::format::CURRENT as i64,
    "the tables and the JSON in them have one version"
);
/// `Mill`: tells our databases from others.
const APPLICATION: i64 = 0x4d69_6c6c;
/// Concurrent reads. More than the processors of a small machine buys nothing, and each has a cache.
const READERS: usize = 2;
/// Page cache of the writer and of each reader, in KiB. The kernel caches the file once more.
const CACHE_KIB: i64 = 2_048;
/// What the WAL file shrinks to after a checkpoint.
const WAL_BYTES: i64 = 8 << 20;
/// Statements kept prepared per connection: all there are.
const STATEMENTS: usize = 32;

/// What makes each version of the one before it; a new file goes through all. A step is never changed.
const STEPS: [&str; 2] = [TABLES, SHARES];

const TABLES: &str = "
CREATE TABLE ledger (
    partition TEXT NOT NULL,
    sort      TEXT NOT NULL,
    version   INTEGER NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT;

-- AUTOINCREMENT: an id is in receipts, so it must never name another message.
CREATE TABLE messages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT NOT NULL,
    due        INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    message    TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_due ON messages (queue, due);
";

/// Whose turn it is. Messages of before are nobody's, and of normal priority.
const SHARES: &str = "
ALTER TABLE messages ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_by_share ON messages (queue, priority, tenant, due);

CREATE TABLE turns (
    queue  TEXT NOT NULL,
    tenant TEXT NOT NULL,
    turn   INTEGER NOT NULL,
    PRIMARY KEY (queue, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_by_age ON turns (turn);
";

/// An open state database. Clones share it; dropping the last one closes it, and waits for that.
#[derive(Debug, Clone)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    // Dropped in this order: SQLite folds the WAL into the file when the last connection closes,
    // and the writer, whose thread also holds the lock, is that last one.
    readers: Arc<Readers>,
    writer: Writer,
    /// See [`Database::leave_as_found`].
    unwanted: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Database {
    /// Opens `millrace.db` in `folder`; makes both if they are not there.
    pub fn open(folder: &Path) -> std::result::Result<Self, Error> {
        folders::make(folder)?;
        let lock = FolderLock::take(folder)?;
        let path = folder.join("millrace.db");
        if let Some(aside) = aside::unfinished(folder) {
            return Err(Error::HalfAside { path, aside });
        }
        if let Some(journal) = aside::lone_journal(folder) {
            return Err(Error::LoneJournal { path, journal });
        }
        let is_new = !path.exists();
        let writing = connect_writer(&path)?;
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            idle.push(connect_reader(&path).map_err(sqlite(&path))?);
        }
        let readers = Readers {
            idle: Mutex::new(idle),
            permits: Arc::new(Semaphore::new(READERS)),
        };
        let unwanted = Arc::new(AtomicBool::new(false));
        let (folder, is_unwanted) = (folder.to_owned(), Arc::clone(&unwanted));
        let closed = move || {
            if is_new
                && is_unwanted.load(Ordering::Acquire)
                && let Err(error) = aside::remove_all(&folder)
            {
                tracing::warn!(%error, "an empty database stays");
            }
            drop(lock);
        };
        let writer = Writer::start(writing, closed).map_err(io("start the writer of", &path))?;
        Ok(Self(Arc::new(Shared {
            readers: Arc::new(readers),
            writer,
            unwanted,
        })))
    }

    /// Has the database removed when it is closed, if it was made by this [`Database::open`]: for a program
    /// that looked and does not go on.
    pub fn leave_as_found(&self) {
        self.0.unwanted.store(true, Ordering::Release);
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// Runs `work` on a connection that sees everything answered before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let readers = Arc::clone(&self.0.readers);
        let permit = Arc::clone(&readers.permits).acquire_owned().await;
        let permit = permit.map_err(|cause| ports::Error::transient(operation, cause))?;
        let lent = Lent::new(readers, permit);
        blocking::run(operation, move || work(lent.connection())).await
    }
}

impl Readers {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back to the others, however its work ends.
struct Lent {
    connection: Option<Connection>,
    readers: Arc<Readers>,
    // After the connection is back: who waits for a permit finds it.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn new(readers: Arc<Readers>, permit: OwnedSemaphorePermit) -> Self {
        let connection = readers.idle().pop();
        Self {
            connection,
            readers,
            _permit: permit,
        }
    }

    fn connection(&self) -> &Connection {
        let connection = self.connection.as_ref();
        connection.expect("there is a connection per permit")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.readers.idle().extend(self.connection.take());
    }
}

fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |cause| Error::of_sqlite(&path, cause)
}

fn connect_writer(path: &Path) -> std::result::Result<Connection, Error> {
    warm(path).map_err(io("read", path))?;
    let mut connection = Connection::open(path).map_err(sqlite(path))?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version").map_err(sqlite(path))?;
    let application = pragma("application_id").map_err(sqlite(path))?;
    let tables = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite(path))?;
    match (application, found, tables) {
        (0, 0, 0_i64) => create(&mut connection).map_err(sqlite(path))?,
        (APPLICATION, 1..=FORMAT, _) => upgrade(&mut connection, found).map_err(sqlite(path))?,
        (APPLICATION, found, _) if found > FORMAT => {
            return Err(Error::TooNew {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        _ => {
            return Err(Error::Foreign {
                path: path.to_owned(),
            });
        }
    }
    configure(&connection).map_err(sqlite(path))?;
    check(&connection, path)?;
    take_back(&connection).map_err(sqlite(path))?;
    Ok(connection)
}

/// Has the kernel read the file from front to back: [`check`] goes from page to page, which takes 4 s for
/// 100 MB on a disk that takes 0.2 s for this. Before the first connection: closing a file would take
/// this process's locks on it away.
fn warm(path: &Path) -> std::io::Result<()> {
    match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        file => std::io::copy(&mut file?, &mut std::io::sink()).map(drop),
    }
}

/// Reads the whole file (0.2 s for 100 MB in memory), so that damage is told of at the start and not again and again by every loop.
/// It finds pages that are not what SQLite wrote; a flipped letter in a row is found when the row is read.
fn check(connection: &Connection, path: &Path) -> std::result::Result<(), Error> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(sqlite(path))?;
    match found.as_str() {
        "ok" => Ok(()),
        found => Err(Error::damaged(path, found)),
    }
}

/// Makes messages due that nobody has. Those that could not be read: this program may be newer than the
/// one that put them aside; what it cannot read either is put aside once more. And those that were
/// delivered: whoever had them is gone, since the lock is ours. That they were delivered still counts, so
/// that one which kills its process does not come for ever. What was only delayed stays so.
fn take_back(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET due = 0 WHERE due = ?1 OR deliveries > 0";
    connection.execute(sql, [ASIDE]).map(drop)
}

/// WAL first, since it cannot be set in a transaction; then all tables or none.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    upgrade(connection, 0)
}

/// From version `found` to [`FORMAT`], all steps or none.
fn upgrade(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for (version, step) in (1..).zip(STEPS) {
        if version > found {
            transaction.execute_batch(step)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Not READ_ONLY: a reader of a WAL takes part in its shared memory file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Every commit reaches the disk before it is answered; in WAL mode NORMAL would not do that.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_commit_reaches_the_disk() {
        let folder = tempfile::tempdir().expect("make a folder");
        let database = Database::open(folder.path()).expect("open");
        let read = |db: &Connection| {
            let mode = db.pragma_query_value(None, "journal_mode", |row| row.get(0));
            let synchronous = db.pragma_query_value(None, "synchronous", |row| row.get(0));
            Ok((mode.expect("read"), synchronous.expect("read")))
        };
        let writer = database.writer().write("read pragmas", read, |_| ());
        let seen: (String, i64) = writer.await.expect("read");
        // 2 is FULL: https://sqlite.org/pragma.html#pragma_synchronous
        assert_eq!(seen, ("wal".to_owned(), 2));
    }
}
