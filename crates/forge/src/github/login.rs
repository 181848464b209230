//! Who we are at GitHub: an App, which gets a token for an hour at a time, or whoever a token belongs to.
//!
//! Callers: `github`. Invariants: a private key signs for ten minutes at most, and never leaves; a clock of ours that is
//! wrong is noticed by GitHub's `Date`, and does not keep us out; a token is for one repository.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use octocrab::jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ports::{Clock, Error, Result};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::wire::Octo;
use crate::address::{ConfigError, Secret};
use crate::answer::Answer;
use crate::line::{Call, Line};

/// How the control plane logs in at GitHub.
#[derive(Debug, Clone)]
pub enum Login {
    /// As a GitHub App: the only one who may write checks.
    App {
        /// The App's id, from its settings page.
        id: u64,
        /// Its RSA private key, in PEM.
        key: Secret,
        /// Its installation. None: it is looked up by the repository.
        installation: Option<u64>,
    },
    /// With a token that somebody else made, such as an installation token of a workflow. GitHub lets personal tokens read
    /// checks and not write them.
    Token(Secret),
}

/// A JWT is dated back this far, in seconds, as GitHub's clock may be behind ours.
const BACK: i64 = 60;
/// And ends this far ahead, in seconds: GitHub takes ten minutes at most.
const AHEAD: i64 = 9 * 60;
/// A token is renewed this long before its end, in milliseconds: longer than any request.
const RENEW: i64 = 5 * 60 * 1_000;
/// A clock that differs by less, in milliseconds, is not why GitHub refuses a JWT.
const SKEW: i64 = 30 * 1_000;

/// A login that is ready.
pub(super) enum Account {
    App(Box<App>),
    Token(Secret),
}

pub(super) struct App {
    id: u64,
    key: EncodingKey,
    installation: Option<u64>,
    /// What a token may do, as GitHub spells it. Null: all that the App may.
    may: Value,
    state: Mutex<State>,
    /// What GitHub's clock is ahead of ours, in milliseconds, as far as it matters.
    skew: AtomicI64,
}

#[derive(Default)]
struct State {
    /// The installation that was looked up.
    found: Option<u64>,
    token: Option<Lent>,
}

/// A token, and until when it is used by our clock.
struct Lent {
    token: Secret,
    since: i64,
    until: i64,
}

/// A token that is younger and is refused is no token that was taken back: another one would be refused, too.
const YOUNG: i64 = 60_000;

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct InstallationToken {
    token: String,
    /// As RFC 3339 has it.
    expires_at: String,
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

/// It signs once, since a key that cannot would be met with the first pull request. The error says what it is instead.
fn private_key(text: &Secret) -> std::result::Result<EncodingKey, &'static str> {
    if text.expose().contains("ENCRYPTED") {
        return Err("it is encrypted, and nobody is here to write its passphrase");
    }
    let key = EncodingKey::from_rsa_pem(text.expose().as_bytes());
    let key = key.map_err(|_| "it is no RSA key in PEM")?;
    match encode(&Header::new(Algorithm::RS256), &json!({}), &key) {
        Ok(_) => Ok(key),
        Err(_) => Err("nothing can be signed with it: it is damaged, or has fewer than 2048 bits"),
    }
}

impl Account {
    pub(super) fn new(login: Login) -> std::result::Result<Self, ConfigError> {
        Self::that_may(login, Value::Null)
    }

    /// For git alone: an App's token can do nothing else.
    pub(super) fn for_git(login: Login) -> std::result::Result<Self, ConfigError> {
        Self::that_may(login, json!({"contents": "write"}))
    }

    fn that_may(login: Login, may: Value) -> std::result::Result<Self, ConfigError> {
        match login {
            Login::Token(token) if token.is_token() => Ok(Self::Token(token)),
            Login::Token(_) => Err(ConfigError::Token("GitHub")),
            Login::App {
                id,
                key,
                installation,
            } => {
                let key = private_key(&key).map_err(|reason| ConfigError::Key { app: id, reason });
                Ok(Self::App(Box::new(App {
                    id,
                    key: key?,
                    installation,
                    may,
                    state: Mutex::default(),
                    skew: AtomicI64::new(0),
                })))
            }
        }
    }

    /// The App's id, if it is one.
    pub(super) fn app_id(&self) -> Option<u64> {
        match self {
            Self::App(app) => Some(app.id),
            Self::Token(_) => None,
        }
    }

    /// A token that is good for a while.
    pub(super) async fn token<C: Clock>(
        &self,
        line: &Line<Octo, C>,
        operation: &'static str,
    ) -> Result<Secret> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::App(app) => app.token(line, operation).await,
        }
    }

    /// GitHub does not take `token` any more. Whether another can be had.
    pub(super) async fn forget(&self, token: &Secret) -> bool {
        let Self::App(app) = self else { return false };
        let mut state = app.state.lock().await;
        // Somebody else may have a newer one by now.
        state.token.take_if(|lent| lent.token == *token);
        true
    }

    /// Somebody who shows the token says that it is refused. The next one is another one, if that may help.
    pub(super) async fn refused(&self, now: i64) {
        if let Self::App(app) = self {
            let mut state = app.state.lock().await;
            let young = |lent: &Lent| (0..YOUNG).contains(&(now - lent.since));
            state.token.take_if(|lent| !young(lent));
        }
    }

    /// The next token is another one.
    pub(super) async fn renew(&self) {
        if let Self::App(app) = self {
            app.state.lock().await.token = None;
        }
    }
}

