//! HTTP with an end: every exchange has a number of bytes and a point in time it must be over by.
//!
//! Wraps `gix`'s client, which knows neither. Packs that are pushed go out with a length, not chunked, since
//! some proxies refuse chunks.

use std::any::Any;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gix::protocol::transport::client::blocking_io::http::reqwest;
use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, Options, PostBodyDataKind, PostResponse, Transport,
};

use crate::{Credentials, RemoteUrl, Result};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest silence of a server that is connected: a big one may count objects for a while.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// What an exchange may use up.
#[derive(Debug)]
pub(crate) struct Budget {
    deadline: Instant,
    time: Duration,
    bytes_left: AtomicU64,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(time: Duration, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            deadline: Instant::now() + time,
            time,
            bytes_left: AtomicU64::new(bytes),
            bytes,
        })
    }

    /// Whether the server was slower than allowed.
    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Whether the server sent more than allowed.
    pub(crate) fn is_spent(&self) -> bool {
        self.bytes_left.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn check(&self) -> io::Result<()> {
        if self.is_late() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it took longer than {} s", self.time.as_secs()),
            ));
        }
        if self.is_spent() {
            return Err(io::Error::other(format!(
                "it sent more than {} bytes",
                self.bytes
            )));
        }
        Ok(())
    }

    fn take(&self, bytes: usize) {
        let bytes = bytes as u64;
        let left = self.bytes_left.load(Ordering::Relaxed);
        self.bytes_left
            .store(left.saturating_sub(bytes), Ordering::Relaxed);
    }
}

/// The transport to `url` within `budget`.
pub(crate) fn transport(
    url: &RemoteUrl,
    credentials: &Credentials,
    version: gix::protocol::transport::Protocol,
    budget: &Arc<Budget>,
) -> Result<Transport<Bounded>> {
    let parsed = gix::url::parse(url.as_str()).map_err(|error| crate::Error::Address {
        url: url.to_string(),
        reason: crate::error::describe(&error),
    })?;
    let idle = budget.time.min(IDLE_TIMEOUT);
    let backend = reqwest::Options {
        configure_client: Some(Box::new(move |builder| {
            Ok(builder
                .timeout(idle)
                .connect_timeout(CONNECT_TIMEOUT.min(idle)))
        })),
        configure_request: None,
    };
    let options = Options {
        extra_headers: credentials.header(url)?.into_iter().collect(),
        backend: Some(Arc::new(Mutex::new(backend))),
        ..Options::default()
    };
    let mut http = Bounded {
        inner: reqwest::Remote::default(),
        budget: Arc::clone(budget),
    };
    http.configure(&options)
        .map_err(crate::Error::corrupt("configure HTTP"))?;
    Ok(Transport::new_http(http, parsed, version, false))
}

/// `gix`'s client under a [`Budget`].
pub(crate) struct Bounded {
    inner: reqwest::Remote,
    budget: Arc<Budget>,
}

impl Http for Bounded {
    type Headers = <reqwest::Remote as Http>::Headers;
    type ResponseBody = BoundedBody<<reqwest::Remote as Http>::ResponseBody>;
    type PostBody = <reqwest::Remote as Http>::PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let response = self.inner.get(url, base_url, headers)?;
        Ok(GetResponse {
            headers: response.headers,
            body: self.bounded(response.body),
        })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let kind = PostBodyDataKind::BoundedAndFitsIntoMemory;
        let response = self.inner.post(url, base_url, headers, kind)?;
        Ok(PostResponse {
            post_body: response.post_body,
            headers: response.headers,
            body: self.bounded(response.body),
        })
    }

    fn configure(&mut self, config: &dyn Any) -> gix::Result {
        self.inner.configure(config)
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.inner.redirected_base_url()
    }
}

impl Bounded {
    fn bounded<B>(&self, inner: B) -> BoundedBody<B> {
        BoundedBody {
            inner,
            budget: Arc::clone(&self.budget),
        }
    }
}

/// A response that ends with an error when the budget does.
pub(crate) struct BoundedBody<B> {
    inner: B,
    budget: Arc<Budget>,
}

impl<B: BufRead> BufRead for BoundedBody<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.budget.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.budget.take(amount);
        self.inner.consume(amount);
    }
}

impl<B: BufRead> Read for BoundedBody<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(out.len());
        out[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}
