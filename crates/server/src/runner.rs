//! The runner API, version 1: see `runner_api::protocol`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::{Leased, Taken};
use pipeline_spec::{RequestPath, Runner, RunnerId};
use ports::Platform;
use runner_api::auth::Call;
use runner_api::protocol::{
    Cloud, CloudRequest, Heartbeat, MAX_JSON_BYTES, MAX_LOG_CHUNK_BYTES, MAX_WAIT_SECONDS,
    TakeRequest,
};
use runner_api::{
    HeartbeatReply, LeaseReply, Offer, ResultManifest, ResultReply, TakeReply, TaskId, TaskRef,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::body::RUNNERS;
use crate::identity::claimed;
use crate::logs::Appended;
use crate::{Error, State};

/// Largest body of a take, a heartbeat or a question, in bytes: each has some hundred.
pub(crate) const MAX_SMALL_BYTES: usize = 64 * 1024;

type Answer<T> = Result<Json<T>, Error>;

/// Looks who says to call, then reads the body, at most `limit` bytes, and proves it.
pub(crate) async fn signed<P: Platform>(
    state: &State<P>,
    request: Request,
    limit: usize,
) -> Result<(RunnerId, Runner, Bytes), Error> {
    let (parts, body) = request.into_parts();
    let claimed = claimed(state, &parts.headers).await?;
    let body = RUNNERS.read(body, limit).await?.bytes;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let call = Call::new(parts.method.as_str(), path, &body);
    let (id, runner) = claimed.proven(state, &call)?;
    Ok((id, runner, body))
}

pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|cause| {
        Error::BadRequest(format!(
            "the body is not what version 1 of the runner API says: {cause}"
        ))
    })
}

pub(crate) async fn take<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Answer<TakeReply> {
    let (id, runner, body) = signed(&state, request, MAX_SMALL_BYTES).await?;
    let wait = json::<TakeRequest>(&body)?
        .wait_seconds
        .min(MAX_WAIT_SECONDS);
    Ok(Json(
        match state
            .control
            .take(&id, &runner, Duration::from_secs(wait))
            .await?
        {
            Taken::Granted(grant) => TakeReply::Granted(grant),
            Taken::Nothing => TakeReply::Nothing,
        },
    ))
}

/// For a runner that reads its queues itself.
pub(crate) async fn lease<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Answer<LeaseReply> {
    let (id, runner, body) = signed(&state, request, MAX_SMALL_BYTES).await?;
    let offer = json::<Offer>(&body)?;
    Ok(Json(
        match state.control.lease(&id, &runner, &offer).await? {
            Leased::Granted(grant) => LeaseReply::Granted(grant),
            Leased::Gone => LeaseReply::Gone,
            Leased::Later => LeaseReply::Later,
            Leased::Foreign => {
                return Err(Error::Forbidden(format!(
                    "runner {id} may not do {}: runners/{id}.yaml names other roles or architectures",
                    offer.task
                )));
            }
        },
    ))
}

pub(crate) async fn cloud<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Answer<Cloud> {
    let (id, runner, body) = signed(&state, request, MAX_SMALL_BYTES).await?;
    let asked = json::<CloudRequest>(&body)?;
    let lender = state.cloud.as_ref().ok_or_else(|| {
        Error::NotFound(
            "this control plane has no queues that runners read: leave `cloud` out of the runner's configuration"
                .to_owned(),
        )
    })?;
    Ok(Json(lender.lend(&id, &runner, asked).await?))
}

pub(crate) async fn heartbeat<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Answer<HeartbeatReply> {
    let (id, _, body) = signed(&state, request, MAX_SMALL_BYTES).await?;
    Ok(Json(
        state
            .control
            .heartbeat(&id, json::<Heartbeat>(&body)?)
            .await?,
    ))
}

pub(crate) async fn result<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Answer<ResultReply> {
    let (id, _, body) = signed(&state, request, MAX_JSON_BYTES).await?;
    let manifest: ResultManifest = json(&body)?;
    match state.control.finish(&id, &manifest).await? {
        Ok(reply) => Ok(Json(reply)),
        Err(refused) => Err(Error::Unprocessable(refused.0)),
    }
}

/// To a runner that streams a log where none grows.
const UNWANTED: &str = "no growing logs are kept here: the whole one is read from the artifacts";

/// Where a piece of log belongs.
#[derive(Deserialize)]
pub(crate) struct LogPlace {
    request: RequestPath,
    task: TaskId,
    attempt: u32,
    offset: u64,
}

pub(crate) async fn log<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Query(place): Query<LogPlace>,
    request: Request,
) -> Result<Response, Error> {
    let (id, _, body) = signed(&state, request, MAX_LOG_CHUNK_BYTES).await?;
    // Not even the lease is looked for.
    if !state.logs.grow() {
        return Err(Error::Gone(UNWANTED.to_owned()));
    }
    let task = TaskRef {
        request: place.request,
        id: place.task,
    };
    if !state.control.holds(&id, &task, place.attempt).await? {
        return Err(Error::NotFound(format!(
            "runner {id} holds no lease on {task}"
        )));
    }
    match state
        .logs
        .append(&task.id, place.attempt, place.offset, &body)
        .await?
    {
        Appended::Yes => Ok(StatusCode::NO_CONTENT.into_response()),
        Appended::Expected(offset) => Ok((
            StatusCode::CONFLICT,
            Json(serde_json::json!({ "offset": offset })),
        )
            .into_response()),
        Appended::TooLong => Err(Error::Unprocessable(
            "the log is longer than allowed".to_owned(),
        )),
    }
}
