//! Renewals: a file copied onto itself.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use pipeline_spec::Sha256Digest;
use ports::{Clock as _, Result};

use super::parts::Upload;
use super::{S3Store, key};
use crate::WallClock;
use crate::retry::{Stop, again};

impl S3Store {
    /// Makes a new version of the same bytes; `false`: the file is not there any more.
    pub(super) async fn copy_onto_itself(&self, digest: &Sha256Digest, size: u64) -> Result<bool> {
        let operation = format!("renew artifact {digest}");
        let key = key(digest);
        if size > self.sizes.copy {
            self.copy_parts(&operation, key, size).await?;
            return Ok(true);
        }
        let copy = self.clients.s3().await.copy_object();
        let copy = copy
            .bucket(self.bucket())
            .key(&key)
            .copy_source(format!("{}/{key}", self.bucket()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            // S3 refuses a copy onto itself that changes nothing.
            .metadata_directive(MetadataDirective::Replace)
            .metadata("renewed", WallClock.now().to_string());
        let call = || copy.clone().send();
        match again(self.clients.patience(), &operation, |_| false, call).await {
            Ok(_) => Ok(true),
            Err(Stop::Refused(refusal)) if refusal.code() == Some("NoSuchKey") => Ok(false),
            Err(stop) => Err(stop.into_error(&operation)),
        }
    }

    /// If it is removed meanwhile, that is an error, and the next try finds nothing.
    async fn copy_parts(&self, operation: &str, key: String, size: u64) -> Result<()> {
        let mut upload = Upload::start(self, operation, key).await?;
        let mut first = 0;
        while first < size {
            let end = (first + self.sizes.copy).min(size);
            upload.part_of_itself(first, end - 1).await?;
            first = end;
        }
        upload.complete().await
    }
}
