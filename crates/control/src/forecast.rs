//! How long the work of a plan takes, from how long earlier tasks took.
//!
//! Pure. The answer is the longer of two: the longest chain of tasks that wait for each other, and the work of all tasks
//! over the capacity of the runners that can do it. What waits in the queues in front of it is not in it, nor are
//! failures. Each of [`DRAWS`] times every task takes as long as one of its like took, by a fixed row of numbers: so
//! many uncertain tasks together are less uncertain than one, and the same history gives the same answer.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_spec::{Runner, RunnerId};
use serde::{Deserialize, Serialize};

use crate::jobs::{Job, Kind, Series};

/// An odd number has a median.
const DRAWS: u64 = 101;

/// Seconds that earlier tasks took.
pub(crate) type History = BTreeMap<Series, Vec<u32>>;

/// How long the work of a plan is expected to take, without what waits in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The median, in seconds.
    pub seconds: u64,
    /// It is done earlier in one of ten cases.
    pub low: u64,
    /// It takes longer in one of ten cases.
    pub high: u64,
    /// How many tasks there are.
    pub tasks: usize,
    /// Of those, how many are like no earlier one: they are taken to be as the others of their kind.
    pub unknown: usize,
}

impl Forecast {
    /// `about 12 min (8 to 25); 3 of 8 tasks were never run before`.
    pub fn phrase(&self) -> String {
        let unit = Unit::of(self.seconds);
        let [low, middle, high] = [self.low, self.seconds, self.high].map(|it| unit.rounded(it));
        let mut phrase = format!("about {middle} {}", unit.word());
        if low != high {
            phrase.push_str(&format!(" ({low} to {high})"));
        }
        match (self.unknown, self.tasks) {
            (0, _) => {}
            (1, all) => phrase.push_str(&format!("; 1 of {all} tasks was never run before")),
            (n, all) => phrase.push_str(&format!("; {n} of {all} tasks were never run before")),
        }
        phrase
    }
}

/// Nobody is helped by seconds of an hour.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Minutes,
    Hours,
}

impl Unit {
    fn of(seconds: u64) -> Self {
        match seconds {
            0..90 => Self::Seconds,
            90..7_200 => Self::Minutes,
            _ => Self::Hours,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }

    /// Above 20 in steps of 5; never nothing.
    fn rounded(self, seconds: u64) -> u64 {
        let one = match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => 3_600,
        };
        match (seconds + one / 2) / one {
            n @ 0..20 => n.max(1),
            n => (n + 2) / 5 * 5,
        }
    }
}

/// `None`: no task is like an earlier one, or there are none.
pub(crate) fn forecast(
    jobs: &[Job],
    history: &History,
    runners: &BTreeMap<RunnerId, Runner>,
) -> Option<Forecast> {
    let of_kind = by_kind(history);
    let known = |job: &Job| history.get(&job.series).filter(|them| !them.is_empty());
    let unknown = jobs.iter().filter(|job| known(job).is_none()).count();
    if unknown == jobs.len() {
        return None;
    }
    let samples: Vec<&[u32]> = jobs
        .iter()
        .map(|job| known(job).or_else(|| of_kind.get(&job.series.kind)))
        .map(|samples| samples.map_or(&[][..], Vec::as_slice))
        .collect();
    let (order, teams) = (order(jobs), teams(jobs, runners));
    let mut ends: Vec<u64> = (0..DRAWS)
        .map(|draw| {
            let took = |(at, samples): (usize, &&[u32])| pick(samples, draw, at as u64);
            let took: Vec<u64> = samples.iter().enumerate().map(took).collect();
            let busiest = teams.iter().map(|team| team.busy(jobs, &took)).max();
            longest(jobs, &order, &took).max(busiest.unwrap_or_default())
        })
        .collect();
    ends.sort_unstable();
    let at = |percent: u64| ends[((DRAWS - 1) * percent / 100) as usize];
    Some(Forecast {
        seconds: at(50),
        low: at(10),
        high: at(90),
        tasks: jobs.len(),
        unknown,
    })
}

fn by_kind(history: &History) -> BTreeMap<Kind, Vec<u32>> {
    let mut of_kind: BTreeMap<Kind, Vec<u32>> = BTreeMap::new();
    for (series, samples) in history {
        of_kind.entry(series.kind).or_default().extend(samples);
    }
    of_kind
}

