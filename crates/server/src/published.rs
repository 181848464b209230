//! Published repositories, served from the artifact store through their pointers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use ports::{ArtifactStore, Platform};
use runner_api::{Pointer, Tree, TreeFile};
use tokio_util::io::ReaderStream;

use crate::error::quote;
use crate::page::html::{escape, page};
use crate::page::repositories;
use crate::{Error, State};
use control::LINK_LASTS;

/// Earlier trees that are still served, for clients that began before a flip.
const EARLIER: usize = 4;

/// Files up to this size, in bytes, are sent even where the store has addresses of its own: a function's
/// answer holds them.
pub(crate) const SENT_BYTES: u64 = 512 * 1024;

/// How long others may keep a file of a repository. An index and its signature are asked for one after another, and must
/// be of one release: so a flip is seen at once, but for these seconds.
const FILE_LASTS: HeaderValue = HeaderValue::from_static("max-age=5");
/// Below the address where files are published, they lie by their digests: as the store on AWS names them, and the
/// distribution of `terraform/modules/publishing`.
const BLOBS: &str = "blobs/sha256";

/// A tree and the pointer that named it.
struct Published {
    bytes: Bytes,
    pointer: Pointer,
    tree: Tree,
}

/// Trees in memory, by repository: the present one last.
#[derive(Default)]
pub(crate) struct Trees(Mutex<HashMap<String, VecDeque<Arc<Published>>>>);

impl Trees {
    fn known(&self, repository: &str) -> Vec<Arc<Published>> {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees
            .get(repository)
            .map(|trees| trees.iter().rev().cloned().collect())
            .unwrap_or_default()
    }

    fn remember(&self, repository: &str, published: Published) {
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trees = trees.entry(repository.to_owned()).or_default();
        trees.push_back(Arc::new(published));
        if trees.len() > EARLIER + 1 {
            trees.pop_front();
        }
    }
}

/// `GET /repos/<layout path>/<path in the repository>`.
pub(crate) async fn file<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(path): Path<String>,
) -> Result<Response, Error> {
    let missing = || Error::NotFound(format!("nothing is published at {}", quote(&path)));
    let (repository, inside) = locate(&state, &path).await?.ok_or_else(missing)?;
    let trees = current(&state, &repository).await?;
    for published in &trees {
        let file = published
            .pointer
            .signatures
            .get(&inside)
            .or_else(|| published.tree.files.get(&inside));
        if let Some(file) = file {
            return send(&state, &published.pointer, &inside, file).await;
        }
    }
    let present = trees.first().ok_or_else(missing)?;
    let name = crate::page::name(&state).await;
    listing(&name, present, (&path, &inside)).ok_or_else(missing)
}

/// `GET /repos/`: all that is published.
pub(crate) async fn index<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Response, Error> {
    let table = match repositories(&state.control.status().await?) {
        none if none.is_empty() => "<p>Nothing is published yet.</p>\n".to_owned(),
        table => table,
    };
    let name = crate::page::name(&state).await;
    Ok(page(
        &name,
        "repositories",
        "published repositories",
        &table,
    ))
}

/// The repository whose layout path begins `path`, and the rest.
async fn locate<P: Platform>(
    state: &State<P>,
    path: &str,
) -> Result<Option<(String, String)>, Error> {
    let head = state.control.planned_commit().await?;
    if head.is_empty() {
        return Ok(None);
    }
    let snapshot = state.control.snapshot(&head).await?;
    for (name, repository) in &snapshot.config.repositories {
        let root = repository.layout.path().as_str();
        if let Some(inside) = path.strip_prefix(root)
            && (inside.is_empty() || inside.starts_with('/'))
        {
            return Ok(Some((
                name.to_string(),
                inside.trim_matches('/').to_owned(),
            )));
        }
    }
    Ok(None)
}

/// The present tree first, then earlier ones.
async fn current<P: Platform>(
    state: &State<P>,
    repository: &str,
) -> Result<Vec<Arc<Published>>, Error> {
    let pointer = state.control.pointer(repository).await;
    let pointer = pointer.map_err(|error| broken_pointer(repository, error))?;
    let Some((pointer, bytes)) = pointer else {
        return Ok(Vec::new());
    };
    let known = state.published.known(repository);
    if known
        .first()
        .is_some_and(|published| published.bytes == bytes)
    {
        return Ok(known);
    }
    let tree = state.control.tree(&pointer).await?;
    state.published.remember(
        repository,
        Published {
            bytes,
            pointer,
            tree,
        },
    );
    Ok(state.published.known(repository))
}

