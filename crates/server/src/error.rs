//! Errors as answers: a status code and one sentence in JSON, the framework's own errors too.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use runner_api::protocol::ErrorBody;

/// Longest sentence of an error, in characters: a screen full. A stranger's words may be in it.
const MAX_SENTENCE_CHARS: usize = 2_000;
/// Longest piece of a stranger's word that an error repeats, in characters: longer than any path that
/// is allowed in a state repository's request.
const MAX_QUOTED_CHARS: usize = 120;
/// Seconds after which a caller may try again: longer than a body is worked with.
const RETRY_AFTER: &str = "10";
/// Most that is read of what the framework says, in bytes.
const MAX_FRAMEWORK_BYTES: usize = 16 * 1024;

/// An answer that is no success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the call breaks the protocol.
    #[error("{0}")]
    BadRequest(String),
    /// 401: who calls is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// 403: who calls is known, and may not.
    #[error("{0}")]
    Forbidden(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 405: the path is there, the method is not.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// 409: the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// 410: what was asked for is not done here, and there is no use in asking again.
    #[error("{0}")]
    Gone(String),
    /// 413: there is more of it than anybody has to send.
    #[error("{0}")]
    TooLarge(String),
    /// 422: the content is not what it says.
    #[error("{0}")]
    Unprocessable(String),
    /// 503: the world's trouble; the caller tries again.
    #[error("{0}")]
    Unavailable(String),
}

impl From<control::Error> for Error {
    fn from(error: control::Error) -> Self {
        tracing::warn!(%error, "a call ended without success");
        Self::Unavailable(error.to_string())
    }
}

impl From<ports::Error> for Error {
    fn from(error: ports::Error) -> Self {
        control::Error::from(error).into()
    }
}

impl From<control::CommandError> for Error {
    fn from(error: control::CommandError) -> Self {
        match error {
            control::CommandError::Unknown(_) | control::CommandError::Ambiguous(..) => {
                Self::NotFound(error.to_string())
            }
            control::CommandError::NotNow(_) => Self::Conflict(error.to_string()),
            control::CommandError::Control(error) => error.into(),
        }
    }
}

impl Error {
    /// Its code in an answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Its sentence, of bounded length.
    pub(crate) fn sentence(&self) -> String {
        cut(&self.to_string(), MAX_SENTENCE_CHARS)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let error = self.sentence();
        let mut response = (self.status(), Json(ErrorBody { error })).into_response();
        if matches!(self, Self::Unavailable(_)) {
            let wait = HeaderValue::from_static(RETRY_AFTER);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// A stranger's word inside a sentence: quoted, without control characters, and cut.
pub(crate) fn quote(text: &str) -> String {
    format!("{:?}", cut(text, MAX_QUOTED_CHARS))
}

/// The first `limit` characters of `text`, with a mark where it was cut.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Around every call: what the framework refuses by itself gets the form of every other error, and no
/// browser guesses what kind of file an answer is.
pub(crate) async fn border(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let of_framework = |kind: Option<&HeaderValue>| {
        kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
    };
    let status = response.status();
    if (status.is_client_error() || status.is_server_error())
        && of_framework(response.headers().get(header::CONTENT_TYPE))
    {
        response = in_our_form(response).await;
    }
    let is_content = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    // Behind a function, an answer without a type is taken for text, and bytes that are none are lost.
    if is_content && !headers.contains_key(header::CONTENT_TYPE) {
        let bytes = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, bytes);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

async fn in_our_form(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let said = to_bytes(body, MAX_FRAMEWORK_BYTES)
        .await
        .unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let error = match said.trim() {
        "" => parts.status.to_string(),
        said => cut(said, MAX_SENTENCE_CHARS),
    };
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    // `Allow` of a refused method stays.
    let mut ours = Json(ErrorBody { error }).into_response();
    *ours.status_mut() = parts.status;
    ours.headers_mut().extend(parts.headers);
    ours
}

pub(crate) async fn no_such_path(request: Request) -> Error {
    Error::NotFound(format!(
        "no such address: {}; docs/reference/http.md lists all of them",
        quote(request.uri().path())
    ))
}

pub(crate) async fn no_such_method(request: Request) -> Error {
    Error::MethodNotAllowed(format!(
        "{} is not for {}; docs/reference/http.md says what is",
        quote(request.method().as_str()),
        quote(request.uri().path())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_word_is_short_and_tame() {
        let check = |text: &str, expect: &str| assert_eq!(quote(text), expect);
        check("a", "\"a\"");
        check("\u{1b}[31m", "\"\\u{1b}[31m\"");
        check(
            &"ä".repeat(200),
            &format!("\"{}…\"", "ä".repeat(MAX_QUOTED_CHARS)),
        );
    }
}
