//! Uploads in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use ledger::Millis;
use pipeline_spec::Sha256Digest;
use ports::{ArtifactStore as _, Body, Error, Result, Stored};
use sha2::{Digest as _, Sha256};

use super::{S3Store, checksum, digest_of, key, piece};
use crate::retry::answer;

impl S3Store {
    /// Stores a stream of which `first` is read already, a part's length.
    pub(super) async fn put_parts(
        &self,
        expected: Sha256Digest,
        max_bytes: u64,
        first: Bytes,
        mut body: Body,
    ) -> Result<Stored> {
        let operation = format!("store artifact {expected}");
        // Of what is there already nothing is uploaded. It is young from here on, so nobody removes it meanwhile.
        let mut upload = match self.renew(&expected, Millis::MAX).await? {
            Some(_) => None,
            None => Some(Upload::start(self, &operation, key(&expected)).await?),
        };
        let (mut hasher, mut size, mut part) = (Sha256::new(), 0, first);
        while !part.is_empty() {
            size += part.len() as u64;
            if size > max_bytes {
                return Ok(Stored::TooLarge);
            }
            hasher.update(&part);
            if let Some(upload) = &mut upload {
                upload.part(part).await?;
            }
            part = piece(&operation, &mut body, self.sizes.part).await?;
        }
        let digest = Sha256Digest::new(hasher.finalize().into());
        if digest != expected {
            return Ok(Stored::OtherDigest(digest));
        }
        if let Some(upload) = upload {
            upload.complete().await?;
        }
        Ok(Stored::Yes)
    }
}

/// Parts that are no object yet. Dropped, it is aborted.
pub(super) struct Upload {
    store: S3Store,
    operation: String,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
    completed: bool,
}

impl Upload {
    pub(super) async fn start(store: &S3Store, operation: &str, key: String) -> Result<Self> {
        let create = store.clients.s3().await.create_multipart_upload();
        let create = create
            .bucket(store.bucket())
            .key(&key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        let patience = store.clients.patience();
        let created = answer(patience, operation, || create.clone().send()).await?;
        let nothing = || Error::transient(operation, "S3 began an upload and gave no id");
        Ok(Self {
            store: store.clone(),
            operation: operation.to_owned(),
            key,
            id: created.upload_id.ok_or_else(nothing)?,
            parts: Vec::new(),
            completed: false,
        })
    }

    /// From 1, in their order.
    fn next_number(&self) -> i32 {
        i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX)
    }

    async fn part(&mut self, bytes: Bytes) -> Result<()> {
        let sum = checksum(&digest_of(&bytes));
        let number = self.next_number();
        let s3 = self.store.clients.s3().await;
        let call = || {
            s3.upload_part()
                .bucket(self.store.bucket())
                .key(&self.key)
                .upload_id(&self.id)
                .part_number(number)
                .checksum_sha256(&sum)
                .body(ByteStream::from(bytes.clone()))
                .send()
        };
        let put = answer(self.store.clients.patience(), &self.operation, call).await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(put.e_tag)
            .checksum_sha256(sum);
        self.parts.push(part.build());
        Ok(())
    }

    /// A part that is a range of bytes of what is at the same key.
    pub(super) async fn part_of_itself(&mut self, first: u64, last: u64) -> Result<()> {
        let number = self.next_number();
        let copy = self.store.clients.s3().await.upload_part_copy();
        let copy = copy
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .copy_source(format!("{}/{}", self.store.bucket(), self.key))
            .copy_source_range(format!("bytes={first}-{last}"));
        let call = || copy.clone().send();
        let copied = answer(self.store.clients.patience(), &self.operation, call).await?;
        let result = copied.copy_part_result;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(result.as_ref().and_then(|it| it.e_tag.clone()))
            .set_checksum_sha256(result.and_then(|it| it.checksum_sha256));
        self.parts.push(part.build());
        Ok(())
    }

    /// The object is there when this returns.
    pub(super) async fn complete(mut self) -> Result<()> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.parts)))
            .build();
        let complete = self.store.clients.s3().await.complete_multipart_upload();
        let complete = complete
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts);
        let call = || complete.clone().send();
        answer(self.store.clients.patience(), &self.operation, call).await?;
        self.completed = true;
        Ok(())
    }
}

impl Drop for Upload {
    /// In the background, and as well as it goes: what stays is taken by the bucket's lifecycle rule.
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, operation) = (self.store.clone(), self.operation.clone());
        let (key, id) = (self.key.clone(), self.id.clone());
        runtime.spawn(async move {
            let abort = store.clients.s3().await.abort_multipart_upload();
            let abort = abort.bucket(store.bucket()).key(key).upload_id(id);
            let patience = store.clients.patience();
            let aborted = answer(patience, &operation, || abort.clone().send()).await;
            if let Err(error) = aborted {
                tracing::warn!(%error, "parts of an upload stay until the bucket's lifecycle rule takes them");
            }
        });
    }
}
