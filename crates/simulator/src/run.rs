//! One run: processes of the control plane, runners, people, and the scheduler that picks who acts.

mod agents;
mod people;
mod prune;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use control::{Control, Refused, Taken};
use fastrand::Rng;
use ledger::{Message, QueueName};
use memory::MemoryPlatform;
use pipeline_spec::RunnerId;
use ports::{Platform, TaskQueue};
use runner_api::protocol::Attempt;
use runner_api::{HeartbeatReply, ResultReply};

use crate::agent::{Agent, Job};
use crate::gate::Gate;
use crate::history::{Act, Files};
use crate::outside::{Outside, Store};
use crate::pages::{self, GatedForge};
use crate::past::Past;
use crate::platform::SimPlatform;
use crate::rates::Rates;
use crate::upstream::{PACKAGES, VERSIONS, commit, git_ref, url};
use crate::versions::Version;
use crate::witness::Witness;

/// Processes of the control plane.
const PLANES: usize = 2;
/// Calls into the control plane under way at a time.
const CALLS: usize = 8;
/// Times that a call goes on until it must have ended: two for each of its own calls to the world. A report
/// that is beaten to the status branch again and again tries twenty times, with a handful of calls per file.
const MAX_POLLS: u64 = 4_000;
/// Recoveries that fail before that is a finding.
const RECOVERIES: usize = 500;
/// Steps of the scheduler between two acts of people, at most: in most runs work is under way whatever
/// they do, in some it has ended.
const PACES: [usize; 4] = [700, 700, 700, 5_000];
/// The same after somebody has seen a slip of his own.
const HASTE: usize = 150;
/// Paused runners that sleep on until their task is given out once more, or all is calm.
const SLEEPERS: usize = 2;
/// A run that has not settled after so many steps is cut off there: the calm follows anyway.
const MAX_STEPS: usize = 40_000;

type Plane = Arc<Control<SimPlatform>>;

/// A call into the control plane, under way.
struct Call {
    plane: usize,
    who: Who,
    what: &'static str,
    /// How often it was asked to go on.
    polls: u64,
    future: Pin<Box<dyn Future<Output = Answer>>>,
}

/// Who hears the answer.
#[derive(Clone)]
enum Who {
    Nobody,
    Runner {
        agent: usize,
        life: u32,
        attempt: Option<Attempt>,
    },
}

enum Answer {
    Nothing,
    Taken(Option<Taken>),
    Beat(Option<HeartbeatReply>),
    Finished(Option<Result<ResultReply, Refused>>),
    /// It is told of again.
    NotCollected(String),
}

pub(crate) struct Run {
    pub(crate) memory: MemoryPlatform,
    /// Ledger and queues: those of `memory`, or others that those go along with.
    pub(crate) store: Store,
    pub(crate) witness: Witness,
    /// Where people read, if the state repository is at a forge.
    pub(crate) forge: Option<GatedForge>,
    gate: Gate,
    pub(crate) rng: Rng,
    planes: Vec<Plane>,
    agents: Vec<Agent>,
    calls: Vec<Call>,
    /// Jobs of killed runners that will speak up once more.
    zombies: Vec<(usize, Job)>,
    /// Places of results that the store tells of, as often as they stand here.
    told: Vec<String>,
    past: Past,
    pruner: Option<prune::Pruner>,
    pushes: i64,
    /// Refs that moved.
    moved: u32,
    tree: Files,
    /// Runners keep builds until they hear that they are not wanted.
    holds_builds: bool,
    /// Runners have trouble with everything.
    has_trouble: bool,
    /// The clock of some process is off.
    is_skewed: bool,
    /// Processes may be of the version before.
    is_upgrade: bool,
    /// Failures are expected: they are no violation, and a process that died is started again.
    is_swept: bool,
    /// Attempts given out where nothing fails.
    attempts: u64,
    log: Vec<String>,
}

impl Run {
    pub(crate) fn new(rng: Rng, rates: Rates) -> Self {
        Self::over(None, rng, rates)
    }

