//! Results that runners hand in. Putting one sends a message to the queue that starts collect.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use ports::{Error, HandedIn, Result};

use super::{S3Store, put_time, size_of};
use crate::retry::{Stop, again};

/// Below it, results lie at their places. The bucket's notification and rights are for this prefix.
pub const RESULTS: &str = "results/";
/// Of a result: what the runner API takes, and what signs and names it.
const MAX_RESULT_BYTES: u64 = 20 << 20;

impl S3Store {
    /// Puts a result, for a runner. The first one stays: what a runner says of an attempt after it was killed must not
    /// take the place of what it had said before. `false`: something was there.
    ///
    /// # Errors
    /// As of the service.
    pub async fn hand_in(&self, place: &str, bytes: Vec<u8>) -> Result<bool> {
        let operation = format!("hand in the result {place}");
        let bytes = Bytes::from(bytes);
        let s3 = self.clients.s3().await;
        let call = || {
            s3.put_object()
                .bucket(self.bucket())
                .key(format!("{RESULTS}{place}"))
                .if_none_match("*")
                .body(ByteStream::from(bytes.clone()))
                .send()
        };
        match again(self.clients.patience(), &operation, |_| false, call).await {
            Ok(_) => Ok(true),
            // Also the answer to a request that was done, and whose answer was lost.
            Err(Stop::Refused(refusal)) if refusal.code() == Some("PreconditionFailed") => {
                Ok(false)
            }
            Err(stop) => Err(stop.into_error(&operation)),
        }
    }

    pub(super) async fn read_result(&self, place: &str) -> Result<Option<HandedIn>> {
        let operation = format!("read the result {place}");
        let found = self
            .fetch(&operation, &format!("{RESULTS}{place}"), None)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(Stop::Refused(GetObjectError::NoSuchKey(_))) => return Ok(None),
            Err(stop) => return Err(stop.into_error(&operation)),
        };
        let size = size_of(found.content_length);
        // A stranger has put it there. It is no result, and nobody reads it again and again.
        if size > MAX_RESULT_BYTES {
            tracing::warn!(place, size, "what was handed in is larger than any result");
            return Ok(None);
        }
        let put = put_time(found.last_modified.as_ref());
        let bytes = found.body.collect().await;
        let bytes = bytes.map_err(|cause| Error::transient(&operation, cause))?;
        let bytes = bytes.into_bytes();
        Ok(Some(HandedIn { bytes, put }))
    }
}
