//! Takes results in that runners have put into the store. The bucket tells the queue that starts this; what it tells
//! twice is taken in once, and what it does not tell is found by the sweep when the lease ends.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use control::Collected;
use functions::{Boot, Plane, places};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let plane = boot.control().await?;
    run(service_fn(|event| Box::pin(handle(&plane, event)))).await
}

async fn handle(plane: &Plane, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut answer = SqsBatchResponse::default();
    for record in event.payload.records {
        let body = record.body.as_deref().unwrap_or_default();
        if let Err(error) = take_in(plane, body).await {
            tracing::warn!(%error, "failed to collect");
            answer.add_failure(record.message_id.unwrap_or_default());
        }
    }
    Ok(answer)
}

async fn take_in(plane: &Plane, body: &str) -> anyhow::Result<()> {
    for place in places(body)? {
        match plane.collect(&place).await? {
            Collected::Accepted => tracing::info!(place, "collected"),
            Collected::Stale(why) => tracing::info!(place, why, "a result is stale"),
            Collected::Dropped(why) => tracing::warn!(place, why, "no result"),
        }
    }
    Ok(())
}
