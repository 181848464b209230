//! Looks at everything that is not at rest, on a timer: what a lost message or webhook would have told. Once a day it
//! removes artifacts that nothing names.

use control::Pruning;
use functions::{Boot, Plane};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::Deserialize;

/// What the timer says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    sweep: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Everything,
    Orphans,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let plane = boot.control().await?;
    run(service_fn(|event: LambdaEvent<Wanted>| {
        handle(&plane, event.payload.sweep)
    }))
    .await
}

async fn handle(plane: &Plane, what: What) -> Result<(), Error> {
    if what == What::Orphans {
        let pruned = plane.prune(plane.options().grace, Pruning::Remove).await?;
        tracing::info!(held = ?pruned.held, removed = ?pruned.removed, "pruned");
        return Ok(());
    }
    // A state repository that cannot be reached keeps no lease from ending, but for ten minutes one whose result waits.
    if let Err(error) = plane.plan_head().await {
        tracing::warn!(%error, "failed to look at the state repository");
    }
    let swept = plane.sweep().await?;
    tracing::info!(?swept, "swept");
    plane.report_received(&[]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_the_schedule_are_read_and_no_others() {
        let read = |text: &str| serde_json::from_str::<Wanted>(text).map(|wanted| wanted.sweep);
        let schedule = include_str!("../../../terraform/modules/control-plane/scheduler.tf");
        for (word, what) in [("everything", What::Everything), ("orphans", What::Orphans)] {
            assert!(schedule.contains(&format!("jsonencode({{ sweep = \"{word}\" }})")));
            let event = format!("{{\"sweep\": \"{word}\"}}");
            assert_eq!(read(&event).expect("an event of the schedule"), what);
        }
        for text in [
            "{}",
            "{\"sweep\": \"all\"}",
            "{\"sweep\": \"orphans\", \"x\": 1}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
