//! The control plane over HTTP: the runner API, the API of the command line, published repositories,
//! and a page to look at.
//!
//! Callers: `millrace up`. Invariants: a handler checks who calls, calls one use case and maps the
//! answer; every body is bounded; nothing is decided here.

#![allow(
    clippy::disallowed_methods,
    reason = "logs that runners send lie in files until the attempt ends"
)]

mod api;
mod blobs;
mod body;
mod connections;
mod error;
mod identity;
mod latch;
mod logs;
mod page;
mod prune;
mod published;
mod requests;
mod runner;
mod scratch;
mod terminal;
mod webhook;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use control::Control;
use pipeline_spec::{Runner, RunnerId};
use ports::Platform;
use runner_api::protocol::{Cloud, CloudRequest};

use logs::Logs;

pub use api::{Canceled, CommandBody, Head, PlanBody, Retried};
pub use connections::{Connections, serve};
pub use error::Error;
pub use latch::Latch;
pub use page::is_about_a_file;
pub use prune::PruneBody;
pub use requests::{awaited, stuck, summary};
pub use terminal::Sanitizer;
pub use webhook::Hear;

/// What handlers share.
pub struct State<P: Platform> {
    /// The use cases.
    pub control: Arc<Control<P>>,
    /// Logs as runners send them.
    logs: Logs,
    /// Who may cancel and retry; `None`: nobody, here.
    admin: Option<Admin>,
    /// Where runners read queues themselves; `None`: they ask here.
    cloud: Option<Arc<dyn Lend>>,
    /// Trees of published repositories in memory.
    published: published::Trees,
    /// Where clients find large files; `None`: where the store says, or here.
    published_at: Option<String>,
    /// Where the forge knocks; `None`: nobody listens.
    door: Option<Arc<dyn Hear>>,
}

/// Who may cancel and retry: whoever knows a token. It is compared in constant time, and never logged.
pub struct Admin {
    /// At least 16 bytes; an empty one would let everybody in.
    pub token: String,
    /// Where people find it: `FILE on the control plane's machine`.
    pub place: String,
}

/// What the server needs besides the control plane.
pub struct Config {
    /// Where logs grow, as runners send them. `None` where no disk lasts: they are read when an attempt has ended.
    pub logs: Option<PathBuf>,
    /// `None` where nothing is commanded.
    pub admin: Option<Admin>,
    /// `None` where runners ask for work here.
    pub cloud: Option<Arc<dyn Lend>>,
    /// An address below which files lie at `/blobs/sha256/<digest>`. `None` where there is
    /// none, and files come from the store.
    pub published_at: Option<String>,
    /// `None` where no forge tells anything.
    pub forge: Option<Arc<dyn Hear>>,
}

/// Tells an enrolled runner where its queues are, and lends it what it needs to read them.
pub trait Lend: Send + Sync {
    /// Credentials are lent if they are asked for.
    fn lend<'a>(
        &'a self,
        id: &'a RunnerId,
        runner: &'a Runner,
        asked: CloudRequest,
    ) -> Pin<Box<dyn Future<Output = ports::Result<Cloud>> + Send + 'a>>;
}

/// All routes.
pub fn router<P: Platform>(control: Arc<Control<P>>, config: Config) -> Router {
    let forge = Router::new().route("/webhook", post(webhook::receive::<P>));
    let routes = runners().merge(commands()).merge(readings()).merge(forge);
    bordered(routes, control, config)
}

/// The runner API, and what people command: what changes something, but for a plan that is only tried.
pub fn changing<P: Platform>(control: Arc<Control<P>>, config: Config) -> Router {
    bordered(runners().merge(commands()), control, config)
}

/// Pages, questions of the command line, published repositories: nothing is changed.
pub fn reading<P: Platform>(control: Arc<Control<P>>, config: Config) -> Router {
    let refused = Router::new().route("/api/v1/prune", post(api::not_here));
    bordered(readings().merge(refused), control, config)
}

type Routes<P> = Router<Arc<State<P>>>;

fn bordered<P: Platform>(routes: Routes<P>, control: Arc<Control<P>>, config: Config) -> Router {
    let state = Arc::new(State {
        control,
        logs: Logs::new(config.logs),
        admin: config.admin,
        cloud: config.cloud,
        published: published::Trees::default(),
        // Whoever writes it by hand may end it with one: a path is put behind it.
        published_at: config
            .published_at
            .map(|url| url.trim_end_matches('/').to_owned()),
        door: config.forge,
    });
    routes
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::from_fn(error::border))
        .with_state(state)
}

fn runners<P: Platform>() -> Routes<P> {
    Router::new()
        .route("/runner/v1/take", post(runner::take::<P>))
        .route("/runner/v1/lease", post(runner::lease::<P>))
        .route("/runner/v1/cloud", post(runner::cloud::<P>))
        .route("/runner/v1/heartbeat", post(runner::heartbeat::<P>))
        .route("/runner/v1/log", post(runner::log::<P>))
        .route("/runner/v1/result", post(runner::result::<P>))
        .route(
            "/runner/v1/blobs/{digest}",
            put(blobs::put::<P>)
                .get(blobs::get::<P>)
                .post(blobs::ask::<P>),
        )
}

fn commands<P: Platform>() -> Routes<P> {
    Router::new()
        .route("/api/v1/cancel", post(api::cancel::<P>))
        .route("/api/v1/retry", post(api::retry::<P>))
        .route("/api/v1/prune", post(prune::prune::<P>))
}

fn readings<P: Platform>() -> Routes<P> {
    Router::new()
        .route("/", get(page::index::<P>))
        .route("/page.js", get(page::script))
        .route("/task/{id}", get(page::task::<P>))
        .route("/request/{*path}", get(page::request::<P>))
        .route("/log/{id}", get(page::log::<P>))
        .route("/scratch/{id}/{*name}", get(scratch::file::<P>))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/api/v1/status", get(api::status::<P>))
        .route("/api/v1/head", get(api::head::<P>))
        .route("/api/v1/request/{*path}", get(api::request::<P>))
        .route("/api/v1/task/{id}", get(api::task::<P>))
        .route("/api/v1/plan", post(api::plan_files::<P>))
        .route("/api/v1/plan/{*revision}", get(api::plan::<P>))
        .route("/api/v1/log/{id}", get(api::log::<P>))
        .route("/repos", get(published::index::<P>))
        .route("/repos/", get(published::index::<P>))
        .route("/repos/{*path}", get(published::file::<P>))
}
