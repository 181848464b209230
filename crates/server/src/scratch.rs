//! Packages of scratch builds, for people who try them out. They are in no repository, and clients trust none of them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use control::LINK_LASTS;
use ports::{ArtifactStore, Platform};
use tokio_util::io::ReaderStream;

use crate::api::detail;
use crate::error::quote;
use crate::{Error, State};

/// `GET /scratch/<task id>/<name>`: a file that a task of a scratch build made, and of no other.
pub(crate) async fn file<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Error> {
    let detail = detail(&state, &id).await?;
    if !detail.request.is_scratch() {
        return Err(Error::NotFound(format!(
            "{id} is no task of a scratch build: what is released is below /repos/"
        )));
    }
    let missing = || Error::NotFound(format!("{id} has made no file {}", quote(&name)));
    let mut files = detail.task.artifacts.iter();
    let made = files.find(|file| file.name == name).ok_or_else(missing)?;
    let store = state.control.platform().store();
    if let Some(link) = store.download_link(&made.sha256, LINK_LASTS).await? {
        return Ok(Redirect::temporary(&link.url).into_response());
    }
    let body = store.open(&made.sha256, 0).await?.ok_or_else(missing)?;
    // A stranger made it: no browser shows it as a page of this address.
    let headers = [
        (header::CONTENT_LENGTH, made.size.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(body))).into_response())
}
