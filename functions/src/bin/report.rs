//! Writes what is to be told of requests into one commit on the status branch.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use functions::{Batch, Boot, Plane};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let plane = boot.control().await?;
    run(service_fn(|event| handle(&plane, event))).await
}

async fn handle(plane: &Plane, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut batch = Batch::of(event.payload);
    // Those that were answered are acknowledged, and gone when they come back.
    if let Err(error) = plane.report_received(&batch.deliveries()).await {
        tracing::warn!(%error, "failed to report");
        batch.fail_deliveries();
    }
    Ok(batch.answer())
}
