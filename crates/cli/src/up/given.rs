//! What `millrace up` was given for a forge. Of what is missing it is said where it comes from.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::args::{ForgeArgs, ForgeKind};
use crate::failure::{Failure, Kind};
use crate::state::StatePlace;

/// Before anything is opened: git's login reads the App's key, too, and knows less of it.
pub(super) fn check(args: &ForgeArgs, place: &StatePlace) -> anyhow::Result<()> {
    let Some(kind) = args.forge else {
        return Ok(());
    };
    if args.forge_repository.is_none() && place.directory().is_some() {
        let sentence = "--forge needs --state, the repository's address at the forge";
        return Err(Failure::new(Kind::Usage, sentence).into());
    }
    look_for(args.forge_token_file.as_deref(), login_of(kind))?;
    look_for(args.webhook_secret_file.as_deref(), secret_of(kind))?;
    if args.public_url.is_none() {
        tracing::warn!(
            "checks will have no links: --public-url says where people reach this control plane"
        );
    }
    Ok(())
}

/// Where the login comes from. The numbers are those of `init::on_forge`; a test holds them to it.
fn login_of(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => {
            "the App's private key comes from step 4 of what `millrace init --forge` printed"
        }
        ForgeKind::Gitea => "the token comes from step 3 of what `millrace init --forge` printed",
    }
}

/// Where the webhook's secret comes from.
fn secret_of(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => {
            "the webhook's secret comes from step 4 of what `millrace init --forge` printed"
        }
        ForgeKind::Gitea => {
            "`millrace init --forge gitea` leaves the webhook's secret in secrets/webhook.secret"
        }
    }
}

/// Tells of a file that is not there. What else is wrong with it says whoever reads it.
fn look_for(file: Option<&Path>, origin: &str) -> anyhow::Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    match std::fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(error).with_context(|| format!("read {}: {origin}", file.display()))
        }
        _ => Ok(()),
    }
}
