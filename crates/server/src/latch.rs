//! A latch before all that changes something: it stays shut until whoever started the server opens it.
//!
//! Callers: `millrace up`, which serves what is published before it knows whether it may go on. Invariant: while it is
//! shut, only questions come through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};

use crate::Error;

/// Shut at first. Its copies are one latch.
#[derive(Debug, Clone, Default)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    /// From now on everything comes through.
    pub fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `router` behind it. `why` is told to whoever is sent away: who tries again comes through one day.
    pub fn before(&self, router: Router, why: &'static str) -> Router {
        let latch = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let latch = latch.clone();
            async move { latch.pass(why, request, next).await }
        }))
    }

    async fn pass(&self, why: &str, request: Request, next: Next) -> Response {
        match self.0.load(Ordering::Relaxed) || request.method().is_safe() {
            true => next.run(request).await,
            false => Error::Unavailable(why.to_owned()).into_response(),
        }
    }
}
