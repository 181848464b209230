//! The door for the forge: it verifies a delivery and says that the state repository is to be looked at. A lost delivery
//! costs time: the sweep looks too.

use forge::webhook::{Event, Hook, Secrets, receive};
use functions::{Boot, Secret};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use platform_aws::{Access, Clients, Installation, Patience, SqsQueue};

/// A forge waits some seconds, and so does Lambda.
const PATIENCE: Patience = Patience {
    attempts: 2,
    attempt_millis: 1_500,
    first_wait_millis: 50,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let secrets = Secrets::from_lines(&boot.secret(Secret::WebhookSecret).await?);
    let installation = Installation {
        patience: PATIENCE,
        ..boot.settings.installation()
    };
    let clients = Clients::new(installation, Access::Surroundings);
    let queue = SqsQueue::new(clients);
    run(service_fn(|request| handle(&queue, &secrets, request))).await
}

async fn handle(
    queue: &SqsQueue,
    secrets: &Secrets,
    request: Request,
) -> Result<Response<String>, Error> {
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => b"",
    };
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let Hook { event, .. } = match receive(secrets, &header, body) {
        Ok(hook) => hook,
        Err(refusal) => return answer(refusal.status(), &refusal.to_string()),
    };
    match event {
        Event::Ping => answer(200, "this is Millrace, and the secret is the right one"),
        Event::Other { name } => answer(200, &format!("Millrace does nothing for `{name}`")),
        _ => {
            queue.wake().await?;
            answer(202, "the state repository will be looked at")
        }
    }
}

fn answer(status: u16, words: &str) -> Result<Response<String>, Error> {
    Ok(Response::builder()
        .status(status)
        .body(format!("{words}\n"))?)
}

#[cfg(test)]
mod tests {
    use forge::webhook::signature;

    use super::*;

    /// Nobody listens there: whoever calls the queue fails.
    fn no_queue() -> SqsQueue {
        let installation = serde_json::json!({
            "version": 1, "region": "us-east-1", "table": "t", "bucket": "b", "queue_prefix": "q",
            "endpoint": "http://127.0.0.1:9",
            "patience": {"attempts": 1, "attempt_millis": 1_000, "first_wait_millis": 1},
        });
        let installation = serde_json::from_value(installation).expect("an installation");
        let access = Access::Keys {
            id: "id".to_owned(),
            secret: "none".to_owned(),
            session: None,
        };
        SqsQueue::new(Clients::new(installation, access))
    }

    /// The status, or `None` if the queue was called.
    async fn status(event: &str, secret: &str, body: &'static str) -> Option<u16> {
        let request = lambda_http::http::Request::builder()
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", "1")
            .header(
                "X-Hub-Signature-256",
                format!("sha256={}", signature(secret, body.as_bytes())),
            )
            .body(Body::Text(body.to_owned()))
            .expect("a request");
        let answer = handle(&no_queue(), &Secrets::from_lines("old\nnew"), request).await;
        Some(answer.ok()?.status().as_u16())
    }

    #[tokio::test]
    async fn only_what_moves_something_wakes() {
        let push =
            r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;
        assert_eq!(status("push", "old", push).await, None);
        assert_eq!(status("push", "new", push).await, None);
        assert_eq!(status("push", "another", push).await, Some(401));
        assert_eq!(status("push", "new", "{}").await, Some(422));
        assert_eq!(status("push", "new", "Hello").await, Some(400));
        assert_eq!(status("ping", "new", "{}").await, Some(200));
        assert_eq!(status("star", "new", "{}").await, Some(200));
    }
}
