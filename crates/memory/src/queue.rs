//! Queues as one map, in the order of sending, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::{Message, Millis, QueueName, Share, Tenant};
use ports::{Clock, Delivery, Error, Place, Result, TaskQueue};
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
    /// Tenants that have sent; messages know their place here, so that a take compares no names.
    lanes: Vec<Lane>,
    last_turn: u64,
}

/// A tenant in a queue.
#[derive(Debug)]
struct Lane {
    queue: QueueName,
    tenant: Tenant,
    /// When it was served last, in deliveries since the beginning.
    served: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    /// Its place in [`Messages::lanes`].
    lane: usize,
    message: Message,
    due: Millis,
    share: Share,
    deliveries: u32,
}

impl Messages {
    fn queue(&self, waiting: &Waiting) -> &QueueName {
        &self.lanes[waiting.lane].queue
    }

    fn lane(&mut self, queue: &QueueName, tenant: &Tenant) -> usize {
        let mut lanes = self.lanes.iter();
        let known = lanes.position(|lane| lane.queue == *queue && lane.tenant == *tenant);
        known.unwrap_or_else(|| {
            self.lanes.push(Lane {
                queue: queue.clone(),
                tenant: tenant.clone(),
                served: None,
            });
            self.lanes.len() - 1
        })
    }

    /// The message of the lanes `asked` for that is next to go out.
    fn next(&self, asked: &[bool], now: Millis) -> Option<u64> {
        let waiting = self.by_id.iter();
        let due = waiting.filter(|(_, waiting)| waiting.due <= now && asked[waiting.lane]);
        let next = due.min_by_key(|(id, waiting)| {
            let served = self.lanes[waiting.lane].served;
            (waiting.share.priority, served, waiting.due, **id)
        });
        next.map(|(id, _)| *id)
    }
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

    /// Every message is lost, and who was served.
    pub fn lose(&self) {
        let mut messages = lock(&self.messages);
        messages.by_id.clear();
        messages.lanes.clear();
    }

    /// Whether there is no message, hidden ones included.
    pub fn is_empty(&self) -> bool {
        lock(&self.messages).by_id.is_empty()
    }

    /// All messages with their queues, delivered or not, in the order of sending.
    pub fn messages(&self) -> Vec<(QueueName, Message)> {
        let messages = lock(&self.messages);
        let all = messages.by_id.values();
        all.map(|waiting| (messages.queue(waiting).clone(), waiting.message.clone()))
            .collect()
    }

    fn take(&self, queues: &[QueueName], limit: usize, until: Millis) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut messages = lock(&self.messages);
        let mut taken = Vec::new();
        let mut ids = BTreeSet::new();
        let lanes = messages.lanes.iter();
        let asked: Vec<bool> = lanes.map(|lane| queues.contains(&lane.queue)).collect();
        while taken.len() < limit {
            let Some(id) = messages.next(&asked, now) else {
                break;
            };
            // Hidden for no time at all, it would come again in the same call.
            if !ids.insert(id) {
                break;
            }
            let Messages {
                by_id,
                lanes,
                last_turn,
                ..
            } = &mut *messages;
            let waiting = by_id.get_mut(&id).expect("just found");
            let lane = &mut lanes[waiting.lane];
            *last_turn += 1;
            lane.served = Some(*last_turn);
            waiting.due = until;
            waiting.deliveries += 1;
            taken.push(Delivery {
                queue: lane.queue.clone(),
                message: waiting.message.clone(),
                receipt: format!("{id} {}", waiting.deliveries),
                deliveries: waiting.deliveries,
                share: waiting.share.clone(),
            });
        }
        taken
    }
}

impl TaskQueue for MemoryQueue {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        {
            let mut messages = lock(&self.messages);
            messages.last_id += 1;
            let id = messages.last_id;
            let waiting = Waiting {
                lane: messages.lane(queue, &place.share.tenant),
                message: message.clone(),
                due: place.not_before,
                share: place.share.clone(),
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
        let of_it = count.filter(|waiting| messages.queue(waiting) == queue);
        Ok(of_it.count() as u64)
    }
}
