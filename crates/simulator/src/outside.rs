//! Another adapter's ledger and queues in the place of those in memory: the same players, the same faults.
//!
//! The ledger in memory goes along as a copy, for the witness; whatever the adapter answers otherwise is a violation.
//! Queues may give out what is due in another order, so the copy of these is made of what they did ([`Post`]).

mod both;
mod post;

use std::sync::Arc;

use ledger::{Change, Key, Message, Millis, QueueName, Record, Share};
use memory::{ManualClock, MemoryPlatform};
use ports::{Applied, Delivery, Platform, Result};

use crate::witness::Witness;
pub(crate) use both::Rows;
pub(crate) use post::{Mail, Post};

/// Ledger and queues that are not in memory. A call blocks: to the scheduler it is one step.
///
/// They know no time: what is sent is due at once, and what is received stays hidden until it is shown. When that
/// is, the simulator's clock says.
pub trait Outside: Send + Sync {
    /// As [`ports::Ledger::get`].
    ///
    /// # Errors
    /// As there; each is a violation.
    fn get(&self, key: &Key) -> Result<Option<Record>>;

    /// As [`ports::Ledger::list`].
    ///
    /// # Errors
    /// As there; each is a violation.
    fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>>;

    /// As [`ports::Ledger::apply`].
    ///
    /// # Errors
    /// As there; each is a violation.
    fn apply(&self, change: Change, now: Millis) -> Result<Applied>;

    /// Sends a message that is due.
    ///
    /// # Errors
    /// As of [`ports::TaskQueue::send`].
    fn send(&self, queue: &QueueName, message: &Message, share: &Share) -> Result<()>;

    /// What is due and not hidden, at most `limit`. It is hidden from now on.
    ///
    /// # Errors
    /// As of [`ports::TaskQueue::receive`].
    fn receive(&self, queues: &[QueueName], limit: usize) -> Result<Vec<Delivery>>;

    /// A received message is hidden no more.
    ///
    /// # Errors
    /// The message stays hidden.
    fn show(&self, receipt: &str) -> Result<()>;

    /// As [`ports::TaskQueue::acknowledge`].
    ///
    /// # Errors
    /// As there.
    fn acknowledge(&self, receipt: &str) -> Result<()>;
}

/// Ledger and queues of one run.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) rows: Rows,
    pub(crate) mail: Mail,
}

impl Store {
    pub(crate) fn new(
        memory: &MemoryPlatform,
        outside: Option<Arc<dyn Outside>>,
        witness: &Witness,
    ) -> Self {
        let clock: &ManualClock = memory.clock();
        let mail = match &outside {
            None => Mail::Memory(memory.queue().clone()),
            Some(outside) => {
                witness.has_no_turns();
                Mail::Outside(Post::new(outside.clone(), clock.clone()))
            }
        };
        let rows = Rows::new(memory.ledger(), outside, witness);
        Self { rows, mail }
    }

    /// Everything in them is lost.
    pub(crate) fn lose(&self) {
        self.rows.lose();
        self.mail.lose();
    }
}
