//! The daemon: takes leases while it has room, and drains when it is told to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runner_api::{Grant, TakeReply};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::attempt;
use crate::backoff::Backoff;
use crate::client::{Client, Trouble};
use crate::{Config, Error, Identity, Role};

/// How the daemon is told to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// One that SIGTERM and SIGINT trigger: the first drains, the second ends at once.
    pub fn on_signals() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|cause| Error::Unusable(format!("listen for signals: {cause}")))
        };
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let shutdown = Self::default();
        let told = shutdown.clone();
        tokio::spawn(async move {
            for step in [Self::drain, Self::now] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                step(&told);
            }
        });
        Ok(shutdown)
    }

    /// Takes no new work; running jobs get the configured time to finish, then are handed back.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Hands running jobs back at once.
    pub fn now(&self) {
        self.drain.cancel();
        self.now.cancel();
    }
}

/// What the attempts of one daemon share.
pub(crate) struct Shared {
    pub(crate) client: Arc<Client>,
    pub(crate) roles: Vec<Box<dyn Role>>,
    pub(crate) scratch: PathBuf,
    /// Cancelled when running attempts have to be handed back.
    pub(crate) hand_back: CancellationToken,
}

/// Runs until `shutdown`. Returns when nothing is left running.
pub async fn run(
    config: Config,
    roles: Vec<Box<dyn Role>>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let identity = Identity::load(config.runner.clone(), &config.key)?;
    let scratch = config.scratch.join(config.runner.as_str());
    let _lock = claim(&scratch)?;
    let shared = Arc::new(Shared {
        client: Arc::new(Client::new(config.control.0.clone(), identity)?),
        roles,
        scratch,
        hand_back: CancellationToken::new(),
    });
    tracing::info!(runner = %config.runner, control = %config.control.0, capacity = config.capacity, "started");

    let mut running = JoinSet::new();
    let capacity = usize::try_from(config.capacity.get()).unwrap_or(usize::MAX);
    let slots = Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)));
    while let Some((grant, slot)) = next(&shared.client, &slots, &shutdown).await {
        let shared = Arc::clone(&shared);
        running.spawn(async move {
            attempt::work_off(&shared, grant).await;
            drop(slot);
        });
        // Finished ones need no room.
        while running.try_join_next().is_some() {}
    }
    drain(running, &shared, &shutdown, config.drain).await;
    tracing::info!("stopped");
    Ok(())
}

/// The next lease and the slot it takes; `None` when the daemon drains.
async fn next(
    client: &Client,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(Grant, OwnedSemaphorePermit)> {
    let granted = async {
        let slot = Arc::clone(slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        (take(client).await, slot)
    };
    tokio::select! {
        biased;
        // First: a lease that has arrived is worked off or handed back, never dropped.
        granted = granted => Some(granted),
        () = shutdown.drain.cancelled() => None,
    }
}

/// Asks until there is work.
async fn take(client: &Client) -> Grant {
    let mut backoff = Backoff::new();
    let mut told: Option<String> = None;
    loop {
        match client.take().await {
            Ok(reply) => {
                if told.take().is_some() {
                    tracing::info!("the control plane answers again");
                }
                backoff.reset();
                if let TakeReply::Granted(grant) = reply {
                    return *grant;
                }
            }
            Err(trouble) => {
                let words = trouble.to_string();
                if told.as_ref() != Some(&words) {
                    match trouble {
                        Trouble::Away(_) => tracing::warn!("failed to ask for work: {words}"),
                        _ => tracing::error!("failed to ask for work: {words}"),
                    }
                    told = Some(words);
                }
                backoff.wait().await;
            }
        }
    }
}

async fn drain(mut running: JoinSet<()>, shared: &Shared, shutdown: &Shutdown, grace: Duration) {
    while running.try_join_next().is_some() {}
    if !running.is_empty() {
        tracing::info!(
            jobs = running.len(),
            seconds = grace.as_secs(),
            "draining: no new work is taken"
        );
    }
    tokio::select! {
        () = all(&mut running) => return,
        () = tokio::time::sleep(grace) => {}
        () = shutdown.now.cancelled() => {}
    }
    tracing::info!(jobs = running.len(), "handing back");
    shared.hand_back.cancel();
    all(&mut running).await;
}

async fn all(running: &mut JoinSet<()>) {
    while running.join_next().await.is_some() {}
}

/// Makes the directory for jobs this process's own, and removes what a killed one left in it.
fn claim(scratch: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(scratch).map_err(Error::io("create", scratch))?;
    let path = scratch.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    lock.try_lock().map_err(|_| {
        Error::Unusable(format!(
            "lock {}: another runner of this name uses it; stop that one, or give this one its own --scratch",
            path.display()
        ))
    })?;
    for entry in std::fs::read_dir(scratch).map_err(Error::io("list", scratch))? {
        let entry = entry.map_err(Error::io("list", scratch))?;
        if entry.file_name().to_string_lossy().starts_with("job-")
            && let Err(cause) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!("failed to remove {}: {cause}", entry.path().display());
        }
    }
    Ok(lock)
}
