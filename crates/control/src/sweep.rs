//! The sweep: finds what a lost event would have told.

use std::collections::BTreeMap;

use ledger::{
    Change, Event, Millis, QueueName, Refusal, Row, TaskRow, TaskState, partition, transition,
};
use ports::{Applied, ArtifactStore, Platform, TaskQueue};
use runner_api::handed;

use crate::load::unexpected;
use crate::{Control, Result};

/// A ready task whose queue is empty is offered again after this long. Doubled offers are harmless: the
/// lease decides.
const REOFFER_MILLIS: Millis = 60_000;
/// The same while its queue holds messages: perhaps its own, which waits its turn or is very late.
const REOFFER_BUSY_MILLIS: Millis = 15 * 60_000;

/// A lease without heartbeats goes on so much longer while something lies where its result belongs, or while nobody
/// can look. What lies there may be no result: then this is what it costs.
const HELD_MILLIS: Millis = 10 * 60_000;

/// So much of a sweep's time is for open requests. A function has five minutes, and the next sweep comes in one.
const REQUESTS_MILLIS: Millis = 2 * 60_000;

/// Sweeps of one minute in so many look for what is old enough to be forgotten.
const FORGET_MINUTES: Millis = 60;

/// A prime, by which the first request of a sweep moves on each minute: far, so that what there was no time for does not
/// wait until it is next in line.
const STRIDE: usize = 7_919;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had ended.
    pub expired: usize,
    /// Requests looked at again.
    pub advanced: usize,
    /// Ready tasks whose message was sent again.
    pub offered: usize,
    /// Outbox rows sent.
    pub sent: usize,
}

impl<P: Platform> Control<P> {
    /// Looks at everything that is not at rest. A failure in one request, or in one part of it, does not stop the
    /// others. Requests that there was no time for are looked at by another sweep, since each begins elsewhere.
    ///
    /// # Errors
    /// If it cannot be read what there is; and, once all else is done, if nothing of the outbox could be sent.
    pub async fn sweep(&self) -> Result<Swept> {
        let begun = self.now();
        let (expired, handed_in) = self.end_leases().await?;
        let mut swept = Swept {
            expired,
            ..Swept::default()
        };
        let mut depths = BTreeMap::new();
        let mut open = self.indexed(partition::OPEN, "").await?;
        if !open.is_empty() {
            let minute = usize::try_from(begun / 60_000).unwrap_or_default();
            let first = minute.wrapping_mul(STRIDE) % open.len();
            open.rotate_left(first);
        }
        for path in open {
            if self.now() > begun.saturating_add(REQUESTS_MILLIS) {
                tracing::warn!(after = swept.advanced, "no time for all open requests");
                break;
            }
            swept.advanced += 1;
            if let Err(error) = self.advance(&path).await {
                tracing::warn!(request = %path, %error, "failed to advance");
                continue;
            }
            match self.offer_again(&path, &mut depths).await {
                Ok(offered) => swept.offered += offered,
                Err(error) => tracing::warn!(request = %path, %error, "failed to offer again"),
            }
        }
        if let Err(error) = self.revive_letters().await {
            tracing::warn!(%error, "failed to look at what was given up");
        }
        if begun / 60_000 % FORGET_MINUTES == 0
            && let Err(error) = self.forget_old().await
        {
            tracing::warn!(%error, "failed to forget what is long over");
        }
        if begun / 60_000 % FORGET_MINUTES == 0
            && let Err(error) = self.forget_scratch().await
        {
            tracing::warn!(%error, "failed to remove scratch builds of long ago");
        }
        let mut dispatched = self.dispatch().await;
        swept.sent = *dispatched.as_ref().unwrap_or(&0);
        // Last: a large one takes long, and all else is done by then.
        if !handed_in.is_empty() {
            self.collect_all(handed_in).await;
            dispatched = self.dispatch().await;
            swept.sent += *dispatched.as_ref().unwrap_or(&0);
        }
        dispatched.map(|_| swept)
    }

    /// Forgets rows of a partition that are older than `since`. `at`: when one was written, of the kind that is there.
    pub(crate) async fn forget_rows(
        &self,
        partition: &str,
        since: Millis,
        at: impl Fn(&Row) -> Option<Millis>,
    ) -> Result<()> {
        for (key, record) in self.all_rows(partition, "").await? {
            let Some(at) = at(&record.row) else {
                return Err(unexpected(&key));
            };
            if at < since {
                let mut change = Change::default();
                change.delete(key);
                // Whoever writes it now writes the same.
                let _without_conditions = self.apply(change).await?;
            }
        }
        Ok(())
    }

