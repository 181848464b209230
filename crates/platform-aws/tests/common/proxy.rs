//! A proxy between a client and the emulator that loses, delays and invents answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::Notify;

/// What happens to a request.
#[derive(Clone)]
pub(crate) enum Fault {
    /// It does not arrive; this is the answer: a status, and the code of the error.
    Instead(u16, &'static str),
    /// It does not arrive; this is the answer: a status, and its whole body.
    Body(u16, String),
    /// It is done, and answered with a 500.
    Lost,
    /// It is done, and answered after so long.
    Late(Duration),
    /// It says that it is there, and goes on when it is told to.
    Paused { there: Arc<Notify>, on: Arc<Notify> },
}

struct Rule {
    name: String,
    times: usize,
    fault: Fault,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    target: String,
    client: reqwest::Client,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
    comes: Arc<Notify>,
}

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Proxy {
    pub(crate) async fn new(target: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            target,
            client: reqwest::Client::new(),
            rules: Arc::default(),
            seen: Arc::default(),
            comes: Arc::default(),
        };
        let app = Router::new().fallback(handle).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        proxy
    }

    /// The next `times` requests whose name has `name` in it meet `fault`. A name is an action of DynamoDB or SQS, or a
    /// method and path of S3.
    pub(crate) fn fault(&self, name: &str, times: usize, fault: Fault) {
        let name = name.to_owned();
        let rule = Rule { name, times, fault };
        self.rules.lock().unwrap().push(rule);
    }

    /// Takes all rules away, and tells how many requests with `name` in their name came since the last time.
    pub(crate) fn end(&self, name: &str) -> usize {
        self.rules.lock().unwrap().clear();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.iter().filter(|it| it.contains(name)).count()
    }

    /// Names of the requests that came since the last time, where there are no rules.
    pub(crate) fn names(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits until `times` requests with `name` in their name have come since the last time.
    pub(crate) async fn until(&self, name: &str, times: usize) {
        let come = || {
            let seen = self.seen.lock().unwrap();
            seen.iter().filter(|it| it.contains(name)).count()
        };
        let all = async {
            loop {
                let mut more = std::pin::pin!(self.comes.notified());
                more.as_mut().enable();
                if come() >= times {
                    return;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, all).await;
        assert!(waited.is_ok(), "{} of {times} {name} came", come());
    }

    fn meet(&self, name: &str) -> Option<Fault> {
        self.seen.lock().unwrap().push(name.to_owned());
        self.comes.notify_waiters();
        let mut rules = self.rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && name.contains(&rule.name))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    async fn forward(&self, request: Sent) -> Response {
        let url = format!("{}{}", self.target, request.path);
        let answer = self
            .client
            .request(request.method, url)
            .headers(request.headers)
            .body(request.body)
            .send()
            .await
            .unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            // The body is sent as a whole here.
            if name != "transfer-encoding" && name != "connection" {
                response = response.header(name, value);
            }
        }
        response
            .body(Body::from(answer.bytes().await.unwrap()))
            .unwrap()
    }
}

struct Sent {
    method: reqwest::Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn handle(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let action = parts.headers.get("x-amz-target");
    let path = parts.uri.path_and_query().unwrap().to_string();
    let name = match action {
        Some(action) => action.to_str().unwrap().to_owned(),
        None => format!("{} {path}", parts.method),
    };
    let json = action.is_some();
    let sent = Sent {
        method: parts.method,
        path,
        headers: parts.headers,
        body: to_bytes(body, 64 << 20).await.unwrap(),
    };
    match proxy.meet(&name) {
        None => proxy.forward(sent).await,
        Some(Fault::Instead(status, code)) => error(json, status, code),
        Some(Fault::Body(status, body)) => answer(status, body),
        Some(Fault::Lost) => {
            proxy.forward(sent).await;
            error(json, 500, "InternalServerError")
        }
        Some(Fault::Late(time)) => {
            let answer = proxy.forward(sent).await;
            tokio::time::sleep(time).await;
            answer
        }
        Some(Fault::Paused { there, on }) => {
            there.notify_one();
            on.notified().await;
            proxy.forward(sent).await
        }
    }
}

fn error(json: bool, status: u16, code: &str) -> Response {
    let body = if json {
        format!(r#"{{"__type":"com.amazonaws#{code}","message":"injected"}}"#)
    } else {
        format!("<Error><Code>{code}</Code><Message>injected</Message></Error>")
    };
    answer(status, body)
}

fn answer(status: u16, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// DynamoDB's answer when it cancels a transaction: a reason for each action.
pub(crate) fn canceled(reasons: &[&str]) -> Fault {
    let reasons: Vec<_> = reasons
        .iter()
        .map(|code| format!(r#"{{"Code":"{code}"}}"#))
        .collect();
    let reasons = reasons.join(",");
    Fault::Body(
        400,
        format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled","CancellationReasons":[{reasons}]}}"#
        ),
    )
}