/// One of `samples`, another one for each task and draw: splitmix64.
fn pick(samples: &[u32], draw: u64, at: u64) -> u64 {
    if samples.is_empty() {
        return 0;
    }
    let mut z = (draw << 32 | at).wrapping_add(1);
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let nth = (z ^ (z >> 31)) % samples.len() as u64;
    u64::from(samples[nth as usize])
}

/// Runners, and the jobs that nobody else can do.
struct Team {
    jobs: Vec<usize>,
    /// Slots of them all.
    slots: u64,
}

impl Team {
    fn busy(&self, jobs: &[Job], took: &[u64]) -> u64 {
        let work = self.jobs.iter();
        let work = work.map(|at| took[*at] * u64::from(jobs[*at].slots));
        work.sum::<u64>() / self.slots
    }
}

/// A team for each set of runners that some job needs. Of what no runner can do there is none: that is told beside.
fn teams(jobs: &[Job], runners: &BTreeMap<RunnerId, Runner>) -> Vec<Team> {
    let mut sets: BTreeMap<BTreeSet<&RunnerId>, Vec<usize>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        let can = runners.iter().filter(|(_, it)| can_do(it, job));
        let can: BTreeSet<&RunnerId> = can.map(|(id, _)| id).collect();
        if !can.is_empty() {
            sets.entry(can).or_default().push(at);
        }
    }
    let team = |set: &BTreeSet<&RunnerId>| Team {
        jobs: sets
            .iter()
            .filter(|(other, _)| other.is_subset(set))
            .flat_map(|(_, jobs)| jobs)
            .copied()
            .collect(),
        slots: set
            .iter()
            .map(|id| u64::from(runners[*id].capacity.get()))
            .sum(),
    };
    sets.keys().map(team).collect()
}

/// Whether a runner does such tasks.
pub(crate) fn can_do(runner: &Runner, job: &Job) -> bool {
    match &job.arch {
        Some(arch) => runner.serves(job.role, arch),
        None => runner.roles.contains(&job.role),
    }
}

/// Each job behind those that it waits for. Jobs that wait for each other are left out.
fn order(jobs: &[Job]) -> Vec<usize> {
    let mut waits: Vec<usize> = jobs.iter().map(|job| job.after.len()).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (at, job) in jobs.iter().enumerate() {
        job.after.iter().for_each(|before| next[*before].push(at));
    }
    let mut order: Vec<usize> = (0..jobs.len()).filter(|at| waits[*at] == 0).collect();
    let mut done = 0;
    while let Some(at) = order.get(done).copied() {
        done += 1;
        for after in &next[at] {
            waits[*after] -= 1;
            if waits[*after] == 0 {
                order.push(*after);
            }
        }
    }
    order
}

