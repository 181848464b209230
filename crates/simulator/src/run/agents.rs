//! The runners' half of a run: what they ask, what they hear, how they die.

use std::future::Future;

use control::Taken;
use runner_api::HeartbeatReply;
use runner_api::Outcome;
use runner_api::protocol::Attempt;

use super::{Answer, Call, Plane, Run, Who, block, take};
use crate::agent::Job;
use crate::workshop::Workshop;

impl Run {
    pub(super) fn agent_acts(&mut self) {
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

    pub(super) fn hear(&mut self, who: &Who, answer: Answer) {
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

    pub(super) fn kill_runner(&mut self) {
        let agent = self.rng.usize(..self.agents.len());
        self.log.push(format!("kill -9 {}", self.agents[agent].id));
        let jobs = self.agents[agent].kill();
        if self.rng.bool() {
            self.zombies
                .extend(jobs.into_iter().map(|job| (agent, job)));
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
        self.calls.push(Call {
            plane,
            who: Who::Nobody,
            future,
        });
    }

    pub(super) fn serve(&mut self, agent: usize) -> bool {
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
}