async fn send<P: Platform>(
    state: &State<P>,
    pointer: &Pointer,
    path: &str,
    file: &TreeFile,
) -> Result<Response, Error> {
    let store = state.control.platform().store();
    // A body that ends before its announced length says nothing to anybody; a size costs one look.
    let stored = store.size(&file.sha256).await?;
    if stored != Some(file.size) {
        return Err(spoilt(pointer, path, file, stored));
    }
    // Small files, indexes above all, are worth no second question.
    if file.size > SENT_BYTES {
        if let Some(address) = &state.published_at {
            let place = format!("{address}/{BLOBS}/{}", file.sha256);
            return Ok(kept(FILE_LASTS, Redirect::temporary(&place)));
        }
        // It is signed for its time alone.
        if let Some(link) = store.download_link(&file.sha256, LINK_LASTS).await? {
            return Ok(Redirect::temporary(&link.url).into_response());
        }
    }
    let body = store.open(&file.sha256, 0).await?;
    let body = body.ok_or_else(|| spoilt(pointer, path, file, None))?;
    let headers = [(header::CONTENT_LENGTH, file.size.to_string())];
    let body = Body::from_stream(ReaderStream::new(body));
    Ok(kept(FILE_LASTS, (StatusCode::OK, headers, body)))
}

fn kept(lasts: HeaderValue, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, lasts);
    response
}

/// A published file that is not in the store as it was published: whoever looks after it is told, too.
fn spoilt(pointer: &Pointer, path: &str, file: &TreeFile, stored: Option<u64>) -> Error {
    let (repository, digest, size) = (&pointer.repository, &file.sha256, file.size);
    let found = match stored {
        None => "is not in the artifact store".to_owned(),
        Some(stored) => format!("has {stored} bytes in the artifact store, not {size}"),
    };
    tracing::warn!(%repository, path, %digest, "a published file {found}: bring it back from a backup");
    Error::Unavailable(format!(
        "{} of {repository} cannot be served: the artifact {digest} {found}; bring it back from a backup",
        quote(path)
    ))
}

/// A pointer that cannot be read. The ledger knows what it was, and sets it again when it is gone.
fn broken_pointer(repository: &str, error: control::Error) -> Error {
    let control::Error::Port(ports::Error::Corrupt { cause, .. }) = &error else {
        return error.into();
    };
    let file = format!("data/artifacts/pointers/{repository}");
    tracing::warn!(repository, file, %cause, "a pointer is damaged: move its file away and start again");
    Error::Unavailable(format!(
        "{repository} cannot be served: its pointer, {file} in the data directory, is damaged: {cause}. Move that file away and start `millrace up` again: it sets the pointer as the ledger knows it"
    ))
}

/// A directory of the present tree, for people with a browser.
fn listing(name: &str, published: &Published, (path, inside): (&str, &str)) -> Option<Response> {
    let prefix = if inside.is_empty() {
        String::new()
    } else {
        format!("{inside}/")
    };
    let mut names: Vec<String> = published
        .tree
        .files
        .keys()
        .chain(published.pointer.signatures.keys())
        .filter_map(|path| path.strip_prefix(&prefix))
        .map(|rest| match rest.split_once('/') {
            Some((directory, _)) => format!("{directory}/"),
            None => rest.to_owned(),
        })
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let rows: String = names
        .iter()
        .map(|name| {
            // From the top, so that it is right with and without a slash at the end of the address.
            let link = format!("/repos/{}/{name}", path.trim_matches('/'));
            format!(
                "<li><a href=\"{}\">{}</a></li>",
                escape(&link),
                escape(name)
            )
        })
        .collect();
    let title = published.pointer.repository.as_str();
    let body = format!(
        "<h2>{} /{}</h2>\n<ul>{rows}</ul>\n",
        escape(title),
        escape(inside)
    );
    Some(page(name, title, "published repository", &body))
}
