//! The third adapter of every port: memory, or what is [outside](crate::Outside) in its place, behind the [`Gate`] and
//! watched by the [`Witness`].

use std::time::Duration;

use bytes::Bytes;
use ledger::{Change, Key, Message, Millis, QueueName, Record};
use memory::{ManualClock, MemoryPlatform, MemoryStateRepo, MemoryStore};
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{
    Applied, ArtifactStore, Body, Clock, CommitInfo, Committed, Delivery, HandedIn, Held, Ledger,
    MergeBase, NewCommit, PathChange, Place, Platform, Resolved, Result, StateRepo, Stored,
    TaskQueue,
};

use crate::gate::Gate;
use crate::outside::{Mail, Rows, Store};
use crate::past::{Past, is_index};
use crate::versions::Version;
use crate::witness::{Asked, Witness};

#[derive(Clone)]
pub(crate) struct Gated<T> {
    inner: T,
    gate: Gate,
    witness: Witness,
    past: Past,
    version: Version,
}

/// A process's clock: the world's, and how far it is off.
#[derive(Clone)]
pub(crate) struct SkewedClock {
    inner: ManualClock,
    off: Millis,
}

/// What one process of the control plane has.
#[derive(Clone)]
pub(crate) struct SimPlatform {
    ledger: Gated<Rows>,
    queue: Gated<Mail>,
    store: Gated<MemoryStore>,
    state_repo: Gated<MemoryStateRepo>,
    clock: SkewedClock,
}

impl Gated<()> {
    fn with<T: Clone>(&self, inner: &T) -> Gated<T> {
        Gated {
            inner: inner.clone(),
            gate: self.gate.clone(),
            witness: self.witness.clone(),
            past: self.past.clone(),
            version: self.version.clone(),
        }
    }
}

impl SimPlatform {
    pub(crate) fn new(
        (memory, store): (&MemoryPlatform, &Store),
        gate: &Gate,
        (witness, past): (&Witness, &Past),
        (off, version): (Millis, Version),
    ) -> Self {
        let common = Gated {
            inner: (),
            gate: gate.clone(),
            witness: witness.clone(),
            past: past.clone(),
            version,
        };
        Self {
            ledger: common.with(&store.rows),
            queue: common.with(&store.mail),
            store: common.with(memory.store()),
            state_repo: common.with(memory.state_repo()),
            clock: SkewedClock {
                inner: memory.clock().clone(),
                off,
            },
        }
    }
}

impl Platform for SimPlatform {
    type Ledger = Gated<Rows>;
    type Queue = Gated<Mail>;
    type Store = Gated<MemoryStore>;
    type StateRepo = Gated<MemoryStateRepo>;
    type Clock = SkewedClock;

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
        &self.state_repo
    }
    fn clock(&self) -> &Self::Clock {
        &self.clock
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Millis {
        self.inner.now() + self.off
    }
}

impl Ledger for Gated<Rows> {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let work = async {
            let found = self.inner.get(key).await?;
            let world = (&self.inner.memory, &self.witness);
            let read = |record| self.version.read(key, record, world);
            found.map(read).transpose()
        };
        self.gate.call("ledger.get", work).await
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let work = async {
            let mut rows = self.inner.list(partition, prefix, after, limit).await?;
            if is_index(partition) && self.gate.happens(|rates| rates.stale_list) {
                let is_asked =
                    |sort: &str| sort.starts_with(prefix) && after.is_none_or(|after| sort > after);
                let die = |sides| self.gate.below(sides);
                self.past.undo(partition, is_asked, die, &mut rows);
                rows.truncate(limit);
            }
            let world = (&self.inner.memory, &self.witness);
            self.version.read_all(rows, world)
        };
        self.gate.call("ledger.list", work).await
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let work = async {
            if let Some(condition) = change.conditions.first()
                && self.gate.happens(|rates| rates.conflict)
            {
                return Ok(Applied::Conflict(condition.key.clone()));
            }
            // The witness sees what is to be sent, too.
            let (conditions, writes) = change.into_rows(now);
            let effects = Vec::new();
            let mut change = Change {
                conditions,
                writes,
                effects,
            };
            self.version.write(&mut change, &self.witness)?;
            let before = self.witness.before(&change);
            let applied = self.inner.apply(change, now).await?;
            if applied == Applied::Done {
                self.past.keep(&before);
                self.witness.wrote(before);
            }
            Ok(applied)
        };
        self.gate.call("ledger.apply", work).await
    }
}

