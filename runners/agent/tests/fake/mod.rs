//! A control plane in memory: leases with fencing, blobs, logs, results, and faults on demand.
//!
//! It runs on a runtime of its own, so that stopping it cuts every connection, as a crash does.

#![allow(
    dead_code,
    reason = "shared by several test programs, none of which uses all of it"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::StreamExt as _;
use pipeline_spec::{RunnerId, RunnerKey, Sha256Digest, Weight};
use runner_api::protocol::{Cloud, CloudRequest, Credentials, ErrorBody, UploadReply};
use runner_api::{
    Artifact, Grant, Heartbeat, HeartbeatReply, LeaseReply, Link, Proof, ResultManifest,
    ResultReply, Step, TakeReply, TaskId, TaskRef, TaskSpec, auth,
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The control plane's memory, which outlives its restarts.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) enrolled: BTreeMap<RunnerId, RunnerKey>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) blobs: BTreeMap<Sha256Digest, Bytes>,
    pub(crate) place: Place,
    /// Its address is told with every grant.
    pub(crate) linked: Option<Sha256Digest>,
    /// Told with every grant.
    pub(crate) proof: Option<Proof>,
    /// How long credentials last that are lent, in seconds.
    pub(crate) lent_seconds: u64,
    /// How often credentials were lent.
    pub(crate) lent: usize,
    pub(crate) faults: Vec<Fault>,
    /// Every call that is not faulted is answered 503.
    pub(crate) is_away: bool,
    /// Which addresses of blobs are good: a number that they bear.
    pub(crate) addresses: u32,
    /// Told with every grant.
    pub(crate) capacity: Option<NonZeroU32>,
    /// Added to the server's clock, in seconds.
    pub(crate) clock_ahead: i64,
    /// Takes that wait for work.
    pub(crate) open_takes: usize,
    /// Every call, as `POST /runner/v1/take 200`.
    pub(crate) calls: Vec<String>,
}

pub(crate) struct Task {
    pub(crate) reference: TaskRef,
    pub(crate) spec: TaskSpec,
    pub(crate) inputs: BTreeMap<TaskId, Vec<Artifact>>,
    pub(crate) attempt: u32,
    pub(crate) leased: bool,
    pub(crate) cancel: Option<String>,
    pub(crate) weight: Weight,
    pub(crate) beats: u32,
    /// Steps that heartbeats told, in order.
    pub(crate) steps: Vec<Step>,
    pub(crate) log: Vec<u8>,
    pub(crate) accepted: Option<ResultManifest>,
    pub(crate) stale: Vec<ResultManifest>,
}

/// Where blobs are given and taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Here,
    /// Here, and nobody answers the question.
    Unasked,
    /// At addresses with a key of their own, which bear no proof of a runner's.
    Elsewhere,
}

/// A header that goes with an upload elsewhere.
const ELSEWHERE: (&str, &str) = ("x-checked", "sha256");

/// Happens once, to the first call whose `METHOD path` contains the text.
pub(crate) struct Fault(pub(crate) &'static str, pub(crate) Effect);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer so, and do nothing.
    Status(u16),
    /// Do it, and answer 500.
    DoneBut500,
    /// Never answer.
    Hang,
    /// Do it, and forget every log.
    ForgetLog,
    /// Read the beginning of the body, and close the connection. Addresses of before are good no more.
    CutAndRunOut,
}

pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct Context {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let mut fake = Self {
            state: Arc::default(),
            changed: Arc::new(watch::channel(()).0),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            runtime: None,
        };
        fake.resume();
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection and closes the port.
    pub(crate) fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed on a thread that runs the test's own tasks.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE));
            ended.join().expect("the server ends");
        }
    }

    /// Listens on the same port again.
    pub(crate) fn resume(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let context = Context {
            state: Arc::clone(&self.state),
            changed: Arc::clone(&self.changed),
        };
        // On the test's thread a runtime may be running already.
        let (tell, told) = std::sync::mpsc::channel();
        let wanted = self.address;
        runtime.spawn(async move {
            let listener = TcpListener::bind(wanted).await.expect("a free port");
            tell.send(listener.local_addr()).expect("the test waits");
            let app = Router::new().fallback(answer).with_state(context);
            axum::serve(listener, app).await.expect("serving");
        });
        self.address = told.recv().expect("the server starts").expect("an address");
        self.runtime = Some(runtime);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in here")
    }

    /// Changes something, and wakes who waits.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changed.send_replace(());
        value
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.state()) {
                    return found;
                }
                changed.changed().await.expect("the sender lives");
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: did not happen; calls: {:#?}", self.state().calls),
        }
    }

    pub(crate) async fn result(&self, task: usize) -> ResultManifest {
        self.until("a result", |state| state.tasks[task].accepted.clone())
            .await
    }

    pub(crate) fn enroll(&self, runner: &str, key: RunnerKey) {
        let runner = runner.parse().expect("a runner id");
        self.change(|state| state.enrolled.insert(runner, key));
    }

    pub(crate) fn put_blob(&self, bytes: impl Into<Bytes>) -> Sha256Digest {
        let bytes = bytes.into();
        let digest = Sha256Digest::new(Sha256::digest(&bytes).into());
        self.change(|state| state.blobs.insert(digest, bytes));
        digest
    }

    /// Queues a task and returns its index.
    pub(crate) fn queue(&self, spec: TaskSpec, inputs: BTreeMap<TaskId, Vec<Artifact>>) -> usize {
        self.queue_of("builds/2026/11/a.yaml", spec, inputs)
    }

    /// The same, of this request.
    pub(crate) fn queue_of(
        &self,
        request: &str,
        spec: TaskSpec,
        inputs: BTreeMap<TaskId, Vec<Artifact>>,
    ) -> usize {
        let request = request.parse().expect("a request");
        let reference = TaskRef {
            id: TaskId::of(&request, &spec),
            request,
        };
        self.change(|state| {
            state.tasks.push(Task {
                reference,
                spec,
                inputs,
                attempt: 0,
                leased: false,
                cancel: None,
                weight: Weight::ONE,
                beats: 0,
                steps: Vec::new(),
                log: Vec::new(),
                accepted: None,
                stale: Vec::new(),
            });
            state.tasks.len() - 1
        })
    }

    /// Ends the lease of a task, as its running out does.
    pub(crate) fn expire(&self, task: usize) {
        self.change(|state| state.tasks[task].leased = false);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(Shared(context): Shared<Context>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("", |p| p.as_str());
    let call = format!("{} {path}", head.method);
    let effect = context.change(|state| {
        let hit = state.faults.iter().position(|fault| call.contains(fault.0));
        let fault = hit.map(|index| state.faults.remove(index).1);
        fault.or(state.is_away.then_some(Effect::Status(503)))
    });
    if effect == Some(Effect::CutAndRunOut) {
        let begun = body.into_data_stream().next().await;
        assert!(begun.is_some(), "{call} has a body");
        context.change(|state| {
            state.addresses += 1;
            state.calls.push(format!("{call} cut"));
        });
        // The connection ends with its task, and this is no failure to be told.
        std::panic::resume_unwind(Box::new("cut"));
    }
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let reply = match effect {
        Some(Effect::Status(status)) => refuse(status, "a fault of the test"),
        Some(Effect::Hang) => std::future::pending().await,
        _ => {
            let header = |name: &str| head.headers.get(name)?.to_str().ok();
            let authorization = header("authorization");
            let host = header("host").unwrap_or_default();
            if let Some(blob) = path.strip_prefix("/elsewhere/") {
                let is_plain = authorization.is_none();
                let is_checked = header(ELSEWHERE.0) == Some(ELSEWHERE.1);
                let is_whole = head.method != Method::PUT || is_checked;
                elsewhere(&context, &head.method, (blob, is_plain && is_whole), body)
            } else {
                match prove(&context, authorization, &head.method, path, &body) {
                    Ok(_) => act(&context, &head.method, (host, path), body).await,
                    Err(error) => refuse(401, &error.to_string()),
                }
            }
        }
    };
    let reply = if effect == Some(Effect::DoneBut500) {
        refuse(500, "a fault of the test")
    } else {
        reply
    };
    if effect == Some(Effect::ForgetLog) {
        context.change(|state| state.tasks.iter_mut().for_each(|task| task.log.clear()));
    }
    context.change(|state| {
        state
            .calls
            .push(format!("{call} {}", reply.status().as_u16()))
    });
    reply
}

fn prove(
    context: &Context,
    header: Option<&str>,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<RunnerId, auth::Error> {
    let claim = auth::parse(header.unwrap_or_default())?;
    let state = context.state.lock().expect("no test panics in here");
    let key = state
        .enrolled
        .get(&claim.runner)
        .ok_or_else(|| auth::Error::BadSignature(claim.runner.clone()))?;
    let call = auth::Call::new(method.as_str(), path, body);
    claim.verify(key.as_bytes(), now() + state.clock_ahead, &call)?;
    Ok(claim.runner)
}

async fn act(
    context: &Context,
    method: &Method,
    (host, path): (&str, &str),
    body: Bytes,
) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some(digest) = path.strip_prefix("/runner/v1/blobs/") {
        let digest = digest.parse().expect("a digest");
        return context.change(|state| match (state.place, method.as_str()) {
            (Place::Unasked, "POST") => refuse(405, "no such question"),
            (_, "POST") => json(&place(state, host, digest)),
            (Place::Elsewhere, "GET") if state.blobs.contains_key(&digest) => {
                Redirect::temporary(&address(state, host, digest)).into_response()
            }
            _ => blob(state, method, digest, body),
        });
    }
    match path {
        "/runner/v1/take" => take(context, host).await,
        "/runner/v1/cloud" => {
            let asked: CloudRequest = serde_json::from_slice(&body).expect("a question");
            json(&context.change(|state| {
                state.lent += usize::from(asked.credentials);
                cloud(state, &asked)
            }))
        }
        "/runner/v1/lease" => json(&context.change(|state| match state.grant(host) {
            Some(grant) => LeaseReply::Granted(Box::new(grant)),
            None => LeaseReply::Gone,
        })),
        "/runner/v1/heartbeat" => json(&context.change(|state| {
            heartbeat(state, &serde_json::from_slice(&body).expect("a heartbeat"))
        })),
        "/runner/v1/log" => context.change(|state| log(state, query, &body)),
        "/runner/v1/result" => json(
            &context
                .change(|state| result(state, serde_json::from_slice(&body).expect("a manifest"))),
        ),
        _ => refuse(404, "no such call"),
    }
}

async fn take(context: &Context, host: &str) -> Response {
    let mut changed = context.changed.subscribe();
    let _open = OpenTake::new(context);
    loop {
        let grant = context
            .state
            .lock()
            .expect("no test panics in here")
            .grant(host);
        if let Some(grant) = grant {
            context.changed.send_replace(());
            return json(&TakeReply::Granted(Box::new(grant)));
        }
        changed.changed().await.expect("the sender lives");
    }
}

/// Dropped with the connection.
struct OpenTake<'a>(&'a Context);

