//! The stand-in for what is around a function: Lambda's runtime API, parameters of SSM, queues of SQS. It answers at once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longest wait for an answer of a function.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a function is told to have, as the longest of ours has it.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// One function's surroundings: an event goes in, its answer comes out.
pub(super) struct Cloud {
    address: SocketAddr,
    events: UnboundedSender<Value>,
    answers: UnboundedReceiver<Answer>,
}

/// What a function said of an event.
pub(super) struct Answer {
    /// When it had been said.
    pub(super) at: Instant,
    /// From the event to that.
    pub(super) took: Duration,
    pub(super) body: Value,
}

struct Shared {
    address: SocketAddr,
    parameters: BTreeMap<&'static str, String>,
    events: tokio::sync::Mutex<UnboundedReceiver<Value>>,
    answers: UnboundedSender<Answer>,
    given: Mutex<Instant>,
}

impl Cloud {
    /// `parameters`: names and values, out of its own address.
    pub(super) async fn new(
        parameters: impl FnOnce(&str) -> Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, receiver) = unbounded_channel();
        let (sender, answers) = unbounded_channel();
        let shared = Arc::new(Shared {
            address,
            parameters: parameters(&format!("http://{address}"))
                .into_iter()
                .collect(),
            events: tokio::sync::Mutex::new(receiver),
            answers: sender,
            given: Mutex::new(Instant::now()),
        });
        let router = Router::new().fallback(serve).with_state(shared);
        tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self {
            address,
            events,
            answers,
        })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next event; a function takes it when it has time.
    pub(super) fn give(&self, event: Value) {
        // Received by a server that ends with this process.
        // Nobody waits for it once the measurement is over.
        let _ = self.events.send(event);
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> Result<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        let answer = answer.context("the function does not answer")?;
        answer.context("the stand-in has ended")
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if path.ends_with("/invocation/next") && method == Method::GET {
        return shared.next().await;
    }
    if path.contains("/runtime/") {
        let is_error = path.ends_with("/error");
        return shared.said(&body, is_error);
    }
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    match shared.service(target.unwrap_or_default(), &body) {
        Ok(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
            (kind, answer.to_string()).into_response()
        }
        Err(error) => {
            let said = json!({"__type": "ValidationException", "message": format!("{error:#}")});
            (StatusCode::BAD_REQUEST, said.to_string()).into_response()
        }
    }
}

impl Shared {
    async fn next(&self) -> Response {
        let Some(event) = self.events.lock().await.recv().await else {
            return StatusCode::GONE.into_response();
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let deadline = now.unwrap_or_default() + TIME_LIMIT;
        let headers = [
            ("lambda-runtime-aws-request-id", "bench".to_owned()),
            (
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            ),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned(),
            ),
        ];
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        (headers, event.to_string()).into_response()
    }

    fn said(&self, body: &[u8], is_error: bool) -> Response {
        let at = Instant::now();
        let given = *self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let said = serde_json::from_slice(body).unwrap_or(Value::Null);
        let body = match is_error {
            true => json!({"error": said}),
            false => said,
        };
        let took = at - given;
        // The same: an answer that comes late is no measurement.
        let _ = self.answers.send(Answer { at, took, body });
        (StatusCode::ACCEPTED, "{}").into_response()
    }

    /// The few calls that functions make before they answer.
    fn service(&self, target: &str, body: &[u8]) -> Result<Value> {
        let body: Value = serde_json::from_slice(body).context("the body is no JSON")?;
        Ok(match target {
            "AmazonSSM.GetParameter" => {
                let name = body["Name"].as_str().unwrap_or_default();
                let value = self.parameters.get(name);
                let value = value.with_context(|| format!("no parameter {name}"))?;
                json!({"Parameter": {"Name": name, "Type": "String", "Value": value, "Version": 1}})
            }
            "AmazonSQS.GetQueueUrl" => {
                let name = body["QueueName"].as_str().unwrap_or_default();
                json!({"QueueUrl": format!("http://{}/000000000000/{name}", self.address)})
            }
            "AmazonSQS.SendMessage" => json!({"MessageId": "bench"}),
            other => bail!("{other:?} is not stood in for"),
        })
    }
}
