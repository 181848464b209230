//! The API of the command line: status for all, commands for those who know the token.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use control::{Checkout, DryRun, Status, StatusFile, TaskDetail};
use pipeline_spec::RequestPath;
use ports::{Platform, StateRepo};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::error::{cut, quote};
use crate::logs::{Begin, unread};
use crate::{Admin, Error, State};

/// Longest sentence about a name that is none, in characters: it repeats the name.
const MAX_WRONG_NAME_CHARS: usize = 300;
/// Largest body of a command, in bytes: a name and a reason.
pub(crate) const MAX_COMMAND_BYTES: usize = 64 * 1024;
/// Largest checkout that is planned, in bytes: some ten thousand requests that nobody pushed.
const MAX_PLAN_BYTES: usize = 64 * 1024 * 1024;

pub(crate) async fn status<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Json<Status>, Error> {
    Ok(Json(state.control.status().await?))
}

pub(crate) async fn request<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(path): Path<String>,
) -> Result<Json<StatusFile>, Error> {
    find_request(&state, &path).await.map(Json)
}

/// A request by its path.
pub(crate) async fn find_request<P: Platform>(
    state: &State<P>,
    path: &str,
) -> Result<StatusFile, Error> {
    let path = shown_path(path)?;
    let found = state.control.request_status(&path).await?;
    let branch = &state.control.options().branch;
    found.ok_or_else(|| unknown(&path, branch))
}

pub(crate) async fn task<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(id): Path<String>,
) -> Result<Json<TaskDetail>, Error> {
    detail(&state, &id).await.map(Json)
}

/// A task by its id or the beginning of it.
pub(crate) async fn detail<P: Platform>(state: &State<P>, id: &str) -> Result<TaskDetail, Error> {
    let task = state.control.find_task(&prefix(id)?).await?;
    let detail = state.control.explain(&task).await?;
    detail.ok_or_else(|| Error::NotFound(format!("{task} is gone")))
}

/// The attempt that was asked for, when there is one; by default the last, 0 if none was made.
pub(crate) fn last_or(asked: Option<u32>, detail: &TaskDetail) -> Result<u32, Error> {
    let (last, id) = (detail.task.attempt, detail.task.id.short());
    match asked {
        None => Ok(last),
        Some(attempt) if (1..=last).contains(&attempt) => Ok(attempt),
        Some(attempt) => Err(Error::NotFound(match last {
            0 => format!("{id} has no attempt yet: it is {}", detail.task.state),
            _ => format!("{id} has no attempt {attempt}: the last one is {last}"),
        })),
    }
}

/// Where the branch is, and where planning is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// The branch that holds the requests.
    pub branch: String,
    /// Its newest commit; empty: the branch does not exist.
    pub tip: String,
    /// The newest planned commit; empty: none yet.
    pub planned: String,
}

pub(crate) async fn head<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Json<Head>, Error> {
    let branch = state.control.options().branch.clone();
    // Planned first: between the two questions planning may only come nearer.
    let planned = state.control.planned_commit().await?;
    let tip = state.control.platform().state_repo().head(&branch).await?;
    Ok(Json(Head {
        branch,
        tip: tip.unwrap_or_default(),
        planned,
    }))
}

/// A tree that was not pushed: files over a commit.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PlanBody {
    /// A commit that the state repository has; without one the files are all there is.
    #[serde(default)]
    pub base: Option<String>,
    /// Path → text; `null` takes the file out.
    pub files: BTreeMap<String, Option<String>>,
}

/// The dry run of a commit or a branch.
pub(crate) async fn plan<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(revision): Path<String>,
) -> Result<Json<DryRun>, Error> {
    let run = state.control.dry_run(&revision).await?;
    run.map(Json).ok_or_else(|| {
        Error::NotFound(format!(
            "the state repository has no branch or commit {}; a commit is named by its 40 hex digits",
            quote(&revision)
        ))
    })
}

