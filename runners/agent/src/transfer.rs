//! Blobs on their way: streamed, tried again, checked.

use std::time::Duration;

use pipeline_spec::Sha256Digest;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use runner_api::Link;
use runner_api::protocol::{UploadReply, UploadRequest};
use tokio::time::Instant;

use crate::Error;
use crate::backoff::Backoff;
use crate::blobs::{Check, Piece, Sink, Wanted};
use crate::client::{CALL_TIMEOUT, Client, Trouble, away, empty_digest, send, succeeded};
use crate::upload::Content;

/// Blobs up to this size are sent without asking first whether they are there.
const ASK_ABOVE_BYTES: u64 = 64 * 1024;

impl Client {
    /// Streams a blob into `sink`, from the start again after each break: from `link`, and if that does not work,
    /// from where the control plane says.
    pub(crate) async fn get_blob(
        &self,
        wanted: Wanted<'_>,
        link: Option<&Link>,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        let mut tries = Tries::new(format!("fetch {}", wanted.name), Patience::Blob);
        if let Some(link) = link {
            self.store_takes_blobs();
            match self.try_link(wanted, link, sink).await {
                Ok(()) => return Ok(()),
                Err(Broken::Ours(error)) => return Err(error),
                // It may have run out while the job waited.
                Err(Broken::Call(trouble)) => {
                    tracing::debug!("failed to fetch {} by its link: {trouble}", wanted.name);
                    sink(Piece::Restart)?;
                }
            }
        }
        loop {
            match self.try_get_blob(wanted, sink).await {
                Ok(()) => return Ok(()),
                Err(Broken::Ours(error)) => return Err(error),
                Err(Broken::Call(Trouble::Final { status: 404, .. })) => {
                    return Err(Error::Missing {
                        name: wanted.name.to_owned(),
                        sha256: *wanted.sha256,
                    });
                }
                Err(Broken::Call(trouble)) => tries.wait(trouble).await?,
            }
            sink(Piece::Restart)?;
        }
    }

    async fn try_get_blob(&self, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), Broken> {
        let url = self.url(&blob_path(wanted.sha256));
        let request = self.request(Method::GET, url, empty_digest());
        let response = send(request).await?;
        let response = match elsewhere(&response)? {
            Some(address) => self.get_elsewhere(address, HeaderMap::new()).await?,
            None => succeeded(response).await?,
        };
        receive(response, wanted, sink).await
    }

    async fn try_link(
        &self,
        wanted: Wanted<'_>,
        link: &Link,
        sink: Sink<'_>,
    ) -> Result<(), Broken> {
        let address = parse_address(&link.url)?;
        let headers = headers(&link.headers)?;
        let response = self.get_elsewhere(address, headers).await?;
        receive(response, wanted, sink).await
    }

    /// Puts a blob into the store unless it is there.
    pub(crate) async fn put_blob(
        &self,
        content: Content,
        sha256: &Sha256Digest,
        patience: Patience,
    ) -> Result<(), Error> {
        let mut tries = Tries::new(format!("store blob {sha256}"), patience);
        loop {
            match self.try_put(&content, sha256).await {
                Ok(()) => return Ok(()),
                Err(trouble) => tries.wait(trouble).await?,
            }
        }
    }

    /// Once.
    pub(crate) async fn try_put(
        &self,
        content: &Content,
        sha256: &Sha256Digest,
    ) -> Result<(), Trouble> {
        if content.size() <= ASK_ABOVE_BYTES && !self.is_store_elsewhere() {
            return self.try_put_blob(content, sha256).await;
        }
        let put = match self.ask_for_place(sha256, content.size()).await? {
            UploadReply::Stored => Ok(()),
            UploadReply::Here => self.try_put_blob(content, sha256).await,
            UploadReply::At { url, headers } => {
                self.store_takes_blobs();
                self.try_put_elsewhere(content, &url, &headers).await
            }
        };
        put.map_err(|trouble| match trouble {
            // Somebody is there and has just answered: if that is how it always ends, waiting is no help.
            Trouble::Away(reason) => Trouble::Passing(reason),
            trouble => trouble,
        })
    }

    /// A blob from an address that the control plane gave: it is no control plane, so it hears no proof.
    async fn get_elsewhere(&self, address: Url, headers: HeaderMap) -> Result<Response, Trouble> {
        let request = self.plain(Method::GET, address).headers(headers);
        elsewhere_succeeded(send(request).await?)
    }

    async fn try_put_elsewhere(
        &self,
        content: &Content,
        address: &str,
        headers: &[(String, String)],
    ) -> Result<(), Trouble> {
        let address = parse_address(address)?;
        let (body, motion) = content.body().map_err(read_again)?;
        let request = self.plain_upload(address).body(body);
        let mut all = HeaderMap::from_iter([(CONTENT_LENGTH, content.size().into())]);
        // The length may be among them, and must not stand there twice.
        all.extend(self::headers(headers)?);
        let call = async { elsewhere_succeeded(send(request.headers(all)).await?) };
        motion.watch(self.pace(), call).await.map(drop)
    }

    /// Where to put a blob. A control plane of before knows no such question, and takes it itself.
    async fn ask_for_place(
        &self,
        sha256: &Sha256Digest,
        size: u64,
    ) -> Result<UploadReply, Trouble> {
        let path = blob_path(sha256);
        let asked = self
            .json(&path, &UploadRequest { size }, CALL_TIMEOUT)
            .await;
        match asked {
            Err(Trouble::Final { status: 405, .. }) => Ok(match self.has_blob(sha256).await? {
                true => UploadReply::Stored,
                false => UploadReply::Here,
            }),
            asked => asked,
        }
    }

