//! Hands outbox rows to the queues when there are new ones. What the stream tells is not read: the outbox is.

use functions::{Boot, Plane};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let plane = boot.without_state()?;
    run(service_fn(|event| handle(&plane, event))).await
}

async fn handle(plane: &Plane, _: LambdaEvent<Value>) -> Result<(), Error> {
    let sent = plane.dispatch().await?;
    tracing::info!(sent, "dispatched");
    Ok(())
}
