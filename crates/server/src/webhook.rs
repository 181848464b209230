//! The door for the forge: a delivery is read and handed to who knows the forge's words.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use ports::Platform;

use crate::body::FORGE;
use crate::{Error, State};

/// A forge's largest delivery, in bytes.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;

/// Who listens to the forge. He verifies, keeps what must not be lost, answers at once, and works later.
pub trait Hear: Send + Sync {
    /// The status of the answer, and a sentence.
    fn hear<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = (u16, String)> + Send + 'a>>;
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
    let too_large = |error| match error {
        Error::TooLarge(_) => Error::TooLarge("a delivery has at most 25 MiB".to_owned()),
        error => error,
    };
    let body = FORGE.read(body, MAX_BODY_BYTES).await.map_err(too_large)?;
    let (status, words) = door.hear(&parts.headers, &body.bytes).await;
    // What is held is worked with until here.
    drop(body);
    if status == 503 {
        return Err(Error::Unavailable(words));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Ok((status, format!("{words}\n")).into_response())
}
