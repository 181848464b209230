//! Tells people at the forge what merging would do and how work goes, and does what they ask for there. Its queue says
//! that something has happened; what it does not say, a timer finds. It alone reads the forge's secret, so where that is the
//! key of an App, it lends the other functions a token for git.
//!
//! It runs once at a time, since a forge knows no condition: terraform/modules/control-plane.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use forge::AnyForge;
use functions::{Batch, Boot, Lending, Plane, app_login};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform_aws::WallClock;
use serde::Deserialize;
use tokio::sync::OnceCell;

/// What starts it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Start {
    Timer(Timer),
    Queue(SqsEvent),
}

/// What the timer says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timer {
    #[serde(rename = "forge")]
    _forge: Word,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Look,
}

/// Who sits between the control plane and the forge.
struct Desk {
    plane: Arc<Plane>,
    forge: Arc<AnyForge<WallClock>>,
    /// Where the App's token for git goes, if it logs in.
    lending: Option<Lending>,
    /// Set when commits whose work is open are kept in sight.
    watches: OnceCell<()>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let Some(forge) = boot.forge().await? else {
        return Err("the document names no forge: write one in state_repository".into());
    };
    let forge = Arc::new(forge);
    let lending = boot.lending()?;
    let plane = match lending {
        Some(_) => boot.control_as(app_login(forge.clone()))?,
        None => boot.control().await?,
    };
    let desk = Desk {
        plane,
        forge,
        lending,
        watches: OnceCell::new(),
    };
    run(service_fn(|event: LambdaEvent<Start>| {
        Box::pin(desk.handle(event.payload))
    }))
    .await
}

impl Desk {
    /// What fails is logged, and counted there. The timer brings it back, and the queue its messages.
    async fn handle(&self, start: Start) -> Result<SqsBatchResponse, Error> {
        if let Some(lending) = &self.lending
            && let Err(error) = lending.lend(&self.forge).await
        {
            tracing::warn!(%error, "failed to lend the other functions a token for git");
        }
        let watches = self.watches.get_or_try_init(|| self.plane.watch_open());
        if let Err(error) = watches.await {
            tracing::warn!(%error, "failed to see which commits' work is open");
        }
        let answer = match start {
            Start::Timer(_) => {
                self.review().await;
                SqsBatchResponse::default()
            }
            Start::Queue(event) => Box::pin(self.answer(Batch::of(event))).await,
        };
        match self.plane.tell(&*self.forge).await {
            Ok(told) => tracing::info!(?told, "told how work goes"),
            Err(error) => tracing::warn!(%error, "failed to tell how work goes"),
        }
        Ok(answer)
    }

    async fn review(&self) {
        match self.plane.review(&*self.forge).await {
            Ok(reviewed) => tracing::info!(?reviewed, "looked at pull requests"),
            Err(error) => tracing::warn!(%error, "failed to look at pull requests"),
        }
    }

    async fn answer(&self, mut batch: Batch) -> SqsBatchResponse {
        let deliveries = batch.deliveries();
        // What may take long lies on the heap.
        let work = self.plane.answer_forge_received(&*self.forge, &deliveries);
        let answered = Box::pin(work).await;
        match answered {
            Ok(answered) => {
                tracing::info!(?answered, "answered the forge");
                // Those that were worked off are acknowledged, and gone when they come back.
                if answered.later > 0 {
                    batch.fail_deliveries();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to answer the forge");
                batch.fail_deliveries();
            }
        }
        batch.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_it_is_told_apart() {
        let schedule = include_str!("../../../terraform/modules/control-plane/scheduler.tf");
        assert!(schedule.contains("jsonencode({ forge = \"look\" })"));
        let read = |text: &str| serde_json::from_str::<Start>(text).ok();
        assert!(matches!(
            read("{\"forge\": \"look\"}"),
            Some(Start::Timer(_))
        ));
        assert!(matches!(read("{\"Records\": []}"), Some(Start::Queue(_))));
        for text in ["{}", "{\"forge\": \"all\"}", "{\"sweep\": \"everything\"}"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
