//! Artifacts in a folder, addressed by SHA-256.
//!
//! ```text
//! <root>/lock              held while open
//! <root>/objects/ab/cdef…  an artifact: read-only, complete, never changed
//! <root>/pointers/<name>   a repository's pointer, replaced whole
//! <root>/tmp/              what is being written; emptied at open
//! ```
//!
//! The time of an object's file is when it was put or renewed last; it decides what may be removed. A file
//! comes into `objects` and `pointers` by rename, after its bytes are on the disk, and is
//! answered for after its name is. [`ports::ArtifactStore::get`] hashes what it reads, so a flipped byte on the
//! disk is an error there; [`ports::ArtifactStore::open`] streams from any offset and cannot: its readers know the
//! digest and check it, and [`DirectoryStore::verify`] looks on request.

mod held;
mod incoming;
mod pointers;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use ledger::Millis;
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{ArtifactStore, Body, Held, Result, Stored};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::lock::{FolderLock, LastHolder};
use crate::{Error, blocking, folders};
use incoming::Incoming;
use pointers::Pointers;

/// Folders of `objects`: one per first byte of the digest.
const SHARDS: usize = 256;
/// A stream is hashed and written in pieces of this size: few enough hand-overs between threads,
/// and little memory per upload.
const PIECE_BYTES: usize = 256 << 10;

/// An open artifact folder. Clones share it.
#[derive(Debug, Clone)]
pub struct DirectoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Held between the rename into a shard and the fsync of the shard's folder: whoever finds
    /// an object there may not answer for it before that. Held, too, while an object is renewed, and
    /// between the look at its time and its removal.
    shards: Vec<Mutex<()>>,
    pointers: Pointers,
    made: Made,
    // Last: until then nobody else has the folder.
    _lock: FolderLock,
}

/// What opening the store made, in this order, and whether it is to go again.
#[derive(Debug, Default)]
struct Made {
    folders: Vec<PathBuf>,
    lock: Option<PathBuf>,
    unwanted: AtomicBool,
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.unwanted.load(Ordering::Acquire) {
            return;
        }
        if let Some(lock) = &self.lock {
            // It is empty by now, or stays: it does no harm.
            let _ = fs::remove_file(lock);
        }
        for folder in self.folders.iter().rev() {
            // One that something was put into stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// What [`DirectoryStore::verify`] sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The bytes have their digest.
    Whole,
    /// They have this one.
    Damaged(Sha256Digest),
    /// There are none.
    Missing,
}

impl DirectoryStore {
    /// Opens the store in `root`, makes it if it is not there, and removes what a killed process
    /// left half written. Blocks for some milliseconds.
    pub fn open(root: &Path) -> std::result::Result<Self, Error> {
        use crate::error::io;
        let mut made = Made::default();
        if !root.exists() {
            made.folders.push(root.to_owned());
        }
        let lock_file = root.join("lock");
        made.lock = (!lock_file.exists()).then_some(lock_file);
        folders::make(root)?;
        let lock = FolderLock::take(root)?;
        let [objects, pointers, tmp] = ["objects", "pointers", "tmp"].map(|name| root.join(name));
        let shards = (0..SHARDS).map(|byte| objects.join(format!("{byte:02x}")));
        let shards: Vec<_> = shards.collect();
        for folder in [&objects, &pointers, &tmp].into_iter().chain(&shards) {
            match fs::create_dir(folder) {
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other.map_err(io("create", folder))?;
                    made.folders.push(folder.clone());
                }
            }
        }
        sweep(&tmp).map_err(io("empty", &tmp))?;
        for folder in [root, &objects] {
            folders::sync(folder)?;
        }
        if lock.last_holder() == LastHolder::Died {
            // It may have renamed without getting to the sync of the folder. What is found from
            // now on is answered for, so it has to be on the disk.
            for folder in shards.iter().chain([&pointers]) {
                folders::sync(folder)?;
            }
        }
        Ok(Self(Arc::new(Shared {
            root: root.to_owned(),
            shards: (0..SHARDS).map(|_| Mutex::new(())).collect(),
            pointers: Pointers::new(root),
            made,
            _lock: lock,
        })))
    }

