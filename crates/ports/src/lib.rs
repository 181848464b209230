//! Ports: what the control plane needs of the world, one trait each, and the suite every adapter passes.
//!
//! Callers: `control` uses the traits; `platform-*`, `state-repo`, `memory` and `simulator` implement them and run
//! [`contract`] in their tests. Invariants: native `async fn`, static dispatch, one [`Platform`]
//! bundle; an error is [`Error::Transient`] when the same call may succeed later.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use ledger::{Change, Key, Message, Millis, QueueName, Record, Share};
use pipeline_spec::{RepositoryName, Sha256Digest};
use tokio::io::AsyncRead;

pub mod contract;
mod forge;

pub use forge::{
    Action, Annotation, Check, CheckState, FORGE_WRITES, Forge, Level, Permission, Pull, PullState,
    Reply,
};

/// What goes wrong in an adapter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world's trouble: try again later.
    #[error("{operation}: {cause}")]
    Transient {
        /// Reads after "failed to": `write ledger rows`.
        operation: String,
        /// What was said.
        cause: String,
    },
    /// Stored data that cannot be read: an alarm, not a retry.
    #[error("{operation}: {cause}")]
    Corrupt {
        /// Reads after "failed to".
        operation: String,
        /// What is wrong.
        cause: String,
    },
}

impl Error {
    /// A transient error of `operation`.
    pub fn transient(operation: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Transient {
            operation: operation.into(),
            cause: cause.to_string(),
        }
    }

    /// Corrupt data met in `operation`.
    pub fn corrupt(operation: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            operation: operation.into(),
            cause: cause.to_string(),
        }
    }
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether a change applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Applied {
    /// Whole.
    Done,
    /// Not at all: a condition on this row did not hold.
    Conflict(Key),
}

/// Rows under conditions. *A change applies whole or not at all, only under its conditions; reads see own writes.*
pub trait Ledger: Send + Sync {
    /// The row at `key`, strongly consistent.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Record>>> + Send;

    /// Rows of one partition whose sort key starts with `prefix` and is greater than `after`, in
    /// order, at most `limit`.
    fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(Key, Record)>>> + Send;

    /// Applies `change`, its effects as outbox rows stamped `now`.
    fn apply(&self, change: Change, now: Millis) -> impl Future<Output = Result<Applied>> + Send;
}

/// A message in a receiver's hands.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it came from.
    pub queue: QueueName,
    /// What it says.
    pub message: Message,
    /// Give it to [`TaskQueue::acknowledge`].
    pub receipt: String,
    /// How often it has been delivered, this time included.
    pub deliveries: u32,
    /// As it was sent with.
    pub share: Share,
}

/// Where a message stands in its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Not delivered before.
    pub not_before: Millis,
    /// Whose turn it takes, and before which others.
    pub share: Share,
}

/// A message on its way to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Which.
    pub queue: QueueName,
    /// What it says.
    pub message: Message,
    /// Where it stands there.
    pub place: Place,
}

impl Place {
    /// Of a message for which no tenant waits.
    pub fn at(not_before: Millis) -> Self {
        Self {
            not_before,
            share: Share::default(),
        }
    }
}

/// Queues. *At least once, may duplicate; unacknowledged comes back; tenants take turns.*
///
/// The order in which due messages go out is a promise to those who wait, not to those who receive:
///
/// 1. The highest priority first, over all queues that a call names.
/// 2. Of those, the tenant that was served the longest time ago in that queue; one that was never
///    served goes first, and of several such the one whose message has been due for longest.
/// 3. Of that tenant's messages, the one that has been due for longest.
///
/// So a message waits for at most one message of each other tenant and queue that is asked for, however many wait there,
/// and for its own tenant's older ones. A delivery that ends without an acknowledgement has used
/// its turn. Messages without a tenant are together one tenant.
///
/// An adapter may treat several tenants as one, by a hash of their names over a fixed number of lanes
/// (stochastic fairness queueing, McKenney 1990), which is what queues without an order by sender can do.
/// Those who share a lane with a flood wait behind it.
pub trait TaskQueue: Send + Sync {
    /// Adds a message; durable when this returns.
    fn send(
        &self,
        queue: &QueueName,
        message: &Message,
        place: &Place,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Adds messages, in order; all are durable when this returns. After an error some may be: whoever sends
    /// them again doubles those. Where a call costs, an adapter makes fewer of them.
    fn send_all(&self, letters: &[Letter]) -> impl Future<Output = Result<()>> + Send {
        async move {
            for letter in letters {
                let Letter {
                    queue,
                    message,
                    place,
                } = letter;
                self.send(queue, message, place).await?;
            }
            Ok(())
        }
    }

    /// Up to `limit` messages of any of `queues` in the order that the trait promises, hidden from others for `visibility`; waits up to `wait` for the first.
    fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery>>> + Send;

    /// Removes a delivered message; one that is gone is fine.
    fn acknowledge(&self, receipt: &str) -> impl Future<Output = Result<()>> + Send;

    /// Removes delivered messages; after an error some may be left.
    fn acknowledge_all(&self, receipts: &[&str]) -> impl Future<Output = Result<()>> + Send {
        async move {
            for receipt in receipts {
                self.acknowledge(receipt).await?;
            }
            Ok(())
        }
    }

    /// Messages waiting or in flight in one queue, for status and alarms.
    fn depth(&self, queue: &QueueName) -> impl Future<Output = Result<u64>> + Send;
}

/// A stream of a stored file.
pub type Body = Box<dyn AsyncRead + Send + Unpin>;

/// How a streamed write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// It is there, now or from before.
    Yes,
    /// The bytes have another digest; nothing was kept.
    OtherDigest(Sha256Digest),
    /// The bytes are more than allowed; nothing was kept.
    TooLarge,
}

