//! Ports that fail at the call they are told to, before or after it has done its work.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ledger::{Change, Key, Message, Millis, QueueName, Record};
use memory::{
    ManualClock, MemoryForge, MemoryLedger, MemoryPlatform, MemoryQueue, MemoryStateRepo,
    MemoryStore,
};
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{
    Applied, ArtifactStore, Body, Check, CommitInfo, Committed, Delivery, Error, Forge, HandedIn,
    Held, Ledger, Link, NewCommit, PathChange, Permission, Place, Platform, Pull, Reply, Resolved,
    Result, StateRepo, Stored, TaskQueue,
};

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was done.
    Before,
    /// It was done, and the answer was lost.
    After,
}

/// Counts calls, and knows which one fails.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

/// What another process does in between.
pub(crate) type Rival = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct State {
    calls: Vec<&'static str>,
    armed: Option<(usize, When)>,
    /// Nothing comes behind the call that fails.
    kills: bool,
    broken: Option<(&'static str, usize)>,
    rival: Option<(usize, Rival)>,
    missing: Option<QueueName>,
}

impl Faults {
    /// The `n`-th call from now on fails; the first is 0.
    pub(crate) fn arm(&self, n: usize, when: When) {
        let mut state = self.state();
        state.armed = Some((state.calls.len() + n, when));
    }

    /// As [`Faults::arm`], and the process dies of it: all further calls fail.
    pub(crate) fn kill(&self, n: usize, when: When) {
        self.arm(n, when);
        self.state().kills = true;
    }

    /// Before the `n`-th call from now on, `rival` runs to its end.
    pub(crate) fn interleave(&self, n: usize, rival: Rival) {
        let mut state = self.state();
        state.rival = Some((state.calls.len() + n, rival));
    }

    /// After `n` more calls of this name, all further ones fail.
    pub(crate) fn break_off(&self, name: &'static str, n: usize) {
        self.state().broken = Some((name, n));
    }

    /// Nothing can be sent to `queue` from now on, as if nobody had made it.
    pub(crate) fn take_away(&self, queue: QueueName) {
        self.state().missing = Some(queue);
    }

    pub(crate) fn has_taken_a_queue_away(&self) -> bool {
        self.state().missing.is_some()
    }

    /// No call fails from now on.
    pub(crate) fn disarm(&self) {
        let mut state = self.state();
        state.armed = None;
        state.kills = false;
        state.broken = None;
        state.missing = None;
    }

    /// Names of all calls so far.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock")
    }

    fn rival(&self) -> Option<Rival> {
        let mut state = self.state();
        let now = state.calls.len();
        let due = state.rival.as_ref().is_some_and(|(n, _)| *n == now);
        if due {
            state.rival.take().map(|(_, rival)| rival)
        } else {
            None
        }
    }

    fn next(&self, call: &'static str) -> Option<When> {
        let mut state = self.state();
        let now = state.calls.len();
        state.calls.push(call);
        if let Some((name, left)) = &mut state.broken
            && *name == call
        {
            if *left == 0 {
                return Some(When::Before);
            }
            *left -= 1;
        }
        let (n, when) = state.armed?;
        match n == now {
            true => Some(when),
            false => (state.kills && n < now).then_some(When::Before),
        }
    }

    async fn call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let rival = self.rival();
        if let Some(rival) = rival {
            rival.await;
        }
        let fault = self.next(name);
        if fault == Some(When::Before) {
            return Err(Error::transient(name, "the test cut the line before it"));
        }
        let done = work.await;
        if fault == Some(When::After) {
            return Err(Error::transient(name, "the test cut the line after it"));
        }
        done
    }
}

#[derive(Clone)]
pub(crate) struct Faulty<T> {
    inner: T,
    faults: Faults,
}

impl Faulty<MemoryForge> {
    pub(crate) fn forge(inner: &MemoryForge, faults: &Faults) -> Self {
        Self {
            inner: inner.clone(),
            faults: faults.clone(),
        }
    }
}

/// [`MemoryPlatform`] behind [`Faults`].
#[derive(Clone)]
pub(crate) struct FaultyPlatform {
    ledger: Faulty<MemoryLedger>,
    queue: Faulty<MemoryQueue>,
    store: Faulty<MemoryStore>,
    state_repo: Faulty<MemoryStateRepo>,
    clock: ManualClock,
}

impl FaultyPlatform {
    pub(crate) fn new(memory: &MemoryPlatform, faults: &Faults) -> Self {
        fn with<T: Clone>(inner: &T, faults: &Faults) -> Faulty<T> {
            Faulty {
                inner: inner.clone(),
                faults: faults.clone(),
            }
        }
        Self {
            ledger: with(memory.ledger(), faults),
            queue: with(memory.queue(), faults),
            store: with(memory.store(), faults),
            state_repo: with(memory.state_repo(), faults),
            clock: memory.clock().clone(),
        }
    }
}

impl Platform for FaultyPlatform {
    type Ledger = Faulty<MemoryLedger>;
    type Queue = Faulty<MemoryQueue>;
    type Store = Faulty<MemoryStore>;
    type StateRepo = Faulty<MemoryStateRepo>;
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
        &self.state_repo
    }
    fn clock(&self) -> &Self::Clock {
        &self.clock
    }
}

