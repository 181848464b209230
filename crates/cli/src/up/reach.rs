//! Whether the state repository can be reached when `millrace up` starts.
//!
//! What is published is served without it. Everything else leans on it: whether this ledger may go on is asked there
//! first. A copy from earlier says how the distribution is configured until then; where there is none, nothing is
//! published either, and a start that cannot go on says so.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use git::{Class, Repository};
use state_repo::GitStateRepo;

use crate::local::Layout;
use crate::state::StatePlace;

/// Longest wait for an answer where there is a copy to begin with.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the first question found.
pub(super) enum Reach {
    /// It answers.
    There,
    /// It does not now.
    Away {
        why: String,
        /// What it was when it was seen the last time.
        copy: GitStateRepo,
    },
}

impl Reach {
    /// # Errors
    /// What the operator has to mend: no such repository, a wrong login, or nothing to begin with.
    pub(super) async fn of(place: &StatePlace, layout: &Layout) -> anyhow::Result<Self> {
        if !place.is_served() {
            return Ok(Self::There);
        }
        let repository = place.open(layout)?;
        let copy = Repository::open_bare(repository.path())
            .ok()
            .filter(|copy| matches!(copy.head(&place.branch), Ok(Some(_))));
        let branch = place.branch.clone();
        let asked = tokio::task::spawn_blocking(move || repository.head(&branch));
        let answer = match &copy {
            None => Some(asked.await?),
            Some(_) => tokio::time::timeout(PATIENCE, asked)
                .await
                .ok()
                .transpose()?,
        };
        let why = match answer {
            Some(Ok(_)) => return Ok(Self::There),
            Some(Err(error)) if error.class() != Class::Transient => {
                return Err(anyhow!("{error}")).context("look at the state repository");
            }
            Some(Err(error)) => error.to_string(),
            None => format!(
                "{} did not answer within {} s",
                place.repository,
                PATIENCE.as_secs()
            ),
        };
        let Some(copy) = copy else {
            bail!(
                "look at the state repository: {why}; no copy of its branch {} is in {} yet, so that there is nothing to begin with: see that its server can be reached, and start again",
                place.branch,
                layout.root().display()
            );
        };
        let copy = GitStateRepo::new(copy);
        Ok(Self::Away { why, copy })
    }
}