    /// Has the folders that this [`DirectoryStore::open`] made removed when it is closed, as far as nothing
    /// was put into them.
    pub fn leave_as_found(&self) {
        self.0.made.unwanted.store(true, Ordering::Release);
    }

    /// Reads an artifact's bytes and compares their digest.
    pub async fn verify(&self, digest: &Sha256Digest) -> Result<Verdict> {
        let operation = format!("verify artifact {digest}");
        let (store, digest) = (self.clone(), *digest);
        let context = operation.clone();
        blocking::run(&operation, move || {
            let verdict = verify(&store.0.path(&digest), &digest);
            verdict.map_err(|cause| store.0.error(&context, &cause))
        })
        .await
    }
}

fn sweep(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn verify(path: &Path, digest: &Sha256Digest) -> io::Result<Verdict> {
    let Some(mut file) = found(File::open(path))? else {
        return Ok(Verdict::Missing);
    };
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher)?;
    let real = Sha256Digest::new(hasher.finalize().into());
    Ok(if real == *digest {
        Verdict::Whole
    } else {
        Verdict::Damaged(real)
    })
}

/// `None` in the place of "no such file".
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn digest_of(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(bytes).into())
}

impl Shared {
    fn path(&self, digest: &Sha256Digest) -> PathBuf {
        let hex = digest.to_string();
        let (shard, rest) = hex.split_at(2);
        self.root.join("objects").join(shard).join(rest)
    }

    fn error(&self, operation: &str, cause: &io::Error) -> ports::Error {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        if !matches!(cause.kind(), StorageFull | QuotaExceeded) {
            return ports::Error::transient(operation, cause);
        }
        let root = self.root.display();
        let cause = format!(
            "the disk that holds {root} is full; nothing was stored. Free some space, and it goes on"
        );
        ports::Error::transient(operation, cause)
    }

    /// Gives complete bytes their name. A damaged object of that name is replaced.
    fn keep(&self, incoming: Incoming, digest: &Sha256Digest) -> io::Result<()> {
        let path = self.path(digest);
        let _guard = self.shard(digest);
        incoming.persist(&path)
    }

    fn shard(&self, digest: &Sha256Digest) -> std::sync::MutexGuard<'_, ()> {
        let mutex = &self.shards[usize::from(digest.as_bytes()[0])];
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: &[u8]) -> io::Result<Sha256Digest> {
        let digest = digest_of(bytes);
        {
            let _guard = self.shard(&digest);
            let path = self.path(&digest);
            let stored = found(fs::read(&path))?;
            // Compared, not trusted: putting again mends what the disk has damaged.
            if stored.is_some_and(|stored| stored == bytes) {
                held::renew(&path)?;
                return Ok(digest);
            }
        }
        let mut incoming = Incoming::new(&self.root)?;
        incoming.write(bytes)?;
        self.keep(incoming, &digest)?;
        Ok(digest)
    }

    fn get(&self, operation: &str, digest: &Sha256Digest, max: u64) -> Result<Option<Bytes>> {
        let path = self.path(digest);
        let error = |cause| self.error(operation, &cause);
        let Some(file) = found(File::open(&path)).map_err(error)? else {
            return Ok(None);
        };
        let size = file.metadata().map_err(error)?.len();
        if size > max {
            let cause = format!("it has {size} bytes; {max} are allowed");
            return Err(ports::Error::corrupt(operation, cause));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(max).read_to_end(&mut bytes).map_err(error)?;
        let real = digest_of(&bytes);
        if real != *digest {
            let path = path.display();
            let cause = format!(
                "{path} is damaged: its bytes have the digest {real}. Check the disk, \
                 and store the artifact again"
            );
            return Err(ports::Error::corrupt(operation, cause));
        }
        Ok(Some(bytes.into()))
    }

    fn open(&self, digest: &Sha256Digest, offset: u64) -> io::Result<Option<File>> {
        let Some(mut file) = found(File::open(self.path(digest)))? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(offset))?;
        Ok(Some(file))
    }
}

