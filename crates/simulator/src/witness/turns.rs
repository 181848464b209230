//! Turns: the order in which messages go out is the one that [`ports::TaskQueue`] promises, held against a
//! model of who waits that is not the adapter's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::{Message, Millis, QueueName, Share, Tenant};
use pipeline_spec::Priority;
use ports::{Clock, Delivery, Place, Platform};

use super::Witness;

/// What one tenant has of one priority in one queue.
type Lane = (QueueName, Tenant, Priority);

/// All messages in all queues, and who was served.
#[derive(Default)]
pub(super) struct Turns {
    waiting: Vec<Waiting>,
    /// Deliveries so far, and the last one of each tenant in each queue.
    deliveries: u64,
    served: BTreeMap<(QueueName, Tenant), u64>,
    /// Who was served before a lane's oldest message since that waits.
    passed: BTreeMap<Lane, BTreeSet<(QueueName, Tenant)>>,
}

#[derive(Clone)]
struct Waiting {
    queue: QueueName,
    message: Message,
    share: Share,
    due: Millis,
    /// What its receipts have in common, and the last one; `None`: it was not given out yet.
    receipt: Option<(String, String)>,
}

/// One call to a queue.
pub(crate) struct Asked<'a> {
    pub(crate) queues: &'a [QueueName],
    pub(crate) limit: usize,
    pub(crate) visibility: Duration,
}

impl Waiting {
    fn name(&self) -> String {
        let Share { tenant, priority } = &self.share;
        let message = self.message.name();
        format!(
            "{}: {message} of {:?} ({priority})",
            self.queue,
            tenant.as_str()
        )
    }

    fn lane(&self) -> Lane {
        let Share { tenant, priority } = &self.share;
        (self.queue.clone(), tenant.clone(), *priority)
    }
}

impl Turns {
    /// The disk with the queues is lost.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }

    fn turn(&self, waiting: &Waiting) -> Option<u64> {
        let key = (waiting.queue.clone(), waiting.share.tenant.clone());
        self.served.get(&key).copied()
    }

    /// Which of the waiting was given out.
    fn find(&self, delivery: &Delivery) -> Option<usize> {
        let id = id(&delivery.receipt);
        let mut waiting = self.waiting.iter().enumerate();
        if delivery.deliveries > 1 {
            let same = waiting.find(|(_, it)| it.receipt.as_ref().is_some_and(|it| it.0 == id));
            return same.map(|(at, _)| at);
        }
        let same = waiting.filter(|(_, it)| {
            it.receipt.is_none()
                && it.queue == delivery.queue
                && it.message == delivery.message
                && it.share == delivery.share
        });
        same.min_by_key(|(_, it)| it.due).map(|(at, _)| at)
    }

    /// Why another message should have gone out before this one.
    fn overtaken(&self, at: usize, due: &[usize]) -> Option<String> {
        let given = &self.waiting[at];
        let others = due.iter().map(|at| &self.waiting[*at]);
        let place = |it: &Waiting| (it.share.priority, self.turn(it), it.due);
        let first = others.min_by_key(|it| place(it))?;
        if place(first) >= place(given) {
            return None;
        }
        let why = if first.share.priority < given.share.priority {
            "is more urgent"
        } else if self.turn(first) < self.turn(given) {
            "has its turn"
        } else {
            "waits for longer"
        };
        Some(format!(
            "{} went out before {}, which {why}",
            given.name(),
            first.name()
        ))
    }

    /// Whom this delivery goes before a second time, and the turns after it.
    fn serve(&mut self, at: usize, due: &[usize]) -> Option<String> {
        let given = self.waiting[at].clone();
        let by = (given.queue.clone(), given.share.tenant.clone());
        let mut twice = None;
        let others = due.iter().map(|at| &self.waiting[*at]);
        let others: BTreeSet<Lane> = others.map(Waiting::lane).collect();
        for lane in others {
            let is_own = lane.0 == by.0 && lane.1 == by.1;
            if is_own || lane.2 != given.share.priority {
                continue;
            }
            let (queue, tenant) = (&lane.0, lane.1.as_str());
            let text = format!(
                "{} goes before {tenant:?} in {queue} once more",
                given.name()
            );
            if !self.passed.entry(lane).or_default().insert(by.clone()) {
                twice = Some(text);
            }
        }
        self.passed
            .retain(|lane, _| lane.0 != by.0 || lane.1 != by.1);
        self.deliveries += 1;
        self.served.insert(by, self.deliveries);
        twice
    }
}

/// What all receipts of a message have in common.
fn id(receipt: &str) -> &str {
    receipt.split_once(' ').map_or(receipt, |(id, _)| id)
}

impl Witness {
    /// A message is in its queue from now on.
    pub(crate) fn queued(&self, queue: &QueueName, message: &Message, place: &Place) {
        self.state().turns.waiting.push(Waiting {
            queue: queue.clone(),
            message: message.clone(),
            share: place.share.clone(),
            due: place.not_before,
            receipt: None,
        });
    }

    /// What a call gave out, in this order.
    pub(crate) fn gave_out(&self, asked: &Asked<'_>, deliveries: &[Delivery]) {
        let now = self.memory.clock().now();
        let until = now + asked.visibility.as_millis() as Millis;
        let mut wrong = Vec::new();
        let mut state = self.state();
        let turns = &mut state.turns;
        let is_due = |it: &Waiting| it.due <= now && asked.queues.contains(&it.queue);
        for delivery in deliveries {
            let name = delivery.message.name();
            let Some(at) = turns.find(delivery) else {
                wrong.push(format!(
                    "{}: {name} came, and nobody sent it so",
                    delivery.queue
                ));
                continue;
            };
            if !is_due(&turns.waiting[at]) {
                wrong.push(format!(
                    "{} came before it was due",
                    turns.waiting[at].name()
                ));
            }
            let all = turns.waiting.iter().enumerate();
            let due = all.filter(|(other, it)| *other != at && is_due(it));
            let due: Vec<usize> = due.map(|(at, _)| at).collect();
            wrong.extend(turns.overtaken(at, &due));
            wrong.extend(turns.serve(at, &due));
            let given = &mut turns.waiting[at];
            given.due = until;
            let receipt = &delivery.receipt;
            given.receipt = Some((id(receipt).to_owned(), receipt.clone()));
        }
        if deliveries.len() < asked.limit
            && let Some(left) = turns.waiting.iter().find(|it| is_due(it))
        {
            wrong.push(format!("{} is due, and was not given out", left.name()));
        }
        drop(state);
        for problem in wrong {
            self.violated(problem);
        }
    }

    /// A message was acknowledged.
    pub(super) fn left_its_queue(&self, receipt: &str) {
        let is_it = |it: &Waiting| it.receipt.as_ref().is_some_and(|it| it.1 == receipt);
        self.state().turns.waiting.retain(|it| !is_it(it));
    }
}
