//! Ports in memory, each call noted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use cost::Call;
use ledger::{Change, Key, Message, Millis, QueueName, Record, Write};
use memory::{
    ManualClock, MemoryLedger, MemoryPlatform, MemoryQueue, MemoryStateRepo, MemoryStore,
};
use pipeline_spec::{Priority, RepositoryName, Sha256Digest};
use ports::{
    Applied, ArtifactStore, Body, Delivery, HandedIn, Held, Ledger, Letter, Link, Place, Platform,
    Result, Stored, TaskQueue,
};

use super::{Meter, item_bytes};

/// Highest first, as the adapter of AWS asks.
const PRIORITIES: [Priority; 3] = [Priority::Urgent, Priority::Normal, Priority::Background];
/// The longest wait of one request.
const POLL: Duration = Duration::from_secs(20);

pub(super) struct Metered<T> {
    inner: T,
    meter: Meter,
}

/// One function's ports. Git is asked over HTTP, which costs nothing at AWS.
pub(super) struct MeteredPlatform {
    ledger: Metered<MemoryLedger>,
    queue: Metered<MemoryQueue>,
    store: Metered<MemoryStore>,
    memory: MemoryPlatform,
}

impl MeteredPlatform {
    pub(super) fn new(memory: &MemoryPlatform, meter: &Meter) -> Self {
        fn with<T: Clone>(inner: &T, meter: &Meter) -> Metered<T> {
            Metered {
                inner: inner.clone(),
                meter: meter.clone(),
            }
        }
        Self {
            ledger: with(memory.ledger(), meter),
            queue: with(memory.queue(), meter),
            store: with(memory.store(), meter),
            memory: memory.clone(),
        }
    }
}

impl Platform for MeteredPlatform {
    type Ledger = Metered<MemoryLedger>;
    type Queue = Metered<MemoryQueue>;
    type Store = Metered<MemoryStore>;
    type StateRepo = MemoryStateRepo;
    type Clock = ManualClock;

    fn ledger(&self) -> &Self::Ledger {
        &self.ledger
    }
    fn queue(&self) -> &Self::Queue {
        &self.queue
    }
    fn store(&self) -> &Self::Store {
        &self.store
    }
    fn state_repo(&self) -> &Self::StateRepo {
        self.memory.state_repo()
    }
    fn clock(&self) -> &Self::Clock {
        self.memory.clock()
    }
}

impl Metered<MemoryLedger> {
    /// 0: it is not there.
    fn stored(&self, key: &Key) -> u64 {
        let record = self.inner.row(key);
        record.map_or(0, |record| item_bytes(key, &record.row))
    }

    /// Every row that a change touches, once; the last write decides what is there.
    fn rows(&self, change: &Change) -> Vec<cost::Row> {
        let mut after: BTreeMap<&Key, Option<u64>> = BTreeMap::new();
        for condition in &change.conditions {
            after.entry(&condition.key).or_default();
        }
        for write in &change.writes {
            let (key, bytes) = match write {
                Write::Put(key, row) => (key, item_bytes(key, row)),
                Write::Delete(key) => (key, 0),
            };
            after.insert(key, Some(bytes));
        }
        let row = |(key, after): (&Key, Option<u64>)| {
            let before = self.stored(key);
            cost::Row {
                before,
                after: after.unwrap_or(before),
            }
        };
        after.into_iter().map(row).collect()
    }
}

impl Ledger for Metered<MemoryLedger> {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let bytes = self.stored(key);
        self.meter.note(&Call::Get { bytes });
        self.inner.get(key).await
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let found = self.inner.list(partition, prefix, after, limit).await?;
        let sizes = found
            .iter()
            .map(|(key, record)| item_bytes(key, &record.row));
        self.meter.note(&Call::List {
            rows: found.len() as u64,
            bytes: sizes.sum(),
        });
        Ok(found)
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let (conditions, writes) = change.into_rows(now);
        let change = Change {
            conditions,
            writes,
            effects: Vec::new(),
        };
        let rows = self.rows(&change);
        self.meter.note(&Call::Apply { rows });
        self.inner.apply(change, now).await
    }
}

/// How many of each queue of SQS.
fn by_lane<'a>(all: impl Iterator<Item = (&'a QueueName, Priority)>) -> Vec<u64> {
    let mut lanes: BTreeMap<(&QueueName, Priority), u64> = BTreeMap::new();
    for lane in all {
        *lanes.entry(lane).or_default() += 1;
    }
    lanes.into_values().collect()
}

