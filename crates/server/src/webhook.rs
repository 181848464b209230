//! The door for the forge: a delivery is read and handed to who knows the forge's words.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ports::Platform;
use tokio::sync::Semaphore;

use crate::{Error, State};

/// A forge's largest delivery, in bytes.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// Bodies that are read at the same time: who sends them has shown nothing yet.
const MAX_READERS: usize = 8;

/// Who listens to the forge. He verifies, keeps what must not be lost, answers at once, and works later.
pub trait Hear: Send + Sync {
    /// The status of the answer, and a sentence.
    fn hear<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = (u16, String)> + Send + 'a>>;
}

/// The door and who stands behind it.
pub(crate) struct Door {
    hear: Arc<dyn Hear>,
    readers: Semaphore,
}

impl Door {
    pub(crate) fn new(hear: Arc<dyn Hear>) -> Self {
        Self {
            hear,
            readers: Semaphore::new(MAX_READERS),
        }
    }
}

pub(crate) async fn receive<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Result<Response, Error> {
    let Some(door) = &state.door else {
        return Err(Error::NotFound(
            "nobody listens to a forge here; `millrace up` does with --forge and --webhook-secret-file".to_owned(),
        ));
    };
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    // It is closed with the process alone.
    let _reading = door.readers.acquire().await;
    let body = match length {
        Some(bytes) if bytes > MAX_BODY_BYTES => None,
        _ => to_bytes(body, MAX_BODY_BYTES).await.ok(),
    };
    let (status, words) = match body {
        None => (413, "a delivery has at most 25 MiB".to_owned()),
        Some(body) => door.hear.hear(&parts.headers, &body).await,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Ok((status, format!("{words}\n")).into_response())
}
