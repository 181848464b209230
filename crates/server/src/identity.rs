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

/// Reads the header alone: who it is, and whether the time is now. An old header that somebody overheard
/// is then no reason to read a body either.
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
    let Some(runner) = state.control.runner(id).await? else {
        return Err(unknown(state, id).await?);
    };
    let claimed = Claimed { claim, runner };
    // The time is looked at before the signature, which cannot fit yet: the body's digest is not known.
    let unknown = Call::new("", "", b"");
    match claimed.verified(state, &unknown) {
        Err(error @ auth::Error::Skew(_)) => Err(Error::Unauthorized(error.to_string())),
        _ => Ok(claimed),
    }
}

/// Until a configuration is planned nobody can be known, and whoever waits is.
async fn unknown<P: Platform>(state: &State<P>, id: &RunnerId) -> Result<Error, Error> {
    if state.control.planned_commit().await?.is_empty() {
        let words = "no configuration is planned yet: try again in a moment";
        return Ok(Error::Unavailable(words.to_owned()));
    }
    Ok(Error::Unauthorized(format!(
        "runner {id} is not enrolled: add runners/{id}.yaml to the state repository"
    )))
}

impl Claimed {
    /// Believes the claim if its signature fits the call.
    pub(crate) fn proven<P: Platform>(
        self,
        state: &State<P>,
        call: &Call<'_>,
    ) -> Result<(RunnerId, Runner), Error> {
        self.verified(state, call)
            .map_err(|error| Error::Unauthorized(error.to_string()))?;
        Ok((self.claim.runner, self.runner))
    }

    fn verified<P: Platform>(&self, state: &State<P>, call: &Call<'_>) -> Result<(), auth::Error> {
        let now = state.control.platform().clock().now() / 1000;
        self.claim.verify(self.runner.key.as_bytes(), now, call)
    }
}
