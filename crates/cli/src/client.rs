//! Talking to a running control plane.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use runner_api::protocol::ErrorBody;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::args::Place;

/// What `millrace up` notes in its data directory for the other commands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

/// Name of that note.
pub(crate) const RUNNING: &str = "running.json";
/// Name of the token's file, mode 0600.
pub(crate) const TOKEN: &str = "secrets/admin.token";

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer of the control plane that is no success.
#[derive(Debug)]
pub(crate) enum Answered<T> {
    Yes(T),
    /// 404 or 409: nothing is broken, but what was asked cannot be.
    No(String),
}

impl Client {
    pub(crate) fn new(place: &Place) -> anyhow::Result<Self> {
        let base = match &place.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => running(&place.data)?.url,
        };
        let token = std::fs::read_to_string(place.data.join(TOKEN)).ok();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            http,
            base,
            token: token.map(|token| token.trim().to_owned()),
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Answered<T>> {
        let response = self
            .send(self.http.get(format!("{}{path}", self.base)))
            .await?;
        self.read(response).await
    }

    pub(crate) async fn get_raw(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        self.send(self.http.get(format!("{}{path}", self.base)))
            .await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<Answered<T>> {
        let Some(token) = &self.token else {
            bail!("this command needs the token in {TOKEN} of the data directory: give --data");
        };
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body)?);
        let response = self.send(request).await?;
        self.read(response).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.with_context(|| {
            format!(
                "reach the control plane at {}: is `millrace up` running?",
                self.base
            )
        })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        response: reqwest::Response,
    ) -> anyhow::Result<Answered<T>> {
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_success() {
            let value = serde_json::from_slice(&body)
                .context("read the control plane's answer: it is of another version")?;
            return Ok(Answered::Yes(value));
        }
        let error = serde_json::from_slice::<ErrorBody>(&body)
            .map(|body| body.error)
            .unwrap_or_else(|_| format!("the control plane answered {status}"));
        if matches!(status.as_u16(), 400 | 404 | 409) {
            return Ok(Answered::No(error));
        }
        bail!("{error}")
    }
}

/// The note of the control plane that runs on `data`.
pub(crate) fn running(data: &Path) -> anyhow::Result<Running> {
    let path = data.join(RUNNING);
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "read {}: no control plane runs there; start one with `millrace up --data {}`, or give --url",
            path.display(),
            data.display()
        )
    })?;
    serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
}
