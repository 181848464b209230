//! Artifacts and pointers in one S3 bucket, whose versioning is on.
//!
//! ```text
//! blobs/sha256/<hex>   a file, by its digest
//! pointers/<name>      a repository's pointer
//! results/<place>      a result that a runner handed in
//! ```
//!
//! * **A put is a new version.** Each request says the SHA-256 of its bytes, and S3 refuses others, so putting the same
//!   key again can only write the same bytes: it needs no condition, and makes the file young. A renewal is a copy of the file onto
//!   itself. Versions that are not the newest go by a lifecycle rule of a day.
//! * **A removal names versions.** It removes those that it has seen to be old, by their ids. A put or renewal that comes meanwhile is another
//!   version, and stays; so does the file.
//! * **Large files** go up in parts of 8 MiB and appear when the last part is there and the whole has its digest.
//!   An upload that breaks off is aborted; a lifecycle rule takes those whose process died.
//! * **Times** are S3's, in whole seconds. [`Held::put`] is the last millisecond of that second, so that no file looks
//!   older than it is.
//! * **Pointers** are replaced under `If-Match` or `If-None-Match`. Each write has a mark of its own in its metadata, so that a write
//!   whose answer was lost knows itself again.

mod copy;
mod handed;
mod parts;
mod pointers;
mod presign;

use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use ledger::Millis;
use pipeline_spec::{RepositoryName, Sha256Digest};
use ports::{ArtifactStore, Body, Error, HandedIn, Held, Link, Result, Stored};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::clients::Clients;
use crate::retry::{Stop, again, answer};
pub use handed::RESULTS;
use presign::MOST_IN_ONE_REQUEST;
pub use presign::Presigned;

/// Where files are.
const BLOBS: &str = "blobs/sha256/";
/// Names in one answer of a list: what S3 allows.
const PAGE: usize = 1_000;

/// In which pieces bytes go over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of one part of an upload, in bytes: 5 MiB or more, and S3 takes 10,000 parts. So much memory is used by an upload.
    pub part: usize,
    /// What is copied by one request, in bytes: 5 GiB or less.
    pub copy: u64,
}

impl Default for Sizes {
    /// Files of up to 78 GiB.
    fn default() -> Self {
        Self {
            part: 8 << 20,
            copy: 1 << 30,
        }
    }
}

/// The bucket of an installation.
#[derive(Debug, Clone)]
pub struct S3Store {
    clients: Clients,
    sizes: Sizes,
}

impl S3Store {
    /// The store in the bucket of the clients' installation.
    pub fn new(clients: Clients) -> Self {
        Self::with_sizes(clients, Sizes::default())
    }

    /// The same, in other pieces.
    pub fn with_sizes(clients: Clients, sizes: Sizes) -> Self {
        Self { clients, sizes }
    }

    fn bucket(&self) -> &str {
        &self.clients.installation().bucket
    }

    /// In one request.
    async fn put_whole(&self, operation: &str, digest: &Sha256Digest, bytes: Bytes) -> Result<()> {
        let s3 = self.clients.s3().await;
        let call = || {
            s3.put_object()
                .bucket(self.bucket())
                .key(key(digest))
                .checksum_sha256(checksum(digest))
                .body(ByteStream::from(bytes.clone()))
                .send()
        };
        answer(self.clients.patience(), operation, call).await?;
        Ok(())
    }

    /// What a file is, without its bytes.
    async fn look(&self, digest: &Sha256Digest) -> Result<Option<Found>> {
        let operation = format!("read the size of artifact {digest}");
        let head = self.clients.s3().await.head_object().bucket(self.bucket());
        let head = head.key(key(digest));
        let call = || head.clone().send();
        match again(self.clients.patience(), &operation, |_| false, call).await {
            Ok(found) => Ok(Some(Found {
                size: size_of(found.content_length),
                put_second: found.last_modified.map_or(Millis::MIN, second),
            })),
            Err(Stop::Refused(HeadObjectError::NotFound(_))) => Ok(None),
            Err(stop) => Err(stop.into_error(&operation)),
        }
    }

    /// The answer to a get, whose body is not read yet.
    async fn fetch(
        &self,
        operation: &str,
        key: &str,
        range: Option<String>,
    ) -> std::result::Result<GetObjectOutput, Stop<GetObjectError>> {
        let get = self.clients.s3().await.get_object().bucket(self.bucket());
        let get = get.key(key).set_range(range);
        let call = || get.clone().send();
        again(self.clients.patience(), operation, |_| false, call).await
    }

