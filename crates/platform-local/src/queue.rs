//! Queues in SQLite, with waits that end the moment a message is there.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Message, Millis, QueueName};
use ports::{Delivery, Error, Result, TaskQueue};
use rusqlite::{Connection, params};
use tokio::sync::{Notify, futures::Notified};
use tokio::time::Instant;

use crate::error::sqlite;
use crate::{Database, SharedClock};

/// Where a message goes that cannot be read: never due, kept for a person to look at.
const ASIDE: Millis = Millis::MAX;
/// Longest wait of one `receive`; a timer further away than this is never needed.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Messages in one table, by queue and the time they are due.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: SharedClock,
    bells: Arc<Mutex<HashMap<QueueName, Arc<Notify>>>>,
}

impl SqliteQueue {
    /// The queues in `database`; delays and hiding follow `clock`. There must be only one, since
    /// the waits of one do not hear of what is sent through another.
    pub fn new(database: Database, clock: SharedClock) -> Self {
        Self {
            database,
            clock,
            bells: Arc::default(),
        }
    }

    /// Rung when a message for `queue` is durable.
    fn bell(&self, queue: &QueueName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(queue.clone()).or_default())
    }
}

impl std::fmt::Debug for SqliteQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteQueue").finish_non_exhaustive()
    }
}

