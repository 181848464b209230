//! One call, tried as often as its installation's patience allows.
//!
//! The SDK's own retries are off: an adapter has to know whether an earlier request of the same call may have been
//! done without an answer. Of a write under a condition, that is the difference between "somebody else" and "I".

use std::future::Future;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use ports::{Error, Result};

use crate::installation::Patience;

/// Answers that say: not now. Beside them every status from 500 on, and 429.
const BUSY: [&str; 13] = [
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "ConditionalRequestConflict",
    "OverLimit",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "SlowDown",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];
/// Answers that say: this request can never be. A mistake of this program, or data beyond a limit.
const NEVER: [&str; 5] = [
    "IdempotentParameterMismatchException",
    "InvalidMessageContents",
    "InvalidParameterValue",
    "SerializationException",
    "ValidationException",
];

/// Whether a code says: not now.
pub(crate) fn is_busy(code: &str) -> bool {
    BUSY.contains(&code)
}

/// Whether a code says: this request can never be.
pub(crate) fn is_never(code: &str) -> bool {
    NEVER.contains(&code)
}

/// Why a call was given up.
pub(crate) enum Stop<E> {
    /// The service answered with this, which is no matter of time.
    Refused(E),
    /// Everything else.
    Failed(Error),
}

impl<E: ProvideErrorMetadata + std::error::Error + 'static> Stop<E> {
    /// For callers to whom every refusal is an error. Missing rights and missing tables can be mended outside, so
    /// they are transient.
    pub(crate) fn into_error(self, operation: &str) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Refused(refusal) => {
                let never = refusal.code().is_some_and(is_never);
                let cause = DisplayErrorContext(&refusal);
                if never {
                    Error::corrupt(operation, cause)
                } else {
                    Error::transient(operation, cause)
                }
            }
        }
    }
}

/// Calls until there is an answer that more calls would not change. `busy` tells of answers beside the usual ones
/// that say "not now".
pub(crate) async fn again<T, E, Answer>(
    patience: Patience,
    operation: &str,
    busy: impl Fn(&E) -> bool,
    mut call: impl FnMut() -> Answer,
) -> std::result::Result<T, Stop<E>>
where
    Answer: Future<Output = std::result::Result<T, SdkError<E>>>,
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut number = 1;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !passes(&error) && !error.as_service_error().is_some_and(&busy) {
            return Err(match error {
                SdkError::ServiceError(answer) => Stop::Refused(answer.into_err()),
                other => Stop::Failed(Error::corrupt(operation, DisplayErrorContext(other))),
            });
        }
        if number >= patience.attempts {
            let cause = format!("{number} times: {}", DisplayErrorContext(error));
            return Err(Stop::Failed(Error::transient(operation, cause)));
        }
        number += 1;
        let most = patience.wait_before(number);
        tracing::debug!(operation, number, error = %DisplayErrorContext(&error), "try again");
        tokio::time::sleep(most.mul_f64(rand::random())).await;
    }
}

/// As [`again`], where no refusal is of interest.
pub(crate) async fn answer<T, E, Answer>(
    patience: Patience,
    operation: &str,
    call: impl FnMut() -> Answer,
) -> Result<T>
where
    Answer: Future<Output = std::result::Result<T, SdkError<E>>>,
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let answer = again(patience, operation, |_| false, call).await;
    answer.map_err(|stop| stop.into_error(operation))
}

/// Whether it is a matter of time.
pub(crate) fn passes<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        // A request that could not be made: a mistake of this program, or no credentials.
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status();
            let code = answer.err().code();
            // Of success an error: half an answer, or one of S3's that begin before their end is known.
            let broken = status.is_success();
            let busy = status.is_server_error() || status.as_u16() == 429;
            broken || busy || code.is_some_and(is_busy)
        }
        // No answer, half an answer, too late an answer.
        _ => true,
    }
}
