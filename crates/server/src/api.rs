//! The API of the command line: status for all, commands for those who know the token.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use control::{DryRun, Status, StatusFile, TaskDetail};
use pipeline_spec::RequestPath;
use ports::Platform;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{Error, State};

pub(crate) async fn status<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Json<Status>, Error> {
    Ok(Json(state.control.status().await?))
}

pub(crate) async fn request<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(path): Path<String>,
) -> Result<Json<StatusFile>, Error> {
    let path = request_path(&path)?;
    let found = state.control.request_status(&path).await?;
    found.map(Json).ok_or_else(|| unknown(&path))
}

pub(crate) async fn task<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(id): Path<String>,
) -> Result<Json<TaskDetail>, Error> {
    let task = state.control.find_task(&prefix(&id)?).await?;
    let detail = state.control.explain(&task).await?;
    detail
        .map(Json)
        .ok_or_else(|| Error::NotFound(format!("{task} is gone")))
}

pub(crate) async fn plan<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(commit): Path<String>,
) -> Result<Json<DryRun>, Error> {
    let hex = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex {
        return Err(Error::BadRequest(
            "a commit is named by its 40 hex digits".to_owned(),
        ));
    }
    Ok(Json(state.control.dry_run(&commit).await?))
}

/// Which part of a log.
#[derive(Deserialize)]
pub(crate) struct LogPart {
    #[serde(default)]
    offset: u64,
    attempt: Option<u32>,
}

/// The log's bytes from `offset`; the header `millrace-state` says whether more will come.
pub(crate) async fn log<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(id): Path<String>,
    Query(part): Query<LogPart>,
) -> Result<Response, Error> {
    let task = state.control.find_task(&prefix(&id)?).await?;
    let detail = state.control.explain(&task).await?;
    let detail = detail.ok_or_else(|| Error::NotFound(format!("{task} is gone")))?;
    let attempt = part.attempt.unwrap_or(detail.task.attempt);
    let bytes = state
        .logs
        .read(&task.id, attempt, part.offset)
        .await
        .map_err(|error| Error::Unavailable(format!("read the log of {task}: {error}")))?;
    let headers = [
        ("millrace-state", detail.task.state.clone()),
        ("millrace-attempt", attempt.to_string()),
        ("content-type", "text/plain; charset=utf-8".to_owned()),
    ];
    Ok((headers, bytes.unwrap_or_default()).into_response())
}

/// What a command is about: a request's path, or a task's id or the beginning of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommandBody {
    /// `builds/2026/11/x.yaml` or `3f9a0c…`.
    pub subject: String,
    /// For a cancel: why, shown in the status.
    #[serde(default)]
    pub reason: String,
}

/// The answer to a cancel.
#[derive(Debug, Serialize, Deserialize)]
pub struct Canceled {
    /// Tasks that stop.
    pub canceled: usize,
}

/// The answer to a retry.
#[derive(Debug, Serialize, Deserialize)]
pub struct Retried {
    /// Tasks that go again.
    pub retried: usize,
}

pub(crate) async fn cancel<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    headers: HeaderMap,
    Json(body): Json<CommandBody>,
) -> Result<Json<Canceled>, Error> {
    admin(&state, &headers)?;
    let reason = if body.reason.is_empty() {
        "canceled by a person"
    } else {
        &body.reason
    };
    let canceled = match body.subject.parse::<RequestPath>() {
        Ok(path) => state.control.cancel_request(&path, reason).await?,
        Err(_) => {
            let task = state.control.find_task(&prefix(&body.subject)?).await?;
            state.control.cancel_task(&task, reason).await?;
            1
        }
    };
    Ok(Json(Canceled { canceled }))
}

pub(crate) async fn retry<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    headers: HeaderMap,
    Json(body): Json<CommandBody>,
) -> Result<Json<Retried>, Error> {
    admin(&state, &headers)?;
    let retried = match body.subject.parse::<RequestPath>() {
        Ok(path) => state.control.retry_request(&path).await?,
        Err(_) => {
            let task = state.control.find_task(&prefix(&body.subject)?).await?;
            state.control.retry_task(&task).await?;
            1
        }
    };
    Ok(Json(Retried { retried }))
}

fn admin<P: Platform>(state: &State<P>, headers: &HeaderMap) -> Result<(), Error> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(state.admin_token.as_bytes())) {
        Ok(())
    } else {
        Err(Error::Unauthorized(
            "this command needs the token in <data>/secrets/admin.token".to_owned(),
        ))
    }
}

fn request_path(text: &str) -> Result<RequestPath, Error> {
    text.parse()
        .map_err(|error: pipeline_spec::IdError| Error::BadRequest(error.to_string()))
}

/// A task's id or its beginning.
fn prefix(text: &str) -> Result<String, Error> {
    let hex = text
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex || !(4..=32).contains(&text.len()) {
        return Err(Error::BadRequest(format!(
            "{text:?} is neither a request's path nor 4 to 32 hex digits of a task's id"
        )));
    }
    Ok(text.to_owned())
}

fn unknown(path: &RequestPath) -> Error {
    Error::NotFound(format!(
        "{path} was never planned: is it on the main branch?"
    ))
}
