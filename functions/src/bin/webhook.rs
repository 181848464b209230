//! The door for the forge: it verifies a delivery and says that the state repository is to be looked at. A lost delivery
//! costs time: the sweep looks too.

use functions::{Boot, Secret, signature};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use platform_aws::{Access, Clients, Installation, Patience, SqsQueue};

/// GitHub's largest delivery, in bytes.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// A forge waits some seconds, and so does Lambda.
const PATIENCE: Patience = Patience {
    attempts: 2,
    attempt_millis: 1_500,
    first_wait_millis: 50,
};
/// Where forges put the signature.
const SIGNATURES: [&str; 2] = ["x-hub-signature-256", "x-gitea-signature"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let secrets = boot.secret(Secret::WebhookSecret).await?;
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
    secrets: &str,
    request: Request,
) -> Result<Response<String>, Error> {
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => b"",
    };
    if body.len() > MAX_BODY_BYTES {
        return answer(413, "a delivery has at most 25 MiB");
    }
    let header = |name: &&str| request.headers().get(*name)?.to_str().ok();
    let signature = SIGNATURES.iter().find_map(header);
    let secrets = secrets.lines().map(str::trim);
    if !signature.is_some_and(|it| signature::is_signed(secrets, it, body)) {
        return answer(
            401,
            "the delivery is not signed with the secret that is known here",
        );
    }
    queue.wake().await?;
    answer(202, "the state repository will be looked at")
}

fn answer(status: u16, words: &str) -> Result<Response<String>, Error> {
    Ok(Response::builder()
        .status(status)
        .body(format!("{words}\n"))?)
}
