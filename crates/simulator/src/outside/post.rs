//! Queues under the simulator's clock: it says when a message is there, and when it is hidden; the other adapter
//! carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Message, Millis, QueueName, Share, Tenant};
use memory::{ManualClock, MemoryQueue};
use ports::{Clock, Delivery, Error, Place, Result, TaskQueue};

use super::Outside;

/// The queues of a run.
#[derive(Clone)]
pub(crate) enum Mail {
    Memory(MemoryQueue),
    Outside(Post),
}

/// Queues outside, and what the simulator knows of them. Clones are the same.
#[derive(Clone)]
pub(crate) struct Post {
    outside: Arc<dyn Outside>,
    clock: ManualClock,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    last_id: u64,
    letters: BTreeMap<u64, Letter>,
    /// Every receipt that was given out, and what it is called outside.
    receipts: BTreeMap<String, String>,
}

struct Letter {
    queue: QueueName,
    message: Message,
    share: Share,
    place: At,
    deliveries: u32,
    /// The last one, as it is called outside. It is good until there is another.
    receipt: Option<String>,
}

/// Where a message is.
enum At {
    /// Here, until it is due.
    Here(Millis),
    /// Outside, for everybody.
    There,
    /// Outside, and hidden until then.
    Claimed(Millis),
}

impl Known {
    /// Those of `queues` that have something: to ask one that is empty costs as much.
    fn of(&self, queues: &[QueueName]) -> Vec<QueueName> {
        let letters = self.letters.values();
        let there = letters.filter(|it| matches!(it.place, At::There));
        let there: BTreeSet<&QueueName> = there.map(|it| &it.queue).collect();
        let queues = queues.iter().filter(|queue| there.contains(queue));
        queues.cloned().collect()
    }
}

/// Which of the messages was given out, if it is as it was sent.
fn find<'a>(
    letters: &'a mut BTreeMap<u64, Letter>,
    delivery: &Delivery,
) -> Option<(u64, &'a mut Letter)> {
    let id = delivery.share.tenant.as_str().parse().ok()?;
    let letter = letters.get_mut(&id)?;
    let is_it = matches!(letter.place, At::There)
        && letter.queue == delivery.queue
        && letter.message == delivery.message
        && letter.share.priority == delivery.share.priority
        && letter.deliveries + 1 == delivery.deliveries;
    is_it.then_some((id, letter))
}