impl Ledger for Faulty<MemoryLedger> {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.faults.call("ledger.get", self.inner.get(key)).await
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let work = self.inner.list(partition, prefix, after, limit);
        self.faults.call("ledger.list", work).await
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let work = self.inner.apply(change, now);
        self.faults.call("ledger.apply", work).await
    }
}

impl TaskQueue for Faulty<MemoryQueue> {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        if self.faults.state().missing.as_ref() == Some(queue) {
            return Err(Error::transient("queue.send", "there is no such queue"));
        }
        let work = self.inner.send(queue, message, place);
        self.faults.call("queue.send", work).await
    }

    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let work = self.inner.receive(queues, limit, visibility, wait);
        self.faults.call("queue.receive", work).await
    }

    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        let work = self.inner.acknowledge(receipt);
        self.faults.call("queue.acknowledge", work).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        self.faults
            .call("queue.depth", self.inner.depth(queue))
            .await
    }
}

impl ArtifactStore for Faulty<MemoryStore> {
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        self.faults.call("store.put", self.inner.put(bytes)).await
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        body: Body,
    ) -> Result<Stored> {
        let work = self.inner.put_stream(expected, max_bytes, body);
        self.faults.call("store.put_stream", work).await
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        self.faults
            .call("store.size", self.inner.size(digest))
            .await
    }

    async fn renew(&self, digest: &Sha256Digest, since: Millis) -> Result<Option<u64>> {
        self.faults
            .call("store.renew", self.inner.renew(digest, since))
            .await
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        let work = self.inner.held(after, limit);
        self.faults.call("store.held", work).await
    }

    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let work = self.inner.remove_if_older(digest, than);
        self.faults.call("store.remove_if_older", work).await
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        let work = self.inner.get(digest, max_bytes);
        self.faults.call("store.get", work).await
    }

    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        let work = self.inner.open(digest, offset);
        self.faults.call("store.open", work).await
    }

    async fn download_link(&self, digest: &Sha256Digest, lasts: Duration) -> Result<Option<Link>> {
        self.inner.download_link(digest, lasts).await
    }

    async fn upload_link(
        &self,
        digest: &Sha256Digest,
        size: u64,
        lasts: Duration,
    ) -> Result<Option<Link>> {
        self.inner.upload_link(digest, size, lasts).await
    }

    async fn handed_in(&self, place: &str) -> Result<Option<HandedIn>> {
        self.faults
            .call("store.handed_in", self.inner.handed_in(place))
            .await
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        self.faults
            .call("store.pointer", self.inner.pointer(name))
            .await
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        self.faults
            .call("store.pointers", self.inner.pointers())
            .await
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        let work = self.inner.set_pointer(name, expected, new);
        self.faults.call("store.set_pointer", work).await
    }
}

impl StateRepo for Faulty<MemoryStateRepo> {
    async fn head(&self, branch: &str) -> Result<Option<ports::Commit>> {
        self.faults.call("repo.head", self.inner.head(branch)).await
    }

    async fn info(&self, commit: &str) -> Result<CommitInfo> {
        self.faults.call("repo.info", self.inner.info(commit)).await
    }

    async fn changes(&self, from: Option<&str>, to: &str) -> Result<Vec<PathChange>> {
        self.faults
            .call("repo.changes", self.inner.changes(from, to))
            .await
    }

    async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool> {
        let work = self.inner.is_ancestor(old, new);
        self.faults.call("repo.is_ancestor", work).await
    }

    async fn merge_base(&self, one: &str, other: &str, limit: usize) -> Result<ports::MergeBase> {
        let work = self.inner.merge_base(one, other, limit);
        self.faults.call("repo.merge_base", work).await
    }

    async fn object(
        &self,
        kind: ports::ObjectKind,
        name: &str,
        limit: usize,
    ) -> Result<Option<Bytes>> {
        self.faults
            .call("repo.object", self.inner.object(kind, name, limit))
            .await
    }

    async fn list(&self, commit: &str, dir: &str) -> Result<Vec<String>> {
        self.faults
            .call("repo.list", self.inner.list(commit, dir))
            .await
    }

    async fn read(&self, commit: &str, path: &str) -> Result<Option<Bytes>> {
        self.faults
            .call("repo.read", self.inner.read(commit, path))
            .await
    }

    async fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        new: NewCommit,
    ) -> Result<Committed> {
        let work = self.inner.commit(branch, parent, new);
        self.faults.call("repo.commit", work).await
    }

    async fn resolve(&self, url: &str, git_ref: &str) -> Result<Resolved> {
        let work = self.inner.resolve(url, git_ref);
        self.faults.call("repo.resolve", work).await
    }
}

impl Forge for Faulty<MemoryForge> {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        let work = self.inner.open_pulls(base);
        self.faults.call("forge.open_pulls", work).await
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        self.faults
            .call("forge.pull", self.inner.pull(number))
            .await
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        self.faults
            .call("forge.pull_of", self.inner.pull_of(commit))
            .await
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let work = self.inner.write_check(check);
        self.faults.call("forge.write_check", work).await
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        let work = self.inner.permission(login);
        self.faults.call("forge.permission", work).await
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        let work = self.inner.is_program(login);
        self.faults.call("forge.is_program", work).await
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        let work = self.inner.answer(reply);
        self.faults.call("forge.answer", work).await
    }
}
