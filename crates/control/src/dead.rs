//! Dead letters: a message that cannot be worked off is given up, and told of, instead of coming back for
//! ever in the way of the others.

use ledger::{Change, DeadLetterRow, Key, Message, Row, TaskState, partition};
use ports::{Applied, Delivery, Ledger, Platform, TaskQueue};

use crate::load::unexpected;
use crate::{Control, Error, Result};

/// Deliveries after which a message that still fails is given up.
pub(crate) const PATIENCE: u32 = 10;
/// Dead letters that are looked at in one sweep, and shown.
const MOST: usize = 100;

impl<P: Platform> Control<P> {
    /// What to do with a message whose work failed: it comes back by itself when its claim ends, or
    /// has come often enough. Answers whether it was given up.
    pub async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<bool> {
        if is_transient(error) || delivery.deliveries < PATIENCE {
            return Ok(false);
        }
        let row = DeadLetterRow {
            queue: delivery.queue.clone(),
            message: delivery.message.clone(),
            deliveries: delivery.deliveries,
            error: error.to_string(),
            at: self.now(),
        };
        tracing::error!(queue = %row.queue, letter = %row.message.name(), %error, "a message is given up");
        let mut change = Change::default();
        let key = Key::dead_letter(&row.queue, &row.message);
        change.put(key, Row::DeadLetter(row));
        let _without_conditions = self.apply(change).await?;
        self.platform.queue().acknowledge(&delivery.receipt).await?;
        Ok(true)
    }

    /// The messages that were given up, the oldest name first.
    pub(crate) async fn dead_letters(&self) -> Result<Vec<DeadLetterRow>> {
        let ledger = self.platform.ledger();
        let rows = ledger.list(partition::DEAD, "", None, MOST).await?;
        let row = |(key, record): (Key, ledger::Record)| match record.row {
            Row::DeadLetter(row) => Ok(row),
            _ => Err(unexpected(&key)),
        };
        rows.into_iter().map(row).collect()
    }

    /// Takes away the letters whose work can be done by now.
    pub(crate) async fn revive_letters(&self) -> Result<()> {
        for letter in self.dead_letters().await? {
            if !self.is_forgotten(&letter) && self.is_dead(&letter.message).await? {
                continue;
            }
            let mut change = Change::default();
            change.delete(Key::dead_letter(&letter.queue, &letter.message));
            if self.apply(change).await? == Applied::Done {
                tracing::info!(letter = %letter.message.name(), "what was given up is done, or over");
            }
        }
        Ok(())
    }

    async fn is_dead(&self, message: &Message) -> Result<bool> {
        let still = |worked: Result<()>| match worked {
            Ok(()) => Ok(false),
            Err(error) if is_transient(&error) => Err(error),
            Err(_) => Ok(true),
        };
        match message {
            Message::Advance { request } => still(self.advance(request).await),
            Message::Report { request } => {
                let paths = [request.to_string()].into();
                still(self.write_status(&paths).await.map(|_| ()))
            }
            Message::Configuration => {
                let paths = [crate::render::CONFIGURATION.to_owned()].into();
                still(self.write_status(&paths).await.map(|_| ()))
            }
            // Whoever tells the forge looks anyway.
            Message::Look => Ok(false),
            // Whoever asked has to ask again.
            Message::Asked(_) => Ok(true),
            // Whoever sees that nothing happened presses again.
            Message::Again { .. } => Ok(false),
            // The sweep offers the task again.
            Message::Attempt { task, attempt } => match self.task_row(task).await {
                Ok(Some((row, _))) => Ok(
                    matches!(row.state, TaskState::Ready { attempt: next, .. } if next == *attempt),
                ),
                worked => still(worked.map(|_| ())),
            },
        }
    }
}

/// The world's trouble, and nothing of the message's.
pub(crate) fn is_transient(error: &Error) -> bool {
    matches!(
        error,
        Error::Port(ports::Error::Transient { .. }) | Error::Contended(_) | Error::Full { .. }
    )
}
