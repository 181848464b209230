//! Results that runners put into the store, instead of sending them: they are there whatever becomes of the control
//! plane meanwhile.

use ledger::Millis;
use pipeline_spec::RunnerId;
use ports::{ArtifactStore, HandedIn as Put, Platform};
use runner_api::handed::HandedIn;
use runner_api::{Outcome, ResultManifest, ResultReply};

use crate::dead::is_transient;
use crate::{Control, Result};

/// Of a refusal that is written down. A stranger's words may be in it.
const MAX_REFUSAL_CHARS: usize = 2_000;

/// What became of something that was handed in. All of it may be collected again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// The attempt has this result.
    Accepted,
    /// It is of another attempt, or the task is closed.
    Stale(String),
    /// It is no result of an enrolled runner.
    Dropped(String),
}

impl<P: Platform> Control<P> {
    /// Takes in what lies at `place`.
    pub async fn collect(&self, place: &str) -> Result<Collected> {
        let dropped = |why: String| Ok(Collected::Dropped(why));
        let Some(Put { bytes, put }) = self.platform.store().handed_in(place).await? else {
            return dropped("nothing is there any more".to_owned());
        };
        let unproven = match HandedIn::read(place, &bytes) {
            Ok(unproven) => unproven,
            Err(why) => return dropped(why.to_string()),
        };
        let id = unproven.runner().clone();
        let Some(runner) = self.runner(&id).await? else {
            return dropped(format!("runner {id} is not enrolled"));
        };
        match unproven.proven(runner.key.as_bytes(), put / 1_000) {
            Ok(result) => self.take_in(&id, result, put).await,
            Err(why) => dropped(why.to_string()),
        }
    }

    /// Nobody hears that a result is refused. So that is what the attempt ends with.
    async fn take_in(
        &self,
        id: &RunnerId,
        mut result: ResultManifest,
        put: Millis,
    ) -> Result<Collected> {
        for _ in 0..2 {
            let refused = match self.finish_put(id, &result, Some(put)).await {
                Ok(Ok(ResultReply::Accepted)) => return Ok(Collected::Accepted),
                Ok(Ok(ResultReply::Stale { reason })) => return Ok(Collected::Stale(reason)),
                Ok(Err(refused)) => refused.0,
                // It can never be written: as large as no row may be.
                Err(error) if !is_transient(&error) => error.to_string(),
                Err(error) => return Err(error),
            };
            tracing::warn!(task = %result.task, attempt = result.attempt, %refused, "a result is refused");
            let refused: String = refused.chars().take(MAX_REFUSAL_CHARS).collect();
            result.outcome = Outcome::Infrastructure {
                message: format!("take in the result: {refused}"),
            };
            result.log = None;
            // What is said is ours from here on.
            result.version = runner_api::VERSION;
        }
        let what = "it is refused, and so is the word of that".to_owned();
        Ok(Collected::Dropped(what))
    }
}
