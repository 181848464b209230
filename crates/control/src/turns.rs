//! Turns: which release may change a repository now. A release takes the turns of all its repositories
//! at once or none, and only under the condition that it is still the one that was planned; whatever
//! changes the release or ends it gives them back in the same change. So no turn is ever lost.

use std::collections::BTreeSet;

use ledger::{Change, Expect, Key, Note, RequestSpec, Row};
use pipeline_spec::{ReleaseRequest, RepositoryName};
use planner::Plan;
use ports::{Applied, Ledger, Platform};
use runner_api::TaskSpec;

use crate::advance::{Step, unchanged};
use crate::load::Loaded;
use crate::{Control, Result};

/// Whether a change returns turns of repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// The request had none.
    NoneHeld,
    /// Others may take them.
    GivenBack,
}

impl<P: Platform> Control<P> {
    /// Repositories that a release wants, and those that it is in already.
    pub(crate) async fn concerned(
        &self,
        loaded: &Loaded,
        wish: Option<&ReleaseRequest>,
    ) -> Result<BTreeSet<RepositoryName>> {
        let mut names = BTreeSet::new();
        let mut candidates = BTreeSet::new();
        if let Some(wish) = wish {
            names.extend(wish.to.iter().cloned());
            names.extend(wish.place.iter().map(|placement| placement.into.clone()));
        }
        if let Some(RequestSpec::Release(last)) = &loaded.row.spec {
            candidates.extend(last.to.iter().cloned());
            candidates.extend(last.place.iter().map(|placement| placement.into.clone()));
        }
        // An edit may have dropped a repository from `to`: its tasks still name it.
        for task in loaded.tasks.values() {
            if let TaskSpec::Compose(compose) = &task.spec {
                candidates.insert(compose.repository.clone());
            }
        }
        for name in candidates {
            let key = Key::contribution(&name, &loaded.row.path);
            if self.platform.ledger().get(&key).await?.is_some() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// Takes the turns of all repositories or of none; without them, says who has one.
    pub(crate) async fn take_turns(
        &self,
        loaded: &Loaded,
        names: &[RepositoryName],
        plan: Plan,
    ) -> Result<Step> {
        let path = &loaded.row.path;
        let mut change = Change::default();
        change.conditions.push(unchanged(loaded));
        let mut notes = plan.notes;
        for name in names {
            match self
                .platform
                .ledger()
                .get(&Key::turn(name))
                .await?
                .map(|record| record.row)
            {
                Some(Row::Index { request }) if request == *path => {}
                Some(Row::Index { request }) => notes.push(Note {
                    subject: name.to_string(),
                    why: format!(
                        "{request} is changing this repository; the release waits for its turn"
                    ),
                }),
                _ => change.replace(
                    Key::turn(name),
                    Expect::Absent,
                    Row::Index {
                        request: path.clone(),
                    },
                ),
            }
        }
        if notes
            .iter()
            .any(|note| note.why.ends_with("waits for its turn"))
        {
            return self
                .write_phase(loaded, loaded.row.phase.clone(), plan.problems, notes)
                .await;
        }
        Ok(match self.apply(change).await? {
            Applied::Done => Step::Wrote,
            Applied::Conflict(_) => Step::Conflict,
        })
    }

    /// A release that has to wait again, because a build of it was changed, holds up no other release.
    pub(crate) async fn yield_turns(&self, loaded: &Loaded) -> Result<Step> {
        let mut change = Change::default();
        self.give_back_turns(loaded, &mut change).await?;
        change.replace(
            Key::request(&loaded.row.path),
            Expect::Version(loaded.version),
            Row::Request(Box::new(loaded.row.clone())),
        );
        if let Applied::Conflict(_) = self.apply(change).await? {
            return Ok(Step::Conflict);
        }
        self.wake_waiters(&loaded.row.path).await?;
        Ok(Step::Wrote)
    }

    /// Adds to `change` the return of every turn that this release holds. The change must be under the
    /// condition that the request is as it was loaded: so is the taking, and no turn is lost.
    pub(crate) async fn give_back_turns(
        &self,
        loaded: &Loaded,
        change: &mut Change,
    ) -> Result<Turns> {
        let mut turns = Turns::NoneHeld;
        let wish = match &loaded.row.spec {
            Some(RequestSpec::Release(wish)) => Some(&**wish),
            _ => return Ok(turns),
        };
        for name in self.concerned(loaded, wish).await? {
            let turn = Key::turn(&name);
            if let Some(record) = self.platform.ledger().get(&turn).await?
                && matches!(&record.row, Row::Index { request } if *request == loaded.row.path)
            {
                change.delete(turn);
                turns = Turns::GivenBack;
            }
        }
        Ok(turns)
    }
}
