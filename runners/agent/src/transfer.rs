//! Blobs on their way: streamed, tried again, checked.

use std::fs::File;
use std::io::Seek as _;
use std::time::Duration;

use pipeline_spec::Sha256Digest;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, Method, Response, StatusCode, Url};
use runner_api::Link;
use runner_api::protocol::{UploadReply, UploadRequest};
use tokio::time::Instant;
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

use crate::Error;
use crate::backoff::Backoff;
use crate::blobs::{Check, Piece, Sink, Wanted};
use crate::client::{CALL_TIMEOUT, Client, Trouble, away, empty_digest, send, succeeded};

/// Blobs up to this size are sent without asking first whether they are there.
const ASK_ABOVE_BYTES: u64 = 64 * 1024;
/// A body, sent as often as needed.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    File { file: File, size: u64 },
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    fn body(&self) -> std::io::Result<Body> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::File { file, .. } => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Body::wrap_stream(ReaderStream::new(tokio::fs::File::from_std(file)))
            }
        })
    }
}

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
            let done = async {
                let place = if content.size() > ASK_ABOVE_BYTES || self.is_store_elsewhere() {
                    self.ask_for_place(sha256, content.size()).await?
                } else {
                    UploadReply::Here
                };
                match place {
                    UploadReply::Stored => Ok(()),
                    UploadReply::Here => self.try_put_blob(&content, sha256).await,
                    UploadReply::At { url, headers } => {
                        self.store_takes_blobs();
                        self.try_put_elsewhere(&content, &url, &headers).await
                    }
                }
            };
            match done.await {
                Ok(()) => return Ok(()),
                Err(trouble) => tries.wait(trouble).await?,
            }
        }
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
        let body = content.body().map_err(read_again)?;
        let request = self.plain(Method::PUT, address).body(body);
        let mut all = HeaderMap::from_iter([(CONTENT_LENGTH, content.size().into())]);
        // The length may be among them, and must not stand there twice.
        all.extend(self::headers(headers)?);
        elsewhere_succeeded(send(request.headers(all)).await?).map(drop)
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
        let body = content.body().map_err(read_again)?;
        let request = self
            .request(
                Method::PUT,
                self.url(&blob_path(sha256)),
                *sha256.as_bytes(),
            )
            .header(CONTENT_LENGTH, content.size())
            .body(body);
        succeeded(send(request).await?).await.map(drop)
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
    fn lasts(self) -> Duration {
        match self {
            Self::Blob => Duration::from_secs(15 * 60),
            Self::Log => Duration::from_secs(10),
        }
    }
}

/// The tries of one transfer.
struct Tries {
    call: String,
    patience: Patience,
    backoff: Backoff,
    refused_since: Option<Instant>,
}

impl Tries {
    fn new(call: String, patience: Patience) -> Self {
        Self {
            call,
            patience,
            backoff: Backoff::new(),
            refused_since: None,
        }
    }

    async fn wait(&mut self, trouble: Trouble) -> Result<(), Error> {
        let reason = match trouble {
            Trouble::Away(reason) => {
                self.refused_since = None;
                reason
            }
            Trouble::Passing(reason) => {
                let since = self.refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.patience.lasts() {
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
