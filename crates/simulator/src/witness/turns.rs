//! Turns: the order in which messages go out is the one that [`ports::TaskQueue`] promises, held against a
//! model of who waits that is not the adapter's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::{Message, Millis, QueueName, Share};
use pipeline_spec::Priority;
use ports::{Clock, Delivery, Place, Platform};

use super::Witness;

/// A tenant in a queue: its place in [`Turns::tenants`]. Whoever waits is compared at each delivery, and
/// numbers compare faster than names.
type Tenant = usize;

/// What one tenant has of one priority in one queue.
type Lane = (Tenant, Priority);

/// All messages in all queues, and who was served.
#[derive(Default)]
pub(super) struct Turns {
    /// Whose turn it is, the queues say: of them only priorities are expected.
    are_open: bool,
    waiting: Vec<Waiting>,
    tenants: Vec<Named>,
    deliveries: u64,
    /// Who was served before a lane's oldest message since that waits.
    passed: BTreeMap<Lane, BTreeSet<Tenant>>,
}

struct Named {
    queue: QueueName,
    name: ledger::Tenant,
    /// The last delivery to it, of all so far.
    served: Option<u64>,
}

#[derive(Clone)]
struct Waiting {
    tenant: Tenant,
    priority: Priority,
    message: Message,
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

impl Turns {
    /// The disk with the queues is lost.
    pub(super) fn lose(&mut self) {
        *self = Self {
            are_open: self.are_open,
            ..Self::default()
        };
    }

    fn known(&self, queue: &QueueName, share: &Share) -> Option<Tenant> {
        let mut tenants = self.tenants.iter();
        tenants.position(|it| it.queue == *queue && it.name == share.tenant)
    }

    fn tenant(&mut self, queue: &QueueName, share: &Share) -> Tenant {
        self.known(queue, share).unwrap_or_else(|| {
            self.tenants.push(Named {
                queue: queue.clone(),
                name: share.tenant.clone(),
                served: None,
            });
            self.tenants.len() - 1
        })
    }

    fn name(&self, waiting: &Waiting) -> String {
        let Named { queue, name, .. } = &self.tenants[waiting.tenant];
        let message = waiting.message.name();
        let priority = waiting.priority;
        format!("{queue}: {message} of {:?} ({priority})", name.as_str())
    }

    /// Which of the waiting was given out.
    fn find(&self, delivery: &Delivery) -> Option<usize> {
        let id = id(&delivery.receipt);
        let mut waiting = self.waiting.iter().enumerate();
        if delivery.deliveries > 1 {
            let same = waiting.find(|(_, it)| it.receipt.as_ref().is_some_and(|it| it.0 == id));
            return same.map(|(at, _)| at);
        }
        let tenant = self.known(&delivery.queue, &delivery.share)?;
        let same = waiting.filter(|(_, it)| {
            it.receipt.is_none()
                && it.tenant == tenant
                && it.priority == delivery.share.priority
                && it.message == delivery.message
        });
        same.min_by_key(|(_, it)| it.due).map(|(at, _)| at)
    }

    /// Why another message should have gone out before this one.
    fn overtaken(&self, at: usize, due: &[usize]) -> Option<String> {
        let given = &self.waiting[at];
        let others = due.iter().map(|at| &self.waiting[*at]);
        let served = |it: &Waiting| self.tenants[it.tenant].served;
        let turn = |it: &Waiting| (!self.are_open).then(|| (served(it), it.due));
        let place = |it: &Waiting| (it.priority, turn(it));
        let first = others.min_by_key(|it| place(it))?;
        if place(first) >= place(given) {
            return None;
        }
        let why = if first.priority < given.priority {
            "is more urgent"
        } else if served(first) < served(given) {
            "has its turn"
        } else {
            "waits for longer"
        };
        let (given, first) = (self.name(given), self.name(first));
        Some(format!("{given} went out before {first}, which {why}"))
    }

    /// Whom this delivery goes before a second time, and the turns after it.
    fn serve(&mut self, at: usize, due: &[usize]) -> Option<String> {
        let Waiting {
            tenant, priority, ..
        } = self.waiting[at];
        let others = due.iter().map(|at| &self.waiting[*at]);
        let are_open = self.are_open;
        let others =
            others.filter(|it| !are_open && it.tenant != tenant && it.priority == priority);
        let others: BTreeSet<Tenant> = others.map(|it| it.tenant).collect();
        let mut twice = None;
        for other in others {
            let passed = self.passed.entry((other, priority)).or_default();
            if !passed.insert(tenant) {
                twice = Some(other);
            }
        }
        let twice = twice.map(|other| {
            let Named { queue, name, .. } = &self.tenants[other];
            let given = self.name(&self.waiting[at]);
            format!(
                "{given} goes before {:?} in {queue} once more",
                name.as_str()
            )
        });
        self.passed.retain(|(other, _), _| *other != tenant);
        self.deliveries += 1;
        self.tenants[tenant].served = Some(self.deliveries);
        twice
    }
}

/// What all receipts of a message have in common.
fn id(receipt: &str) -> &str {
    receipt.split_once(' ').map_or(receipt, |(id, _)| id)
}

impl Witness {
    /// From now on the queues promise no turns, and priorities alone.
    pub(crate) fn has_no_turns(&self) {
        self.state().turns.are_open = true;
    }

    /// A message is in its queue from now on.
    pub(crate) fn queued(&self, queue: &QueueName, message: &Message, place: &Place) {
        let turns = &mut self.state().turns;
        let tenant = turns.tenant(queue, &place.share);
        turns.waiting.push(Waiting {
            tenant,
            priority: place.share.priority,
            message: message.clone(),
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
        let tenants = turns.tenants.iter();
        let asks: Vec<bool> = tenants.map(|it| asked.queues.contains(&it.queue)).collect();
        let is_due = |it: &Waiting| it.due <= now && asks[it.tenant];
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
                let name = turns.name(&turns.waiting[at]);
                wrong.push(format!("{name} came before it was due"));
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
            let name = turns.name(left);
            wrong.push(format!("{name} is due, and was not given out"));
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