impl ArtifactStore for DirectoryStore {
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        let operation = "store an artifact";
        let store = self.clone();
        blocking::run(operation, move || {
            let put = store.0.put(&bytes);
            put.map_err(|cause| store.0.error(operation, &cause))
        })
        .await
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        mut body: Body,
    ) -> Result<Stored> {
        let operation = format!("store artifact {expected}");
        let mut incoming = self
            .block(&operation, |store| Incoming::new(&store.root))
            .await?;
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let mut size = 0;
        loop {
            let mut ended = false;
            while piece.len() < PIECE_BYTES && !ended {
                let room = PIECE_BYTES - piece.len();
                let read = (&mut body).take(room as u64).read_buf(&mut piece).await;
                let read = read.map_err(|cause| ports::Error::transient(&operation, cause))?;
                ended = read == 0;
            }
            size += piece.len() as u64;
            if size > max_bytes {
                return Ok(Stored::TooLarge);
            }
            if piece.is_empty() {
                break;
            }
            (incoming, piece) = self
                .block(&operation, move |_| {
                    incoming.write(&piece)?;
                    piece.clear();
                    Ok((incoming, piece))
                })
                .await?;
        }
        let digest = incoming.digest();
        if digest != expected {
            return Ok(Stored::OtherDigest(digest));
        }
        self.block(&operation, move |store| store.keep(incoming, &expected))
            .await?;
        Ok(Stored::Yes)
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        let operation = format!("read the size of artifact {digest}");
        let digest = *digest;
        let metadata = self.block(&operation, move |store| {
            // Who is told that it is there writes that down: see `Shared::shards`.
            let _guard = store.shard(&digest);
            found(fs::metadata(store.path(&digest)))
        });
        Ok(metadata.await?.map(|metadata| metadata.len()))
    }

    async fn renew(&self, digest: &Sha256Digest, _since: Millis) -> Result<Option<u64>> {
        let operation = format!("renew artifact {digest}");
        let digest = *digest;
        self.block(&operation, move |store| {
            let _guard = store.shard(&digest);
            held::renew(&store.path(&digest))
        })
        .await
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        let after = after.copied();
        self.block("list artifacts", move |store| {
            store.held(after.as_ref(), limit)
        })
        .await
    }

    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let operation = format!("remove artifact {digest}");
        let digest = *digest;
        self.block(&operation, move |store| {
            store.remove_if_older(&digest, than)
        })
        .await
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        let operation = format!("get artifact {digest}");
        let (store, digest) = (self.clone(), *digest);
        let context = operation.clone();
        blocking::run(&operation, move || {
            store.0.get(&context, &digest, max_bytes)
        })
        .await
    }

    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        let operation = format!("open artifact {digest}");
        let digest = *digest;
        let file = self.block(&operation, move |store| store.open(&digest, offset));
        let body = |file| Box::new(tokio::fs::File::from_std(file)) as Body;
        Ok(file.await?.map(body))
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        let operation = format!("read pointer {name}");
        let name = pointers::parse(&operation, name)?;
        self.block(&operation, move |store| store.pointers.read(&name))
            .await
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        self.block("list pointers", |store| store.pointers.names())
            .await
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        let operation = format!("set pointer {name}");
        let name = pointers::parse(&operation, name)?;
        let expected = expected.map(Bytes::copy_from_slice);
        self.block(&operation, move |store| {
            store.pointers.swap(&name, expected.as_ref(), &new)
        })
        .await
    }
}

impl DirectoryStore {
    async fn block<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (store, context) = (self.clone(), operation.to_owned());
        blocking::run(operation, move || {
            work(&store.0).map_err(|cause| store.0.error(&context, &cause))
        })
        .await
    }
}