impl TaskQueue for SqliteQueue {
    async fn send(&self, queue: &QueueName, message: &Message, not_before: Millis) -> Result<()> {
        let operation = format!("send a message to queue {queue}");
        let json = serde_json::to_string(message)
            .map_err(|cause| Error::corrupt(operation.as_str(), cause))?;
        let bell = self.bell(queue);
        let name = queue.clone();
        let context = operation.clone();
        let insert = move |db: &Connection| {
            insert(db, &name, &json, not_before).map_err(|cause| sqlite(&context, &cause))
        };
        // Rung by the writer: the sender may be gone by the time its message is durable.
        let writer = self.database.writer();
        let ring = move |(): &()| bell.notify_waiters();
        writer.write(&operation, insert, ring).await
    }

    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let end = Instant::now() + wait.min(MAX_WAIT);
        let bells: Vec<_> = queues.iter().map(|queue| self.bell(queue)).collect();
        let hide = Millis::try_from(visibility.as_millis()).unwrap_or(Millis::MAX);
        loop {
            // Listening begins before looking, so that nothing sent in between is missed.
            let mut rings: Vec<_> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
            for ring in &mut rings {
                ring.as_mut().enable();
            }
            let now = self.clock.now();
            let take = Take {
                queues: queues.to_vec(),
                limit,
                now,
                // Just before ASIDE, so that no visibility sets a message aside.
                until: now.saturating_add(hide).min(ASIDE - 1),
            };
            let operation = "receive messages";
            let work =
                move |db: &Connection| take.run(db).map_err(|cause| sqlite(operation, &cause));
            let writer = self.database.writer();
            let taken = writer.write(operation, work, |_| ()).await?;
            if !taken.deliveries.is_empty() || Instant::now() >= end {
                return Ok(taken.deliveries);
            }
            let due = taken.next_due.map(|due| {
                let left = due.saturating_sub(self.clock.now()).max(0);
                Instant::now() + Duration::from_millis(left.unsigned_abs()).min(MAX_WAIT)
            });
            let wake = due.map_or(end, |due| due.min(end));
            tokio::select! {
                () = any(&mut rings) => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// A receipt of an earlier delivery removes nothing: somebody else has the message now.
    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        let operation = "acknowledge a message";
        let parsed = receipt
            .split_once(' ')
            .and_then(|(id, deliveries)| Some((id.parse().ok()?, deliveries.parse().ok()?)));
        let Some((id, deliveries)): Option<(i64, u32)> = parsed else {
            let cause = format!("{receipt:?} is no receipt");
            return Err(Error::corrupt(operation, cause));
        };
        let work = move |db: &Connection| {
            delete(db, id, deliveries).map_err(|cause| sqlite(operation, &cause))
        };
        self.database.writer().write(operation, work, |()| ()).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        let operation = format!("read the depth of queue {queue}");
        let context = operation.clone();
        let queue = queue.clone();
        let work =
            move |db: &Connection| depth(db, &queue).map_err(|cause| sqlite(&context, &cause));
        self.database.read(&operation, work).await
    }
}

/// Ends with the first of `rings`; never, if there is none.
async fn any(rings: &mut [Pin<Box<Notified<'_>>>]) {
    std::future::poll_fn(|context| {
        use std::task::Poll;
        let rung = rings
            .iter_mut()
            .any(|ring| ring.as_mut().poll(context).is_ready());
        if rung { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn insert(db: &Connection, queue: &QueueName, json: &str, due: Millis) -> rusqlite::Result<()> {
    let sql = "INSERT INTO messages (queue, due, deliveries, message) VALUES (?1, ?2, 0, ?3)";
    let due = due.min(ASIDE - 1);
    db.prepare_cached(sql)?
        .execute(params![queue.as_str(), due, json])?;
    Ok(())
}

fn delete(db: &Connection, id: i64, deliveries: u32) -> rusqlite::Result<()> {
    let sql = "DELETE FROM messages WHERE id = ?1 AND deliveries = ?2";
    db.prepare_cached(sql)?.execute(params![id, deliveries])?;
    Ok(())
}

fn depth(db: &Connection, queue: &QueueName) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM messages WHERE queue = ?1 AND due < ?2";
    db.prepare_cached(sql)?
        .query_row(params![queue.as_str(), ASIDE], |row| row.get(0))
}

struct Take {
    queues: Vec<QueueName>,
    limit: usize,
    now: Millis,
    until: Millis,
}

struct Taken {
    deliveries: Vec<Delivery>,
    /// When there is nothing now: when there will be, as far as is known.
    next_due: Option<Millis>,
}

struct Candidate {
    due: Millis,
    id: i64,
    queue: QueueName,
    deliveries: u32,
    json: String,
}

impl Take {
    fn run(&self, db: &Connection) -> rusqlite::Result<Taken> {
        let mut candidates = Vec::new();
        for queue in &self.queues {
            candidates.extend(self.candidates(db, queue)?);
        }
        // The oldest of all queues first, so that a full one does not starve another.
        candidates.sort_by_key(|candidate| (candidate.due, candidate.id));
        candidates.dedup_by_key(|candidate| candidate.id);
        let mut deliveries = Vec::new();
        for candidate in candidates.into_iter().take(self.limit) {
            deliveries.extend(self.deliver(db, candidate)?);
        }
        let next_due = if deliveries.is_empty() {
            self.next_due(db)?
        } else {
            None
        };
        Ok(Taken {
            deliveries,
            next_due,
        })
    }

    fn candidates(&self, db: &Connection, queue: &QueueName) -> rusqlite::Result<Vec<Candidate>> {
        let sql = "SELECT due, id, deliveries, message FROM messages \
                   WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3";
        let mut statement = db.prepare_cached(sql)?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![queue.as_str(), self.now, limit], |row| {
            Ok(Candidate {
                due: row.get(0)?,
                id: row.get(1)?,
                queue: queue.clone(),
                deliveries: row.get(2)?,
                json: row.get(3)?,
            })
        })?;
        rows.collect()
    }

    fn deliver(&self, db: &Connection, found: Candidate) -> rusqlite::Result<Option<Delivery>> {
        let sql = "UPDATE messages SET due = ?2, deliveries = ?3 WHERE id = ?1";
        let mut update = db.prepare_cached(sql)?;
        let id = found.id;
        let message = match serde_json::from_str(&found.json) {
            Ok(message) => message,
            Err(cause) => {
                // The ledger knows what the message was about, and sweep sends another.
                let queue = found.queue.as_str();
                tracing::error!(queue, id, %cause, "an unreadable message is set aside");
                update.execute(params![id, ASIDE, found.deliveries])?;
                return Ok(None);
            }
        };
        let deliveries = found.deliveries.saturating_add(1);
        update.execute(params![id, self.until, deliveries])?;
        Ok(Some(Delivery {
            queue: found.queue,
            message,
            receipt: format!("{id} {deliveries}"),
            deliveries,
        }))
    }

    fn next_due(&self, db: &Connection) -> rusqlite::Result<Option<Millis>> {
        let sql = "SELECT min(due) FROM messages WHERE queue = ?1 AND due < ?2";
        let mut statement = db.prepare_cached(sql)?;
        let mut next = None;
        for queue in &self.queues {
            let due: Option<Millis> =
                statement.query_row(params![queue.as_str(), ASIDE], |row| row.get(0))?;
            next = next.into_iter().chain(due).min();
        }
        Ok(next)
    }
}