/// A stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub digest: Sha256Digest,
    /// In bytes.
    pub size: u64,
    /// When it was put or renewed last, by the store's clock.
    pub put: Millis,
}

/// A result that a runner put into the store: a stranger's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedIn {
    /// Of the file.
    pub bytes: Bytes,
    /// When it was put, by the store's clock.
    pub put: Millis,
}

/// Where a file can be given or taken without this process in between, for a while. Whoever has it may do
/// that one thing with that one file, so it is as secret as the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Of HTTP.
    pub url: String,
    /// What a request must carry besides, as it stands here.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link(…)")
    }
}

/// Files by digest. *Addressed by SHA-256; put twice is once; a torn put is never seen; what is put again
/// is not removed.*
///
/// Of files that nobody names, the old ones are removed ([`ArtifactStore::remove_if_older`]). So whoever
/// is about to write a digest down, other than from a row that names it already, puts or renews the file
/// first: both make it young, and exclude its removal.
pub trait ArtifactStore: Send + Sync {
    /// Stores bytes. Of those that are there already it renews the time.
    fn put(&self, bytes: Bytes) -> impl Future<Output = Result<Sha256Digest>> + Send;

    /// Stores a stream that must have `expected` and at most `max_bytes`; of bytes that are there
    /// already it renews the time.
    fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        body: Body,
    ) -> impl Future<Output = Result<Stored>> + Send;

    /// Size in bytes, if stored.
    fn size(&self, digest: &Sha256Digest) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Size in bytes, if stored. It is young afterwards: unless its last put or renewal was at `since` or later,
    /// by the store's clock, this counts as a put of now. An adapter may always make it one.
    fn renew(
        &self,
        digest: &Sha256Digest,
        since: Millis,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Stored files in order of their digests, those behind `after`, at most `limit` (not 0). None: that
    /// was all. One that is put or removed meanwhile may be there or not.
    fn held(
        &self,
        after: Option<&Sha256Digest>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Held>>> + Send;

    /// Removes a file whose last put or renewal was before `than`, by the store's clock. `false`: it was
    /// not, or the file is not there. Whoever has it open reads on.
    fn remove_if_older(
        &self,
        digest: &Sha256Digest,
        than: Millis,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// The bytes, if stored; an error when there are more than `max_bytes`.
    fn get(
        &self,
        digest: &Sha256Digest,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// A stream from `offset`, if stored.
    fn open(
        &self,
        digest: &Sha256Digest,
        offset: u64,
    ) -> impl Future<Output = Result<Option<Body>>> + Send;

    /// Where a stored file can be read until `lasts` from now. `None`: nowhere but through [`Self::open`].
    fn download_link(
        &self,
        _digest: &Sha256Digest,
        _lasts: Duration,
    ) -> impl Future<Output = Result<Option<Link>>> + Send {
        async { Ok(None) }
    }

    /// Where `size` bytes that have this digest, and no others, can be put until `lasts` from now.
    /// `None`: nowhere but through [`Self::put_stream`].
    fn upload_link(
        &self,
        _digest: &Sha256Digest,
        _size: u64,
        _lasts: Duration,
    ) -> impl Future<Output = Result<Option<Link>>> + Send {
        async { Ok(None) }
    }

    /// A result that a runner has put into the store, at its place (`runner_api::handed`). `None`: nothing is
    /// there, or runners hand nothing in here.
    fn handed_in(&self, _place: &str) -> impl Future<Output = Result<Option<HandedIn>>> + Send {
        async { Ok(None) }
    }

    /// The pointer document of `name` (a repository).
    fn pointer(&self, name: &str) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Names of all pointers, in their order: what is published, whatever the configuration says today.
    fn pointers(&self) -> impl Future<Output = Result<Vec<RepositoryName>>> + Send;

    /// Sets the pointer if it still is `expected` byte for byte; `false`: it is not.
    fn set_pointer(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        new: Bytes,
    ) -> impl Future<Output = Result<bool>> + Send;
}

/// A commit of the state repository: 40 hex digits.
pub type Commit = String;

/// How a path differs between two commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other content.
    Modified,
    /// Gone.
    Removed,
    /// There, and no regular file: a link, or another repository. It cannot be read or listed.
    NotAFile,
}

/// One differing path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// `/`-separated, from the repository's top.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// `Name <mail>`.
    pub author: String,
    /// Committer time, seconds since 1970.
    pub time: i64,
    /// The whole message.
    pub message: String,
    /// First parent first.
    pub parents: Vec<Commit>,
}

/// Files to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// `None` removes the path.
    pub files: Vec<(String, Option<Bytes>)>,
    /// Whole message, trailers included.
    pub message: String,
    /// Seconds since 1970, for author and committer.
    pub time: i64,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    /// The branch is there now.
    Yes(Commit),
    /// Nothing differs; the branch was left alone.
    Unchanged,
    /// The branch is elsewhere: read again, and retry.
    Moved(Option<Commit>),
}

