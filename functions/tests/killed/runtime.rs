//! What AWS is to a function: somebody who hands events to a process, hears its answers, and kills it.

use std::collections::{HashMap, VecDeque};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::cloud::{Cloud, REGION};
use crate::end::Moment;

/// Longer than any answer takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The runtime API of one function, and its process.
pub(crate) struct Lambda {
    desk: Desk,
    process: Child,
    log: NamedTempFile,
}

#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Files>>, Arc<Changed>);

struct Changed(watch::Sender<()>);

impl Default for Changed {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

#[derive(Default)]
struct Files {
    last: usize,
    events: VecDeque<(usize, Value)>,
    /// By the number of the event; an error is one, too.
    answers: HashMap<usize, Result<Value, Value>>,
}

impl Desk {
    fn change<T>(&self, change: impl FnOnce(&mut Files) -> T) -> T {
        let changed = change(&mut self.0.lock().unwrap());
        self.1.0.send_replace(());
        changed
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, look: impl Fn(&mut Files) -> Option<T>) -> T {
        let mut changes = self.1.0.subscribe();
        loop {
            if let Some(found) = look(&mut self.0.lock().unwrap()) {
                return found;
            }
            changes.changed().await.unwrap();
        }
    }
}

impl Lambda {
    /// The document comes through the proxy, too.
    pub(crate) async fn start(cloud: &Cloud, program: &str) -> Self {
        let desk = Desk::default();
        let invocation = "/2018-06-01/runtime/invocation";
        let app = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(response))
            .route(&format!("{invocation}/{{id}}/error"), post(error))
            .with_state(desk.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let log = NamedTempFile::new().unwrap();
        let process = Command::new(program)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "tested"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "tested"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "tested"),
                ("AWS_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_ENDPOINT_URL", &cloud.proxy.url),
                ("MILLRACE_CONFIGURATION", cloud.document()),
            ])
            .env("TMPDIR", cloud.scratch())
            .stdin(Stdio::null())
            .stdout(log.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { desk, process, log }
    }

    /// The number that its answer will have.
    pub(crate) fn hand(&self, event: &Value) -> usize {
        self.desk.change(|files| {
            files.last += 1;
            files.events.push_back((files.last, event.clone()));
            files.last
        })
    }

    /// What it answers to an event.
    pub(crate) async fn answer(&self, event: &Value) -> Value {
        let number = self.hand(event);
        let answer = self.desk.until(|files| files.answers.remove(&number));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic!("{error}; its log: {}", self.log()),
            Err(_) => panic!("no answer; its log: {}", self.log()),
        }
    }

    /// As at the time limit: at once, whatever it does.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// As at the time limit, which it reaches where the moment is.
    pub(crate) async fn ends(&mut self, moment: Moment) {
        let came = tokio::time::timeout(PATIENCE, moment.comes()).await;
        assert!(
            came.is_ok(),
            "it does not come there; its log: {}",
            self.log()
        );
        self.kill().await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

async fn next(State(desk): State<Desk>) -> (HeaderMap, Json<Value>) {
    let (number, event) = desk.until(|files| files.events.pop_front()).await;
    let mut headers = HeaderMap::new();
    let arn = "arn:aws:lambda:eu-central-1:000000000000:function:tested";
    for (name, value) in [
        ("lambda-runtime-aws-request-id", number.to_string()),
        ("lambda-runtime-deadline-ms", i64::MAX.to_string()),
        ("lambda-runtime-invoked-function-arn", arn.to_owned()),
    ] {
        headers.insert(name, HeaderValue::try_from(value).unwrap());
    }
    (headers, Json(event))
}

async fn response(State(desk): State<Desk>, Path(id): Path<usize>, body: Bytes) -> StatusCode {
    desk.change(|files| files.answers.insert(id, Ok(json(&body))));
    StatusCode::ACCEPTED
}

async fn error(State(desk): State<Desk>, Path(id): Path<usize>, body: Bytes) -> StatusCode {
    desk.change(|files| files.answers.insert(id, Err(json(&body))));
    StatusCode::ACCEPTED
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}
