//! Artifacts as a map.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ledger::Millis;
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{ArtifactStore, Body, Clock, Error, HandedIn, Held, Link, Result, Stored};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::{ManualClock, lock};

/// Bytes by digest, and pointers by name.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    contents: Arc<Mutex<Contents>>,
    clock: ManualClock,
}

#[derive(Debug, Default)]
struct Contents {
    artifacts: BTreeMap<Sha256Digest, Artifact>,
    pointers: BTreeMap<String, Bytes>,
    /// Results by place, and when they were put.
    results: BTreeMap<String, HandedIn>,
    /// Below which each file has an address; `None`: they have none.
    address: Option<String>,
}

#[derive(Debug, Clone)]
struct Artifact {
    bytes: Bytes,
    put: Millis,
}

impl MemoryStore {
    /// An empty one; `clock` says when something is put.
    pub fn new(clock: ManualClock) -> Self {
        Self {
            contents: Arc::default(),
            clock,
        }
    }

    /// From now on it says that a file is to be had, and put, at `address/<digest>`.
    pub fn give_links(&self, address: &str) {
        lock(&self.contents).address = Some(address.to_owned());
    }

    fn link(&self, digest: &Sha256Digest, headers: &[(&str, &str)]) -> Option<Link> {
        let contents = lock(&self.contents);
        let address = contents.address.as_ref()?;
        let headers = headers.iter();
        Some(Link {
            url: format!("{address}/{digest}"),
            headers: headers.map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        })
    }

    /// Digests of all that is stored.
    pub fn digests(&self) -> Vec<Sha256Digest> {
        lock(&self.contents).artifacts.keys().copied().collect()
    }

    /// Replaces stored bytes behind the digest's back, as a failing disk or an attacker does.
    pub fn tamper(&self, digest: &Sha256Digest, bytes: Bytes) {
        let put = self.clock.now();
        let mut contents = lock(&self.contents);
        let new = Artifact {
            bytes: bytes.clone(),
            put,
        };
        contents.artifacts.entry(*digest).or_insert(new).bytes = bytes;
    }

    /// A runner puts a result at its place.
    pub fn hand_in(&self, place: &str, bytes: impl Into<Bytes>) {
        let (bytes, put) = (bytes.into(), self.clock.now());
        let result = HandedIn { bytes, put };
        lock(&self.contents)
            .results
            .insert(place.to_owned(), result);
    }

    /// Stored bytes are gone, as after a disk was lost.
    pub fn remove(&self, digest: &Sha256Digest) {
        lock(&self.contents).artifacts.remove(digest);
    }

    /// A pointer is gone, as after a disk was lost.
    pub fn remove_pointer(&self, name: &str) {
        lock(&self.contents).pointers.remove(name);
    }

    /// When a file was put or renewed last, if it is stored.
    pub fn put_time(&self, digest: &Sha256Digest) -> Option<Millis> {
        let contents = lock(&self.contents);
        contents.artifacts.get(digest).map(|it| it.put)
    }

    /// Stored bytes as they are, whatever their digest is.
    pub fn bytes(&self, digest: &Sha256Digest) -> Option<Bytes> {
        self.find(digest)
    }

    fn find(&self, digest: &Sha256Digest) -> Option<Bytes> {
        let contents = lock(&self.contents);
        contents.artifacts.get(digest).map(|it| it.bytes.clone())
    }

    fn keep(&self, digest: Sha256Digest, bytes: Bytes) {
        let put = self.clock.now();
        let artifact = Artifact { bytes, put };
        lock(&self.contents).artifacts.insert(digest, artifact);
    }
}

fn digest_of(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(bytes).into())
}

fn check_name(name: &str) -> Result<()> {
    let parsed = name.parse::<RepositoryName>();
    parsed.map_err(|cause| Error::corrupt("name a pointer", cause))?;
    Ok(())
}

impl ArtifactStore for MemoryStore {
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        let digest = digest_of(&bytes);
        self.keep(digest, bytes);
        Ok(digest)
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        mut body: Body,
    ) -> Result<Stored> {
        let mut all = BytesMut::new();
        loop {
            let read = body.read_buf(&mut all).await;
            let read = read.map_err(|cause| Error::transient("receive an artifact", cause))?;
            if all.len() as u64 > max_bytes {
                return Ok(Stored::TooLarge);
            }
            if read == 0 {
                break;
            }
        }
        let digest = digest_of(&all);
        if digest != expected {
            return Ok(Stored::OtherDigest(digest));
        }
        self.keep(digest, all.freeze());
        Ok(Stored::Yes)
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        Ok(self.find(digest).map(|bytes| bytes.len() as u64))
    }

    async fn renew(&self, digest: &Sha256Digest, since: Millis) -> Result<Option<u64>> {
        let mut contents = lock(&self.contents);
        let Some(artifact) = contents.artifacts.get_mut(digest) else {
            return Ok(None);
        };
        if artifact.put < since {
            artifact.put = self.clock.now();
        }
        Ok(Some(artifact.bytes.len() as u64))
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        let contents = lock(&self.contents);
        let behind = contents.artifacts.range((from, Bound::Unbounded));
        let held = behind.take(limit).map(|(digest, artifact)| Held {
            digest: *digest,
            size: artifact.bytes.len() as u64,
            put: artifact.put,
        });
        Ok(held.collect())
    }

    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let mut contents = lock(&self.contents);
        let old = contents
            .artifacts
            .get(digest)
            .is_some_and(|it| it.put < than);
        if old {
            contents.artifacts.remove(digest);
        }
        Ok(old)
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        let Some(bytes) = self.find(digest) else {
            return Ok(None);
        };
        let operation = || format!("get artifact {digest}");
        if bytes.len() as u64 > max_bytes {
            let cause = format!("it has {} bytes; {max_bytes} are allowed", bytes.len());
            return Err(Error::corrupt(operation(), cause));
        }
        let real = digest_of(&bytes);
        if real != *digest {
            let cause = format!("the stored bytes have the digest {real}");
            return Err(Error::corrupt(operation(), cause));
        }
        Ok(Some(bytes))
    }

    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        let Some(bytes) = self.find(digest) else {
            return Ok(None);
        };
        let mut stream = Cursor::new(bytes);
        stream.set_position(offset);
        Ok(Some(Box::new(stream)))
    }

    async fn download_link(&self, digest: &Sha256Digest, _: Duration) -> Result<Option<Link>> {
        Ok(self.link(digest, &[]))
    }

    async fn upload_link(
        &self,
        digest: &Sha256Digest,
        _: u64,
        _: Duration,
    ) -> Result<Option<Link>> {
        Ok(self.link(digest, &[("x-checked", "sha256")]))
    }

    async fn handed_in(&self, place: &str) -> Result<Option<HandedIn>> {
        Ok(lock(&self.contents).results.get(place).cloned())
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        check_name(name)?;
        Ok(lock(&self.contents).pointers.get(name).cloned())
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        let contents = lock(&self.contents);
        let names = contents.pointers.keys().map(|name| name.parse());
        let names = names.collect::<std::result::Result<_, _>>();
        names.map_err(|cause| Error::corrupt("list pointers", cause))
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        check_name(name)?;
        let mut contents = lock(&self.contents);
        if contents.pointers.get(name).map(|bytes| &bytes[..]) != expected {
            return Ok(false);
        }
        contents.pointers.insert(name.to_owned(), new);
        Ok(true)
    }
}