    pub(crate) fn over(outside: Option<Arc<dyn Outside>>, mut rng: Rng, rates: Rates) -> Self {
        let memory = MemoryPlatform::new();
        for (package, _) in PACKAGES {
            for version in 1..=VERSIONS {
                let repo = memory.state_repo();
                repo.set_ref(&url(package), &git_ref(version), &commit(version, 0));
            }
        }
        let witness = Witness::new(&memory);
        let gate = Gate::new(rng.fork(), rates);
        let forge = (rates.forge > 0.0).then(|| GatedForge::new(&gate, &witness));
        let mut run = Self {
            gate,
            forge,
            store: Store::new(&memory, outside, &witness),
            memory,
            witness,
            rng,
            planes: Vec::new(),
            agents: ["builder", "builder2", "signer"].map(Agent::new).into(),
            calls: Vec::new(),
            zombies: Vec::new(),
            told: Vec::new(),
            past: Past::default(),
            pruner: None,
            pushes: 0,
            moved: 0,
            tree: Files::new(),
            holds_builds: false,
            has_trouble: false,
            is_skewed: false,
            is_upgrade: rates.older_plane > 0.0,
            is_swept: false,
            attempts: 0,
            log: vec![format!("{rates:?}")],
        };
        if run.is_upgrade {
            run.witness.mixes_versions();
        }
        if let Some(most) = pages::options(run.forge.is_some()).pushes_a_minute {
            run.witness.counts_pushes(most.get() as usize);
        }
        for _ in 0..PLANES {
            let plane = run.process();
            run.planes.push(plane);
        }
        for agent in 0..run.agents.len() {
            if run.gate.happens(|rates| rates.skew) {
                run.agents[agent].off = run.rng.i64(-300..300);
            }
        }
        run
    }

    fn process(&mut self) -> Plane {
        let off = if self.gate.happens(|rates| rates.skew) {
            self.is_skewed = true;
            self.witness.has_skewed_clocks();
            self.rng.i64(-300_000..300_000)
        } else {
            0
        };
        let version = match self.is_upgrade {
            false => Version::Only,
            true if self.gate.happens(|rates| rates.older_plane) => Version::before(),
            true => Version::Newest,
        };
        let behind = (&self.witness, &self.past);
        let platform = SimPlatform::new(
            (&self.memory, &self.store),
            &self.gate,
            behind,
            (off, version),
        );
        let options = pages::options(self.forge.is_some());
        Arc::new(Control::new(platform, options))
    }

    /// Everything at once, in the seed's order, until people have done all their acts and some more.
    pub(crate) fn chaos(&mut self, acts: &[Act]) {
        let pace = PACES[self.rng.usize(..PACES.len())];
        let mut acts = acts.iter().peekable();
        let (mut next_act, mut is_hasty) = (0, false);
        for step in 0..MAX_STEPS {
            if step == next_act {
                if is_hasty && self.rng.bool() && self.gate.rate(|rates| rates.kill_plane) > 0.0 {
                    (0..PLANES).for_each(|plane| self.kill_plane(plane));
                }
                let Some(act) = acts.next() else { break };
                self.act(act);
                is_hasty = acts.next_if(|next| matches!(next, Act::Haste)).is_some();
                let within = if is_hasty { HASTE } else { pace };
                next_act += 1 + self.rng.usize(..within);
            }
            self.step();
            if self.gate.is_endless() {
                self.witness.violated("calls to the world without end");
                break;
            }
        }
        for act in acts {
            self.act(act);
        }
    }

    fn step(&mut self) {
        if self.gate.happens(|rates| rates.kill_plane) {
            let plane = self.rng.usize(..self.planes.len());
            self.kill_plane(plane);
        }
        if self.gate.happens(|rates| rates.lost_ledger) {
            self.lose_ledger();
        }
        if self.gate.happens(|rates| rates.kill_runner) {
            self.kill_runner();
        }
        if self.gate.happens(|rates| rates.status_rival) {
            self.status_rival();
        }
        if self.gate.happens(|rates| rates.prune) {
            self.start_pruning();
        }
        self.go_on_pruning();
        if self.gate.happens(|rates| rates.cancel) {
            self.cancel_something();
        }
        match self.rng.u32(..100) {
            0..=69 if !self.calls.is_empty() => {
                let call = self.rng.usize(..self.calls.len());
                self.poll(call);
            }
            0..=84 if self.calls.len() < CALLS => self.start(),
            0..=96 => self.agent_acts(),
            _ => {
                let seconds = if self.rng.u32(..10) == 0 {
                    61
                } else {
                    self.rng.u64(..10)
                };
                self.memory.clock().pass(Duration::from_secs(seconds));
                if self.zombies.len() > SLEEPERS {
                    self.zombie_speaks();
                }
            }
        }
    }

    fn poll(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let call = &mut self.calls[at];
        call.polls += 1;
        if call.polls == MAX_POLLS {
            let calls = MAX_POLLS / 2;
            self.witness.violated(format!(
                "{} makes over {calls} calls to the world",
                call.what
            ));
        }
        if let Poll::Ready(answer) = call.future.as_mut().poll(&mut context) {
            let call = self.calls.swap_remove(at);
            self.hear(&call.who, answer);
        }
    }

