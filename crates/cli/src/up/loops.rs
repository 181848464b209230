//! The loops of the control plane. Each reacts to what it is told and has a timer behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use control::{Control, Planned, Pruning, Reported};
use ledger::{Message, QueueName};
use ports::{Clock, Platform, TaskQueue};
use tokio::task::JoinSet;

use super::pulls::News;

/// Looks at everything that is not at rest.
const SWEEP: Duration = Duration::from_secs(20);
/// The artifact store is pruned this often, for the first time so long after the start: one that is
/// started every morning is pruned too, and one that is started again and again is not read each time.
const PRUNE: Duration = Duration::from_secs(24 * 3600);
const FIRST_PRUNE: Duration = Duration::from_secs(3600);
/// Looks at leases and at the state repository, when nothing tells of a push.
const LOOK: Duration = Duration::from_secs(5);
/// At most one status commit in this time.
const REPORT: Duration = Duration::from_millis(500);
/// Writing status takes at most a quarter of the time, as long as people need not wait longer for it.
const LONGEST_REPORT_PAUSE: Duration = Duration::from_secs(5);
/// Requests advanced side by side.
const WIDTH: usize = 16;
/// A round that took longer than this is followed by a pause of twice its time, and of at most
/// [`PAUSE`]: it reads all tasks of a big request, and one look after many of them ended is as good as
/// one after each.
const LONG_ROUND: Duration = Duration::from_millis(40);
/// After trouble of the world's, a loop waits this long.
const PAUSE: Duration = Duration::from_millis(500);
/// It waits twice as long after each failure in a row where a server is asked, which may be away for hours, and no longer than
/// this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long the next failure is waited for.
struct Patience(Duration);

impl Patience {
    fn new() -> Self {
        Self(PAUSE)
    }

    fn failed(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

pub(super) async fn plan_loop<P: Platform>(
    control: Arc<Control<P>>,
    news: Arc<News>,
) -> anyhow::Result<()> {
    let mut patience = Patience::new();
    // Said once, and not at each look.
    let mut told = None;
    loop {
        match control.plan_head().await {
            // Open pull requests lie over another commit now.
            Ok(Planned::New(..)) => news.forge.notify_one(),
            Ok(Planned::Broken(problems)) => {
                let first = first(&problems);
                if told != first {
                    tracing::error!(
                        problems = problems.len(),
                        first = first.as_deref(),
                        "the configuration cannot be planned; nothing new is built or released"
                    );
                }
                told = first;
            }
            Ok(Planned::Empty) => {
                let branch = &control.options().branch;
                if told.as_ref() != Some(branch) {
                    tracing::warn!(%branch, "the state repository has no such branch yet: push it, and what is in it is planned");
                }
                told = Some(branch.clone());
            }
            Ok(_) => told = None,
            Err(error) => {
                tracing::warn!(%error, "failed to plan");
                tokio::time::sleep(patience.failed()).await;
                continue;
            }
        }
        patience = Patience::new();
        let _told_or_time = tokio::time::timeout(LOOK, news.pushed.notified()).await;
    }
}

/// Of what a person has to mend, the first.
fn first(problems: &[ledger::Problem]) -> Option<String> {
    let first = problems.first()?;
    Some(format!("{}: {}", first.subject, first.message))
}

pub(super) async fn advance_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    let queues = [QueueName::advance()];
    let claim = Duration::from_secs(60);
    loop {
        let wait = Duration::from_secs(20);
        let deliveries = match control
            .platform()
            .queue()
            .receive(&queues, 256, claim, wait)
            .await
        {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, "failed to receive");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let begun = tokio::time::Instant::now();
        let requests: BTreeSet<_> = deliveries
            .iter()
            .filter_map(|delivery| match &delivery.message {
                Message::Advance { request } => Some(request.clone()),
                _ => None,
            })
            .collect();
        let mut failed = BTreeMap::new();
        let mut running = JoinSet::new();
        for request in requests {
            if running.len() == WIDTH {
                note(running.join_next().await, &mut failed);
            }
            let control = control.clone();
            running.spawn(async move { (control.advance(&request).await, request) });
        }
        while let Some(done) = running.join_next().await {
            note(Some(done), &mut failed);
        }
        for delivery in &deliveries {
            let Message::Advance { request } = &delivery.message else {
                continue;
            };
            // What failed comes back by itself when its claim ends, or is given up.
            match failed.get(request) {
                Some(error) => drop(control.give_up(delivery, error).await),
                None => {
                    let queue = control.platform().queue();
                    queue.acknowledge(&delivery.receipt).await.ok();
                }
            }
        }
        let took = begun.elapsed();
        if took > LONG_ROUND {
            tokio::time::sleep((took * 2).min(PAUSE)).await;
        }
    }
}

type Advanced = (control::Result<()>, pipeline_spec::RequestPath);

fn note(
    done: Option<Result<Advanced, tokio::task::JoinError>>,
    failed: &mut BTreeMap<pipeline_spec::RequestPath, control::Error>,
) {
    if let Some(Ok((Err(error), request))) = done {
        tracing::warn!(%request, %error, "failed to advance");
        failed.insert(request, error);
    }
}

pub(super) async fn dispatch_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.dispatch().await {
            tracing::warn!(%error, "failed to dispatch");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        control.changed().await;
    }
}

pub(super) async fn report_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    let mut patience = Patience::new();
    loop {
        let pause = match control.report(Duration::from_secs(20)).await {
            Ok(Reported::Later(until)) => {
                let left = until.saturating_sub(control.platform().clock().now());
                Duration::from_millis(left.max(0).unsigned_abs()).min(LOOK)
            }
            Ok(_) => {
                patience = Patience::new();
                (control.report_time() * 3).min(LONGEST_REPORT_PAUSE)
            }
            Err(error) => {
                tracing::warn!(%error, "failed to report");
                patience.failed()
            }
        };
        tokio::time::sleep(REPORT.max(pause)).await;
    }
}

pub(super) async fn lease_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.expire_leases().await {
            tracing::warn!(%error, "failed to look at leases");
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn sweep_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.sweep().await {
            tracing::warn!(%error, "failed to sweep");
        }
        tokio::time::sleep(SWEEP).await;
    }
}

pub(super) async fn prune_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    tokio::time::sleep(FIRST_PRUNE).await;
    loop {
        let grace = control.options().grace;
        if let Err(error) = control.prune(grace, Pruning::Remove).await {
            tracing::warn!(%error, "failed to prune the artifact store");
        }
        tokio::time::sleep(PRUNE).await;
    }
}