impl<'a> OpenTake<'a> {
    fn new(context: &'a Context) -> Self {
        context.change(|state| state.open_takes += 1);
        Self(context)
    }
}

impl Drop for OpenTake<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.open_takes -= 1);
    }
}

impl Context {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state.lock().expect("no test panics in here"));
        self.changed.send_replace(());
        value
    }
}

impl State {
    fn grant(&mut self, host: &str) -> Option<Grant> {
        let linked = self.linked.map(|it| (it, link(self, host, it)));
        let free = |t: &&mut Task| !t.leased && t.accepted.is_none() && t.cancel.is_none();
        let task = self.tasks.iter_mut().find(free)?;
        task.attempt += 1;
        task.leased = true;
        task.log.clear();
        Some(Grant {
            version: runner_api::VERSION,
            task: task.reference.clone(),
            attempt: task.attempt,
            spec: task.spec.clone(),
            inputs: task.inputs.clone(),
            links: linked.into_iter().collect(),
            proof: self.proof.clone().map(Box::new),
            lease_seconds: 30,
            // The shortest that the runner accepts, far below a second.
            heartbeat_seconds: 0,
            capacity: self.capacity,
            weight: task.weight,
        })
    }

    fn task(&mut self, reference: &TaskRef) -> &mut Task {
        let mut tasks = self.tasks.iter_mut();
        tasks
            .find(|task| task.reference == *reference)
            .expect("a task that was granted")
    }
}

