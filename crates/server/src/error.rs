//! Errors as answers: a status code and one sentence in JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runner_api::protocol::ErrorBody;

/// An answer that is no success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the call breaks the protocol.
    #[error("{0}")]
    BadRequest(String),
    /// 401: who calls is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409: the state does not allow it.
    #[error("{0}")]
    Conflict(String),
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

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (
            status,
            Json(ErrorBody {
                error: self.to_string(),
            }),
        )
            .into_response()
    }
}
