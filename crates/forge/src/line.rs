//! The line to a forge: one request at a time is asked for, sent, redirected and judged.
//!
//! Callers: the adapters. Invariants: no request without the consent of [`Limits`]; a redirect is followed on the same
//! server only; an error says what a person has to mend, and never has the token in it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ports::{Clock, Error, Result};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::address::{Address, ConfigError, Secret};
use crate::answer::{Answer, chain};
use crate::limits::{Limits, Wait, Writes};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last received.
const WHOLE: Duration = Duration::from_secs(30);
/// A check is written within this time, with all requests that it takes, or it failed: `control` lets another process
/// write when twice as much is over.
const CHECK: Duration = Duration::from_secs(60);

/// `work`, or an error once [`CHECK`] is over.
pub(crate) async fn in_time<T>(
    operation: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let late = |_| Error::transient(operation, "the forge took too long for all of it");
    tokio::time::timeout(CHECK, Box::pin(work))
        .await
        .map_err(late)?
}
/// Redirects of one request: a repository that was renamed twice.
const MAX_REDIRECTS: usize = 3;

/// A request, before it is known who sends it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Reads after "failed to".
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    /// Below the API's address, with its query.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl Call {
    pub(crate) fn get(operation: &'static str, path: String) -> Self {
        Self {
            operation,
            method: Method::GET,
            path,
            body: None,
        }
    }

    pub(crate) fn with(operation: &'static str, method: Method, path: String, body: Value) -> Self {
        Self {
            operation,
            method,
            path,
            body: Some(body),
        }
    }

    fn writes(&self) -> Writes {
        match self.method {
            Method::GET => Writes::No,
            _ => Writes::Yes,
        }
    }
}

/// What carries a request.
pub(crate) trait Wire: Send + Sync {
    /// The forge's name, in sentences.
    const FORGE: &'static str;

    /// Sends it with `token`. An error: nothing came back.
    fn send(
        &self,
        token: &Secret,
        call: &Call,
    ) -> impl Future<Output = std::result::Result<Answer, String>> + Send;
}

/// A forge that is asked with patience.
pub(crate) struct Line<W, C> {
    wire: W,
    address: Address,
    clock: C,
    limits: Mutex<Limits>,
}

impl<W: Wire, C: Clock> Line<W, C> {
    pub(crate) fn new(wire: W, address: Address, clock: C) -> Self {
        Self {
            wire,
            address,
            clock,
            limits: Mutex::new(Limits::default()),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Until when the forge wants to be left alone, if it said so.
    pub(crate) fn rests_until(&self) -> Option<i64> {
        let limits = self.limits.lock();
        let limits = limits.unwrap_or_else(PoisonError::into_inner);
        limits.rests_until(self.now())
    }

    /// An answer that is the caller's to judge: it went well, or the forge says no (4xx) for a reason other than a limit.
    pub(crate) async fn ask(&self, token: &Secret, mut call: Call) -> Result<Answer> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask_once(token, &call).await?;
            let Some(location) = answer.location() else {
                return Ok(answer);
            };
            let Some(path) = self.address.redirected(location) else {
                let cause = format!(
                    "{} sends us from {} to another server: write the address where {} is now",
                    W::FORGE,
                    self.address.api(),
                    self.address
                );
                return Err(Error::transient(call.operation, cause));
            };
            call.path = path;
        }
        let cause = format!("{} sends us in a circle", W::FORGE);
        Err(Error::transient(call.operation, cause))
    }

    async fn ask_once(&self, token: &Secret, call: &Call) -> Result<Answer> {
        let wait = |wait: Wait| Error::transient(call.operation, wait.sentence(W::FORGE));
        let limits = || self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits().ask(self.now(), call.writes()).map_err(wait)?;
        let sent = self.wire.send(token, call).await;
        let answer = sent
            .map_err(|cause| Error::transient(call.operation, token.hidden_in(&cause)))?
            .to(token);
        limits().hear(self.now(), &answer).map_err(wait)?;
        if answer.status.is_server_error() {
            let cause = format!(
                "{} answers {} {}",
                W::FORGE,
                answer.status,
                answer.message()
            );
            return Err(Error::transient(call.operation, cause.trim_end()));
        }
        Ok(answer)
    }
}

/// A client that follows no redirect by itself: it would make a GET of a POST.
pub(crate) fn client() -> std::result::Result<Client, ConfigError> {
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(Policy::none())
        .user_agent("millrace")
        .build();
    client.map_err(|error| ConfigError::Client(chain(&error)))
}

#[cfg(test)]
mod tests {
    use memory::ManualClock;
    use serde_json::json;

    use super::*;

    /// Says what it was sent, with this status; without one nothing comes back.
    struct Echo(Option<u16>);

    impl Wire for Echo {
        const FORGE: &'static str = "Gitea";

        async fn send(&self, token: &Secret, _: &Call) -> std::result::Result<Answer, String> {
            let token = token.expose();
            let status = self.0.ok_or_else(|| format!("{token} was not sent"))?;
            let (first, rest) = token.split_at(3);
            let said = format!("bad token {token}, and {first}\u{7}{rest}");
            let body = json!({ "message": said }).to_string();
            Ok(Answer::made(status, &[], &body))
        }
    }

    #[tokio::test]
    async fn a_token_that_is_repeated_is_not_told() {
        for (status, expect) in [
            (Some(401), "bad token …, and …"),
            (Some(500), "answers 500 Internal Server Error bad token …"),
            (None, "look: … was not sent"),
        ] {
            let address = Address::new("https://git.example.org/api/v1", "acme/state");
            let line = Line::new(
                Echo(status),
                address.expect("an address"),
                ManualClock::at(0),
            );
            let token = Secret::new("SECRETGITEATOKEN1234567890");
            let answer = line
                .ask(&token, Call::get("look", "/pulls".to_owned()))
                .await;
            let said = answer.map_or_else(|error| error.to_string(), |answer| answer.message());
            assert!(said.contains(expect), "{status:?}: {said}");
            assert!(!said.contains("TOKEN1"), "{status:?}: {said}");
        }
    }
}
