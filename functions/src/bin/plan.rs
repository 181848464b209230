//! Looks at the state repository when somebody says that it moved, and moves requests on.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use control::Planned;
use functions::{Batch, Boot, Plane};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use ledger::{Message, QueueName};
use ports::{Clock as _, Place, Platform as _, TaskQueue as _};

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
                let first = first.map(|it| format!("{}: {}", it.subject, it.message));
                tracing::error!(
                    problems = problems.len(),
                    first,
                    "the configuration is broken"
                );
            }
            // Open pull requests lie over another commit now, and what was planned has a check. Who is not told looks
            // within a minute.
            Ok(Planned::New(..)) if plane.options().checks => {
                if let Err(error) = tell_forge(plane).await {
                    tracing::warn!(%error, "failed to say that checks are due");
                }
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

async fn tell_forge(plane: &Plane) -> ports::Result<()> {
    let platform = plane.platform();
    let at = Place::at(platform.clock().now());
    let queue = platform.queue();
    queue.send(&QueueName::forge(), &Message::Look, &at).await
}
