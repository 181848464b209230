//! What a forge allows the whole installation: pushes to the status branch, and writes of checks and comments.
//!
//! Each is counted in a row before it is done, under the condition that nobody else has counted meanwhile. So the limits
//! hold whatever becomes of processes, and however many of them there are. What was counted and not done makes the
//! installation too careful, for as long as the limit looks back.

use std::collections::BTreeMap;

use ledger::{Budget, Ceiling, Change, Expect, Key, Millis, Row};
use ports::{
    Applied, Check, CheckState, Delivery, FORGE_WRITES, Forge, Ledger, Letter, Place, Pull,
};
use ports::{Platform, TaskQueue};

use crate::load::unexpected;
use crate::{Control, Error, MAX_TRIES, Reported, Result, contended};

/// What is written at a forge, by how long it can wait. What can wait leaves room for what cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// What merging would do, and answers: people wait for it.
    Plan,
    /// What merging a stranger's pull request would do: there may be any number of them.
    Foreign,
    /// Something failed, or all is done.
    News,
    /// More of the same is done.
    Progress,
}

impl Word {
    /// Of the check of what merging would do.
    pub(crate) fn of_plan(pull: &Pull) -> Self {
        match pull.is_own {
            true => Self::Plan,
            false => Self::Foreign,
        }
    }

    /// Of a check of results, when so many of its tasks had failed as people were told last.
    pub(crate) fn of_results(check: &Check, failed: usize, told: usize) -> Self {
        match check.state {
            CheckState::Waiting | CheckState::Running if failed <= told => Self::Progress,
            _ => Self::News,
        }
    }

    /// So many may be written while there are words of any kind.
    fn ceilings(self) -> [Ceiling; 2] {
        match self {
            Self::Plan => FORGE_WRITES,
            Self::Foreign => [Ceiling::a_minute(30), Ceiling::an_hour(250)],
            Self::News => [Ceiling::a_minute(70), Ceiling::an_hour(450)],
            Self::Progress => [Ceiling::a_minute(40), Ceiling::an_hour(PROGRESS_AN_HOUR)],
        }
    }
}

/// What somebody asked for has to be tried again.
pub(crate) fn no_more(operation: &str) -> Error {
    let cause = "the forge gets no more for now: it is done later";
    ports::Error::transient(operation, cause).into()
}

/// Words of progress an hour.
const PROGRESS_AN_HOUR: usize = 300;

/// How long after the last word of progress on a page another one follows when there are so many pages, so that the words
/// on all of them together fit into an hour.
pub(crate) fn pace(pages: usize) -> Millis {
    let pages = Millis::try_from(pages).unwrap_or(Millis::MAX);
    let hour = Ceiling::an_hour(PROGRESS_AN_HOUR);
    pages.saturating_mul(hour.within / hour.most as Millis)
}

/// A push that was counted: with it, it can be given back.
#[must_use]
pub(crate) struct Counted {
    /// What the row was before.
    before: Budget,
    /// What it is since.
    version: u64,
}

impl<P: Platform> Control<P> {
    fn pushes(&self) -> Option<Ceiling> {
        let most = self.options.pushes_a_minute?;
        Some(Ceiling::a_minute(most.get() as usize))
    }

    /// When the next push may be made, if not now.
    pub(crate) async fn next_push(&self) -> Result<Option<Millis>> {
        let Some(ceiling) = self.pushes() else {
            return Ok(None);
        };
        let (mut budget, _) = self.budget(&Key::pushes()).await?;
        Ok(budget.next_spread(self.now(), ceiling))
    }

    /// Counts a push that is about to be made. One that loses its race counts, too: the forge has seen it.
    ///
    /// # Errors
    /// [`Error::Full`]: none may be made now.
    pub(crate) async fn count_push(&self) -> Result<Option<Counted>> {
        let Some(ceiling) = self.pushes() else {
            return Ok(None);
        };
        let take = |budget: &mut Budget, now| budget.take_spread(now, ceiling);
        match self.count(&Key::pushes(), take).await? {
            Ok(counted) => Ok(Some(counted)),
            Err(until) => Err(Error::Full { until }),
        }
    }

    /// There was nothing to push. If another process has counted meanwhile, it stays counted.
    pub(crate) async fn give_push_back(&self, counted: Option<Counted>) -> Result<()> {
        let Some(Counted { before, version }) = counted else {
            return Ok(());
        };
        let mut change = Change::default();
        let row = Row::Budget(before);
        change.replace(Key::pushes(), Expect::Version(version), row);
        let _or_it_stays = self.apply(change).await?;
        Ok(())
    }

    /// Counts what is about to be written: `writes` requests. `false`: it has to wait.
    ///
    /// # Errors
    /// While the forge wants to be left alone: what cannot be done is not counted.
    pub(crate) async fn may_write<F: Forge>(
        &self,
        forge: &F,
        writes: usize,
        word: Word,
    ) -> Result<bool> {
        if forge.rests_until().is_some() {
            let cause = "the forge wants to be left alone for a while";
            return Err(ports::Error::transient("write at the forge", cause).into());
        }
        let ceilings = word.ceilings();
        let take = |budget: &mut Budget, now| budget.take(now, writes, &ceilings);
        Ok(self.count(&Key::forge_writes(), take).await?.is_ok())
    }

    /// Counts in a row. The inner error: it must not be done before this time.
    async fn count(
        &self,
        key: &Key,
        take: impl Fn(&mut Budget, Millis) -> std::result::Result<(), Millis>,
    ) -> Result<std::result::Result<Counted, Millis>> {
        for _ in 0..MAX_TRIES {
            let (before, version) = self.budget(key).await?;
            let mut budget = before.clone();
            if let Err(until) = take(&mut budget, self.now()) {
                return Ok(Err(until));
            }
            let mut change = Change::default();
            let row = Row::Budget(budget);
            change.replace(key.clone(), Expect::as_read(version), row);
            if self.apply(change).await? == Applied::Done {
                let version = version.unwrap_or(0) + 1;
                return Ok(Ok(Counted { before, version }));
            }
        }
        Err(contended(key))
    }

    async fn budget(&self, key: &Key) -> Result<(Budget, Option<u64>)> {
        for _ in 0..MAX_TRIES {
            let Some(record) = self.platform.ledger().get(key).await? else {
                return Ok((Budget::default(), None));
            };
            let Row::Budget(mut budget) = record.row else {
                return Err(unexpected(key));
            };
            if !budget.set_back(self.now()) {
                return Ok((budget, Some(record.version)));
            }
            let mut change = Change::default();
            let row = Row::Budget(budget);
            change.replace(key.clone(), Expect::Version(record.version), row);
            let _read_again = self.apply(change).await?;
        }
        Err(contended(key))
    }

    /// Answers that no push is left for come again when there is one, each once. They are new messages: no delivery of
    /// them counts as a failure.
    pub(crate) async fn report_later(
        &self,
        deliveries: &[Delivery],
        until: Millis,
    ) -> Result<Reported> {
        let mut letters = BTreeMap::new();
        for delivery in deliveries {
            let letter = || Letter {
                queue: delivery.queue.clone(),
                message: delivery.message.clone(),
                place: Place {
                    not_before: until,
                    share: delivery.share.clone(),
                },
            };
            letters
                .entry(delivery.message.name())
                .or_insert_with(letter);
        }
        let letters: Vec<Letter> = letters.into_values().collect();
        self.platform.queue().send_all(&letters).await?;
        self.acknowledge(deliveries.iter()).await?;
        Ok(Reported::Later(until))
    }
}
