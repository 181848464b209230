//! Looks at everything that is not at rest, on a timer: what a lost message or webhook would have told.

use functions::{Boot, Plane};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let plane = boot.control().await?;
    run(service_fn(|event| handle(&plane, event))).await
}

async fn handle(plane: &Plane, _: LambdaEvent<Value>) -> Result<(), Error> {
    // A state repository that cannot be reached keeps no lease from ending.
    if let Err(error) = plane.plan_head().await {
        tracing::warn!(%error, "failed to look at the state repository");
    }
    let swept = plane.sweep().await?;
    tracing::info!(?swept, "swept");
    plane.report_received(&[]).await?;
    Ok(())
}
