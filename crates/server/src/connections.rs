//! Connections: how many there may be, and how long one may say nothing.
//!
//! Callers: `millrace up`. Invariant: whoever only connects keeps others waiting for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

/// That no place is left is told of once in this time.
const TOLD: Duration = Duration::from_secs(60);

/// What is held by those who connect.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// Served at a time. The others wait in the queue of the listener, and have no file open here.
    pub most: usize,
    /// Longest time until a request's headers are there: from the beginning, or from the end of the request before.
    pub silent: Duration,
    /// Longest time in which nothing of an answer is taken.
    pub unread: Duration,
}

/// Answers until it is dropped. A connection that was begun then goes on as long as its runtime.
pub async fn serve(mut listener: TcpListener, router: Router, connections: Connections) {
    let mut places = Places::new(connections.most);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(connections.silent);
    loop {
        let place = places.next().await;
        // It waits by itself when no file is left to open.
        let (stream, _address) = Listener::accept(&mut listener).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(connections.unread));
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
        tokio::spawn(async move {
            // Whoever went away, or never said anything, is nobody to tell.
            let _ended = connection.await;
            drop(place);
        });
    }
}

/// One for each connection.
struct Places {
    free: Arc<Semaphore>,
    most: usize,
    told: Option<Instant>,
}

impl Places {
    fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            told: None,
        }
    }

    /// Once one is free.
    async fn next(&mut self) -> OwnedSemaphorePermit {
        let is_told = self.told.is_some_and(|told| told.elapsed() < TOLD);
        if self.free.available_permits() == 0 && !is_told {
            self.told = Some(Instant::now());
            tracing::warn!(
                connections = self.most,
                "as many connections are open as are served at a time; others wait for one of them to end"
            );
        }
        let place = Arc::clone(&self.free).acquire_owned().await;
        place.expect("nobody closes it")
    }
}
