//! Which messages go out next. Callers: the queue, inside of the writer's transaction.
//!
//! A *lane* is what one tenant has of one priority in one queue. Lanes are found by leaps through an
//! index, so that a take costs the same whether a lane holds one message or a hundred thousand.

use std::collections::BTreeSet;

use ledger::{Millis, QueueName, Share, Tenant};
use pipeline_spec::Priority;
use ports::{Delivery, Place};
use rusqlite::{Connection, OptionalExtension, params};

/// Where a message goes that cannot be read: not due until the database is opened again, perhaps by a newer
/// program.
pub(crate) const ASIDE: Millis = Millis::MAX;

/// Turns that are remembered: a tenant that was not served since so many is as good as new, since all
/// others were served after him.
const TURNS_KEPT: i64 = 100_000;

/// Ranks of all priorities.
const RANKS: [i64; 3] = [0, 1, 2];

// Not a comparison of pairs of priority and tenant: SQLite would use the index for the first alone.
const NEXT_TENANT: &str = "SELECT tenant FROM messages \
     WHERE queue = ?1 AND priority = ?2 AND tenant > ?3 ORDER BY tenant LIMIT 1";
const FIRST: &str = "SELECT due, id, deliveries, message FROM messages \
     WHERE queue = ?1 AND priority = ?2 AND tenant = ?3 AND due <= ?4 ORDER BY due, id LIMIT 1";
const TURN: &str = "SELECT turn FROM turns WHERE queue = ?1 AND tenant = ?2";
const NEXT_TURN: &str = "SELECT coalesce(max(turn), 0) + 1 FROM turns";

pub(crate) fn insert(
    db: &Connection,
    queue: &QueueName,
    json: &str,
    place: &Place,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO messages (queue, priority, tenant, due, deliveries, message) \
               VALUES (?1, ?2, ?3, ?4, 0, ?5)";
    let due = place.not_before.min(ASIDE - 1);
    let (rank, tenant) = (rank(place.share.priority), place.share.tenant.as_str());
    db.prepare_cached(sql)?
        .execute(params![queue.as_str(), rank, tenant, due, json])?;
    Ok(())
}

/// As it is stored: what goes first has the smallest.
fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Urgent => 0,
        Priority::Normal => 1,
        Priority::Background => 2,
    }
}

fn priority(rank: i64) -> Priority {
    match rank {
        0 => Priority::Urgent,
        1 => Priority::Normal,
        _ => Priority::Background,
    }
}

pub(crate) struct Take {
    pub(crate) queues: BTreeSet<QueueName>,
    pub(crate) limit: usize,
    pub(crate) now: Millis,
    pub(crate) until: Millis,
}

pub(crate) struct Taken {
    pub(crate) deliveries: Vec<Delivery>,
    /// When there is nothing now: when there will be, as far as is known.
    pub(crate) next_due: Option<Millis>,
}

/// A lane with something due.
struct Lane<'a> {
    queue: &'a QueueName,
    rank: i64,
    tenant: String,
    /// When the tenant was served last in this queue.
    turn: Option<i64>,
    first: Waiting,
}

struct Waiting {
    due: Millis,
    id: i64,
    deliveries: u32,
    json: String,
}

