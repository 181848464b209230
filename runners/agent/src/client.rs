//! The runner API's client: signed calls, bounded bodies, backoff.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use pipeline_spec::RunnerId;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};
use runner_api::protocol::{
    Attempt, Cloud, CloudRequest, ErrorBody, MAX_JSON_BYTES, MAX_WAIT_SECONDS, TakeRequest,
};
use runner_api::{
    Heartbeat, HeartbeatReply, LeaseReply, Offer, ResultManifest, ResultReply, TakeReply, auth,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::identity::Identity;
use crate::upload::Pace;
use crate::{Error, clock};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole of a short call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Without any byte from the other side; a take is silent for [`MAX_WAIT_SECONDS`].
const SILENCE_TIMEOUT: Duration = Duration::from_secs(MAX_WAIT_SECONDS + 40);
/// Most bytes of an error's text that are read.
const MAX_ERROR_BYTES: usize = 4096;

/// A connection to the control plane in the name of one runner.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// For bodies of any size: nothing ends its calls but [`Pace`].
    uploads: reqwest::Client,
    pace: Pace,
    base: Url,
    identity: Identity,
    /// See [`Client::is_store_elsewhere`].
    elsewhere: AtomicBool,
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

impl Trouble {
    /// Whether the control plane has understood, and says no: the same question has the same answer for now.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Away(_) | Self::Passing(_) => false,
            Self::Unproven(_) | Self::Final { .. } => true,
        }
    }
}

/// The answer to a piece of log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogReply {
    Taken,
    /// The control plane continues there.
    Expects(u64),
}

impl Client {
    pub(crate) fn new(base: Url, identity: Identity, pace: Pace) -> Result<Self, Error> {
        let unusable = |cause| Error::Unusable(format!("start the HTTP client: {cause}"));
        // It counts from the beginning of a call until the answer begins, so it would end each upload that lasts longer.
        let impatient = builder().read_timeout(SILENCE_TIMEOUT);
        Ok(Self {
            http: impatient.build().map_err(unusable)?,
            uploads: builder().build().map_err(unusable)?,
            pace,
            base,
            identity,
            elsewhere: AtomicBool::new(false),
        })
    }

    pub(crate) fn runner(&self) -> &RunnerId {
        &self.identity.runner
    }

    /// Whether the artifact store takes blobs itself: then small ones, too, need not pass through the control plane.
    pub(crate) fn is_store_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(crate) fn store_takes_blobs(&self) {
        self.elsewhere.store(true, Ordering::Relaxed);
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.identity.key
    }

    /// Asks where the runner's own queues are.
    pub(crate) async fn cloud(&self, credentials: bool) -> Result<Cloud, Trouble> {
        let request = CloudRequest { credentials };
        self.json("/runner/v1/cloud", &request, CALL_TIMEOUT).await
    }

    /// Asks for a lease on what was found in a queue.
    pub(crate) async fn lease(&self, offer: &Offer) -> Result<LeaseReply, Trouble> {
        // A lease whose answer is not heard is a lease that runs out: a function may have to begin with a fetch.
        self.json("/runner/v1/lease", offer, SILENCE_TIMEOUT).await
    }

    /// Asks for work; the server holds the call open.
    pub(crate) async fn take(&self) -> Result<TakeReply, Trouble> {
        let request = TakeRequest {
            wait_seconds: MAX_WAIT_SECONDS,
        };
        self.json("/runner/v1/take", &request, SILENCE_TIMEOUT)
            .await
    }

    pub(crate) async fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, Trouble> {
        self.json("/runner/v1/heartbeat", beat, CALL_TIMEOUT).await
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

    pub(crate) async fn json<Q: Serialize, A: DeserializeOwned>(
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

    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// A request to somebody else, without a proof.
    pub(crate) fn plain(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// The same for a large body, which has to be watched: see [`crate::upload::Motion`].
    pub(crate) fn plain_upload(&self, url: Url) -> reqwest::RequestBuilder {
        self.uploads.put(url)
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn request(
        &self,
        method: Method,
        url: Url,
        body_sha256: [u8; 32],
    ) -> reqwest::RequestBuilder {
        let proof = self.proof(&method, &url, body_sha256);
        self.plain(method, url).header(AUTHORIZATION, proof)
    }

    /// The same for a large body, which has to be watched.
    pub(crate) fn upload(&self, url: Url, body_sha256: [u8; 32]) -> reqwest::RequestBuilder {
        let proof = self.proof(&Method::PUT, &url, body_sha256);
        self.plain_upload(url).header(AUTHORIZATION, proof)
    }

    fn proof(&self, method: &Method, url: &Url, body_sha256: [u8; 32]) -> String {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let call = auth::Call {
            method: method.as_str(),
            path: &path,
            body_sha256,
        };
        let Identity { key, runner } = &self.identity;
        auth::header(key, runner, clock::now(), &call)
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirected call would carry a proof for another path.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("millrace-runner/", env!("CARGO_PKG_VERSION")))
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

pub(crate) fn empty_digest() -> [u8; 32] {
    Sha256::digest([]).into()
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
    request.send().await.map_err(away)
}

pub(crate) fn away(cause: reqwest::Error) -> Trouble {
    // The URL is the same in every message and says nothing new.
    Trouble::Away(crate::error::chain(&cause.without_url()))
}

pub(crate) async fn succeeded(response: Response) -> Result<Response, Trouble> {
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
