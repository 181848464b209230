//! Artifacts as a map.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{ArtifactStore, Body, Error, Result, Stored};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::lock;

/// Bytes by digest, and pointers by name.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    artifacts: BTreeMap<Sha256Digest, Bytes>,
    pointers: BTreeMap<String, Bytes>,
}

impl MemoryStore {
    /// Digests of all that is stored.
    pub fn digests(&self) -> Vec<Sha256Digest> {
        lock(&self.0).artifacts.keys().copied().collect()
    }

    /// Replaces stored bytes behind the digest's back, as a failing disk or an attacker does.
    pub fn tamper(&self, digest: &Sha256Digest, bytes: Bytes) {
        lock(&self.0).artifacts.insert(*digest, bytes);
    }

    /// Stored bytes are gone, as after a disk was lost.
    pub fn remove(&self, digest: &Sha256Digest) {
        lock(&self.0).artifacts.remove(digest);
    }

    /// A pointer is gone, as after a disk was lost.
    pub fn remove_pointer(&self, name: &str) {
        lock(&self.0).pointers.remove(name);
    }

    /// Stored bytes as they are, whatever their digest is.
    pub fn bytes(&self, digest: &Sha256Digest) -> Option<Bytes> {
        self.find(digest)
    }

    fn find(&self, digest: &Sha256Digest) -> Option<Bytes> {
        lock(&self.0).artifacts.get(digest).cloned()
    }

    fn keep(&self, digest: Sha256Digest, bytes: Bytes) {
        lock(&self.0).artifacts.insert(digest, bytes);
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

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        check_name(name)?;
        Ok(lock(&self.0).pointers.get(name).cloned())
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        check_name(name)?;
        let mut contents = lock(&self.0);
        if contents.pointers.get(name).map(|bytes| &bytes[..]) != expected {
            return Ok(false);
        }
        contents.pointers.insert(name.to_owned(), new);
        Ok(true)
    }
}
