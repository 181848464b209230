//! Runners that a plan needs and that are not there: enrolled none, or silent all.
//!
//! Who was heard is known to the process that runners call, and to no other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger::Millis;
use pipeline_spec::{Architecture, Role, Runner, RunnerId};
use serde::{Deserialize, Serialize};

use crate::forecast::can_do;
use crate::jobs::{Job, Kind};

/// A runner that is well asks for work or sends a heartbeat every half minute. What is said of a silence is one of
/// these, so that it is not said anew each minute.
const SILENCES: [(Millis, &str); 6] = [
    (7 * 24 * 3_600_000, "a week"),
    (24 * 3_600_000, "a day"),
    (12 * 3_600_000, "12 hours"),
    (3 * 3_600_000, "3 hours"),
    (3_600_000, "an hour"),
    (10 * 60_000, "10 minutes"),
];

/// Work of a plan that would wait for a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunNeed {
    /// What it has to do.
    pub role: Role,
    /// For which architecture; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// How many tasks wait, by kind: `source`, `build`, `test`, …
    pub tasks: BTreeMap<String, usize>,
    /// Enrolled ones that are silent; none: there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<RunnerId>,
    /// For how long all of them have been silent at least, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<String>,
}

impl DryRunNeed {
    /// For people.
    pub fn sentence(&self) -> String {
        let work = self.work();
        let arch = self.arch.as_ref();
        let arch = arch.map(|arch| format!(" for {arch}")).unwrap_or_default();
        let (one, many) = match self.role {
            Role::BuildRpm | Role::BuildDeb => ("builds", "build"),
            Role::Test => ("tests", "test"),
            Role::Sign => ("signs", "sign"),
            Role::Compose => ("composes", "compose"),
        };
        let for_how_long = self.silence.as_deref().unwrap_or("a while");
        match &self.silent[..] {
            [] => {
                let or = self
                    .arch
                    .as_ref()
                    .map_or("", |_| ", or take the architecture out");
                let role = self.role;
                format!(
                    "no runner {one}{arch}: {work} would wait. Enrol one with the role `{role}` in runners/{or}"
                )
            }
            [runner] => format!(
                "the only runner that {one}{arch} ({runner}) was not heard of for more than {for_how_long}: {work} would wait for it"
            ),
            [runner, others @ ..] => {
                let others = others.len();
                format!(
                    "none of the runners that {many}{arch} ({runner} and {others} more) was heard of for more than {for_how_long}: {work} would wait for them"
                )
            }
        }
    }

    /// `1 source and 3 builds`.
    fn work(&self) -> String {
        let counts = self.tasks.iter().map(|(kind, n)| match n {
            1 => format!("1 {kind}"),
            n => format!("{n} {kind}s"),
        });
        let counts: Vec<String> = counts.collect();
        match &counts[..] {
            [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
            all => all.join(""),
        }
    }
}

/// What people call such a task here.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "source",
        Kind::Build => "build",
        Kind::Test => "test",
        Kind::SignPackages | Kind::SignMetadata => "signing task",
        Kind::Compose => "compose task",
        Kind::Smoke => "smoke test",
    }
}

/// By role and architecture. `silent_for`: milliseconds since a runner was heard of, where that is known.
pub(crate) fn needs(
    jobs: &[Job],
    runners: &BTreeMap<RunnerId, Runner>,
    silent_for: impl Fn(&RunnerId) -> Option<Millis>,
) -> Vec<DryRunNeed> {
    let mut needs: BTreeMap<(Role, Option<Architecture>), DryRunNeed> = BTreeMap::new();
    for job in jobs {
        let need = needs.entry((job.role, job.arch.clone()));
        let need = need.or_insert_with(|| {
            let can = runners.iter().filter(|(_, runner)| can_do(runner, job));
            DryRunNeed {
                role: job.role,
                arch: job.arch.clone(),
                tasks: BTreeMap::new(),
                silent: can.map(|(id, _)| id.clone()).collect(),
                silence: None,
            }
        });
        let kind = word(job.series.kind).to_owned();
        *need.tasks.entry(kind).or_default() += 1;
    }
    let mut missing = Vec::new();
    for mut need in needs.into_values() {
        // `None` is less than any time: one that is well, or of which nobody knows.
        let shortest = need.silent.iter().map(&silent_for).min().flatten();
        need.silence = shortest.and_then(in_words);
        if need.silent.is_empty() || need.silence.is_some() {
            missing.push(need);
        }
    }
    missing
}