impl TaskQueue for Gated<Mail> {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        let place = &self.version.place(place);
        let work = async {
            let mut late = place.clone();
            if self.gate.happens(|rates| rates.delay) {
                late.not_before += 1000 * self.gate.below(300) as Millis;
            }
            if self.gate.happens(|rates| rates.very_late) {
                late.not_before += 13 * 3600 * 1000;
            }
            self.inner.send(queue, message, &late).await?;
            self.witness.sent(queue, message, &place.share);
            self.witness.queued(queue, message, &late);
            if self.gate.happens(|rates| rates.duplicate) {
                self.inner.send(queue, message, place).await?;
                self.witness.queued(queue, message, place);
            }
            Ok(())
        };
        self.gate.call("queue.send", work).await
    }

    /// Never waits: the scheduler asks again.
    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        _wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let work = async {
            let mut found = self
                .inner
                .receive(queues, limit, visibility, Duration::ZERO)
                .await?;
            let asked = Asked {
                queues,
                limit,
                visibility,
            };
            self.witness.gave_out(&asked, &found);
            self.witness.received(&found);
            self.version.receive(&mut found, &self.witness);
            Ok(found)
        };
        self.gate.call("queue.receive", work).await
    }

    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        let work = async {
            if self.gate.happens(|rates| rates.lost_acknowledgement) {
                return Ok(());
            }
            self.witness.acknowledged(receipt);
            self.inner.acknowledge(receipt).await
        };
        self.gate.call("queue.acknowledge", work).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        self.gate.call("queue.depth", self.inner.depth(queue)).await
    }
}

impl ArtifactStore for Gated<MemoryStore> {
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        self.gate.call("store.put", self.inner.put(bytes)).await
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        body: Body,
    ) -> Result<Stored> {
        let work = self.inner.put_stream(expected, max_bytes, body);
        self.gate.call("store.put_stream", work).await
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        self.gate.call("store.size", self.inner.size(digest)).await
    }

    async fn renew(&self, digest: &Sha256Digest, since: Millis) -> Result<Option<u64>> {
        self.gate
            .call("store.renew", self.inner.renew(digest, since))
            .await
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        self.gate
            .call("store.held", self.inner.held(after, limit))
            .await
    }

    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let work = self.inner.remove_if_older(digest, than);
        self.gate.call("store.remove_if_older", work).await
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        self.gate
            .call("store.get", self.inner.get(digest, max_bytes))
            .await
    }

    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        self.gate
            .call("store.open", self.inner.open(digest, offset))
            .await
    }

    async fn handed_in(&self, place: &str) -> Result<Option<HandedIn>> {
        self.gate
            .call("store.handed_in", self.inner.handed_in(place))
            .await
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        self.gate
            .call("store.pointer", self.inner.pointer(name))
            .await
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        self.gate
            .call("store.pointers", self.inner.pointers())
            .await
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        let work = async {
            let before = self.inner.pointer(name).await?;
            let set = self.inner.set_pointer(name, expected, new.clone()).await?;
            if set {
                self.witness.flipped(name, before.as_deref(), &new);
            }
            Ok(set)
        };
        self.gate.call("store.set_pointer", work).await
    }
}

impl StateRepo for Gated<MemoryStateRepo> {
    async fn head(&self, branch: &str) -> Result<Option<ports::Commit>> {
        self.gate.call("repo.head", self.inner.head(branch)).await
    }

    async fn info(&self, commit: &str) -> Result<CommitInfo> {
        self.gate.call("repo.info", self.inner.info(commit)).await
    }

    async fn changes(&self, from: Option<&str>, to: &str) -> Result<Vec<PathChange>> {
        self.gate
            .call("repo.changes", self.inner.changes(from, to))
            .await
    }

    async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool> {
        self.gate
            .call("repo.is_ancestor", self.inner.is_ancestor(old, new))
            .await
    }

    async fn merge_base(&self, one: &str, other: &str, limit: usize) -> Result<MergeBase> {
        let work = self.inner.merge_base(one, other, limit);
        self.gate.call("repo.merge_base", work).await
    }

    async fn object(
        &self,
        kind: ports::ObjectKind,
        name: &str,
        limit: usize,
    ) -> Result<Option<Bytes>> {
        self.gate
            .call("repo.object", self.inner.object(kind, name, limit))
            .await
    }

    async fn list(&self, commit: &str, dir: &str) -> Result<Vec<String>> {
        self.gate
            .call("repo.list", self.inner.list(commit, dir))
            .await
    }

    async fn read(&self, commit: &str, path: &str) -> Result<Option<Bytes>> {
        self.gate
            .call("repo.read", self.inner.read(commit, path))
            .await
    }

    async fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        new: NewCommit,
    ) -> Result<Committed> {
        let work = async {
            let committed = self.inner.commit(branch, parent, new.clone()).await?;
            if committed != Committed::Unchanged {
                self.witness.pushes();
            }
            match &committed {
                Committed::Yes(commit) => self.witness.committed(branch, parent, commit, &new),
                Committed::Unchanged => self.witness.found(&new),
                Committed::Moved(_) => {}
            }
            Ok(committed)
        };
        self.gate.call("repo.commit", work).await
    }

    async fn resolve(&self, url: &str, git_ref: &str) -> Result<Resolved> {
        self.gate
            .call("repo.resolve", self.inner.resolve(url, git_ref))
            .await
    }
}
