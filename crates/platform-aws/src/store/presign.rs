//! Requests that somebody else may make, once and for a while: how runners move bytes without any keys.

use std::time::Duration;

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use pipeline_spec::Sha256Digest;
use ports::{Error, Link, Result};

use super::{S3Store, checksum, key};

/// Bytes that S3 takes in one request.
pub(super) const MOST_IN_ONE_REQUEST: u64 = 5 << 30;

/// A signed request. Whoever has it can make it: it is as secret as what it reaches, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    /// `GET` or `PUT`.
    pub method: String,
    /// The whole URL, signature included.
    pub url: String,
    /// Headers that are signed too: the request must have them just so.
    pub headers: Vec<(String, String)>,
}

impl From<Presigned> for Link {
    fn from(signed: Presigned) -> Self {
        Self {
            url: signed.url,
            headers: signed.headers,
        }
    }
}

impl S3Store {
    /// For reading one file, for `valid`, at most 7 days, and no longer than the keys that sign it live. Whoever starts
    /// in time may read to the end. The file may not be there.
    ///
    /// # Errors
    /// Without credentials, or when `valid` is too long.
    pub async fn presign_get(&self, digest: &Sha256Digest, valid: Duration) -> Result<Presigned> {
        let operation = format!("sign a download of artifact {digest}");
        let get = self.clients.s3().await.get_object();
        let get = get.bucket(self.bucket()).key(key(digest));
        let signed = get.presigned(config(&operation, valid)?).await;
        let signed =
            signed.map_err(|cause| Error::transient(&operation, DisplayErrorContext(cause)))?;
        Ok(presigned(&signed))
    }

    /// For writing one file of `size` bytes, at most 5 GiB, for `valid`. Digest and size are signed in: S3 itself refuses other
    /// bytes, so whoever has this can store that file and nothing else.
    ///
    /// # Errors
    /// As of [`S3Store::presign_get`], and when `size` is too large for one request.
    pub async fn presign_put(
        &self,
        digest: &Sha256Digest,
        size: u64,
        valid: Duration,
    ) -> Result<Presigned> {
        let operation = format!("sign an upload of artifact {digest}");
        if size > MOST_IN_ONE_REQUEST {
            let cause =
                format!("it has {size} bytes; S3 takes {MOST_IN_ONE_REQUEST} in one request");
            return Err(Error::corrupt(operation, cause));
        }
        let put = self.clients.s3().await.put_object();
        let put = put
            .bucket(self.bucket())
            .key(key(digest))
            .checksum_sha256(checksum(digest))
            .content_length(i64::try_from(size).unwrap_or(i64::MAX));
        let signed = put.presigned(config(&operation, valid)?).await;
        let signed =
            signed.map_err(|cause| Error::transient(&operation, DisplayErrorContext(cause)))?;
        Ok(presigned(&signed))
    }
}

fn config(operation: &str, valid: Duration) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(valid).map_err(|cause| Error::corrupt(operation, cause))
}

fn presigned(request: &PresignedRequest) -> Presigned {
    let headers = request.headers();
    Presigned {
        method: request.method().to_owned(),
        url: request.uri().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}