/// `None`: so short that it says nothing.
fn in_words(silence: Millis) -> Option<String> {
    let (_, words) = SILENCES.iter().find(|(millis, _)| silence > *millis)?;
    Some((*words).to_owned())
}

/// When runners called this process last.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// The first call of all: before it nobody was heard, and that says nothing.
    since: Option<Millis>,
    last: BTreeMap<RunnerId, Millis>,
}

impl Heard {
    /// A runner has called.
    pub(crate) fn note(&self, runner: &RunnerId, now: Millis) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.since.get_or_insert(now);
        calls.last.insert(runner.clone(), now);
    }

    /// How long it has been silent, or at least. `None`: runners do not call here.
    pub(crate) fn silent_for(&self, runner: &RunnerId, now: Millis) -> Option<Millis> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = calls.last.get(runner).copied().or(calls.since)?;
        Some(now.saturating_sub(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Series;

    fn job(kind: Kind, role: Role, arch: Option<&str>) -> Job {
        Job {
            series: Series {
                kind,
                subject: "package/app".to_owned(),
                name: String::new(),
            },
            role,
            arch: arch.map(|arch| arch.parse().expect("an architecture")),
            slots: 1,
            after: Vec::new(),
        }
    }

    fn runners(all: &[(&str, &str, &str)]) -> BTreeMap<RunnerId, Runner> {
        let runner = |(id, role, arch): &(&str, &str, &str)| {
            let runner = serde_json::json!({
                "key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                "roles": [role],
                "architectures": [arch],
            });
            let runner = serde_json::from_value(runner).expect("a runner");
            (id.parse().expect("an id"), runner)
        };
        all.iter().map(runner).collect()
    }

    #[test]
    fn what_is_missing_is_said_in_a_sentence() {
        let build = job(Kind::Build, Role::BuildRpm, Some("ppc64le"));
        let source = job(Kind::Source, Role::BuildRpm, Some("ppc64le"));
        let sign = job(Kind::SignMetadata, Role::Sign, None);
        let p9 = ("p9", "build-rpm", "ppc64le");
        let p10 = ("p10", "build-rpm", "ppc64le");
        let check =
            |jobs: &[&Job], all: &[(&str, &str, &str)], hours: Option<Millis>, expect: &[&str]| {
                let jobs: Vec<Job> = jobs.iter().map(|job| (*job).clone()).collect();
                let silent_for = |_: &RunnerId| hours.map(|hours| hours * 3_600_000 + 1);
                let found = needs(&jobs, &runners(all), silent_for);
                let found: Vec<String> = found.iter().map(DryRunNeed::sentence).collect();
                assert_eq!(found, expect);
            };
        check(&[&build], &[p9], None, &[]);
        check(&[&build], &[p9], Some(0), &[]);
        check(
            &[&build, &build, &source],
            &[("x", "build-rpm", "x86_64")],
            None,
            &[
                "no runner builds for ppc64le: 2 builds and 1 source would wait. Enrol one with the role `build-rpm` in runners/, or take the architecture out",
            ],
        );
        check(
            &[&sign],
            &[p9],
            None,
            &[
                "no runner signs: 1 signing task would wait. Enrol one with the role `sign` in runners/",
            ],
        );
        check(
            &[&build],
            &[p9],
            Some(4),
            &[
                "the only runner that builds for ppc64le (p9) was not heard of for more than 3 hours: 1 build would wait for it",
            ],
        );
        check(
            &[&build],
            &[p9, p10],
            Some(30),
            &[
                "none of the runners that build for ppc64le (p10 and 1 more) was heard of for more than a day: 1 build would wait for them",
            ],
        );
    }

    #[test]
    fn one_that_is_well_is_enough() {
        let heard = Heard::default();
        let [one, other]: [RunnerId; 2] = ["one", "other"].map(|id| id.parse().expect("an id"));
        assert_eq!(heard.silent_for(&one, 5), None, "nobody calls here");
        heard.note(&one, 10);
        assert_eq!(heard.silent_for(&one, 15), Some(5));
        assert_eq!(
            heard.silent_for(&other, 15),
            Some(5),
            "as long as it was listened"
        );
        let jobs = [job(Kind::Build, Role::BuildRpm, Some("ppc64le"))];
        let both = runners(&[
            ("one", "build-rpm", "ppc64le"),
            ("other", "build-rpm", "ppc64le"),
        ]);
        let now = 10 + 11 * 60_000;
        let found = needs(&jobs, &both, |id| heard.silent_for(id, now));
        assert_eq!(found.len(), 1);
        heard.note(&other, now);
        assert_eq!(needs(&jobs, &both, |id| heard.silent_for(id, now)), []);
    }
}
