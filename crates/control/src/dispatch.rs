//! Draining the outbox: what a change wanted to happen is handed to the queues.

use std::collections::BTreeMap;

use ledger::{Change, Condition, Effect, Expect, Key, QueueName, Row, partition};
use ports::{Applied, Ledger, Letter, Place, Platform, TaskQueue};

use crate::load::unexpected;
use crate::{Control, Result};

/// Outbox rows handed over in one round.
const BATCH: usize = 50;

/// A row whose message was sent: its key and version.
type Sent = (Key, u64);
/// What goes to one queue, and its rows.
type Waiting = (Vec<Letter>, Vec<Sent>);

impl<P: Platform> Control<P> {
    /// Sends every outbox row and then deletes it; killed in between, it is sent again. What a queue does not take
    /// stays, and holds up nothing for others: it is passed over until the next time. Answers how many were sent.
    ///
    /// # Errors
    /// Of the ledger; of a queue if nothing could be sent at all.
    pub async fn dispatch(&self) -> Result<usize> {
        let (mut sent, mut after) = (0, None);
        let mut trouble: BTreeMap<QueueName, ports::Error> = BTreeMap::new();
        loop {
            let outbox = self.platform.ledger();
            let rows = outbox
                .list(partition::OUTBOX, "", after.as_deref(), BATCH)
                .await?;
            let is_last = rows.len() < BATCH;
            after = rows.last().map(|(key, _)| key.sort.clone());
            let mut gone = Vec::with_capacity(rows.len());
            for (queue, (letters, rows)) in by_queue(rows)? {
                if trouble.contains_key(&queue) {
                    continue;
                }
                match self.platform.queue().send_all(&letters).await {
                    Ok(()) => gone.extend(rows),
                    Err(error) => {
                        tracing::error!(%queue, %error, "messages stay in the outbox");
                        trouble.insert(queue, error);
                    }
                }
            }
            sent += gone.len();
            self.delete_rows(gone).await?;
            // Whoever adds rows now wakes dispatch for them: another look would cost a request each time.
            if is_last {
                break;
            }
        }
        match trouble.into_values().next() {
            Some(error) if sent == 0 => Err(error.into()),
            _ => Ok(sent),
        }
    }

    async fn delete_rows(&self, rows: Vec<Sent>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut change = Change::default();
        for (key, version) in &rows {
            delete(&mut change, key, *version);
        }
        if let Applied::Conflict(_) = self.platform.ledger().apply(change, self.now()).await? {
            self.delete_each(&rows).await?;
        }
        Ok(())
    }

    /// One row was written anew, or deleted by another dispatcher: the others go one by one.
    async fn delete_each(&self, rows: &[Sent]) -> Result<()> {
        for (key, version) in rows {
            let mut change = Change::default();
            delete(&mut change, key, *version);
            let _written_anew_or_gone = self.platform.ledger().apply(change, self.now()).await?;
        }
        Ok(())
    }
}

/// Letters with their rows, by the queue that they go to.
fn by_queue(rows: Vec<(Key, ledger::Record)>) -> Result<BTreeMap<QueueName, Waiting>> {
    let mut queues: BTreeMap<QueueName, Waiting> = BTreeMap::new();
    for (key, record) in rows {
        let Row::Outbox(row) = record.row else {
            return Err(unexpected(&key));
        };
        let letter = letter(&row.effect);
        let (letters, rows) = queues.entry(letter.queue.clone()).or_default();
        letters.push(letter);
        rows.push((key, record.version));
    }
    Ok(queues)
}

fn letter(effect: &Effect) -> Letter {
    Letter {
        queue: effect.queue.clone(),
        message: effect.message.clone(),
        place: Place {
            not_before: effect.not_before,
            share: effect.share.clone(),
        },
    }
}

fn delete(change: &mut Change, key: &Key, version: u64) {
    change.conditions.push(Condition {
        key: key.clone(),
        expect: Expect::Version(version),
    });
    change.delete(key.clone());
}
