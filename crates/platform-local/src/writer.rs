//! The one writer: a thread that turns whatever is wanted at the moment into one transaction.
//!
//! While one commit waits for the disk, the next changes queue up; they then share one commit and
//! one fsync. Each runs in a savepoint of its own, so that a failing one takes no other with it.

use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use ports::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::sqlite;

/// Jobs that wait for the writer; callers beyond it wait for a place.
const WAITING: usize = 1_024;
/// Jobs in one transaction, so that the first of them is answered soon.
const BATCH: usize = 256;
/// Callers that were just answered come again about now: far less than one fsync, and it saves one.
const GATHER: Duration = Duration::from_micros(100);

/// Where jobs go in. Dropping it ends the thread after the jobs that are in.
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// The thread does `closed` when it has closed `connection`.
    pub(crate) fn start(
        connection: Connection,
        closed: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || {
                work(&connection, receiver);
                drop(connection);
                closed();
            })?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
        })
    }

    /// Runs `work` in a transaction. What it returns is durable, and `announce` has been told,
    /// when this returns; after an error nothing of it is written. Once it is under way it is
    /// finished even if the caller goes away.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
        announce: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = Task {
            operation: operation.to_owned(),
            stage: Stage::Wanted(work),
            announce,
            reply,
        };
        let closed = || Error::transient(operation, "the database is closed");
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(Box::new(job)).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported there, and every caller got an error.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A [`Task`] of any type.
trait Job: Send {
    /// Does it; whether its writes are to stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Takes note that its transaction came to nothing.
    fn fail(&mut self, cause: &rusqlite::Error);
    /// Tells the caller.
    fn answer(self: Box<Self>);
}

struct Task<T, W, A> {
    operation: String,
    stage: Stage<T, W>,
    announce: A,
    reply: oneshot::Sender<Result<T>>,
}

enum Stage<T, W> {
    Wanted(W),
    Done(Result<T>),
    Empty,
}

impl<T, W, A> Job for Task<T, W, A>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T> + Send,
    A: FnOnce(&T) + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Stage::Wanted(work) = std::mem::replace(&mut self.stage, Stage::Empty) else {
            return false;
        };
        let done = work(connection);
        let stays = done.is_ok();
        self.stage = Stage::Done(done);
        stays
    }

    fn fail(&mut self, cause: &rusqlite::Error) {
        // A job's own error says more than that of the transaction.
        if !matches!(self.stage, Stage::Done(Err(_))) {
            self.stage = Stage::Done(Err(sqlite(&self.operation, cause)));
        }
    }

    fn answer(self: Box<Self>) {
        let Stage::Done(done) = self.stage else {
            return;
        };
        if let Ok(done) = &done {
            (self.announce)(done);
        }
        // A caller that went away does not want it.
        let _ = self.reply.send(done);
    }
}

type Jobs = mpsc::Receiver<Box<dyn Job>>;

fn work(connection: &Connection, mut receiver: Jobs) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = 0;
    while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
        gather(&mut receiver, &mut batch, last);
        last = batch.len();
        if let Err(cause) = transact(connection, &mut batch) {
            if !connection.is_autocommit() {
                // It cannot fail in a way that matters: the next BEGIN would say so.
                let _ = connection.execute_batch("ROLLBACK");
            }
            for job in &mut batch {
                job.fail(&cause);
            }
        }
        for job in batch.drain(..) {
            job.answer();
        }
    }
}

/// Waits a little for as many jobs as the `last` batch had. A lone caller never waits here.
fn gather(receiver: &mut Jobs, batch: &mut Vec<Box<dyn Job>>, last: usize) {
    if batch.len() >= last {
        return;
    }
    std::thread::sleep(GATHER);
    while batch.len() < BATCH
        && let Ok(job) = receiver.try_recv()
    {
        batch.push(job);
    }
}

fn transact(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]);
    execute("BEGIN IMMEDIATE")?;
    for job in batch {
        execute("SAVEPOINT job")?;
        if !job.run(connection) {
            execute("ROLLBACK TO job")?;
        }
        execute("RELEASE job")?;
    }
    execute("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Database;
    use ports::Error;
    use rusqlite::Connection;

    fn insert(db: &Connection, sort: &str) {
        let sql = "INSERT INTO ledger VALUES ('p', ?1, 1, '')";
        db.execute(sql, [sort]).expect("insert a row");
    }

    fn sorts(db: &Connection) -> Vec<String> {
        let mut statement = db.prepare("SELECT sort FROM ledger").expect("prepare");
        let rows = statement.query_map([], |row| row.get(0)).expect("query");
        rows.map(|row| row.expect("read a row")).collect()
    }

    /// Three at once, so that they share a transaction; the one in the middle fails half way.
    #[tokio::test]
    async fn failing_job_takes_no_other_with_it() {
        let folder = tempfile::tempdir().expect("make a folder");
        let database = Database::open(folder.path()).expect("open");
        let good = |sort: &'static str| {
            let work = move |db: &Connection| {
                insert(db, sort);
                Ok(())
            };
            database.writer().write("write", work, |()| ())
        };
        let fails = |db: &Connection| {
            insert(db, "torn");
            Err::<(), _>(Error::corrupt("write", "half way"))
        };
        let bad = database.writer().write("write", fails, |()| ());
        let (first, torn, last) = tokio::join!(good("first"), bad, good("last"));
        first.expect("nothing is wrong with it");
        last.expect("nothing is wrong with it");
        assert_eq!(torn.expect_err("fails").to_string(), "write: half way");
        let seen = database.read("read", |db| Ok(sorts(db))).await;
        assert_eq!(seen.expect("read"), ["first", "last"]);
    }
}
