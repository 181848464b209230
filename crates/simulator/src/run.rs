//! One run: processes of the control plane, runners, people, and the scheduler that picks who acts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use control::{Control, Options, Refused, Taken};
use fastrand::Rng;
use ledger::{Message, QueueName};
use memory::MemoryPlatform;
use pipeline_spec::{RequestPath, RunnerId};
use ports::{NewCommit, Platform, TaskQueue};
use runner_api::protocol::Attempt;
use runner_api::{HeartbeatReply, Outcome, ResultReply};

use crate::agent::{Agent, Job};
use crate::gate::Gate;
use crate::history::{Act, Files};
use crate::platform::SimPlatform;
use crate::rates::Rates;
use crate::upstream::{PACKAGES, VERSIONS, commit, git_ref, url};
use crate::witness::Witness;
use crate::workshop::Workshop;

/// Processes of the control plane.
const PLANES: usize = 2;
/// Calls into the control plane under way at a time.
const CALLS: usize = 8;
/// Steps of the scheduler between two acts of people, at most.
const PACE: usize = 700;
/// A run that has not settled after so many steps is cut off there: the calm follows anyway.
const MAX_STEPS: usize = 40_000;

type Plane = Arc<Control<SimPlatform>>;

/// A call into the control plane, under way.
struct Call {
    plane: usize,
    who: Who,
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
}

pub(crate) struct Run {
    pub(crate) memory: MemoryPlatform,
    pub(crate) witness: Witness,
    gate: Gate,
    rng: Rng,
    planes: Vec<Plane>,
    agents: Vec<Agent>,
    calls: Vec<Call>,
    /// Jobs of killed runners that will speak up once more.
    zombies: Vec<(usize, Job)>,
    pushes: i64,
    tree: Files,
    log: Vec<String>,
}

impl Run {
    pub(crate) fn new(mut rng: Rng, rates: Rates) -> Self {
        let memory = MemoryPlatform::new();
        for (package, _) in PACKAGES {
            for version in 1..=VERSIONS {
                let repo = memory.state_repo();
                repo.set_ref(&url(package), &git_ref(version), &commit(version));
            }
        }
        let witness = Witness::new(&memory);
        let mut run = Self {
            gate: Gate::new(rng.fork(), rates),
            memory,
            witness,
            rng,
            planes: Vec::new(),
            agents: vec![Agent::new("builder"), Agent::new("signer")],
            calls: Vec::new(),
            zombies: Vec::new(),
            pushes: 0,
            tree: Files::new(),
            log: vec![format!("{rates:?}")],
        };
        for _ in 0..PLANES {
            let plane = run.process();
            run.planes.push(plane);
        }
        run
    }

    fn process(&mut self) -> Plane {
        let off = if self.gate.happens(|rates| rates.skew) {
            self.rng.i64(-300_000..300_000)
        } else {
            0
        };
        let platform = SimPlatform::new(&self.memory, &self.gate, &self.witness, off);
        Arc::new(Control::new(platform, Options::default()))
    }

    /// Everything at once, in the seed's order, until people have done all their acts and some more.
    pub(crate) fn chaos(&mut self, acts: &[Act]) {
        let mut acts = acts.iter();
        let mut next_act = 0;
        for step in 0..MAX_STEPS {
            if step == next_act {
                match acts.next() {
                    Some(act) => self.act(act),
                    None => break,
                }
                next_act += 1 + self.rng.usize(..PACE);
            }
            self.step();
        }
        for act in acts {
            self.act(act);
        }
    }