impl App {
    async fn token<C: Clock>(
        &self,
        line: &Line<Octo, C>,
        operation: &'static str,
    ) -> Result<Secret> {
        // Held while it is asked for: of many who need a token, one asks.
        let mut state = self.state.lock().await;
        let now = line.now();
        // Farther ahead than tokens last: the clock was set back since.
        let good = |lent: &&Lent| (now + 1..=now + 60 * 60 * 1_000).contains(&lent.until);
        if let Some(lent) = state.token.as_ref().filter(good) {
            return Ok(lent.token.clone());
        }
        let known = self.installation.or(state.found);
        let installation = match known {
            Some(installation) => installation,
            None => self.look_up(line, operation).await?,
        };
        let lent = self.borrow(line, operation, installation).await;
        state.found = lent.is_ok().then_some(installation);
        let lent = lent?;
        let token = lent.token.clone();
        state.token = Some(lent);
        Ok(token)
    }

    async fn look_up<C: Clock>(
        &self,
        line: &Line<Octo, C>,
        operation: &'static str,
    ) -> Result<u64> {
        let path = line.address().path(format_args!("/installation"));
        let answer = self.ask(line, Call::get(operation, path)).await?;
        if !answer.status.is_success() {
            return Err(Error::transient(operation, self.refusal(line, &answer)));
        }
        let installation: Installation = answer.json(operation, "GitHub")?;
        Ok(installation.id)
    }

    async fn borrow<C: Clock>(
        &self,
        line: &Line<Octo, C>,
        operation: &'static str,
        installation: u64,
    ) -> Result<Lent> {
        let path = format!("/app/installations/{installation}/access_tokens");
        let mut body = json!({ "repositories": [line.address().name()] });
        if !self.may.is_null() {
            body["permissions"] = self.may.clone();
        }
        let call = Call::with(operation, Method::POST, path, body);
        let answer = self.ask(line, call).await?;
        if !answer.status.is_success() {
            return Err(Error::transient(operation, self.refusal(line, &answer)));
        }
        let lent: InstallationToken = answer.json(operation, "GitHub")?;
        let now = line.now();
        let ends: std::result::Result<Timestamp, _> = lent.expires_at.parse();
        // A token without an end that can be read serves once.
        let ends = ends.map_or(now, Timestamp::as_millisecond);
        let lasts = ends - answer.date().unwrap_or(now);
        let token = Secret::new(&lent.token);
        if !token.is_token() {
            return Err(Error::transient(
                operation,
                "GitHub lends a token that cannot be sent",
            ));
        }
        Ok(Lent {
            token,
            since: now,
            until: now.saturating_add(lasts - RENEW),
        })
    }

    /// Asks as the App itself. If GitHub says no and its clock differs from ours, once more by its clock.
    async fn ask<C: Clock>(&self, line: &Line<Octo, C>, call: Call) -> Result<Answer> {
        let skew = self.skew.load(Ordering::Relaxed);
        let answer = line
            .ask(&self.sign(line.now() + skew, call.operation)?, call.clone())
            .await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(date) = answer.date() else {
            return Ok(answer);
        };
        let now = line.now();
        if (date - now - skew).abs() < SKEW {
            return Ok(answer);
        }
        self.skew.store(date - now, Ordering::Relaxed);
        line.ask(&self.sign(date, call.operation)?, call).await
    }

    fn sign(&self, now: i64, operation: &str) -> Result<Secret> {
        let seconds = now.div_euclid(1_000);
        let claims = Claims {
            iat: seconds - BACK,
            exp: seconds + AHEAD,
            iss: self.id.to_string(),
        };
        let signed = encode(&Header::new(Algorithm::RS256), &claims, &self.key);
        let signed = signed.map_err(|_| {
            Error::transient(
                operation,
                format!("the key of GitHub App {} does not sign", self.id),
            )
        })?;
        Ok(Secret::new(&signed))
    }

    /// Why GitHub gives no token, and who mends that.
    fn refusal<C: Clock>(&self, line: &Line<Octo, C>, answer: &Answer) -> String {
        let (id, repository) = (self.id, line.address());
        let mend = match answer.status.as_u16() {
            401 => format!(
                "it does not take the signature of App {id}: make a new private key on the App's settings page"
            ),
            403 => format!(
                "somebody with rights over {repository} has suspended App {id}, and can lift that in the settings of its installation"
            ),
            404 | 410 | 422 => format!(
                "App {id} is not installed on {repository}: install it there, or write the repository's new name if it was renamed"
            ),
            _ => format!(
                "GitHub's API says no such thing to App {id}; most often a proxy or another server answers in its place: look \
                 where `--forge-api` leads"
            ),
        };
        let said = format!("{} {}", answer.status.as_u16(), answer.message());
        format!("GitHub answers {}: {mend}", said.trim_end())
    }
}
