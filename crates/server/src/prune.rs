//! A person prunes the artifact store.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State as Shared};
use control::{Grace, Pruned, Pruning};
use ports::Platform;
use serde::{Deserialize, Serialize};

use crate::api::{MAX_COMMAND_BYTES, command};
use crate::{Error, State};

/// What is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PruneBody {
    /// Only counts.
    #[serde(default)]
    pub dry_run: bool,
    /// How long a file is kept that nothing names; by default as the control plane does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
    /// Also what only a lost status branch named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

/// When the caller goes away it ends where it is; the next run goes on.
pub(crate) async fn prune<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    request: Request,
) -> Result<Json<Pruned>, Error> {
    let body: PruneBody = command(&state, request, MAX_COMMAND_BYTES).await?;
    let grace = match body.grace_seconds {
        None => state.control.options().grace,
        Some(seconds) => Grace::new(Duration::from_secs(seconds))
            .map_err(|error| Error::BadRequest(error.to_string()))?,
    };
    let pruning = match (body.dry_run, body.give_up) {
        (true, _) => Pruning::DryRun,
        (false, true) => Pruning::GiveUp,
        (false, false) => Pruning::Remove,
    };
    Ok(Json(state.control.prune(grace, pruning).await?))
}
