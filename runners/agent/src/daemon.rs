//! The daemon: takes leases while it has room, and drains when it is told to.

use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_spec::Weight;
use runner_api::{Grant, TakeReply};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::attempt;
use crate::backoff::Backoff;
use crate::client::{Client, Trouble};
use crate::cloud::{Open, Sessions};
use crate::job::Note;
use crate::upload::Pace;
use crate::{Config, Error, Identity, Role};

/// How long a draining daemon listens for the answer to a take that is under way. A lease takes the
/// control plane a few milliseconds; one that is missed runs out by itself.
const IN_FLIGHT: Duration = Duration::from_millis(500);
/// The same where the control plane is a function, which may have to be started for it.
const IN_FLIGHT_TO_A_FUNCTION: Duration = Duration::from_secs(5);

/// The longest wait before a control plane that is a function is asked again for work: each question costs, and one that
/// was away takes up more slowly the more of them wait for it.
const LONGEST_WAIT_FOR_A_FUNCTION: Duration = Duration::from_secs(30);

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
    /// Where offers and results go; `None`: through the control plane.
    pub(crate) cloud: Option<Sessions>,
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
    if config.cloud.is_some() {
        let words = "start: this program asks the control plane for work; leave `cloud` out";
        return Err(Error::Unusable(words.to_owned()));
    }
    serve(config, roles, shutdown, None).await
}

/// The same for a program that can read queues itself, if its configuration says so.
pub async fn run_in_cloud(
    config: Config,
    roles: Vec<Box<dyn Role>>,
    shutdown: Shutdown,
    open: Open,
) -> Result<(), Error> {
    let sessions = config.cloud.map(|keys| Sessions::new(keys, open));
    serve(config, roles, shutdown, sessions).await
}

async fn serve(
    config: Config,
    roles: Vec<Box<dyn Role>>,
    shutdown: Shutdown,
    cloud: Option<Sessions>,
) -> Result<(), Error> {
    let identity = Identity::load(config.runner.clone(), &config.key)?;
    let scratch = config.scratch.join(config.runner.as_str());
    let (_lock, interrupted) = claim(&scratch)?;
    let shared = Arc::new(Shared {
        client: Arc::new(Client::new(
            config.control.0.clone(),
            identity,
            Pace::default(),
        )?),
        cloud,
        roles,
        scratch,
        hand_back: CancellationToken::new(),
    });
    tracing::info!(runner = %config.runner, control = %config.control.0, "started");

    // Aborted with this function: whoever waits for them learns it from the lease's end then.
    let mut burials = JoinSet::new();
    for note in interrupted {
        let shared = Arc::clone(&shared);
        burials.spawn(async move { attempt::bury(&shared, note).await });
    }
    let mut running = JoinSet::new();
    let mut slots = Slots::new(config.capacity);
    while let Some((grant, slot)) = next(&shared, &slots.free, &shutdown).await {
        slots.learn(grant.capacity);
        let (room, full) = slots.room(slot, grant.weight, &shutdown.drain);
        let shared = Arc::clone(&shared);
        running.spawn(async move { attempt::work_off(&shared, grant, room).await });
        // One alone waits for more slots: two that each have some and want more would wait for ever.
        // Nothing is ever sent: that the other end is gone is the news.
        let _ = full.await;
        // Finished ones need no room.
        while running.try_join_next().is_some() {}
    }
    drain(running, &shared, &shutdown, config.drain).await;
    tracing::info!("stopped");
    Ok(())
}

/// How many jobs there may be at a time.
struct Slots {
    free: Arc<Semaphore>,
    all: usize,
    /// The runner's own configuration wins over what it is told.
    is_fixed: bool,
}

impl Slots {
    /// One, until the first grant tells what `runners/<id>.yaml` says, unless `configured`.
    fn new(configured: Option<NonZeroU32>) -> Self {
        let all = configured.map_or(1, bounded);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
            is_fixed: configured.is_some(),
        }
    }

    /// Room for a job of `weight`, of which it has `first`; with all of the runner's slots, it is alone.
    fn room(
        &self,
        first: OwnedSemaphorePermit,
        weight: Weight,
        drain: &CancellationToken,
    ) -> (Room, oneshot::Receiver<()>) {
        let slots = usize::from(weight.slots()).min(self.all);
        let (full, is_full) = oneshot::channel();
        let more = u32::try_from(slots.saturating_sub(1)).expect("a weight is a small number");
        let room = Room {
            slots: vec![first],
            // Who has all that it wants lets the next one in by dropping it.
            short: (more > 0).then(|| Short {
                more,
                free: Arc::clone(&self.free),
                drain: drain.clone(),
                _full: full,
            }),
        };
        (room, is_full)
    }

    fn learn(&mut self, told: Option<NonZeroU32>) {
        let Some(told) = told.filter(|_| !self.is_fixed).map(bounded) else {
            return;
        };
        if told > self.all {
            self.free.add_permits(told - self.all);
            self.all = told;
        } else {
            // Slots of running jobs go when those end and a later grant tells again.
            self.all -= self.free.forget_permits(self.all - told);
        }
    }
}