    fn step(&mut self) {
        if self.gate.happens(|rates| rates.kill_plane) {
            self.kill_plane();
        }
        if self.gate.happens(|rates| rates.kill_runner) {
            self.kill_runner();
        }
        if self.gate.happens(|rates| rates.status_rival) {
            self.status_rival();
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
                self.zombie_speaks();
            }
        }
    }

    fn poll(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let call = &mut self.calls[at];
        if let Poll::Ready(answer) = call.future.as_mut().poll(&mut context) {
            let call = self.calls.swap_remove(at);
            self.hear(&call.who, answer);
        }
    }

    /// What timers and queues start in a process.
    fn start(&mut self) {
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let rare = self.gate.happens(|rates| rates.lost_webhook);
        let future: Pin<Box<dyn Future<Output = Answer>>> = match self.rng.u32(..14) {
            0..=1 if !rare || self.rng.u32(..8) == 0 => Box::pin(async move {
                let _ends_in_the_log = control.plan_head().await;
                Answer::Nothing
            }),
            0..=4 => Box::pin(async move {
                let _ = control.dispatch().await;
                Answer::Nothing
            }),
            5..=9 => Box::pin(async move {
                let _ = advance_one(&control).await;
                Answer::Nothing
            }),
            10..=11 => Box::pin(async move {
                let _ = control.report(Duration::ZERO).await;
                Answer::Nothing
            }),
            12 => Box::pin(async move {
                let _ = control.expire_leases().await;
                Answer::Nothing
            }),
            _ => Box::pin(async move {
                let _ = control.sweep().await;
                Answer::Nothing
            }),
        };
        self.calls.push(Call {
            plane,
            who: Who::Nobody,
            future,
        });
    }

    fn agent_acts(&mut self) {
        let agent = self.rng.usize(..self.agents.len());
        let jobs = self.agents[agent].jobs.len();
        if jobs > 0 && self.rng.u32(..4) > 0 {
            let job = self.rng.usize(..jobs);
            return self.job_acts(agent, job);
        }
        if jobs < 3 && !self.agents[agent].is_taking {
            self.agents[agent].is_taking = true;
            let id = self.agents[agent].id.clone();
            self.call(agent, None, move |control| async move {
                Answer::Taken(take(&control, &id).await.ok())
            });
        }
    }

    fn job_acts(&mut self, agent: usize, job: usize) {
        let id = self.agents[agent].id.clone();
        let job = &mut self.agents[agent].jobs[job];
        if job.is_calling {
            return;
        }
        let attempt = job.attempt();
        match (job.result.clone(), self.rng.u32(..3)) {
            (None, 0) => {
                job.is_calling = true;
                let beat = attempt.clone();
                self.call(agent, Some(attempt), move |control| async move {
                    Answer::Beat(control.heartbeat(&id, &beat).await.ok())
                });
            }
            (None, _) => {
                let grant = job.grant.clone();
                let outcome = self.outcome(&grant);
                if let Some(job) = self.agents[agent].job(&attempt) {
                    job.says(&id, outcome);
                }
            }
            (Some(result), _) => {
                job.is_calling = true;
                self.call(agent, Some(attempt), move |control| async move {
                    Answer::Finished(control.finish(&id, &result).await.ok())
                });
            }
        }
    }

    fn outcome(&mut self, grant: &runner_api::Grant) -> Outcome {
        if self.gate.happens(|rates| rates.trouble) {
            return Outcome::Infrastructure {
                message: "reach the mirror: connection refused".to_owned(),
            };
        }
        let mut outcome = block(
            Workshop {
                memory: &self.memory,
            }
            .work(grant),
        );
        if let Outcome::Succeeded { artifacts, .. } = &mut outcome
            && let Some(artifact) = artifacts.first_mut()
            && self.gate.happens(|rates| rates.torn_upload)
        {
            // What the result names is not what was stored.
            artifact.size += 1;
        }
        outcome
    }

    /// A runner's call to a process that it happens to reach.
    fn call<F>(&mut self, agent: usize, attempt: Option<Attempt>, make: impl FnOnce(Plane) -> F)
    where
        F: Future<Output = Answer> + 'static,
    {
        let plane = self.rng.usize(..self.planes.len());
        let life = self.agents[agent].life;
        let future = Box::pin(make(self.planes[plane].clone()));
        self.calls.push(Call {
            plane,
            who: Who::Runner {
                agent,
                life,
                attempt,
            },
            future,
        });
    }

    fn hear(&mut self, who: &Who, answer: Answer) {
        let Who::Runner {
            agent,
            life,
            attempt,
        } = who
        else {
            return;
        };
        let agent = &mut self.agents[*agent];
        if agent.life != *life {
            return;
        }
        match (answer, attempt) {
            (Answer::Taken(taken), _) => {
                agent.is_taking = false;
                if let Some(Taken::Granted(grant)) = taken {
                    self.log.push(format!(
                        "{} takes {} #{}",
                        agent.id,
                        grant.spec.title(),
                        grant.attempt
                    ));
                    agent.jobs.push(Job::new(*grant));
                }
            }
            (Answer::Beat(reply), Some(attempt)) => {
                let id = agent.id.clone();
                match reply {
                    Some(HeartbeatReply::Lost) => agent.drop_job(attempt),
                    Some(HeartbeatReply::Cancel { reason }) => {
                        if let Some(job) = agent.job(attempt) {
                            job.is_calling = false;
                            job.says(&id, Outcome::HandedBack { reason });
                        }
                    }
                    Some(HeartbeatReply::Continue) | None => {
                        if let Some(job) = agent.job(attempt) {
                            job.is_calling = false;
                        }
                    }
                }
            }
            (Answer::Finished(reply), Some(attempt)) => match reply {
                Some(Ok(_)) => agent.drop_job(attempt),
                Some(Err(refused)) => {
                    self.log.push(format!("refused: {}", refused.0));
                    let id = agent.id.clone();
                    if let Some(job) = agent.job(attempt) {
                        job.is_calling = false;
                        job.says(&id, Outcome::Infrastructure { message: refused.0 });
                    }
                }
                None => {
                    if let Some(job) = agent.job(attempt) {
                        job.is_calling = false;
                    }
                }
            },
            _ => {}
        }
    }

    /// Its calls end where they are; runners see a broken connection.
    fn kill_plane(&mut self) {
        let plane = self.rng.usize(..self.planes.len());
        self.log.push(format!("kill -9 control plane {plane}"));
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

    fn kill_runner(&mut self) {
        let agent = self.rng.usize(..self.agents.len());
        self.log.push(format!("kill -9 {}", self.agents[agent].id));
        let jobs = self.agents[agent].kill();
        if self.rng.bool() {
            self.zombies
                .extend(jobs.into_iter().map(|job| (agent, job)));
        }
    }

    /// A paused runner wakes up and says what it had to say, however old it is.
    fn zombie_speaks(&mut self) {
        let Some((agent, mut job)) = self.zombies.pop() else {
            return;
        };
        let id = self.agents[agent].id.clone();
        if job.result.is_none() {
            let outcome = self.outcome(&job.grant);
            job.says(&id, outcome);
        }
        let Some(result) = job.result else { return };
        self.log.push(format!(
            "zombie of {id} speaks of {} #{}",
            result.task, result.attempt
        ));
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future = Box::pin(async move {
            let _ = control.finish(&id, &result).await;
            Answer::Nothing
        });
        self.calls.push(Call {
            plane,
            who: Who::Nobody,
            future,
        });
    }

    fn status_rival(&mut self) {
        self.pushes += 1;
        let new = NewCommit {
            files: vec![(
                "NOTES.md".to_owned(),
                Some(Bytes::from(self.pushes.to_string())),
            )],
            message: "by hand".to_owned(),
            time: 1_782_000_000 + self.pushes,
        };
        let repo = self.memory.state_repo();
        repo.push("status", "Ada <ada@example.org>", new);
    }

    /// What a person does, at once.
    pub(crate) fn act(&mut self, act: &Act) {
        match act {
            Act::Push(files) => self.push(files, false),
            Act::ForcePush(files) => self.push(files, true),
            Act::Cancel(path) => self.person(path, "cancel"),
            Act::Retry(path) => self.person(path, "retry"),
        }
    }

    fn push(&mut self, files: &Files, by_force: bool) {
        self.pushes += 1;
        let removed = self.tree.keys().filter(|path| !files.contains_key(*path));
        let removed = removed.map(|path| (path.clone(), None));
        let written = files.iter().map(|(path, text)| {
            let text = Bytes::copy_from_slice(text.as_bytes());
            (path.clone(), Some(text))
        });
        let changed: Vec<&String> = files
            .iter()
            .filter(|(path, text)| self.tree.get(*path) != Some(*text))
            .map(|(path, _)| path)
            .collect();
        self.log.push(format!(
            "push {} (by force: {by_force}) {changed:?}",
            self.pushes
        ));
        let new = NewCommit {
            files: removed.chain(written).collect(),
            message: format!("commit {}", self.pushes),
            time: 1_782_000_000 + self.pushes,
        };
        let repo = self.memory.state_repo();
        let author = "Ada <ada@example.org>";
        if by_force {
            repo.force_push("main", author, new);
        } else {
            repo.push("main", author, new);
        }
        self.tree.clone_from(files);
    }

    fn person(&mut self, path: &str, what: &'static str) {
        self.log.push(format!("{what} {path}"));
        let path: RequestPath = path.parse().expect("a request's path");
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(async move {
            if what == "cancel" {
                let _ = control.cancel_request(&path, "not needed").await;
            } else {
                let _ = control.retry_request(&path).await;
            }
            Answer::Nothing
        });
        self.calls.push(Call {
            plane,
            who: Who::Nobody,
            future,
        });
    }

    /// The twin's way: each act, and then calm.
    pub(crate) fn in_order(&mut self, acts: &[Act]) {
        for act in acts {
            // What people stop or start again by hand depends on the moment.
            if matches!(act, Act::Push(_) | Act::ForcePush(_)) {
                self.act(act);
                self.quiet();
            }
        }
    }

    /// From now on nothing fails; what is under way ends.
    pub(crate) fn calm(&mut self) {
        self.gate.calm();
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

    fn round(&mut self) -> bool {
        let control = self.planes[0].clone();
        let mut moved = block(async {
            let planned = control
                .plan_head()
                .await
                .map_err(|error| error.to_string())?;
            let mut moved = matches!(planned, control::Planned::New(..));
            moved |= control
                .dispatch()
                .await
                .map_err(|error| error.to_string())?
                > 0;
            moved |= advance_one(&control)
                .await
                .map_err(|error| error.to_string())?;
            let reported = control.report(Duration::ZERO).await;
            moved |= reported.map_err(|error| error.to_string())? != control::Reported::Nothing;
            Ok(moved)
        })
        .unwrap_or_else(|error: String| {
            self.witness.violated(format!("in calm weather: {error}"));
            false
        });
        for agent in 0..self.agents.len() {
            moved |= self.serve(agent);
        }
        moved
    }

    fn serve(&mut self, agent: usize) -> bool {
        let control = self.planes[0].clone();
        let id = self.agents[agent].id.clone();
        let mut moved = false;
        if let Ok(Taken::Granted(grant)) = block(take(&control, &id)) {
            self.agents[agent].jobs.push(Job::new(*grant));
        }
        for mut job in std::mem::take(&mut self.agents[agent].jobs) {
            moved = true;
            if job.result.is_none() {
                let outcome = self.outcome(&job.grant);
                job.says(&id, outcome);
            }
            let Some(result) = job.result else { continue };
            match block(control.finish(&id, &result)) {
                Ok(Ok(_)) => {}
                Ok(Err(_torn)) => {}
                Err(error) => self.witness.violated(format!("in calm weather: {error}")),
            }
        }
        moved
    }

    pub(crate) fn control(&self) -> Plane {
        self.planes[0].clone()
    }

    /// A process of before the calm may have a clock that is off.
    pub(crate) fn restart(&mut self) {
        for plane in 0..PLANES {
            self.planes[plane] = self.process();
        }
    }

    pub(crate) fn tree(&self) -> &Files {
        &self.tree
    }

    pub(crate) fn calls(&self) -> u64 {
        self.gate.calls()
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

/// One message of the queue of requests to look at.
async fn advance_one(control: &Plane) -> control::Result<bool> {
    let queue = control.platform().queue();
    let queues = [QueueName::advance()];
    let claim = Duration::from_secs(60);
    let deliveries = queue.receive(&queues, 1, claim, Duration::ZERO).await?;
    for delivery in &deliveries {
        if let Message::Advance { request } = &delivery.message {
            control.advance(request).await?;
        }
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