/// When the last one ends, if everything had a runner at once.
fn longest(jobs: &[Job], order: &[usize], took: &[u64]) -> u64 {
    let mut ends = vec![0; jobs.len()];
    for at in order {
        let begins = jobs[*at].after.iter().map(|before| ends[*before]).max();
        ends[*at] = begins.unwrap_or_default() + took[*at];
    }
    ends.into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pipeline_spec::{Architecture, Role};

    use super::*;

    /// `subject after...`, by places.
    fn job(subject: &str, arch: &str, after: &[usize]) -> Job {
        Job {
            series: Series {
                kind: Kind::Build,
                subject: subject.to_owned(),
                name: format!("build el-10 {arch}"),
            },
            role: Role::BuildRpm,
            arch: Some(arch.parse::<Architecture>().expect("an architecture")),
            slots: 1,
            after: after.to_vec(),
        }
    }

    fn runners(capacities: &[(&str, u32, &[&str])]) -> BTreeMap<RunnerId, Runner> {
        let runner = |(id, capacity, archs): &(&str, u32, &[&str])| {
            let runner = serde_json::json!({
                "key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                "roles": ["build-rpm"],
                "architectures": archs,
                "capacity": capacity,
            });
            let runner = serde_json::from_value(runner).expect("a runner");
            (id.parse().expect("an id"), runner)
        };
        capacities.iter().map(runner).collect()
    }

    /// Tasks took so many minutes.
    fn history(jobs: &[Job], minutes: &[&[u32]]) -> History {
        let took = |minutes: &&[u32]| minutes.iter().map(|it| it * 60).collect::<Vec<u32>>();
        let series = jobs.iter().map(|job| job.series.clone());
        let all = series.zip(minutes.iter().map(took));
        all.filter(|(_, took)| !took.is_empty()).collect()
    }

    #[test]
    fn the_longer_of_chain_and_work_counts() {
        let check = |after: &[&[usize]], capacity: u32, minutes: u64| {
            let jobs: Vec<Job> = after
                .iter()
                .enumerate()
                .map(|(at, after)| job(&format!("package/{at}"), "x86_64", after))
                .collect();
            let took = vec![&[10][..]; jobs.len()];
            let runners = runners(&[("one", capacity, &["x86_64"])]);
            let found = forecast(&jobs, &history(&jobs, &took), &runners);
            let found = found.expect("all is known");
            assert_eq!([found.low, found.seconds, found.high], [minutes * 60; 3]);
        };
        check(&[&[], &[], &[]], 1, 30);
        check(&[&[], &[], &[]], 3, 10);
        check(&[&[], &[0], &[1]], 3, 30);
        check(&[&[], &[0], &[0]], 3, 20);
        // A circle is no reason to wait for ever.
        check(&[&[1], &[0], &[]], 3, 10);
    }

    #[test]
    fn runners_of_two_architectures_help_where_they_can() {
        let jobs = [
            job("package/a", "x86_64", &[]),
            job("package/a", "ppc64le", &[]),
            job("package/b", "ppc64le", &[]),
        ];
        let history = history(&jobs, &[&[10], &[10], &[10]]);
        let check = |all: &[(&str, u32, &[&str])], minutes: Option<u64>| {
            let found = forecast(&jobs, &history, &runners(all));
            assert_eq!(found.map(|it| it.seconds / 60), minutes, "{all:?}");
        };
        check(&[("x", 1, &["x86_64"]), ("p", 1, &["ppc64le"])], Some(20));
        check(
            &[("x", 1, &["x86_64", "ppc64le"]), ("p", 1, &["ppc64le"])],
            Some(15),
        );
        check(&[("x", 1, &["x86_64", "ppc64le"])], Some(30));
        // What nobody can do is told of elsewhere.
        check(&[("x", 1, &["x86_64"])], Some(10));
    }

    #[test]
    fn a_heavy_build_takes_more_of_a_runner() {
        let mut jobs = [
            job("package/a", "x86_64", &[]),
            job("package/b", "x86_64", &[]),
        ];
        jobs[0].slots = 3;
        let history = history(&jobs, &[&[10], &[10]]);
        let found = forecast(&jobs, &history, &runners(&[("x", 2, &["x86_64"])]));
        assert_eq!(found.expect("all is known").seconds, 20 * 60);
    }

    #[test]
    fn the_spread_is_that_of_history() {
        let jobs = [job("package/a", "x86_64", &[])];
        let took: Vec<u32> = (1..=10).collect();
        let runners = runners(&[("x", 1, &["x86_64"])]);
        let found = forecast(&jobs, &history(&jobs, &[&took]), &runners);
        let found = found.expect("it is known");
        assert!((1..=2).contains(&(found.low / 60)), "{found:?}");
        assert!((4..=7).contains(&(found.seconds / 60)), "{found:?}");
        assert!((9..=10).contains(&(found.high / 60)), "{found:?}");
    }

    #[test]
    fn what_was_never_run_is_counted_and_nothing_is_made_of_nothing() {
        let jobs = [
            job("package/a", "x86_64", &[]),
            job("package/new", "x86_64", &[]),
        ];
        let runners = runners(&[("x", 1, &["x86_64"])]);
        let found = forecast(&jobs, &history(&jobs, &[&[10], &[]]), &runners);
        let found = found.expect("one is known");
        assert_eq!((found.unknown, found.tasks), (1, 2));
        // As long as others of its kind.
        assert_eq!(found.seconds, 20 * 60);
        assert_eq!(forecast(&jobs, &History::new(), &runners), None);
        assert_eq!(forecast(&[], &History::new(), &runners), None);
    }

    #[test]
    fn people_read_round_numbers() {
        let check = |[low, seconds, high]: [u64; 3], unknown: usize, expect: &str| {
            let forecast = Forecast {
                seconds,
                low,
                high,
                tasks: 8,
                unknown,
            };
            assert_eq!(forecast.phrase(), expect);
        };
        check([480, 725, 1510], 0, "about 12 min (8 to 25)");
        check([725, 725, 725], 0, "about 12 min");
        check(
            [480, 725, 1510],
            3,
            "about 12 min (8 to 25); 3 of 8 tasks were never run before",
        );
        check(
            [0, 0, 2],
            1,
            "about 1 s (1 to 2); 1 of 8 tasks was never run before",
        );
        check([22, 44, 88], 0, "about 45 s (20 to 90)");
        check([3_600, 9_000, 90_000], 0, "about 3 h (1 to 25)");
    }
}
