//! Who calls the runner API.

use axum::http::{HeaderMap, header};
use pipeline_spec::{Runner, RunnerId};
use ports::{Clock, Platform};
use runner_api::auth::{self, Call, Claim};

use crate::{Error, State};

/// A caller that says to be an enrolled runner. Nothing is proven yet, but the body of somebody who
/// does not even claim that much is not worth reading.
pub(crate) struct Claimed {
    claim: Claim,
    runner: Runner,
}

/// Reads the header alone.
pub(crate) async fn claimed<P: Platform>(
    state: &State<P>,
    headers: &HeaderMap,
) -> Result<Claimed, Error> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let claim = auth::parse(value.unwrap_or_default())
        .map_err(|error| Error::Unauthorized(error.to_string()))?;
    let id = &claim.runner;
    let runner = state.control.runner(id).await?.ok_or_else(|| {
        Error::Unauthorized(format!(
            "runner {id} is not enrolled: add runners/{id}.yaml to the state repository"
        ))
    })?;
    Ok(Claimed { claim, runner })
}

impl Claimed {
    /// Believes the claim if its signature fits the call.
    pub(crate) fn proven<P: Platform>(
        self,
        state: &State<P>,
        call: &Call<'_>,
    ) -> Result<(RunnerId, Runner), Error> {
        let now = state.control.platform().clock().now() / 1000;
        self.claim
            .verify(self.runner.key.as_bytes(), now, call)
            .map_err(|error| Error::Unauthorized(error.to_string()))?;
        Ok((self.claim.runner, self.runner))
    }
}