    async fn has_blob(&self, sha256: &Sha256Digest) -> Result<bool, Trouble> {
        let request = self
            .request(Method::HEAD, self.url(&blob_path(sha256)), empty_digest())
            .timeout(CALL_TIMEOUT);
        let response = send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        succeeded(response).await.map(|_| true)
    }

    async fn try_put_blob(&self, content: &Content, sha256: &Sha256Digest) -> Result<(), Trouble> {
        let (body, motion) = content.body().map_err(read_again)?;
        let request = self
            .upload(self.url(&blob_path(sha256)), *sha256.as_bytes())
            .header(CONTENT_LENGTH, content.size())
            .body(body);
        let call = async { succeeded(send(request).await?).await };
        motion.watch(self.pace(), call).await.map(drop)
    }
}

/// The address of a redirection; `None`: the response is no such thing.
fn elsewhere(response: &Response) -> Result<Option<Url>, Trouble> {
    if response.status() != StatusCode::TEMPORARY_REDIRECT {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let address = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
    parse_address(address).map(Some)
}

/// The address itself is as secret as the blob: no error tells it.
fn parse_address(address: &str) -> Result<Url, Trouble> {
    Url::parse(address).map_err(|cause| Trouble::Final {
        status: StatusCode::TEMPORARY_REDIRECT.as_u16(),
        reason: format!("the control plane names no address of a blob: {cause}"),
    })
}

/// Hands a body to `sink`, checked.
async fn receive(mut response: Response, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), Broken> {
    let mut check = Check::new(wanted);
    let announced = response.content_length();
    let mut seen = 0;
    while let Some(bytes) = response.chunk().await.map_err(away)? {
        check.update(&bytes)?;
        seen += bytes.len() as u64;
        sink(Piece::Bytes(&bytes))?;
    }
    // A body that ends early is a broken connection, not a tampered blob.
    if announced.is_some_and(|size| seen < size) {
        return Err(Trouble::Away("the connection closed early".into()).into());
    }
    Ok(check.finish()?)
}

fn headers(named: &[(String, String)]) -> Result<HeaderMap, Trouble> {
    let header = |(name, value): &(String, String)| -> Option<(HeaderName, HeaderValue)> {
        Some((name.parse().ok()?, value.parse().ok()?))
    };
    let all: Option<HeaderMap> = named.iter().map(header).collect();
    all.ok_or_else(|| Trouble::Final {
        status: StatusCode::OK.as_u16(),
        reason: "the control plane names a header that is none".to_owned(),
    })
}

/// Nothing that a store says is final: an address runs out, and the control plane gives another.
fn elsewhere_succeeded(response: Response) -> Result<Response, Trouble> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(Trouble::Passing(format!(
        "the artifact store answers {status}"
    )))
}

fn read_again(cause: std::io::Error) -> Trouble {
    Trouble::Passing(format!("read the file again: {cause}"))
}

/// How a download broke: on our side, or in the call.
enum Broken {
    Ours(Error),
    Call(Trouble),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Self::Call(trouble)
    }
}

/// For how long a control plane that answers may fail one transfer in a row. One that does not answer
/// is waited for: the job's lease ends the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// An attempt is lost with it, so a full disk may be cleared meanwhile.
    Blob,
    /// A result waits for it.
    Log,
}

impl Patience {
    /// Whether it is at its end after so many failures, the first one so long ago.
    fn is_over(self, failures: u32, lasted: Duration) -> bool {
        let (most, longest) = match self {
            // A large one may break late: a quarter of an hour alone is two tries.
            Self::Blob => (5, Duration::from_secs(15 * 60)),
            Self::Log => (2, Duration::from_secs(10)),
        };
        failures >= most && lasted > longest
    }
}

/// The tries of one transfer.
struct Tries {
    call: String,
    patience: Patience,
    backoff: Backoff,
    /// In a row, without silence in between.
    failures: u32,
    failing_since: Option<Instant>,
}

impl Tries {
    fn new(call: String, patience: Patience) -> Self {
        Self {
            call,
            patience,
            backoff: Backoff::new(),
            failures: 0,
            failing_since: None,
        }
    }

    async fn wait(&mut self, trouble: Trouble) -> Result<(), Error> {
        let reason = match trouble {
            Trouble::Away(reason) => {
                self.failures = 0;
                self.failing_since = None;
                reason
            }
            Trouble::Passing(reason) => {
                self.failures += 1;
                let since = self.failing_since.get_or_insert_with(Instant::now);
                if self.patience.is_over(self.failures, since.elapsed()) {
                    return Err(Error::Unreachable {
                        call: self.call.clone(),
                        reason,
                    });
                }
                reason
            }
            Trouble::Unproven(reason) => return Err(self.refused(401, reason)),
            Trouble::Final { status, reason } => return Err(self.refused(status, reason)),
        };
        tracing::warn!("failed to {}, trying again: {reason}", self.call);
        self.backoff.wait().await;
        Ok(())
    }

    fn refused(&self, status: u16, reason: String) -> Error {
        Error::Refused {
            call: self.call.clone(),
            status,
            reason,
        }
    }
}

fn blob_path(sha256: &Sha256Digest) -> String {
    format!("/runner/v1/blobs/{sha256}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_some_tries_and_some_time() {
        let check = |patience: Patience, failures, seconds, expect| {
            let is_over = patience.is_over(failures, Duration::from_secs(seconds));
            assert_eq!(is_over, expect, "{patience:?} {failures} {seconds}");
        };
        check(Patience::Blob, 1_000, 900, false);
        check(Patience::Blob, 4, 10_000, false);
        check(Patience::Blob, 5, 901, true);
        check(Patience::Log, 1, 10_000, false);
        check(Patience::Log, 100, 10, false);
        check(Patience::Log, 2, 11, true);
    }
}
