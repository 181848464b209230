//! Queues as one map, in the order of sending.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::{Message, Millis, QueueName};
use ports::{Clock, Delivery, Error, Result, TaskQueue};
use tokio::sync::Notify;

use crate::clock::millis;
use crate::{ManualClock, lock};

/// Queues whose delays and hiding follow a [`ManualClock`].
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Messages>>,
    sent: Arc<Notify>,
    clock: ManualClock,
}

#[derive(Debug, Default)]
struct Messages {
    last_id: u64,
    by_id: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    queue: QueueName,
    message: Message,
    due: Millis,
    deliveries: u32,
}

impl MemoryQueue {
    /// No messages, under `clock`.
    pub fn new(clock: ManualClock) -> Self {
        Self {
            messages: Arc::default(),
            sent: Arc::default(),
            clock,
        }
    }

    /// Every message is lost.
    pub fn lose(&self) {
        lock(&self.messages).by_id.clear();
    }

    /// Whether there is no message, hidden ones included.
    pub fn is_empty(&self) -> bool {
        lock(&self.messages).by_id.is_empty()
    }

    /// All messages with their queues, delivered or not, in the order of sending.
    pub fn messages(&self) -> Vec<(QueueName, Message)> {
        let messages = lock(&self.messages);
        let all = messages.by_id.values();
        all.map(|waiting| (waiting.queue.clone(), waiting.message.clone()))
            .collect()
    }

    fn take(&self, queues: &[QueueName], limit: usize, until: Millis) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut messages = lock(&self.messages);
        let due = messages
            .by_id
            .iter_mut()
            .filter(|(_, waiting)| waiting.due <= now && queues.contains(&waiting.queue));
        due.take(limit)
            .map(|(id, waiting)| {
                waiting.due = until;
                waiting.deliveries += 1;
                Delivery {
                    queue: waiting.queue.clone(),
                    message: waiting.message.clone(),
                    receipt: format!("{id} {}", waiting.deliveries),
                    deliveries: waiting.deliveries,
                }
            })
            .collect()
    }
}

impl TaskQueue for MemoryQueue {
    async fn send(&self, queue: &QueueName, message: &Message, not_before: Millis) -> Result<()> {
        {
            let mut messages = lock(&self.messages);
            messages.last_id += 1;
            let id = messages.last_id;
            let waiting = Waiting {
                queue: queue.clone(),
                message: message.clone(),
                due: not_before,
                deliveries: 0,
            };
            messages.by_id.insert(id, waiting);
        }
        self.sent.notify_waiters();
        Ok(())
    }

    /// Waits in the clock's time: a wait ends with a message, or when the clock is moved to its end.
    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let end = self.clock.now().saturating_add(millis(wait));
        let mut moves = self.clock.moves();
        loop {
            let mut sent = std::pin::pin!(self.sent.notified());
            sent.as_mut().enable();
            let now = *moves.borrow_and_update();
            let until = now.saturating_add(millis(visibility));
            let taken = self.take(queues, limit, until);
            if !taken.is_empty() || now >= end || limit == 0 {
                return Ok(taken);
            }
            tokio::select! {
                biased;
                () = sent => {}
                _ = moves.changed() => {}
            }
        }
    }

    /// A receipt of an earlier delivery removes nothing: somebody else has the message now.
    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        let parsed = receipt
            .split_once(' ')
            .and_then(|(id, deliveries)| Some((id.parse().ok()?, deliveries.parse().ok()?)));
        let Some((id, deliveries)): Option<(u64, u32)> = parsed else {
            let cause = format!("{receipt:?} is no receipt");
            return Err(Error::corrupt("acknowledge a message", cause));
        };
        let mut messages = lock(&self.messages);
        let held = messages.by_id.get(&id);
        if held.is_some_and(|waiting| waiting.deliveries == deliveries) {
            messages.by_id.remove(&id);
        }
        Ok(())
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        let messages = lock(&self.messages);
        let count = messages.by_id.values();
        Ok(count.filter(|waiting| waiting.queue == *queue).count() as u64)
    }
}
