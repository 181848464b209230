//! An enrolled runner that does nothing: the real runner API over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use pipeline_spec::RunnerId;
use runner_api::auth::{Call, header};
use runner_api::protocol::{Grant, MAX_WAIT_SECONDS, TakeReply, TakeRequest};
use runner_api::{Failure, FailureKind, Outcome, ResultManifest, ResultReply};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Its name in the state repository.
const ID: &str = "bench";

/// Cheap to clone: connections are shared.
#[derive(Clone)]
pub(crate) struct Runner {
    id: RunnerId,
    key: SigningKey,
    http: reqwest::Client,
    url: String,
}

impl Runner {
    /// A runner for the control plane at `url`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            id: ID.parse()?,
            // Its machine is gone with the measurement: no secret.
            key: SigningKey::from_bytes(&[7; 32]),
            http: reqwest::Client::builder().no_proxy().build()?,
            url: url.to_owned(),
        })
    }

    /// Path and text of its enrolment.
    pub(crate) fn enrolment(&self) -> (String, String) {
        let key = STANDARD.encode(self.key.verifying_key().as_bytes());
        let text = format!("key: {key}\nroles: [build-deb]\narchitectures: [amd64]\ncapacity: 8\n");
        (format!("runners/{ID}.yaml"), text)
    }

    /// Waits for a lease; `None` after some time without one.
    pub(crate) async fn take(&self) -> Result<Option<Box<Grant>>> {
        let request = TakeRequest {
            wait_seconds: MAX_WAIT_SECONDS,
        };
        Ok(match self.post("/runner/v1/take", &request).await? {
            TakeReply::Granted(grant) => Some(grant),
            TakeReply::Nothing => None,
        })
    }

    /// Ends an attempt: the package has failed, which leads to no further task.
    pub(crate) async fn finish(&self, grant: &Grant) -> Result<()> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let failure = Failure {
            kind: FailureKind::SourceMissing,
            message: "nothing was tried: this is a measurement".to_owned(),
            excerpt: Vec::new(),
        };
        let manifest = ResultManifest {
            version: runner_api::VERSION,
            task: grant.task.clone(),
            attempt: grant.attempt,
            runner: self.id.clone(),
            outcome: Outcome::Failed {
                failure,
                artifacts: Vec::new(),
            },
            log: None,
            started: now,
            finished: now,
        };
        match self.post("/runner/v1/result", &manifest).await? {
            ResultReply::Accepted => Ok(()),
            ResultReply::Stale { reason } => bail!("the result was dropped: {reason}"),
        }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let call = Call::new("POST", path, &body);
        let proof = header(&self.key, &self.id, now, &call);
        let reply = self
            .http
            .post(format!("{}{path}", self.url))
            .header("authorization", proof)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .with_context(|| format!("call {path}"))?;
        let status = reply.status();
        let bytes = reply
            .bytes()
            .await
            .with_context(|| format!("read the answer of {path}"))?;
        if !status.is_success() {
            bail!("{path}: {status} {}", String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(|| format!("read the answer of {path}"))
    }

    /// JSON of the people's API.
    pub(crate) async fn get(&self, path: &str) -> Result<serde_json::Value> {
        let reply = self.http.get(format!("{}{path}", self.url)).send().await?;
        let reply = reply.error_for_status()?;
        serde_json::from_slice(&reply.bytes().await?)
            .with_context(|| format!("read the answer of {path}"))
    }
}
