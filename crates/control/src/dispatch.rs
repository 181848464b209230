//! Draining the outbox: what a change wanted to happen is handed to the queues.

use ledger::{Change, Condition, Effect, Expect, Key, Row, partition};
use ports::{Applied, Ledger, Letter, Place, Platform, TaskQueue};

use crate::load::unexpected;
use crate::{Control, Result};

/// Outbox rows handed over in one round.
const BATCH: usize = 50;

impl<P: Platform> Control<P> {
    /// Sends every outbox row and then deletes it; killed in between, it is sent again. Answers how
    /// many were sent.
    pub async fn dispatch(&self) -> Result<usize> {
        let mut sent = 0;
        loop {
            let rows = self
                .platform
                .ledger()
                .list(partition::OUTBOX, "", None, BATCH)
                .await?;
            if rows.is_empty() {
                return Ok(sent);
            }
            let is_last = rows.len() < BATCH;
            let mut change = Change::default();
            let mut letters = Vec::with_capacity(rows.len());
            for (key, record) in &rows {
                let Row::Outbox(row) = &record.row else {
                    return Err(unexpected(key));
                };
                letters.push(letter(&row.effect));
                delete(&mut change, key, record.version);
            }
            self.platform.queue().send_all(&letters).await?;
            sent += rows.len();
            if let Applied::Conflict(_) = self.platform.ledger().apply(change, self.now()).await? {
                self.delete_each(&rows).await?;
            }
            // Whoever adds rows now wakes dispatch for them: another look would cost a request each time.
            if is_last {
                return Ok(sent);
            }
        }
    }

    /// One row was written anew, or deleted by another dispatcher: the others go one by one.
    async fn delete_each(&self, rows: &[(Key, ledger::Record)]) -> Result<()> {
        for (key, record) in rows {
            let mut change = Change::default();
            delete(&mut change, key, record.version);
            let _written_anew_or_gone = self.platform.ledger().apply(change, self.now()).await?;
        }
        Ok(())
    }
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
