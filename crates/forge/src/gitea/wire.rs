//! Requests to Gitea.

use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use crate::address::{Address, ConfigError, Secret};
use crate::answer::{Answer, chain};
use crate::line::{Call, Wire, client};

const JSON: &str = "application/json";

/// See [`Wire`].
pub(super) struct Http {
    client: Client,
    api: String,
}

impl Http {
    pub(super) fn new(address: &Address) -> Result<Self, ConfigError> {
        Ok(Self {
            client: client()?,
            api: address.api().as_str().trim_end_matches('/').to_owned(),
        })
    }
}

impl Wire for Http {
    const FORGE: &'static str = "Gitea";

    async fn send(&self, token: &Secret, call: &Call) -> Result<Answer, String> {
        let login = HeaderValue::from_str(&format!("token {}", token.expose()));
        let mut login = login.map_err(|_| "the token cannot be sent".to_owned())?;
        login.set_sensitive(true);
        let url = format!("{}{}", self.api, call.path);
        let request = self.client.request(call.method.clone(), url);
        let request = request.header(AUTHORIZATION, login).header(ACCEPT, JSON);
        let request = match &call.body {
            Some(body) => request.header(CONTENT_TYPE, JSON).body(body.to_string()),
            None => request,
        };
        let response = request.send().await.map_err(|error| chain(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Answer::read(status, headers, reqwest::Body::from(response)).await
    }
}
