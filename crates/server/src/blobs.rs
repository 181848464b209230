//! Artifacts by digest.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use control::LINK_LASTS;
use futures_util::TryStreamExt;
use pipeline_spec::Sha256Digest;
use ports::{ArtifactStore, Platform, Stored};
use runner_api::auth::Call;
use runner_api::protocol::{UploadReply, UploadRequest};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::identity::claimed;
use crate::runner::{MAX_SMALL_BYTES, json, signed};
use crate::{Error, State};

/// Largest artifact, in bytes: larger than any package of today's distributions.
const MAX_BLOB_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// Smaller blobs are not looked for before they are taken again: to send one is cheaper than to ask S3 for each.
const LOOK_FROM_BYTES: u64 = 8 * 1024 * 1024;

fn digest(text: &str) -> Result<Sha256Digest, Error> {
    text.parse()
        .map_err(|_| Error::BadRequest("a blob is named by 64 hex digits".to_owned()))
}

pub(crate) async fn put<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<StatusCode, Error> {
    let expected = digest(&name)?;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // The signature covers the digest in the path; the store holds the bytes against it.
    let call = Call {
        method: "PUT",
        path,
        body_sha256: *expected.as_bytes(),
    };
    claimed(&state, &parts.headers)
        .await?
        .proven(&state, &call)?;
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let reader = Box::new(StreamReader::new(stream));
    match state
        .control
        .platform()
        .store()
        .put_stream(expected, MAX_BLOB_BYTES, reader)
        .await?
    {
        Stored::Yes => Ok(StatusCode::NO_CONTENT),
        Stored::OtherDigest(found) => Err(Error::Unprocessable(format!(
            "the bytes have the digest {found}, not {expected}"
        ))),
        Stored::TooLarge => Err(too_large()),
    }
}

/// Where a blob may be put, if it is not there or is small. Who hears that it is there does not upload it, so it
/// is renewed.
pub(crate) async fn ask<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<UploadReply>, Error> {
    let wanted = digest(&name)?;
    let (_, _, body) = signed(&state, request, MAX_SMALL_BYTES).await?;
    let size = json::<UploadRequest>(&body)?.size;
    if size > MAX_BLOB_BYTES {
        return Err(too_large());
    }
    let store = state.control.platform().store();
    let link = store.upload_link(&wanted, size, LINK_LASTS).await?;
    // Where the store is at hand, to look costs nothing.
    let looks = link.is_none() || size >= LOOK_FROM_BYTES;
    if looks && state.control.renew(&wanted).await?.is_some() {
        return Ok(Json(UploadReply::Stored));
    }
    Ok(Json(link.map_or(UploadReply::Here, |link| {
        UploadReply::At {
            url: link.url,
            headers: link.headers,
        }
    })))
}

fn too_large() -> Error {
    Error::Unprocessable(format!("more than {MAX_BLOB_BYTES} bytes in one blob"))
}

pub(crate) async fn get<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let wanted = digest(&name)?;
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let call = Call::new(request.method().as_str(), path, b"");
    claimed(&state, request.headers())
        .await?
        .proven(&state, &call)?;
    let store = state.control.platform().store();
    let missing = || Error::NotFound(format!("{wanted} is not in the artifact store"));
    if request.method() == Method::HEAD {
        // Who hears that it is there does not upload it.
        let size = state.control.renew(&wanted).await?.ok_or_else(missing)?;
        return Ok([(header::CONTENT_LENGTH, size.to_string())].into_response());
    }
    let size = store.size(&wanted).await?.ok_or_else(missing)?;
    if let Some(link) = store.download_link(&wanted, LINK_LASTS).await? {
        return Ok(Redirect::temporary(&link.url).into_response());
    }
    let length = [(header::CONTENT_LENGTH, size.to_string())];
    let body = store.open(&wanted, 0).await?.ok_or_else(missing)?;
    Ok((length, Body::from_stream(ReaderStream::new(body))).into_response())
}
