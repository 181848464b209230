//! The runners' half of a run: what they ask, what they hear, how they die.

use std::future::Future;

use control::Taken;
use pipeline_spec::{RunnerId, Sha256Digest};
use ports::{Clock as _, Platform as _};
use runner_api::auth::SigningKey;
use runner_api::protocol::Attempt;
use runner_api::{HandedIn, HeartbeatReply, Outcome, ResultManifest, TaskRef, TaskSpec};

use super::{Answer, Plane, Run, Who, block, take};
use crate::agent::Job;
use crate::witness::FORGED;
use crate::workshop::Workshop;

/// Jobs that a runner does in a row when nobody else acts: what can be done together is done in one round.
const CALM_JOBS: usize = 40;

impl Run {
    pub(super) fn agent_acts(&mut self) {
        let agent = self.rng.usize(..self.agents.len());
        self.agents[agent].make_room();
        let jobs = self.agents[agent].jobs.len();
        if jobs > 0 && self.rng.u32(..4) > 0 {
            let job = self.rng.usize(..jobs);
            return self.job_acts(agent, job);
        }
        if self.agents[agent].is_free() && !self.agents[agent].is_taking {
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
            (None, die) if die == 0 || !job.has_room => {
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
            // While the runner is slow, somebody else puts something there.
            (Some(result), 0) if self.forges(&result) => {}
            (Some(result), _) if self.hands_in(&result) => self.agents[agent].drop_job(&attempt),
            (Some(result), _) => {
                let Some(job) = self.agents[agent].job(&attempt) else {
                    return;
                };
                job.is_calling = true;
                if self.gate.happens(|rates| rates.impostor) {
                    self.impostor(agent, &result);
                }
                self.call(agent, Some(attempt), move |control| async move {
                    Answer::Finished(control.finish(&id, &result).await.ok())
                });
            }
        }
    }

    /// Puts the result into the store, if it does, and has nothing more to do with it. The store tells of it never,
    /// once, or twice.
    fn hands_in(&mut self, result: &ResultManifest) -> bool {
        let secrets = [
            ("builder", memory::BUILDER_SECRET),
            ("signer", memory::SIGNER_SECRET),
        ];
        let own = secrets.iter().find(|(id, _)| *id == result.runner.as_str());
        let Some((_, secret)) = own else { return false };
        if !self.gate.happens(|rates| rates.handed_in) {
            return false;
        }
        let key = SigningKey::from_bytes(secret);
        let (place, document) = HandedIn::sign(&key, result, self.memory.clock().now() / 1_000);
        self.memory.store().hand_in(&place, document);
        let times = self.rng.usize(..3);
        self.log
            .push(format!("{place} is handed in, and told {times} times"));
        self.told.extend(std::iter::repeat_n(place, times));
        true
    }

    /// Somebody puts a result there in the name of who has the attempt.
    fn forges(&mut self, said: &ResultManifest) -> bool {
        if !self.gate.happens(|rates| rates.handed_in) {
            return false;
        }
        let mut result = said.clone();
        result.started = FORGED;
        let key = SigningKey::from_bytes(&[7; 32]);
        let (place, document) = HandedIn::sign(&key, &result, self.memory.clock().now() / 1_000);
        self.log.push(format!("somebody forges {place}"));
        self.memory.store().hand_in(&place, document);
        self.told.push(place);
        true
    }

    /// A process hears of a result. What it does not take in is told again.
    pub(super) fn collect(&mut self) {
        let place = self.told.swap_remove(self.rng.usize(..self.told.len()));
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future = Box::pin(async move {
            match control.collect(&place).await {
                Ok(_) => Answer::Nothing,
                Err(_) => Answer::NotCollected(place),
            }
        });
        self.under_way((plane, "a collect"), Who::Nobody, future);
    }

    fn outcome(&mut self, grant: &runner_api::Grant) -> Outcome {
        let is_ill = self.has_trouble || self.is_poisoned(grant);
        if is_ill || self.gate.happens(|rates| rates.trouble) {
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
            // What the result names is not what was stored, or was not stored at all.
            if self.rng.bool() {
                artifact.size += 1;
            } else {
                artifact.sha256 = Sha256Digest::new([self.rng.u8(..); 32]);
            }
        }
        outcome
    }

    /// The same tasks again and again, as long as there are faults.
    fn is_poisoned(&self, grant: &runner_api::Grant) -> bool {
        let rate = self.gate.rate(|rates| rates.poison);
        let digits = u32::from_str_radix(&grant.task.id.as_str()[..4], 16).unwrap_or(0);
        f64::from(digits) < rate * 65_536.0
    }

    /// Another runner speaks of an attempt that it does not have.
    fn impostor(&mut self, agent: usize, said: &ResultManifest) {
        let other = (agent + 1) % self.agents.len();
        let id = self.agents[other].id.clone();
        let mut result = said.clone();
        result.runner = id.clone();
        self.log.push(format!(
            "{id} speaks of {} #{}, which it does not have",
            result.task, result.attempt
        ));
        let beat = Attempt {
            task: result.task.clone(),
            attempt: result.attempt,
        };
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future = Box::pin(async move {
            let _ = control.heartbeat(&id, &beat).await;
            let _ = control.finish(&id, &result).await;
            Answer::Nothing
        });
        self.under_way((plane, "the answer of another runner"), Who::Nobody, future);
    }

    /// A runner's call to a process that it happens to reach.
    fn call<F>(&mut self, agent: usize, attempt: Option<Attempt>, make: impl FnOnce(Plane) -> F)
    where
        F: Future<Output = Answer> + 'static,
    {
        let plane = self.rng.usize(..self.planes.len());
        let life = self.agents[agent].life;
        let future = Box::pin(make(self.planes[plane].clone()));
        let who = Who::Runner {
            agent,
            life,
            attempt,
        };
        self.under_way((plane, "a runner's call"), who, future);
    }

    pub(super) fn hear(&mut self, who: &Who, answer: Answer) {
        let Who::Runner {
            agent,
            life,
            attempt,
        } = who
        else {
            if let Answer::NotCollected(place) = answer {
                self.told.push(place);
            }
            return;
        };
        let at = *agent;
        let agent = &mut self.agents[at];
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
                    let task = grant.task.clone();
                    agent.receives(*grant);
                    self.zombie_of(at, &task);
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

    pub(super) fn kill_runner(&mut self) {
        let agent = self.rng.usize(..self.agents.len());
        self.log.push(format!("kill -9 {}", self.agents[agent].id));
        let jobs = self.agents[agent].kill();
        if self.rng.bool() {
            self.zombies
                .extend(jobs.into_iter().map(|job| (agent, job)));
        }
    }

    /// The worst moment to wake up: the runner has just got the task once more.
    fn zombie_of(&mut self, agent: usize, task: &TaskRef) {
        let is_it = |(who, job): &(usize, Job)| *who == agent && job.grant.task == *task;
        if let Some(at) = self.zombies.iter().position(is_it) {
            let zombie = self.zombies.remove(at);
            self.zombies.push(zombie);
            self.zombie_speaks();
        }
    }

    /// A paused runner wakes up and says what it had to say, however old it is.
    pub(super) fn zombie_speaks(&mut self) {
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
        self.under_way((plane, "a late answer"), Who::Nobody, future);
    }

    /// One agent's turn when nobody else acts: asks for work, and ends what it has.
    pub(super) fn serve(&mut self, agent: usize) -> bool {
        let control = self.control();
        let id = self.agents[agent].id.clone();
        let mut moved = false;
        while self.agents[agent].jobs.len() < CALM_JOBS {
            match block(take(&control, &id)) {
                Ok(Taken::Granted(grant)) => {
                    moved = true;
                    self.attempts += 1;
                    self.agents[agent].receives(*grant);
                }
                Ok(Taken::Nothing) => break,
                Err(error) => {
                    self.trouble(&error);
                    break;
                }
            }
        }
        for mut job in std::mem::take(&mut self.agents[agent].jobs) {
            if self.holds_builds && matches!(job.grant.spec, TaskSpec::Build(_)) {
                if let Some(job) = self.hold(&id, job) {
                    self.agents[agent].jobs.push(job);
                }
                continue;
            }
            moved = true;
            if job.result.is_none() {
                let outcome = self.outcome(&job.grant);
                job.says(&id, outcome);
            }
            let Some(result) = &job.result else { continue };
            if let Err(error) = block(self.control().finish(&id, result)) {
                self.trouble(&error);
                // It says the same again.
                self.agents[agent].jobs.push(job);
            }
        }
        moved
    }

    /// Goes on with a job until it hears that it is not wanted. `None`: it gave it back.
    fn hold(&mut self, id: &RunnerId, mut job: Job) -> Option<Job> {
        let control = self.control();
        if job.result.is_none() {
            match block(control.heartbeat(id, &job.attempt())) {
                Ok(HeartbeatReply::Continue) => return Some(job),
                Ok(HeartbeatReply::Lost) => return None,
                Ok(HeartbeatReply::Cancel { reason }) => {
                    job.says(id, Outcome::HandedBack { reason });
                }
                Err(error) => {
                    self.trouble(&error);
                    return Some(job);
                }
            }
        }
        let result = job.result.as_ref()?;
        match block(control.finish(id, result)) {
            Ok(_) => None,
            Err(error) => {
                self.trouble(&error);
                Some(job)
            }
        }
    }

    /// From now on runners keep builds, or no more.
    pub(crate) fn hold_builds(&mut self, holds: bool) {
        self.holds_builds = holds;
    }

    /// From now on runners have trouble with everything, or no more.
    pub(crate) fn have_trouble(&mut self, has: bool) {
        self.has_trouble = has;
    }

    pub(crate) fn is_building(&self) -> bool {
        let mut jobs = self.agents.iter().flat_map(|agent| &agent.jobs);
        jobs.any(|job| matches!(job.grant.spec, TaskSpec::Build(_)))
    }
}
