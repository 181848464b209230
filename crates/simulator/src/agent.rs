//! A runner as the control plane sees it: asks, beats, answers, dies, and sometimes comes back.

use pipeline_spec::RunnerId;
use runner_api::protocol::Attempt;
use runner_api::{Grant, Outcome, ResultManifest};

/// A runner's memory. What it does next is the scheduler's choice.
pub(crate) struct Agent {
    pub(crate) id: RunnerId,
    /// Raised when it is killed: answers to an earlier life are not heard.
    pub(crate) life: u32,
    /// It waits for an answer to a take.
    pub(crate) is_taking: bool,
    /// How far its clock is off, in seconds.
    pub(crate) off: i64,
    pub(crate) jobs: Vec<Job>,
}

/// An attempt in a runner's hands.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) grant: Grant,
    /// See [`Agent::off`].
    off: i64,
    /// What it has to say, once it is done.
    pub(crate) result: Option<ResultManifest>,
    /// A call about it is under way.
    pub(crate) is_calling: bool,
}

impl Agent {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.parse().expect("a runner's id"),
            life: 0,
            is_taking: false,
            off: 0,
            jobs: Vec::new(),
        }
    }

    /// Its memory is gone. Answers what it had.
    pub(crate) fn kill(&mut self) -> Vec<Job> {
        self.life += 1;
        self.is_taking = false;
        std::mem::take(&mut self.jobs)
    }

    pub(crate) fn job(&mut self, attempt: &Attempt) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.attempt() == *attempt)
    }

    pub(crate) fn drop_job(&mut self, attempt: &Attempt) {
        self.jobs.retain(|job| job.attempt() != *attempt);
    }
}

impl Job {
    pub(crate) fn new(grant: Grant, off: i64) -> Self {
        Self {
            grant,
            off,
            result: None,
            is_calling: false,
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            task: self.grant.task.clone(),
            attempt: self.grant.attempt,
        }
    }

    pub(crate) fn says(&mut self, runner: &RunnerId, outcome: Outcome) {
        self.result = Some(ResultManifest {
            version: runner_api::VERSION,
            task: self.grant.task.clone(),
            attempt: self.grant.attempt,
            runner: runner.clone(),
            outcome,
            log: None,
            started: 1_782_864_000 + self.off,
            finished: 1_782_864_060 + self.off,
        });
    }
}