    /// The bytes at `key` and their ETag, if something is there; an error when there are more than `max`.
    async fn read(&self, operation: &str, key: &str, max: u64) -> Result<Option<(Bytes, String)>> {
        let get = self.clients.s3().await.get_object().bucket(self.bucket());
        let get = get.key(key);
        let call = async || {
            let found = get.clone().send().await?;
            let size = size_of(found.content_length);
            let tag = found.e_tag.unwrap_or_default();
            if size > max {
                return Ok(Err(size));
            }
            // What breaks off is read again, as a request without an answer is.
            let bytes = found
                .body
                .collect()
                .await
                .map_err(SdkError::timeout_error)?;
            Ok(Ok((bytes.into_bytes(), tag)))
        };
        match again(self.clients.patience(), operation, |_| false, call).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(size)) => {
                let cause = format!("it has {size} bytes; {max} are allowed");
                Err(Error::corrupt(operation, cause))
            }
            Err(Stop::Refused(GetObjectError::NoSuchKey(_))) => Ok(None),
            Err(stop) => Err(stop.into_error(operation)),
        }
    }

    /// All versions of a file; there are as many as it was put and renewed in about a day.
    async fn versions(&self, operation: &str, key: &str) -> Result<Vec<Version>> {
        let list = self.clients.s3().await.list_object_versions();
        let mut list = list.bucket(self.bucket()).prefix(key);
        let mut versions = Vec::new();
        loop {
            let call = || list.clone().send();
            let page = answer(self.clients.patience(), operation, call).await?;
            versions.extend(of_key(key, &page));
            if page.is_truncated != Some(true) {
                return Ok(versions);
            }
            list = list
                .set_key_marker(page.next_key_marker)
                .set_version_id_marker(page.next_version_id_marker);
        }
    }

    async fn remove_version(&self, operation: &str, key: &str, version: &str) -> Result<()> {
        let delete = self.clients.s3().await.delete_object();
        let delete = delete.bucket(self.bucket()).key(key).version_id(version);
        answer(self.clients.patience(), operation, || delete.clone().send()).await?;
        Ok(())
    }
}

/// A file that is there.
#[derive(Debug)]
struct Found {
    /// In bytes.
    size: u64,
    /// The first millisecond of the second in which it was put last.
    put_second: Millis,
}

/// One version of a file.
#[derive(Debug)]
struct Version {
    id: String,
    put: Millis,
    latest: bool,
}

fn of_key(key: &str, page: &ListObjectVersionsOutput) -> Vec<Version> {
    let versions = page.versions().iter();
    let own = versions.filter(|version| version.key() == Some(key));
    own.map(|version| Version {
        id: version.version_id().unwrap_or("null").to_owned(),
        put: put_time(version.last_modified()),
        latest: version.is_latest() == Some(true),
    })
    .collect()
}

fn key(digest: &Sha256Digest) -> String {
    format!("{BLOBS}{digest}")
}

/// As S3 writes it.
fn checksum(digest: &Sha256Digest) -> String {
    BASE64.encode(digest.as_bytes())
}

fn digest_of(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(bytes).into())
}

fn size_of(length: Option<i64>) -> u64 {
    length.and_then(|size| size.try_into().ok()).unwrap_or(0)
}

fn second(time: DateTime) -> Millis {
    time.secs().saturating_mul(1_000)
}

/// The last millisecond of the second; of no time, the youngest one.
fn put_time(time: Option<&DateTime>) -> Millis {
    time.map_or(Millis::MAX, |time| second(*time).saturating_add(999))
}

/// Up to `most` bytes of a stream; fewer at its end.
async fn piece(operation: &str, body: &mut Body, most: usize) -> Result<Bytes> {
    let mut piece = BytesMut::new();
    while piece.len() < most {
        let room = (most - piece.len()) as u64;
        let read = (&mut *body).take(room).read_buf(&mut piece).await;
        if read.map_err(|cause| Error::transient(operation, cause))? == 0 {
            break;
        }
    }
    Ok(piece.freeze())
}

impl ArtifactStore for S3Store {
    /// For bytes of up to 5 GiB.
    async fn put(&self, bytes: Bytes) -> Result<Sha256Digest> {
        let digest = digest_of(&bytes);
        let operation = format!("store artifact {digest}");
        self.put_whole(&operation, &digest, bytes).await?;
        Ok(digest)
    }

    async fn put_stream(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        mut body: Body,
    ) -> Result<Stored> {
        let operation = format!("store artifact {expected}");
        let first = piece(&operation, &mut body, self.sizes.part).await?;
        if first.len() as u64 > max_bytes {
            return Ok(Stored::TooLarge);
        }
        if first.len() == self.sizes.part {
            return self.put_parts(expected, max_bytes, first, body).await;
        }
        let digest = digest_of(&first);
        if digest != expected {
            return Ok(Stored::OtherDigest(digest));
        }
        self.put_whole(&operation, &digest, first).await?;
        Ok(Stored::Yes)
    }

    async fn size(&self, digest: &Sha256Digest) -> Result<Option<u64>> {
        Ok(self.look(digest).await?.map(|found| found.size))
    }

