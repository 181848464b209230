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
