//! Looks at the state repository when somebody says that it moved, and moves requests on.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use control::Planned;
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
    if batch.has_wakes() {
        match plane.plan_head().await {
            Ok(Planned::Broken(problems)) => {
                let first = problems.first();
                tracing::error!(
                    problems = problems.len(),
                    ?first,
                    "the configuration is broken"
                );
            }
            Ok(_) => {}
            Err(error) => batch.fail_wakes(&error),
        }
    }
    for (request, ids) in batch.requests() {
        if let Err(error) = plane.advance(&request).await {
            batch.fail(plane, &ids, &error).await;
        }
    }
    Ok(batch.answer())
}
