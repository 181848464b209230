//! Requests to GitHub, carried by octocrab over our HTTP client.

use octocrab::Octocrab;
use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::address::{Address, ConfigError, Secret};
use crate::answer::{Answer, chain};
use crate::line::{Call, Wire, client};

/// See [`Wire`].
pub(super) struct Octo(Octocrab);

impl Octo {
    /// It must be made inside of a tokio runtime: octocrab starts a task of its own.
    pub(super) fn new(address: &Address) -> Result<Self, ConfigError> {
        let failed = |error: octocrab::Error| ConfigError::Client(chain(&error));
        let builder = Octocrab::builder().base_uri(address.api().as_str());
        let builder = builder.map_err(failed)?;
        let builder = builder.add_header(ACCEPT, "application/vnd.github+json".to_owned());
        let octocrab = builder.build_with_reqwest(client()?).map_err(failed)?;
        Ok(Self(octocrab))
    }

    async fn try_send(&self, token: &Secret, call: &Call) -> octocrab::Result<Read> {
        let octocrab = self.0.user_access_token(token.expose())?;
        let (path, body) = (call.path.as_str(), call.body.as_ref());
        let response = match call.method {
            Method::PATCH => octocrab._patch(path, body).await?,
            Method::POST => octocrab._post(path, body).await?,
            _ => octocrab._get(path).await?,
        };
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer::read(status, headers, response.into_body()).await)
    }
}

/// An answer that may have broken off.
type Read = Result<Answer, String>;

impl Wire for Octo {
    const FORGE: &'static str = "GitHub";

    async fn send(&self, token: &Secret, call: &Call) -> Read {
        let sent = self.try_send(token, call).await;
        sent.unwrap_or_else(|error| Err(chain(&error)))
    }
}