    /// Forgets what nobody asks about any more.
    async fn forget_old(&self) -> Result<()> {
        self.forget_asked().await?;
        self.forget_planned().await
    }

    /// Ends leases whose runner fell silent. Answers how many.
    pub async fn expire_leases(&self) -> Result<usize> {
        let (expired, handed_in) = self.end_leases().await?;
        self.collect_all(handed_in).await;
        Ok(expired)
    }

    async fn collect_all(&self, places: Vec<String>) {
        for place in places {
            match Box::pin(self.collect(&place)).await {
                Ok(collected) => tracing::info!(place, ?collected, "a result that nobody told of"),
                Err(error) => tracing::warn!(place, %error, "failed to collect"),
            }
        }
    }

    /// Answers how many ended, and the places of results of those that did not end.
    async fn end_leases(&self) -> Result<(usize, Vec<String>)> {
        let now = self.now();
        let (mut expired, mut handed_in) = (0, Vec::new());
        for (key, record) in self.all_rows(partition::LEASES, "").await? {
            let Row::Lease(lease) = record.row else {
                return Err(unexpected(&key));
            };
            if lease.expires > now {
                continue;
            }
            let Some((row, version)) = self.task_row(&lease.task).await? else {
                continue;
            };
            // What was handed in is a result, whether or not somebody heard of it. While nobody can tell, the lease
            // goes on for a while: the work may be that of days.
            if now < lease.expires.saturating_add(HELD_MILLIS)
                && let Some(place) = self.may_be_handed_in(&row).await
            {
                handed_in.push(place);
                continue;
            }
            match transition(
                &row,
                version,
                &Event::Expire {
                    attempt: lease.attempt,
                },
                now,
            ) {
                Ok(change) => {
                    if self.apply(change).await? == Applied::Done {
                        expired += 1;
                        tracing::warn!(task = %lease.task, attempt = lease.attempt, "a lease ended without a result");
                    }
                }
                Err(Refusal::NotDue { .. }) => {}
                Err(refusal) => {
                    tracing::debug!(task = %lease.task, %refusal, "the lease is over already")
                }
            }
        }
        Ok((expired, handed_in))
    }

    /// The place of a leased attempt's result, if something is there, or if the store cannot be asked.
    async fn may_be_handed_in(&self, row: &TaskRow) -> Option<String> {
        let TaskState::Leased {
            attempt, runner, ..
        } = &row.state
        else {
            return None;
        };
        let place = handed::place(runner, &row.task, *attempt);
        match self.platform.store().handed_in(&place).await {
            Ok(found) => found.map(|_| place),
            Err(error) => {
                tracing::warn!(task = %row.task, %error, "failed to look for a result");
                matches!(error, ports::Error::Transient { .. }).then_some(place)
            }
        }
    }

    /// `depths`: of queues as this sweep found them, so that its own messages do not count; `None`: it could not.
    async fn offer_again(
        &self,
        path: &pipeline_spec::RequestPath,
        depths: &mut BTreeMap<QueueName, Option<u64>>,
    ) -> Result<usize> {
        let Some(loaded) = self.load(path).await? else {
            return Ok(0);
        };
        let now = self.now();
        let mut offered = 0;
        for row in loaded.tasks.values() {
            let TaskState::Ready { not_before, .. } = row.state else {
                continue;
            };
            if not_before + REOFFER_MILLIS > now {
                continue;
            }
            let queue = QueueName::work(row.spec.role(), row.spec.arch());
            let depth = match depths.get(&queue) {
                Some(depth) => *depth,
                None => {
                    let depth = self.platform.queue().depth(&queue).await;
                    let depth = depth.inspect_err(|error| {
                        tracing::warn!(%queue, %error, "failed to look into a queue");
                    });
                    let depth = depth.ok();
                    depths.insert(queue.clone(), depth);
                    depth
                }
            };
            // A queue that cannot be looked into keeps no other task waiting.
            let Some(depth) = depth else { continue };
            if depth > 0 && not_before + REOFFER_BUSY_MILLIS > now {
                continue;
            }
            let version = loaded.versions[&row.task.id];
            let Ok(change) = transition(row, version, &Event::Offer, now) else {
                continue;
            };
            if self.apply(change).await? == Applied::Done {
                offered += 1;
            }
        }
        Ok(offered)
    }

    /// When the next lease ends, for callers that sleep until then.
    pub async fn next_expiry(&self) -> Result<Option<Millis>> {
        let rows = self.all_rows(partition::LEASES, "").await?;
        Ok(rows
            .iter()
            .filter_map(|(_, record)| match &record.row {
                Row::Lease(lease) => Some(lease.expires),
                _ => None,
            })
            .min())
    }
}