/// The slots that a job takes, and those that it waits for. They are free again when it is dropped.
pub(crate) struct Room {
    slots: Vec<OwnedSemaphorePermit>,
    short: Option<Short>,
}

/// What a job still waits for.
struct Short {
    more: u32,
    free: Arc<Semaphore>,
    drain: CancellationToken,
    /// The daemon takes no other grant until this is dropped.
    _full: oneshot::Sender<()>,
}

/// How a wait for slots ended.
pub(crate) enum Filled {
    /// All are there.
    Yes,
    /// The daemon drains: nothing new begins.
    Drained,
}

impl Room {
    /// Whether it waits for other jobs to end.
    pub(crate) fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Ends when all slots are there.
    pub(crate) async fn fill(&mut self) -> Filled {
        let Some(short) = &self.short else {
            return Filled::Yes;
        };
        let more = Arc::clone(&short.free).acquire_many_owned(short.more);
        tokio::select! {
            biased;
            () = short.drain.cancelled() => return Filled::Drained,
            more = more => self.slots.push(more.expect("the semaphore is never closed")),
        }
        self.short = None;
        Filled::Yes
    }
}

/// A capacity is a small number; a mistyped one must not be a panic.
fn bounded(capacity: NonZeroU32) -> usize {
    usize::try_from(capacity.get())
        .unwrap_or(usize::MAX)
        .min(Semaphore::MAX_PERMITS)
}

/// The next lease and the slot it takes; `None` when the daemon drains.
async fn next(
    shared: &Shared,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(Grant, OwnedSemaphorePermit)> {
    let slot = tokio::select! {
        biased;
        () = shutdown.drain.cancelled() => return None,
        slot = Arc::clone(slots).acquire_owned() => slot.expect("the semaphore is never closed"),
    };
    let mut granted = std::pin::pin!(take(shared));
    tokio::select! {
        biased;
        () = shutdown.drain.cancelled() => {}
        grant = &mut granted => return Some((grant, slot)),
    }
    // A lease that is on its way must not be lost with the connection.
    let patience = match shared.cloud {
        Some(_) => IN_FLIGHT_TO_A_FUNCTION,
        None => IN_FLIGHT,
    };
    if let Ok(grant) = tokio::time::timeout(patience, granted).await {
        attempt::hand_back(shared, grant).await;
    }
    None
}

/// Asks until there is work.
async fn take(shared: &Shared) -> Grant {
    let mut backoff = match shared.cloud {
        Some(_) => Backoff::up_to(LONGEST_WAIT_FOR_A_FUNCTION),
        None => Backoff::new(),
    };
    let mut told: Option<String> = None;
    loop {
        match ask(shared).await {
            Ok(grant) => {
                if told.take().is_some() {
                    tracing::info!("the control plane answers again");
                }
                backoff.reset();
                if let Some(grant) = grant {
                    return *grant;
                }
            }
            Err(trouble) => {
                let words = trouble.to_string();
                if told.as_ref() != Some(&words) {
                    match trouble {
                        Trouble::Away(_) | Trouble::Passing(_) => {
                            tracing::warn!("failed to ask for work: {words}");
                        }
                        _ => tracing::error!("failed to ask for work: {words}"),
                    }
                    told = Some(words);
                }
                backoff.wait().await;
            }
        }
    }
}

/// Once: `None` when there was no work in that time.
async fn ask(shared: &Shared) -> Result<Option<Box<Grant>>, Trouble> {
    match &shared.cloud {
        Some(cloud) => cloud.take(&shared.client).await,
        None => Ok(match shared.client.take().await? {
            TakeReply::Granted(grant) => Some(grant),
            TakeReply::Nothing => None,
        }),
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

/// Makes the directory for jobs this process's own, removes what a killed one left in it, and answers
/// which attempts that one was at.
fn claim(scratch: &Path) -> Result<(File, Vec<Note>), Error> {
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
    let mut interrupted = Vec::new();
    for entry in std::fs::read_dir(scratch).map_err(Error::io("list", scratch))? {
        let entry = entry.map_err(Error::io("list", scratch))?;
        if !entry.file_name().to_string_lossy().starts_with("job-") {
            continue;
        }
        interrupted.extend(Note::read(&entry.path()));
        if let Err(cause) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!("failed to remove {}: {cause}", entry.path().display());
        }
    }
    Ok((lock, interrupted))
}
