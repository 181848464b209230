//! Queues in SQLite, with waits that end the moment a message is there.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Message, Millis, QueueName};
use ports::{Delivery, Error, Place, Result, TaskQueue};
use rusqlite::{Connection, params};
use tokio::sync::{Notify, futures::Notified};
use tokio::time::Instant;

use crate::error::sqlite;
use crate::turns::{ASIDE, Take, insert};
use crate::{Database, SharedClock};

/// Longest wait of one `receive`; a timer further away than this is never needed.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Messages in one table, by queue, priority, tenant and the time they are due.
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
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        let operation = format!("send a message to queue {queue}");
        let json = serde_json::to_string(message)
            .map_err(|cause| Error::corrupt(operation.as_str(), cause))?;
        let bell = self.bell(queue);
        let (name, place) = (queue.clone(), place.clone());
        let context = operation.clone();
        let insert = move |db: &Connection| {
            insert(db, &name, &json, &place).map_err(|cause| sqlite(&context, &cause))
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
                queues: queues.iter().cloned().collect(),
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