impl Take {
    pub(crate) fn run(&self, db: &Connection) -> rusqlite::Result<Taken> {
        let mut lanes = Vec::new();
        for queue in &self.queues {
            self.lanes(db, queue, &mut lanes)?;
        }
        let mut deliveries = Vec::new();
        let mut seen = BTreeSet::new();
        while deliveries.len() < self.limit {
            let next = lanes.iter().enumerate().min_by_key(|(_, lane)| {
                let first = &lane.first;
                (lane.rank, lane.turn, first.due, first.id)
            });
            let Some((at, _)) = next else { break };
            let lane = lanes.swap_remove(at);
            // Hidden for no time at all, it would come again in the same call.
            if !seen.insert(lane.first.id) {
                continue;
            }
            if let Some(delivery) = self.deliver(db, &lane)? {
                deliveries.push(delivery);
                let turn = serve(db, &lane)?;
                let same = |it: &&mut Lane<'_>| it.queue == lane.queue && it.tenant == lane.tenant;
                lanes
                    .iter_mut()
                    .filter(same)
                    .for_each(|it| it.turn = Some(turn));
            }
            if deliveries.len() < self.limit {
                lanes.extend(self.lane(db, lane.queue, (lane.rank, lane.tenant))?);
            }
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

    fn lanes<'a>(
        &self,
        db: &Connection,
        queue: &'a QueueName,
        lanes: &mut Vec<Lane<'a>>,
    ) -> rusqlite::Result<()> {
        let mut leap = db.prepare_cached(NEXT_TENANT)?;
        for rank in RANKS {
            // The least of all texts.
            let mut tenant = Some(String::new());
            while let Some(last) = tenant {
                let next = leap.query_row(params![queue.as_str(), rank, last], |row| row.get(0));
                tenant = next.optional()?;
                lanes.extend(self.lane(db, queue, (rank, last))?);
            }
        }
        Ok(())
    }

    /// The lane, if something of it is due.
    fn lane<'a>(
        &self,
        db: &Connection,
        queue: &'a QueueName,
        (rank, tenant): (i64, String),
    ) -> rusqlite::Result<Option<Lane<'a>>> {
        let first = db.prepare_cached(FIRST)?.query_row(
            params![queue.as_str(), rank, tenant, self.now],
            |row| {
                Ok(Waiting {
                    due: row.get(0)?,
                    id: row.get(1)?,
                    deliveries: row.get(2)?,
                    json: row.get(3)?,
                })
            },
        );
        let Some(first) = first.optional()? else {
            return Ok(None);
        };
        let turn = db
            .prepare_cached(TURN)?
            .query_row(params![queue.as_str(), tenant], |row| row.get(0));
        Ok(Some(Lane {
            queue,
            rank,
            turn: turn.optional()?,
            tenant,
            first,
        }))
    }

    fn deliver(&self, db: &Connection, lane: &Lane<'_>) -> rusqlite::Result<Option<Delivery>> {
        let sql = "UPDATE messages SET due = ?2, deliveries = ?3 WHERE id = ?1";
        let mut update = db.prepare_cached(sql)?;
        let (id, found) = (lane.first.id, &lane.first);
        let message = match serde_json::from_str(&found.json) {
            Ok(message) => message,
            Err(cause) => {
                // The ledger knows what the message was about, and sweep sends another. A kind that only a
                // newer program knows waits for it.
                let queue = lane.queue.as_str();
                tracing::error!(queue, id, %cause, "an unreadable message is set aside");
                update.execute(params![id, ASIDE, found.deliveries])?;
                return Ok(None);
            }
        };
        let deliveries = found.deliveries.saturating_add(1);
        update.execute(params![id, self.until, deliveries])?;
        Ok(Some(Delivery {
            queue: lane.queue.clone(),
            message,
            receipt: format!("{id} {deliveries}"),
            deliveries,
            share: Share {
                tenant: Tenant::stored(&lane.tenant),
                priority: priority(lane.rank),
            },
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

/// The lane's tenant has had a turn: its number.
fn serve(db: &Connection, lane: &Lane<'_>) -> rusqlite::Result<i64> {
    let turn: i64 = db
        .prepare_cached(NEXT_TURN)?
        .query_row([], |row| row.get(0))?;
    let sql = "INSERT INTO turns (queue, tenant, turn) VALUES (?1, ?2, ?3) \
               ON CONFLICT (queue, tenant) DO UPDATE SET turn = excluded.turn";
    db.prepare_cached(sql)?
        .execute(params![lane.queue.as_str(), lane.tenant, turn])?;
    let sql = "DELETE FROM turns WHERE turn <= ?1";
    db.prepare_cached(sql)?.execute([turn - TURNS_KEPT])?;
    Ok(turn)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ledger::Message;
    use ports::TaskQueue;
    use rusqlite::StatementStatus;

    use super::*;
    use crate::{Database, SqliteQueue, WallClock};

    const FLOOD: usize = 100_000;

    /// Steps of SQLite's virtual machine, not time: what a take costs whatever the machine is doing.
    #[tokio::test]
    async fn a_flood_costs_a_take_nothing() {
        let folder = tempfile::tempdir().expect("make a folder");
        let database = Database::open(folder.path()).expect("open");
        let queue = SqliteQueue::new(database.clone(), Arc::new(WallClock));
        let few = cost(&queue, &database, 10).await;
        let many = cost(&queue, &database, FLOOD).await;
        assert!(
            many < 2 * few,
            "a take cost {few} steps with 10 messages and {many} with {FLOOD}"
        );
    }

    /// Fills the queue up to `messages` of one tenant and one of another, and answers what a take costs.
    async fn cost(queue: &SqliteQueue, database: &Database, messages: usize) -> i32 {
        let message = serde_json::to_string(&Message::Configuration).expect("no map");
        let fill = move |db: &Connection| {
            let share = |name| Share {
                tenant: Tenant::stored(name),
                priority: Priority::Normal,
            };
            let mut place = Place::at(0);
            place.share = share("flood");
            for _ in 0..messages {
                insert(db, &QueueName::report(), &message, &place).expect("insert");
            }
            place.share = share("bob");
            insert(db, &QueueName::report(), &message, &place).expect("insert");
            Ok(())
        };
        let writer = database.writer();
        writer.write("fill", fill, |()| ()).await.expect("fill");
        let count = |db: &Connection| Ok(steps(db));
        writer.write("count", count, |_| ()).await.expect("count");
        let hide = Duration::from_secs(60);
        let queues = [QueueName::report()];
        let got = queue.receive(&queues, 1, hide, Duration::ZERO);
        assert_eq!(got.await.expect("receive").len(), 1);
        writer.write("count", count, |_| ()).await.expect("count")
    }

    /// Of the statements that look for something, since the last time.
    fn steps(db: &Connection) -> i32 {
        let looks = [NEXT_TENANT, FIRST, TURN, NEXT_TURN].into_iter();
        looks
            .map(|sql| {
                let statement = db.prepare_cached(sql).expect("prepare");
                statement.reset_status(StatementStatus::VmStep)
            })
            .sum()
    }
}
