//! The runner API's client: signed calls, bounded bodies, backoff.

use std::fmt::Display;
use std::fs::File;
use std::io::Seek as _;
use std::time::Duration;

use pipeline_spec::{RunnerId, Sha256Digest};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use runner_api::protocol::{Attempt, ErrorBody, MAX_JSON_BYTES, MAX_WAIT_SECONDS, TakeRequest};
use runner_api::{HeartbeatReply, ResultManifest, ResultReply, TakeReply, auth};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

use crate::backoff::Backoff;
use crate::blobs::{Check, Piece, Sink, Wanted};
use crate::identity::Identity;
use crate::{Error, clock};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole of a short call.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Without any byte from the other side; a take is silent for [`MAX_WAIT_SECONDS`].
const SILENCE_TIMEOUT: Duration = Duration::from_secs(MAX_WAIT_SECONDS + 40);
/// Blobs up to this size are sent without asking first whether they are there.
const ASK_ABOVE_BYTES: u64 = 64 * 1024;
/// Most bytes of an error's text that are read.
const MAX_ERROR_BYTES: usize = 4096;

/// A connection to the control plane in the name of one runner.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    identity: Identity,
}

/// How a single call failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No answer: the control plane is away, or the network is.
    Away(String),
    /// An answer that says "later": a 5xx, 408 or 429.
    Passing(String),
    /// The control plane does not believe who we are: our clock, our key, or not enrolled yet.
    Unproven(String),
    /// Any other 4xx.
    Final { status: u16, reason: String },
}

/// The answer to a piece of log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogReply {
    Taken,
    /// The control plane continues there.
    Expects(u64),
}

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
    pub(crate) fn new(base: Url, identity: Identity) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            // A redirected call would carry a proof for another path.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("millrace-runner/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| Error::Unusable(format!("start the HTTP client: {cause}")))?;
        Ok(Self {
            http,
            base,
            identity,
        })
    }

    pub(crate) fn runner(&self) -> &RunnerId {
        &self.identity.runner
    }

    /// Asks for work; the server holds the call open.
    pub(crate) async fn take(&self) -> Result<TakeReply, Trouble> {
        let request = TakeRequest {
            wait_seconds: MAX_WAIT_SECONDS,
        };
        self.json("/runner/v1/take", &request, SILENCE_TIMEOUT)
            .await
    }

    pub(crate) async fn heartbeat(&self, attempt: &Attempt) -> Result<HeartbeatReply, Trouble> {
        self.json("/runner/v1/heartbeat", attempt, CALL_TIMEOUT)
            .await
    }

    pub(crate) async fn result(&self, manifest: &ResultManifest) -> Result<ResultReply, Trouble> {
        self.json("/runner/v1/result", manifest, CALL_TIMEOUT).await
    }

    /// Sends a piece of log that begins at `offset`.
    pub(crate) async fn log(
        &self,
        attempt: &Attempt,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<LogReply, Trouble> {
        let mut url = self.url("/runner/v1/log");
        url.query_pairs_mut()
            .append_pair("request", attempt.task.request.as_str())
            .append_pair("task", attempt.task.id.as_str())
            .append_pair("attempt", &attempt.attempt.to_string())
            .append_pair("offset", &offset.to_string());
        let digest = Sha256::digest(&bytes).into();
        let request = self
            .request(Method::POST, url, digest)
            .timeout(CALL_TIMEOUT)
            .body(bytes);
        let response = send(request).await?;
        if response.status() == StatusCode::CONFLICT {
            let body = read_bounded(response, MAX_ERROR_BYTES).await?;
            return expected_offset(&body)
                .map(LogReply::Expects)
                .ok_or_else(|| Trouble::Final {
                    status: StatusCode::CONFLICT.as_u16(),
                    reason: "the answer names no offset".into(),
                });
        }
        succeeded(response).await?;
        Ok(LogReply::Taken)
    }

    /// Streams a blob into `sink`, from the start again after each break.
    pub(crate) async fn get_blob(&self, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let mut tries = Tries::new(format!("fetch {}", wanted.name), Patience::Blob);
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
        let mut response = succeeded(send(request).await?).await?;
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
                if content.size() > ASK_ABOVE_BYTES && self.has_blob(sha256).await? {
                    return Ok(());
                }
                self.try_put_blob(&content, sha256).await
            };
            match done.await {
                Ok(()) => return Ok(()),
                Err(trouble) => tries.wait(trouble).await?,
            }
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
        let body = content
            .body()
            .map_err(|cause| Trouble::Passing(format!("read the file again: {cause}")))?;
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

    async fn json<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        timeout: Duration,
    ) -> Result<A, Trouble> {
        let body = serde_json::to_vec(question)
            .expect("the messages of the runner API have only string keys and finite numbers");
        let digest = Sha256::digest(&body).into();
        let request = self
            .request(Method::POST, self.url(path), digest)
            .header(CONTENT_TYPE, "application/json")
            .timeout(timeout)
            .body(body);
        let response = succeeded(send(request).await?).await?;
        let answer = read_bounded(response, MAX_JSON_BYTES).await?;
        serde_json::from_slice(&answer).map_err(|cause| Trouble::Final {
            status: StatusCode::OK.as_u16(),
            reason: format!("the answer to {path} is not understood: {cause}"),
        })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    fn request(&self, method: Method, url: Url, body_sha256: [u8; 32]) -> reqwest::RequestBuilder {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let call = auth::Call {
            method: method.as_str(),
            path: &path,
            body_sha256,
        };
        let header = auth::header(
            &self.identity.key,
            &self.identity.runner,
            clock::now(),
            &call,
        );
        self.http.request(method, url).header(AUTHORIZATION, header)
    }
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

impl Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(reason) | Self::Passing(reason) => f.write_str(reason),
            Self::Unproven(reason) => write!(f, "the control plane refuses this runner: {reason}"),
            Self::Final { status, reason } => {
                write!(f, "the control plane answers {status}: {reason}")
            }
        }
    }
}

fn blob_path(sha256: &Sha256Digest) -> String {
    format!("/runner/v1/blobs/{sha256}")
}

fn empty_digest() -> [u8; 32] {
    Sha256::digest([]).into()
}

async fn send(request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
    request.send().await.map_err(away)
}

fn away(cause: reqwest::Error) -> Trouble {
    // The URL is the same in every message and says nothing new.
    Trouble::Away(crate::error::chain(&cause.without_url()))
}

async fn succeeded(response: Response) -> Result<Response, Trouble> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let reason = match read_bounded(response, MAX_ERROR_BYTES).await {
        Ok(body) => match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => body.error,
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        },
        Err(_) => String::new(),
    };
    Err(match status {
        StatusCode::UNAUTHORIZED => Trouble::Unproven(reason),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Trouble::Passing(reason),
        status if status.is_client_error() => Trouble::Final {
            status: status.as_u16(),
            reason,
        },
        status => Trouble::Passing(format!("the control plane answers {status}: {reason}")),
    })
}

async fn read_bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(away)? {
        if body.len() + bytes.len() > limit {
            return Err(Trouble::Final {
                status: response.status().as_u16(),
                reason: format!("the answer is larger than {limit} bytes"),
            });
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// The offset in the body of a 409: the number alone, or `{"offset": N}`.
fn expected_offset(body: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.as_u64().or_else(|| value.get("offset")?.as_u64())
}
