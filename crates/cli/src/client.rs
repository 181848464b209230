//! Talking to a running control plane.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use forge::shown;
use runner_api::protocol::ErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Place;
use crate::failure::{Failure, Kind};
use crate::running::Running;

/// Name of the token's file below the data directory, mode 0600.
pub(crate) const TOKEN: &str = "secrets/admin.token";

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// What to look at when nobody answers.
    advice: String,
    token: PathBuf,
}

impl Client {
    pub(crate) fn new(place: &Place) -> anyhow::Result<Self> {
        let (base, advice) = match &place.url {
            Some(url) => (base(url)?, "is the address right?".to_owned()),
            None => (
                Running::read(&place.data)?.url,
                format!("is `millrace up --data {}` running?", place.data.display()),
            ),
        };
        let token = place.token_file.clone();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            http,
            base,
            advice,
            token: token.unwrap_or_else(|| place.data.join(TOKEN)),
        })
    }

    /// What is at `path`. Nothing there is a [`Failure`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.get_raw(path).await?).await
    }

    /// What is at `path`; `None`: nothing of that name.
    pub(crate) async fn find<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let response = self
            .send(self.http.get(format!("{}{path}", self.base)))
            .await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        self.read(response).await.map(Some)
    }

    /// The answer itself, when it is a good one.
    pub(crate) async fn get_raw(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let response = self
            .send(self.http.get(format!("{}{path}", self.base)))
            .await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await?)
    }

    /// A call that needs the token.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(token(&self.token)?)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body)?);
        let response = self.send(request).await?;
        self.read(response).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.map_err(|error| {
            // The innermost cause says it all: `Connection refused`.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            let sentence = format!(
                "no control plane answers at {} ({cause}): {}",
                shown(&self.base),
                self.advice
            );
            Failure::new(Kind::Lost, sentence).into()
        })
    }

    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> anyhow::Result<T> {
        if !response.status().is_success() {
            return Err(refusal(response).await?);
        }
        let body = body(response).await?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "read the answer of {}: is it a millrace of version {}?",
                shown(&self.base),
                env!("CARGO_PKG_VERSION")
            )
        })
    }
}

/// An address as people write it, without a slash at its end.
fn base(url: &str) -> anyhow::Result<String> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let url = shown(url);
        let sentence = match url.contains("://") {
            true => format!(
                "{url} is no address of a control plane: it begins with http:// or https://"
            ),
            false => format!("{url} is no URL: write http://{url}"),
        };
        return Err(Failure::new(Kind::Usage, sentence).into());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// The whole answer. One that breaks off is the control plane's trouble.
pub(crate) async fn body(response: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    match response.bytes().await {
        Ok(body) => Ok(body.to_vec()),
        Err(_) => Err(Failure::new(Kind::Lost, "the control plane's answer broke off").into()),
    }
}

/// The control plane's words as an error of the right kind.
async fn refusal(response: reqwest::Response) -> anyhow::Result<anyhow::Error> {
    let status = response.status();
    let body = body(response).await?;
    let sentence = serde_json::from_slice::<ErrorBody>(&body)
        .map(|body| body.error)
        .unwrap_or_else(|_| format!("the control plane answered {status}"));
    let kind = match status.as_u16() {
        400 | 422 => Kind::Usage,
        404 => Kind::NotThere,
        409 => Kind::NotNow,
        500.. => Kind::Lost,
        _ => Kind::Trouble,
    };
    Ok(Failure::new(kind, sentence).into())
}

fn token(path: &Path) -> anyhow::Result<String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "this command needs the token in {}, which is not there: give the data directory with --data, or a file with the token with --token-file",
            path.display()
        ),
        Err(error) => {
            return Err(error).with_context(|| format!("read the token in {}", path.display()));
        }
    };
    match text.trim() {
        "" => bail!("the token in {} is empty", path.display()),
        token => Ok(token.to_owned()),
    }
}