impl TaskQueue for Metered<MemoryQueue> {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        self.meter.note(&Call::Send);
        self.inner.send(queue, message, place).await
    }

    async fn send_all(&self, letters: &[Letter]) -> Result<()> {
        let lanes = letters
            .iter()
            .map(|it| (&it.queue, it.place.share.priority));
        let queues = by_lane(lanes);
        self.meter.note(&Call::SendAll { queues });
        self.inner.send_all(letters).await
    }

    /// Time stands still: where nothing is due, it waits in its books.
    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let found = self
            .inner
            .receive(queues, limit, visibility, Duration::ZERO);
        let found = found.await?;
        let mut asked: Vec<_> = queues.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let count = asked.len();
        asked.rotate_left(self.meter.next_receive() % count.max(1));
        let lanes = PRIORITIES
            .iter()
            .flat_map(|priority| asked.iter().map(move |name| (priority, name)));
        let here = |(priority, name): (&Priority, &&QueueName)| {
            let mine = |it: &&Delivery| it.queue == **name && it.share.priority == *priority;
            found.iter().filter(mine).count() as u64
        };
        let here: Vec<u64> = lanes.map(here).collect();
        let looked = Call::look(count as u64, limit as u64, &here);
        let polls = if found.is_empty() {
            wait.as_secs().div_ceil(POLL.as_secs())
        } else {
            0
        };
        self.meter.waits(polls * POLL.as_secs());
        self.meter.note(&Call::Receive {
            looked,
            waited: polls * Call::poll(count as u64),
        });
        Ok(found)
    }

    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        self.meter.note(&Call::Acknowledge);
        self.inner.acknowledge(receipt).await
    }

    /// All are of one queue of SQS: functions get messages of one, and the machine's own are all `normal`.
    async fn acknowledge_all(&self, receipts: &[&str]) -> Result<()> {
        let queues = vec![receipts.len() as u64];
        self.meter.note(&Call::AcknowledgeAll { queues });
        self.inner.acknowledge_all(receipts).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        self.meter.note(&Call::Depth);
        self.inner.depth(queue).await
    }
}

impl ArtifactStore for Metered<MemoryStore> {
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        self.meter.note(&Call::Put);
        self.inner.put(bytes).await
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        body: Body,
    ) -> Result<Stored> {
        self.meter.note(&Call::Put);
        self.inner.put_stream(expected, max_bytes, body).await
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        self.meter.note(&Call::Size);
        self.inner.size(digest).await
    }

    async fn renew(&self, digest: &Sha256Digest, since: Millis) -> Result<Option<u64>> {
        let before = self.inner.put_time(digest);
        let size = self.inner.renew(digest, since).await?;
        let copied = before.is_some_and(|put| put < since);
        self.meter.note(&Call::Renew { copied });
        Ok(size)
    }

    /// Signed by the function itself: no request.
    async fn download_link(&self, digest: &Sha256Digest, _: Duration) -> Result<Option<Link>> {
        Ok(Some(Link {
            url: format!("https://example.org/{digest}"),
            headers: Vec::new(),
        }))
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        let held = self.inner.held(after, limit).await?;
        let files = held.len() as u64;
        self.meter.note(&Call::Held { files });
        Ok(held)
    }

    /// No job removes anything.
    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let removed = self.inner.remove_if_older(digest, than).await?;
        let versions = u64::from(removed);
        self.meter.note(&Call::RemoveIfOlder { versions });
        Ok(removed)
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        self.meter.note(&Call::Read);
        self.inner.get(digest, max_bytes).await
    }

    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        self.meter.note(&Call::Read);
        self.inner.open(digest, offset).await
    }

    async fn handed_in(&self, place: &str) -> Result<Option<HandedIn>> {
        self.meter.note(&Call::Read);
        self.inner.handed_in(place).await
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        self.meter.note(&Call::Read);
        self.inner.pointer(name).await
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        let names = self.inner.pointers().await?;
        let count = names.len() as u64;
        self.meter.note(&Call::Pointers { names: count });
        Ok(names)
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        let is_new = expected.is_none();
        self.meter.note(&Call::SetPointer { is_new });
        self.inner.set_pointer(name, expected, new).await
    }
}