/// What two commits have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeBase {
    /// This commit: it is in the history of both, and in that of no other such commit.
    At(Commit),
    /// Nothing.
    Nowhere,
    /// It was not found among as many commits as the caller allows.
    TooFar,
}

/// What a ref of a stranger's repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// This commit.
    Commit(Commit),
    /// It is not there: the user's to mend.
    Missing(String),
}

/// What is stored under a name in git, of that which is not a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Who did what, upon what.
    Commit,
    /// A folder.
    Tree,
}

/// Git. *A commit's snapshot never changes; a commit on a moved parent loses.*
pub trait StateRepo: Send + Sync {
    /// Looks at the origin; the branch's tip.
    fn head(&self, branch: &str) -> impl Future<Output = Result<Option<Commit>>> + Send;

    /// What `commit` says of itself.
    fn info(&self, commit: &str) -> impl Future<Output = Result<CommitInfo>> + Send;

    /// Differing paths, in path order; from nothing when `from` is `None`.
    fn changes(
        &self,
        from: Option<&str>,
        to: &str,
    ) -> impl Future<Output = Result<Vec<PathChange>>> + Send;

    /// Whether `old` is `new` or one of its ancestors. `false` when `old` is not known any more.
    fn is_ancestor(&self, old: &str, new: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Where the histories of two commits part; of several such commits, one. It is found if both histories have no
    /// more than `limit` commits together. Who has to read more than `limit` may say so instead.
    fn merge_base(
        &self,
        one: &str,
        other: &str,
        limit: usize,
    ) -> impl Future<Output = Result<MergeBase>> + Send;

    /// A commit or a folder as git stores it, by its name of 40 hex digits; whoever depends on it hashes it. `None`: there
    /// is none, it is of another kind, or it has more than `limit` bytes.
    fn object(
        &self,
        kind: ObjectKind,
        name: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Paths of files below `dir` (`""`: all), in order.
    fn list(&self, commit: &str, dir: &str) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// A file's bytes.
    fn read(&self, commit: &str, path: &str) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Whether a file is at `path`: what [`StateRepo::read`] finds, without its bytes where they cost something.
    fn has(&self, commit: &str, path: &str) -> impl Future<Output = Result<bool>> + Send {
        async { Ok(self.read(commit, path).await?.is_some()) }
    }

    /// Says that the files of `commit` at `paths` are read soon, so that who has to ask a server for each asks once for
    /// all. The reads mean the same without it, and so it does nothing unless an adapter gains by it.
    fn prefetch(&self, commit: &str, paths: &[String]) -> impl Future<Output = Result<()>> + Send {
        let _ = (commit, paths);
        async { Ok(()) }
    }

    /// One commit on `branch`, which must be at `parent`.
    fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        new: NewCommit,
    ) -> impl Future<Output = Result<Committed>> + Send;

    /// What a ref of another repository is right now.
    fn resolve(&self, url: &str, git_ref: &str) -> impl Future<Output = Result<Resolved>> + Send;
}

/// The time. A port, so that tests and the simulator own it.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC.
    fn now(&self) -> Millis;
}

/// One choice of adapters.
pub trait Platform: Send + Sync + 'static {
    /// See [`Ledger`].
    type Ledger: Ledger;
    /// See [`TaskQueue`].
    type Queue: TaskQueue;
    /// See [`ArtifactStore`].
    type Store: ArtifactStore;
    /// See [`StateRepo`].
    type StateRepo: StateRepo;
    /// See [`Clock`].
    type Clock: Clock;

    /// The ledger.
    fn ledger(&self) -> &Self::Ledger;
    /// The queues.
    fn queue(&self) -> &Self::Queue;
    /// The artifact store.
    fn store(&self) -> &Self::Store;
    /// The state repository.
    fn state_repo(&self) -> &Self::StateRepo;
    /// The clock.
    fn clock(&self) -> &Self::Clock;
}
