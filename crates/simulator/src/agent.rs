//! A runner as the control plane sees it: asks, beats, answers, dies, and sometimes comes back.

use std::num::NonZeroU32;

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
    /// Slots that it has, as the last grant said.
    capacity: u32,
    pub(crate) jobs: Vec<Job>,
}

/// An attempt in a runner's hands.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) grant: Grant,
    /// See [`Agent::off`].
    off: i64,
    /// It has its slots. One without them waits, and beats.
    pub(crate) has_room: bool,
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
            capacity: 1,
            jobs: Vec::new(),
        }
    }

    /// Whether it has a free slot, and nobody waits for more.
    pub(crate) fn is_free(&self) -> bool {
        self.jobs.iter().all(|job| job.has_room) && self.used() < self.capacity
    }

    pub(crate) fn receives(&mut self, grant: Grant) {
        self.capacity = grant.capacity.map_or(1, NonZeroU32::get);
        self.jobs.push(Job::new(grant, self.off));
        self.make_room();
    }

    /// Who waits begins, as soon as there are slots for it; with all of them it is alone.
    pub(crate) fn make_room(&mut self) {
        let free = self.capacity.saturating_sub(self.used());
        let capacity = self.capacity;
        let waiting = self.jobs.iter_mut().find(|job| !job.has_room);
        if let Some(job) = waiting.filter(|job| job.slots(capacity) <= free) {
            job.has_room = true;
        }
    }

    fn used(&self) -> u32 {
        let running = self.jobs.iter().filter(|job| job.has_room);
        running.map(|job| job.slots(self.capacity)).sum()
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
            has_room: false,
            result: None,
            is_calling: false,
        }
    }

    fn slots(&self, capacity: u32) -> u32 {
        u32::from(self.grant.weight.slots()).min(capacity)
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