    async fn renew(&self, digest: &Sha256Digest, since: Millis) -> Result<Option<u64>> {
        let Some(found) = self.look(digest).await? else {
            return Ok(None);
        };
        // In whole seconds and rounded down: what is taken for young is.
        if found.put_second >= since {
            return Ok(Some(found.size));
        }
        let copied = self.copy_onto_itself(digest, found.size).await?;
        Ok(copied.then_some(found.size))
    }

    async fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> Result<Vec<Held>> {
        let operation = "list artifacts";
        let mut after = after.map(key);
        let mut found = Vec::new();
        while found.len() < limit {
            let list = self.clients.s3().await.list_objects_v2();
            let most = (limit - found.len()).min(PAGE);
            let list = list
                .bucket(self.bucket())
                .prefix(BLOBS)
                .set_start_after(after.clone())
                .max_keys(i32::try_from(most).unwrap_or(i32::MAX));
            let page = answer(self.clients.patience(), operation, || list.clone().send()).await?;
            for object in page.contents() {
                after = object.key().map(str::to_owned);
                let name = object.key().and_then(|key| key.strip_prefix(BLOBS));
                // What somebody else has put there is no artifact.
                let Some(digest) = name.and_then(|name| name.parse().ok()) else {
                    continue;
                };
                found.push(Held {
                    digest,
                    size: size_of(object.size()),
                    put: put_time(object.last_modified()),
                });
            }
            if page.is_truncated != Some(true) {
                break;
            }
        }
        Ok(found)
    }

    async fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> Result<bool> {
        let operation = format!("remove artifact {digest}");
        let key = key(digest);
        let mut versions = self.versions(&operation, &key).await?;
        let latest = versions.iter().find(|version| version.latest);
        if latest.is_none_or(|latest| latest.put >= than) {
            return Ok(false);
        }
        // The latest goes last: else one before it would be the file for a moment, and after a crash for good.
        versions.sort_by_key(|version| version.latest);
        for version in versions {
            self.remove_version(&operation, &key, &version.id).await?;
        }
        Ok(true)
    }

    async fn get(&self, digest: &Sha256Digest, max_bytes: u64) -> Result<Option<Bytes>> {
        let operation = format!("get artifact {digest}");
        let Some((bytes, _)) = self.read(&operation, &key(digest), max_bytes).await? else {
            return Ok(None);
        };
        let real = digest_of(&bytes);
        if real != *digest {
            let cause = format!("its bytes have the digest {real}. Store the artifact again");
            return Err(Error::corrupt(operation, cause));
        }
        Ok(Some(bytes))
    }

    /// What breaks off is an error of the stream; its readers open it again from where they are.
    async fn open(&self, digest: &Sha256Digest, offset: u64) -> Result<Option<Body>> {
        let operation = format!("open artifact {digest}");
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        match self.fetch(&operation, &key(digest), range).await {
            Ok(found) => Ok(Some(Box::new(Box::pin(found.body.into_async_read())))),
            Err(Stop::Refused(GetObjectError::NoSuchKey(_))) => Ok(None),
            Err(Stop::Refused(refusal)) if refusal.meta().code() == Some("InvalidRange") => {
                Ok(Some(Box::new(tokio::io::empty())))
            }
            Err(stop) => Err(stop.into_error(&operation)),
        }
    }

    async fn download_link(&self, digest: &Sha256Digest, lasts: Duration) -> Result<Option<Link>> {
        Ok(Some(self.presign_get(digest, lasts).await?.into()))
    }

    /// Larger files go through [`Self::put_stream`].
    async fn upload_link(
        &self,
        digest: &Sha256Digest,
        size: u64,
        lasts: Duration,
    ) -> Result<Option<Link>> {
        if size > MOST_IN_ONE_REQUEST {
            return Ok(None);
        }
        let signed = self.presign_put(digest, size, lasts).await?;
        Ok(Some(signed.into()))
    }

    async fn handed_in(&self, place: &str) -> Result<Option<HandedIn>> {
        self.read_result(place).await
    }

    async fn pointer(&self, name: &str) -> Result<Option<Bytes>> {
        let operation = format!("read pointer {name}");
        let name = pointers::parse(&operation, name)?;
        let read = self.read_pointer(&operation, &name).await?;
        Ok(read.map(|(bytes, _)| bytes))
    }

    async fn pointers(&self) -> Result<Vec<RepositoryName>> {
        self.pointer_names().await
    }

    async fn set_pointer(&self, name: &str, expected: Option<&[u8]>, new: Bytes) -> Result<bool> {
        let operation = format!("set pointer {name}");
        let name = pointers::parse(&operation, name)?;
        self.swap_pointer(&operation, &name, expected, new).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_looks_older_than_it_is() {
        let time = DateTime::from_millis(12_345);
        assert_eq!(put_time(Some(&time)), 12_999);
        assert_eq!(put_time(None), Millis::MAX);
    }
}