fn heartbeat(state: &mut State, beat: &Heartbeat) -> HeartbeatReply {
    let task = state.task(&beat.attempt.task);
    task.beats += 1;
    if task.steps.last() != beat.step.as_ref() {
        task.steps.extend(beat.step);
    }
    match &task.cancel {
        Some(reason) => HeartbeatReply::Cancel {
            reason: reason.clone(),
        },
        None if task.leased && task.attempt == beat.attempt.attempt => HeartbeatReply::Continue,
        None => HeartbeatReply::Lost,
    }
}

fn result(state: &mut State, manifest: ResultManifest) -> ResultReply {
    let task = state.task(&manifest.task);
    if task.accepted.as_ref() == Some(&manifest) {
        return ResultReply::Accepted;
    }
    if task.leased && task.attempt == manifest.attempt {
        task.leased = false;
        task.accepted = Some(manifest);
        return ResultReply::Accepted;
    }
    task.stale.push(manifest);
    ResultReply::Stale {
        reason: "the attempt is over".into(),
    }
}

fn log(state: &mut State, query: &str, body: &[u8]) -> Response {
    let pairs: BTreeMap<&str, &str> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let task = state
        .tasks
        .iter_mut()
        .find(|task| task.reference.id.as_str() == pairs["task"])
        .expect("a task that was granted");
    let offset: usize = pairs["offset"].parse().expect("an offset");
    if offset != task.log.len() {
        let expected = serde_json::json!({"error": "not there", "offset": task.log.len()});
        return (StatusCode::CONFLICT, expected.to_string()).into_response();
    }
    task.log.extend_from_slice(body);
    StatusCode::NO_CONTENT.into_response()
}

fn address(state: &State, host: &str, digest: Sha256Digest) -> String {
    format!("http://{host}/elsewhere/{digest}?{}", state.addresses)
}

fn link(state: &State, host: &str, digest: Sha256Digest) -> Link {
    Link {
        url: address(state, host, digest),
        headers: Vec::new(),
    }
}

fn cloud(state: &State, asked: &CloudRequest) -> Cloud {
    Cloud {
        version: runner_api::VERSION,
        region: "eu-central-1".to_owned(),
        endpoint: None,
        bucket: "artifacts".to_owned(),
        queue_prefix: "millrace".to_owned(),
        queues: vec!["compose.any".to_owned()],
        credentials: asked.credentials.then(|| Credentials {
            id: "id".to_owned(),
            secret: "secret".to_owned(),
            session: "session".to_owned(),
            lasts_seconds: state.lent_seconds,
        }),
    }
}

fn place(state: &State, host: &str, digest: Sha256Digest) -> UploadReply {
    if state.blobs.contains_key(&digest) {
        return UploadReply::Stored;
    }
    if state.place == Place::Here {
        return UploadReply::Here;
    }
    UploadReply::At {
        url: address(state, host, digest),
        headers: vec![(ELSEWHERE.0.to_owned(), ELSEWHERE.1.to_owned())],
    }
}

fn elsewhere(
    context: &Context,
    method: &Method,
    (address, is_right): (&str, bool),
    body: Bytes,
) -> Response {
    let Some((digest, key)) = address.split_once('?') else {
        return refuse(403, "no key");
    };
    if !is_right {
        return refuse(400, "a runner's proof, or no word of what is checked");
    }
    let digest = digest.parse().expect("a digest");
    context.change(|state| match key.parse() == Ok(state.addresses) {
        true => blob(state, method, digest, body),
        false => refuse(403, "Request has expired"),
    })
}

fn blob(state: &mut State, method: &Method, digest: Sha256Digest, body: Bytes) -> Response {
    match *method {
        Method::PUT if Sha256::digest(&body)[..] != digest.as_bytes()[..] => {
            refuse(422, "the digest differs")
        }
        Method::PUT => {
            state.blobs.insert(digest, body);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => match state.blobs.get(&digest) {
            Some(bytes) if *method == Method::GET => Body::from(bytes.clone()).into_response(),
            Some(_) => StatusCode::OK.into_response(),
            None => refuse(404, "no such blob"),
        },
    }
}

fn json(value: &impl serde::Serialize) -> Response {
    serde_json::to_vec(value).expect("JSON").into_response()
}

fn refuse(status: u16, words: &str) -> Response {
    let body = serde_json::to_vec(&ErrorBody {
        error: words.to_owned(),
    });
    let status = StatusCode::from_u16(status).expect("a status");
    (status, body.expect("JSON")).into_response()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("before the end of time")
}