    /// What timers and queues start in a process.
    fn start(&mut self) {
        if !self.told.is_empty() && self.rng.bool() {
            return self.collect();
        }
        if self.tells() {
            return;
        }
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let rare = self.gate.happens(|rates| rates.lost_webhook);
        let (what, future): (_, Pin<Box<dyn Future<Output = Answer>>>) = match self.rng.u32(..14) {
            0..=1 if !rare || self.rng.u32(..8) == 0 => (
                "planning",
                Box::pin(async move {
                    let _ends_in_the_log = control.plan_head().await;
                    Answer::Nothing
                }),
            ),
            0..=4 => (
                "dispatch",
                Box::pin(async move {
                    let _ = control.dispatch().await;
                    Answer::Nothing
                }),
            ),
            5..=9 => (
                "an advance",
                Box::pin(async move {
                    let _ = advance(&control, 1).await;
                    Answer::Nothing
                }),
            ),
            10..=11 => (
                "a report",
                Box::pin(async move {
                    let _ = control.report(Duration::ZERO).await;
                    Answer::Nothing
                }),
            ),
            12 => (
                "the end of leases",
                Box::pin(async move {
                    let _ = control.expire_leases().await;
                    Answer::Nothing
                }),
            ),
            _ => (
                "a sweep",
                Box::pin(async move {
                    let _ = control.sweep().await;
                    Answer::Nothing
                }),
            ),
        };
        self.under_way((plane, what), Who::Nobody, future);
    }

    /// Forges know no conditions, so one process at a time tells.
    pub(crate) fn is_telling(&self) -> bool {
        self.calls
            .iter()
            .any(|call| matches!(call.what, "a review" | "a telling"))
    }

    /// Some process looks at pull requests.
    pub(crate) fn review(&mut self) {
        let plane = self.rng.usize(..self.planes.len());
        let (control, forge) = (self.planes[plane].clone(), self.forge.clone());
        let future = Box::pin(async move {
            if let Some(forge) = forge {
                let _ends_in_the_log = control.review(&forge).await;
            }
            Answer::Nothing
        });
        self.under_way((plane, "a review"), Who::Nobody, future);
    }

    /// Some process tells how work goes, perhaps for the first time.
    pub(crate) fn tell(&mut self) {
        let plane = self.rng.usize(..self.planes.len());
        let (control, forge) = (self.planes[plane].clone(), self.forge.clone());
        let is_first = self.rng.u32(..8) == 0;
        let future = Box::pin(async move {
            if let Some(forge) = forge {
                if is_first {
                    let _by_the_next = control.watch_open().await;
                }
                let _ends_in_the_log = control.tell(&forge).await;
            }
            Answer::Nothing
        });
        self.under_way((plane, "a telling"), Who::Nobody, future);
    }

