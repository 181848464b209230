//! Dollars for what is to be done.

use serde::{Deserialize, Serialize};

use crate::amounts::{Amounts, Assumptions};
use crate::fixed::Shape;
use crate::measured::{Job, Measured};
use crate::prices::Item;

/// Builds of a mass rebuild: a large distribution, on two architectures.
pub const MASS_BUILDS: u64 = 50_000;
/// MiB of a GB, as AWS bills it: GiB.
const MIB_PER_GB: f64 = 1_024.0;

/// Tasks that are to be done, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Builds.
    pub builds: u64,
    /// Sources and tests.
    pub around: u64,
    /// Of releases: packages and metadata signed, repositories composed, smoke tests.
    pub release: u64,
}

impl Work {
    /// All of them.
    pub fn tasks(self) -> u64 {
        self.builds + self.around + self.release
    }

    /// Minutes that runners work.
    fn minutes(self, assumed: &Assumptions) -> f64 {
        let others = (self.around + self.release) as f64;
        self.builds as f64 * assumed.build_minutes + others * assumed.other_minutes
    }
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub what: String,
    /// In US dollars.
    pub dollars: f64,
}

/// What something costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tasks.
    pub tasks: u64,
    /// Of these, builds.
    pub builds: u64,
    /// Requests of the control plane to DynamoDB, SQS and S3, from plan to done, as counted.
    pub requests: f64,
    /// The same for heartbeats and, of a mass rebuild, sweeps: by the minutes that were assumed.
    pub requests_by_the_minute: f64,
    /// Of the control plane, with its functions and the runners' transfers, in US dollars.
    pub control_plane: f64,
    /// Of machines that run tasks, in US dollars.
    pub machines: f64,
    /// Of what is kept, in US dollars a month.
    pub storage_a_month: f64,
}

impl Estimate {
    /// In US dollars, with the first month of what is kept.
    pub fn dollars(&self) -> f64 {
        self.control_plane + self.machines + self.storage_a_month
    }

    /// Of `work` as `job` was, with as much of it as the tasks are.
    fn like(job: &Job, work: Work, measured: &Measured, assumed: &Assumptions) -> Self {
        let times = work.tasks() as f64 / job.tasks as f64;
        let minutes = work.minutes(assumed);
        let beats = minutes * 60.0 / assumed.heartbeat_seconds;
        // The first one of each attempt is told that none is wanted.
        let pieces = work.tasks() as f64;
        let mut amounts = Amounts::of(&job.usage, times, assumed);
        amounts.add_all(&Amounts::of(&measured.heartbeat, beats, assumed));
        amounts.add_all(&Amounts::of(&measured.log_piece, pieces, assumed));
        let of = |usage: &crate::Usage| usage.control_plane_requests() as f64;
        let hours = minutes / 60.0 / assumed.tasks_per_machine;
        let gigabytes = work.builds as f64 * assumed.build_mib / MIB_PER_GB;
        Self {
            tasks: work.tasks(),
            builds: work.builds,
            requests: of(&job.usage) * times,
            requests_by_the_minute: of(&measured.heartbeat) * beats
                + of(&measured.log_piece) * pieces,
            control_plane: amounts.dollars(),
            machines: assumed.machine.dollars(hours),
            storage_a_month: Item::StoreGbMonth.dollars(gigabytes),
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.builds += other.builds;
        self.requests += other.requests;
        self.requests_by_the_minute += other.requests_by_the_minute;
        self.control_plane += other.control_plane;
        self.machines += other.machines;
        self.storage_a_month += other.storage_a_month;
    }
}

/// Of one request. Releases are like the one that was counted, builds like the counted one of their size.
pub fn of_request(work: Work, measured: &Measured, assumed: &Assumptions) -> Estimate {
    let release = Work {
        release: work.release,
        ..Work::default()
    };
    let build = Work { release: 0, ..work };
    let job = measured.build_like(build.tasks());
    let mut estimate = Estimate::like(job, build, measured, assumed);
    estimate.add(&Estimate::like(
        &measured.release,
        release,
        measured,
        assumed,
    ));
    estimate
}

/// Of 50,000 builds with their sources and tests, in requests as large as the counted one. Releasing them is another matter.
pub fn mass_rebuild(measured: &Measured, assumed: &Assumptions) -> Estimate {
    let job = &measured.mass;
    let times = MASS_BUILDS / job.builds;
    let work = Work {
        builds: MASS_BUILDS,
        around: (job.tasks - job.builds) * times,
        release: 0,
    };
    let mut estimate = Estimate::like(job, work, measured, assumed);
    // All are merged at once: each sweep meets those that are still open, half of them on the average.
    let sweeps = work.minutes(assumed) / assumed.tasks_per_machine / assumed.machines;
    let met = sweeps * times as f64 / 2.0;
    let usage = &measured.open_request;
    estimate.control_plane += Amounts::of(usage, met, assumed).dollars();
    estimate.requests_by_the_minute += usage.control_plane_requests() as f64 * met;
    estimate
}

/// Of a month in which nothing happens, in lines that fall by price.
pub fn idle_month(shape: &Shape, measured: &Measured, assumed: &Assumptions) -> Vec<Line> {
    let parts = shape.idle(measured, assumed).into_iter();
    let mut lines: Vec<Line> = parts
        .map(|(what, amounts)| Line {
            what: what.to_owned(),
            dollars: amounts.dollars(),
        })
        .collect();
    lines.sort_by(|a, b| b.dollars.total_cmp(&a.dollars));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_parts() {
        let (measured, assumed) = (Measured::counted(), Assumptions::default());
        let build = Work {
            builds: 2,
            around: 3,
            release: 0,
        };
        let release = Work {
            release: 4,
            ..Work::default()
        };
        let mut sum = of_request(build, &measured, &assumed);
        // 2 builds of 10 minutes and 3 tasks of one, on one machine.
        let hours = 23.0 / 60.0;
        assert!((sum.machines - Item::ArmSpotHour.dollars(hours)).abs() < 1e-12);
        let job = measured.build_like(5);
        assert!((sum.requests - 5.0 * job.requests_per_task()).abs() < 1e-9);
        sum.add(&of_request(release, &measured, &assumed));
        let both = Work {
            release: 4,
            ..build
        };
        let both = of_request(both, &measured, &assumed);
        assert_eq!((both.tasks, both.builds), (sum.tasks, sum.builds));
        assert!((both.dollars() - sum.dollars()).abs() < 1e-12);
    }

    #[test]
    fn nothing_costs_nothing() {
        let nothing = of_request(
            Work::default(),
            &Measured::counted(),
            &Assumptions::default(),
        );
        assert_eq!(nothing, Estimate::default());
    }

    #[test]
    fn a_mass_rebuild_is_whole_requests() {
        let measured = Measured::counted();
        assert_eq!(MASS_BUILDS % measured.mass.builds, 0);
        let mass = mass_rebuild(&measured, &Assumptions::default());
        assert_eq!(mass.builds, MASS_BUILDS);
        let per_task = mass.requests / mass.tasks as f64;
        assert!((per_task - measured.mass.requests_per_task()).abs() < 1e-9);
    }
}