impl Post {
    pub(super) fn new(outside: Arc<dyn Outside>, clock: ManualClock) -> Self {
        let known = Arc::default();
        Self {
            outside,
            clock,
            known,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has become due goes out, and what was hidden long enough is shown.
    fn pass(&self) -> Result<()> {
        let now = self.clock.now();
        for (id, letter) in &mut self.known().letters {
            match &letter.place {
                At::Here(due) if *due <= now => {
                    // Each is of a tenant of its own, so that it is known again among others like it.
                    let share = Share {
                        tenant: Tenant::stored(&id.to_string()),
                        priority: letter.share.priority,
                    };
                    self.outside.send(&letter.queue, &letter.message, &share)?;
                }
                At::Claimed(until) if *until <= now => {
                    let receipt = letter.receipt.as_deref();
                    self.outside.show(receipt.expect("it was claimed"))?;
                }
                _ => continue,
            }
            letter.place = At::There;
        }
        Ok(())
    }

    fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        let mut known = self.known();
        known.last_id += 1;
        let id = known.last_id;
        let letter = Letter {
            queue: queue.clone(),
            message: message.clone(),
            share: place.share.clone(),
            place: At::Here(place.not_before),
            deliveries: 0,
            receipt: None,
        };
        known.letters.insert(id, letter);
        drop(known);
        self.pass()
    }

    fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>> {
        self.pass()?;
        let hidden = Millis::try_from(visibility.as_millis()).unwrap_or(Millis::MAX);
        let until = self.clock.now().saturating_add(hidden);
        let queues = self.known().of(queues);
        let mut got = match queues.is_empty() {
            true => Vec::new(),
            false => self.outside.receive(&queues, limit)?,
        };
        let mut known = self.known();
        for delivery in &mut got {
            let Known {
                letters, receipts, ..
            } = &mut *known;
            let Some((id, letter)) = find(letters, delivery) else {
                let (queue, count) = (&delivery.queue, delivery.deliveries);
                let name = delivery.message.name();
                let cause = format!("{queue}: {name} came as delivery {count}, and is not there");
                return Err(Error::corrupt("receive messages", cause));
            };
            let receipt = format!("{id} {}", delivery.deliveries);
            let outside = std::mem::replace(&mut delivery.receipt, receipt.clone());
            delivery.share = letter.share.clone();
            letter.place = At::Claimed(until);
            letter.receipt = Some(outside.clone());
            letter.deliveries = delivery.deliveries;
            receipts.insert(receipt, outside);
        }
        Ok(got)
    }

    fn acknowledge(&self, receipt: &str) -> Result<()> {
        let mut known = self.known();
        let Some(outside) = known.receipts.get(receipt).cloned() else {
            let cause = format!("{receipt:?} is no receipt");
            return Err(Error::corrupt("acknowledge a message", cause));
        };
        self.outside.acknowledge(&outside)?;
        let is_it = |it: &Letter| it.receipt.as_ref() == Some(&outside);
        known.letters.retain(|_, letter| !is_it(letter));
        Ok(())
    }

    /// What is outside is taken from there.
    fn lose(&self) -> Result<()> {
        let known = std::mem::take(&mut *self.known());
        let (mut queues, mut limit) = (BTreeSet::new(), 0);
        for letter in known.letters.into_values() {
            match letter.place {
                At::Here(_) => {}
                At::There => {
                    queues.insert(letter.queue);
                    limit += 1;
                }
                At::Claimed(_) => {
                    let receipt = letter.receipt.as_deref();
                    self.outside.acknowledge(receipt.expect("it was claimed"))?;
                }
            }
        }
        let queues: Vec<QueueName> = queues.into_iter().collect();
        for delivery in self.outside.receive(&queues, limit)? {
            self.outside.acknowledge(&delivery.receipt)?;
        }
        Ok(())
    }
}

impl Mail {
    /// All messages with their queues, delivered or not.
    pub(crate) fn messages(&self) -> Vec<(QueueName, Message)> {
        match self {
            Self::Memory(queue) => queue.messages(),
            Self::Outside(post) => {
                let known = post.known();
                let letters = known.letters.values();
                letters
                    .map(|it| (it.queue.clone(), it.message.clone()))
                    .collect()
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Memory(queue) => queue.is_empty(),
            Self::Outside(post) => post.known().letters.is_empty(),
        }
    }

    pub(super) fn lose(&self) {
        match self {
            Self::Memory(queue) => queue.lose(),
            Self::Outside(post) => post.lose().expect("queues outside can be emptied"),
        }
    }
}

impl TaskQueue for Mail {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        match self {
            Self::Memory(memory) => memory.send(queue, message, place).await,
            Self::Outside(post) => post.send(queue, message, place),
        }
    }

    /// Never waits: the scheduler asks again.
    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        match self {
            Self::Memory(memory) => memory.receive(queues, limit, visibility, wait).await,
            Self::Outside(post) => post.receive(queues, limit, visibility),
        }
    }

    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        match self {
            Self::Memory(memory) => memory.acknowledge(receipt).await,
            Self::Outside(post) => post.acknowledge(receipt),
        }
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        match self {
            Self::Memory(memory) => memory.depth(queue).await,
            Self::Outside(post) => {
                let known = post.known();
                let of_it = known.letters.values().filter(|it| it.queue == *queue);
                Ok(of_it.count() as u64)
            }
        }
    }
}