/// The dry run of somebody's checkout. It needs the token: its sources are looked up, and those of a
/// stranger may lie anywhere.
pub(crate) async fn plan_files<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Result<Json<DryRun>, Error> {
    let body: PlanBody = command(&state, request, MAX_PLAN_BYTES).await?;
    let files = body.files.into_iter();
    let checkout = Checkout {
        base: body.base,
        files: files
            .map(|(path, text)| (path, text.map(Into::into)))
            .collect(),
        ..Checkout::default()
    };
    Ok(Json(state.control.dry_run_files(&checkout).await?))
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
    let detail = detail(&state, &id).await?;
    let attempt = last_or(part.attempt, &detail)?;
    let bytes = match state.log(&detail, attempt, Begin::At(part.offset)).await? {
        Some(log) => log.piece().await,
        None => Ok(Vec::new()),
    };
    let bytes = bytes.map_err(|error| unread(&detail.task.id, &error))?;
    let headers = [
        ("millrace-state", detail.task.state.clone()),
        ("millrace-attempt", attempt.to_string()),
        // What stands between may turn text that is no UTF-8 into other bytes; readers count bytes.
        ("content-type", "application/octet-stream".to_owned()),
    ];
    Ok((headers, bytes).into_response())
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
    /// Tasks that go again; 0: none had failed, and the request is planned anew.
    pub retried: usize,
}

pub(crate) async fn cancel<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Result<Json<Canceled>, Error> {
    let body: CommandBody = command(&state, request, MAX_COMMAND_BYTES).await?;
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
    request: Request,
) -> Result<Json<Retried>, Error> {
    let body: CommandBody = command(&state, request, MAX_COMMAND_BYTES).await?;
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

/// A person's call: the token first, then the body.
pub(crate) async fn command<P: Platform, T: DeserializeOwned>(
    state: &State<P>,
    request: Request,
    limit: usize,
) -> Result<T, Error> {
    admin(state, request.headers())?;
    let body = to_bytes(request.into_body(), limit).await.map_err(|_| {
        Error::BadRequest(format!(
            "the body is cut off or has more than {limit} bytes"
        ))
    })?;
    serde_json::from_slice(&body).map_err(|cause| {
        Error::BadRequest(format!(
            "the body is not what docs/reference/http.md says: {cause}"
        ))
    })
}

/// What functions answer to the commands that none of them serves.
const NOT_HERE: &str = "this control plane takes `cancel` and `retry` alone: plan a branch or a commit that was pushed; it prunes by itself, once a day";

/// A command where there are none.
pub(crate) async fn not_here() -> Error {
    Error::Unauthorized(NOT_HERE.to_owned())
}

fn admin<P: Platform>(state: &State<P>, headers: &HeaderMap) -> Result<(), Error> {
    let Some(Admin {
        token: right,
        place,
    }) = &state.admin
    else {
        return Err(Error::Unauthorized(NOT_HERE.to_owned()));
    };
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Err(Error::Unauthorized(format!(
            "this call needs the header `Authorization: Bearer TOKEN` with the token of {place}"
        )));
    };
    let token = given
        .to_str()
        .ok()
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if bool::from(token.as_bytes().ct_eq(right.as_bytes())) {
        return Ok(());
    }
    Err(Error::Unauthorized(format!(
        "the token is wrong: the right one is in {place}"
    )))
}

/// Of what is only shown: a scratch build, too.
fn shown_path(text: &str) -> Result<RequestPath, Error> {
    RequestPath::stored(text)
        .map_err(|error| Error::BadRequest(cut(&error.to_string(), MAX_WRONG_NAME_CHARS)))
}

/// A task's id or its beginning.
fn prefix(text: &str) -> Result<String, Error> {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex || !(4..=32).contains(&text.len()) {
        return Err(Error::BadRequest(format!(
            "{} is neither a request's path nor 4 to 32 hex digits of a task's id",
            quote(text)
        )));
    }
    Ok(text.to_ascii_lowercase())
}

fn unknown(path: &RequestPath, branch: &str) -> Error {
    Error::NotFound(match path.is_scratch() {
        true => format!(
            "{path} is not there: scratch builds are removed some days after they were asked for"
        ),
        false => format!("{path} was never planned: is it on the branch {branch}?"),
    })
}