    fn under_way(
        &mut self,
        (plane, what): (usize, &'static str),
        who: Who,
        future: Pin<Box<dyn Future<Output = Answer>>>,
    ) {
        let polls = 0;
        self.calls.push(Call {
            plane,
            who,
            what,
            polls,
            future,
        });
    }

    /// Its calls end where they are; runners see a broken connection.
    fn kill_plane(&mut self, plane: usize) {
        self.log.push(format!("kill -9 control plane {plane}"));
        self.stop_pruning(plane);
        let (dead, alive) = std::mem::take(&mut self.calls)
            .into_iter()
            .partition(|call| call.plane == plane);
        self.calls = alive;
        self.planes[plane] = self.process();
        let dead: Vec<Call> = dead;
        for call in dead {
            let answer = match &call.who {
                Who::Runner { attempt: None, .. } => Answer::Taken(None),
                Who::Runner { .. } => Answer::Beat(None),
                Who::Nobody => Answer::Nothing,
            };
            drop(call.future);
            self.hear(&call.who, answer);
        }
    }

    /// Ledger and queues are gone, with all that the status branch had not heard of. A recovery that fails
    /// half way is begun again.
    pub(crate) fn lose_ledger(&mut self) {
        // What people did to the branch after the last report is what it is read with.
        if self.gate.rate(|rates| rates.status_rival) > 0.0 && self.rng.bool() {
            self.status_rival();
        }
        self.log.push("the ledger is lost".to_owned());
        for plane in 0..PLANES {
            self.kill_plane(plane);
        }
        self.store.lose();
        self.past = Past::default();
        self.witness.loses(true);
        let recovered = (0..RECOVERIES).find_map(|_| {
            let control = self.process();
            let recovered = block(control.recover(|_, _| {}));
            self.log.push(format!("recovered: {recovered:?}"));
            if let Err(error) = &recovered {
                self.does_as_told(error);
            }
            // Of a last write whose answer was lost, the next try hears that the ledger is there.
            let is_done = recovered.is_ok() || block(control.is_planned()).unwrap_or(false);
            is_done.then_some(())
        });
        if recovered.is_none() {
            self.witness.violated("the ledger cannot be recovered");
        }
        self.witness.loses(false);
        self.restart();
    }

    /// Answers that were taken from the branch name nothing any more, so that all of it may have been pruned
    /// before somebody puts them back. Then a person decides, as the refusal says.
    fn does_as_told(&mut self, refusal: &control::Error) {
        let is_told = refusal.to_string().contains("delete that branch");
        if is_told && self.memory.store().digests().is_empty() {
            self.log
                .push("somebody deletes the status branch, as told".to_owned());
            self.memory.state_repo().delete("status");
            self.witness.status_may_return();
        }
    }

    /// The twin's way: each act, and then calm.
    pub(crate) fn in_order(&mut self, acts: &[Act]) {
        for act in acts {
            // What people stop or start again by hand depends on the moment.
            if matches!(act, Act::Push(..) | Act::ForcePush(..)) {
                let before = (self.gate.counts(), self.attempts);
                let tree = self.tree.clone();
                self.act(act);
                self.quiet();
                self.is_frugal(before);
                self.builds_nothing_for_a_place(&tree, before.1);
                self.needs_no_timer();
            }
        }
    }

    /// From now on nothing fails; what is under way ends.
    pub(crate) fn calm(&mut self) {
        self.gate.calm();
        self.pruner = None;
        while !self.zombies.is_empty() {
            self.zombie_speaks();
        }
        for _ in 0..200_000 {
            if self.calls.is_empty() {
                return;
            }
            let call = self.rng.usize(..self.calls.len());
            self.poll(call);
        }
        let stuck = self.calls.len();
        self.witness.violated(format!("{stuck} calls never end"));
    }

    /// One process, one runner after the other, until nothing moves.
    pub(crate) fn quiet(&mut self) {
        for _ in 0..300 {
            if !self.round() {
                return;
            }
        }
        self.witness.violated("it never comes to rest");
    }

    /// Whether anything moved.
    pub(crate) fn round(&mut self) -> bool {
        let control = self.control();
        let mut moved = self.plain(async move {
            let planned = control.plan_head().await?;
            Ok(matches!(planned, control::Planned::New(..)))
        });
        let control = self.control();
        moved |= self.plain(async move { Ok(control.dispatch().await? > 0) });
        let control = self.control();
        moved |= self.plain(async move { advance(&control, 50).await });
        for agent in 0..self.agents.len() {
            moved |= self.serve(agent);
        }
        // As in the world: one commit for all that happened together.
        if !moved {
            let control = self.control();
            moved |= self.plain(async move {
                let reported = control.report(Duration::ZERO).await?;
                Ok(matches!(reported, control::Reported::Commit(..)))
            });
        }
        moved
    }

    /// A use case when nothing fails, or one failure is expected: that is worth another look.
    fn plain(&mut self, work: impl Future<Output = control::Result<bool>>) -> bool {
        match block(work) {
            Ok(moved) => moved,
            Err(error) => {
                self.trouble(&error);
                self.is_swept
            }
        }
    }

    pub(crate) fn trouble(&mut self, error: &control::Error) {
        if !self.is_swept {
            return self.witness.violated(format!("in calm weather: {error}"));
        }
        if self.gate.is_dead() {
            self.gate.revive();
            self.restart();
        }
    }

    pub(crate) fn control(&self) -> Plane {
        self.planes[0].clone()
    }

    /// A process of before the calm may have a clock that is off, or be of the version before.
    pub(crate) fn set_clocks(&mut self) {
        if std::mem::take(&mut self.is_skewed) || self.is_upgrade {
            self.restart();
        }
    }

    /// Every process ends, and another one takes over.
    pub(crate) fn restart(&mut self) {
        for plane in 0..PLANES {
            self.planes[plane] = self.process();
        }
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(crate) fn tree(&self) -> &Files {
        &self.tree
    }

    /// Whether a failing call is no violation.
    pub(crate) fn expect_failures(&mut self, is_swept: bool) {
        self.is_swept = is_swept;
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.witness.violations()
    }

    pub(crate) fn note(&mut self, line: String) {
        self.log.push(line);
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

/// Messages of the queue of requests to look at, as many as `limit`; one look is enough for several.
async fn advance(control: &Plane, limit: usize) -> control::Result<bool> {
    let queue = control.platform().queue();
    let queues = [QueueName::advance()];
    let claim = Duration::from_secs(60);
    let deliveries = queue.receive(&queues, limit, claim, Duration::ZERO).await?;
    let mut seen = BTreeSet::new();
    for delivery in &deliveries {
        if let Message::Advance { request } = &delivery.message
            && seen.insert(request)
        {
            control.advance(request).await?;
        }
    }
    for delivery in &deliveries {
        queue.acknowledge(&delivery.receipt).await?;
    }
    Ok(!deliveries.is_empty())
}

async fn take(control: &Plane, id: &RunnerId) -> control::Result<Taken> {
    let Some(runner) = control.runner(id).await? else {
        return Ok(Taken::Nothing);
    };
    control.take(id, &runner, Duration::ZERO).await
}

/// Runs a future to its end, alone.
pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}
