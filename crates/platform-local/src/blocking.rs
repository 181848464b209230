//! Work that blocks, off the async threads.

use ports::{Error, Result};

/// Runs `work` where blocking is fine. It runs to its end even if the caller goes away.
pub(crate) async fn run<T: Send + 'static>(
    operation: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|cause| Err(Error::transient(operation, cause)))
}
