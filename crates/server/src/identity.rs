//! Who calls the runner API.

use axum::http::{HeaderMap, header};
use pipeline_spec::{Runner, RunnerId};
use ports::{Clock, Platform};
use runner_api::auth::{self, Call};

use crate::{Error, State};

/// An enrolled runner whose signature fits the call.
pub(crate) async fn caller<P: Platform>(
    state: &State<P>,
    headers: &HeaderMap,
    call: &Call<'_>,
) -> Result<(RunnerId, Runner), Error> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let claim = auth::parse(value.unwrap_or_default())
        .map_err(|error| Error::Unauthorized(error.to_string()))?;
    let id = claim.runner.clone();
    let runner = state.control.runner(&id).await?.ok_or_else(|| {
        Error::Unauthorized(format!(
            "runner {id} is not enrolled: add runners/{id}.yaml to the state repository"
        ))
    })?;
    let now = state.control.platform().clock().now() / 1000;
    claim
        .verify(runner.key.as_bytes(), now, call)
        .map_err(|error| Error::Unauthorized(error.to_string()))?;
    Ok((id, runner))
}
