//! The exhaustive crash sweep: each golden scenario is played once for every call to the world, and that
//! call fails, or the process dies at it, before its effect or after it. All must end as the undisturbed
//! run does.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fastrand::Rng;

use crate::gate::{Armed, How};
use crate::history::{ADA, Act, Files};
use crate::outside::Outside;
use crate::rates::Rates;
use crate::run::Run;
use crate::upstream::{git_ref, url};

/// What people and runners do in a scenario.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The file is this from now on; `None`: it is gone.
    Push(&'static str, Option<Text>),
    /// Until nothing more happens.
    Calm,
    /// Until a runner has a build, and keeps it.
    Building,
    /// A person cancels the request.
    Cancel(&'static str),
    /// A person retries the request.
    Retry(&'static str),
    /// From now on runners have trouble with everything, or no more.
    Trouble(bool),
    /// The ledger and the queues are lost, and a person rebuilds them.
    Recover,
}

/// A request's file.
#[derive(Debug, Clone, Copy)]
enum Text {
    /// Packages with their versions, for one or two architectures of el-10.
    Build(&'static [(&'static str, u32)], &'static str),
    /// Builds, and the repositories that they are released to.
    Release(&'static [&'static str], &'static str),
}

use Step::{Building, Calm, Cancel, Push, Recover, Retry, Trouble};
use Text::{Build, Release};

/// A golden scenario.
pub struct Scene {
    /// What people call it.
    pub name: &'static str,
    before: &'static [Step],
    then: &'static [Step],
}

const A: &str = "builds/2026/11/a.yaml";
const R: &str = "releases/2026/11/r.yaml";
const ONE: &str = "{el-10: [x86_64]}";
const BUILT: &[Step] = &[Push(A, Some(Build(&[("app", 1)], ONE))), Calm];
const RELEASED: &[Step] = &[
    Push(A, Some(Build(&[("app", 1)], ONE))),
    Calm,
    Push(R, Some(Release(&[A], "[base, extra]"))),
    Calm,
];
const ILL: &[Step] = &[
    Trouble(true),
    Push(A, Some(Build(&[("app", 1)], ONE))),
    Calm,
    Trouble(false),
];

/// All golden scenarios.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "a build",
        before: &[],
        then: &[Push(A, Some(Build(&[("app", 1)], "{el-10}"))), Calm],
    },
    Scene {
        name: "a batch with dependencies",
        before: &[],
        then: &[
            Push(A, Some(Build(&[("app", 1), ("gui", 1), ("lib", 1)], ONE))),
            Calm,
        ],
    },
    Scene {
        name: "a release over two repositories",
        before: BUILT,
        then: &[Push(R, Some(Release(&[A], "[base, extra]"))), Calm],
    },
    Scene {
        name: "a revert",
        before: RELEASED,
        then: &[Push(R, None), Calm],
    },
    Scene {
        name: "an edit that supersedes",
        before: &[],
        then: &[
            Push(A, Some(Build(&[("app", 1)], ONE))),
            Building,
            Push(A, Some(Build(&[("app", 2), ("tool", 2)], ONE))),
            Calm,
        ],
    },
    Scene {
        name: "a cancel during a build",
        before: &[],
        then: &[
            Push(A, Some(Build(&[("app", 1)], ONE))),
            Building,
            Cancel(A),
            Calm,
        ],
    },
    Scene {
        name: "a retry",
        before: ILL,
        then: &[Retry(A), Calm],
    },
    Scene {
        name: "a recover",
        before: RELEASED,
        then: &[Recover, Calm],
    },
];

/// What came of one scenario.
#[derive(Debug, Clone)]
pub struct Swept {
    /// Calls of the undisturbed run.
    pub calls: usize,
    /// Runs with a failure.
    pub runs: usize,
    /// What ended otherwise, and with which failure.
    pub violations: Vec<String>,
}

/// Violations after which the rest of a scenario is not played.
const ENOUGH: usize = 5;

/// Which calls of a scenario fail, one a run.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// How far apart they are.
    pub every: NonZeroUsize,
    /// Calls before the first of them.
    pub from: usize,
}

impl Calls {
    /// Each of them.
    pub const ALL: Self = Self::every(1);

    /// Each `n`-th, which is not 0, from the first one on.
    pub const fn every(n: usize) -> Self {
        let every = NonZeroUsize::new(n).expect("it is not 0");
        Self { every, from: 0 }
    }
}

/// Plays a scenario with a failure at each of its calls.
pub fn sweep(scene: &Scene) -> Swept {
    sweep_some(scene, Calls::ALL, None)
}

/// Plays a scenario with a failure at some of its calls: over memory, or over a ledger and queues outside, which are
/// empty before and after it.
pub fn sweep_some(scene: &Scene, calls: Calls, outside: Option<&Arc<dyn Outside>>) -> Swept {
    let (expect, names, violations) = play(scene, outside, None);
    let mut swept = Swept {
        calls: names.len(),
        runs: 0,
        violations,
    };
    for (at, name) in (1..)
        .zip(&names)
        .skip(calls.from)
        .step_by(calls.every.get())
    {
        for how in hows(name) {
            if swept.violations.len() >= ENOUGH {
                return swept;
            }
            swept.runs += 1;
            let armed = Armed {
                call: at,
                how: *how,
            };
            let (story, _, violations) = play(scene, outside, Some(armed));
            let place = format!(
                "{}: call {at} of {}, {name}, {how:?}",
                scene.name,
                names.len()
            );
            let found = violations.into_iter().map(|it| format!("{place}: {it}"));
            swept.violations.extend(found);
            if story != expect {
                let text = format!("{place}: it ended as\n{story}\nand undisturbed as\n{expect}");
                swept.violations.push(text);
            }
        }
    }
    swept
}

/// A call that only reads does the same harm before as after.
fn hows(name: &str) -> &'static [How] {
    let reads = [
        "get",
        "list",
        "head",
        "info",
        "changes",
        "is_ancestor",
        "merge_base",
        "read",
        "resolve",
    ];
    let reads_store = ["size", "open", "pointer", "depth"];
    let call = name.rsplit_once('.').map_or(name, |(_, call)| call);
    if reads.contains(&call) || reads_store.contains(&call) {
        &[How::FailsBefore, How::DiesBefore]
    } else {
        &[
            How::FailsBefore,
            How::FailsAfter,
            How::DiesBefore,
            How::DiesAfter,
        ]
    }
}

/// How it ended, the calls of the part that is judged, and what must not be.
fn play(
    scene: &Scene,
    outside: Option<&Arc<dyn Outside>>,
    armed: Option<Armed>,
) -> (String, Vec<&'static str>, Vec<String>) {
    let mut run = Run::over(outside.cloned(), Rng::with_seed(1), Rates::default());
    run.play(scene.before);
    run.gate().trace();
    if let Some(armed) = armed {
        run.gate().arm(armed);
    }
    run.expect_failures(true);
    run.play(scene.then);
    let names = run.gate().traced();
    run.gate().calm();
    run.expect_failures(false);
    run.restart();
    run.heal();
    run.judge();
    let story = run.whole_story();
    run.store.lose();
    (story, names, run.violations())
}

impl Run {
    fn play(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Push(path, text) => {
                    let mut files = self.tree().clone();
                    if files.is_empty() {
                        files = crate::history::configuration();
                    }
                    write(&mut files, path, *text);
                    self.act(&Act::Push(ADA, files));
                }
                Calm => {
                    // Who holds a build hears first that it is not wanted.
                    self.quiet();
                    self.hold_builds(false);
                    self.heal();
                }
                Building => {
                    self.hold_builds(true);
                    self.until_building();
                }
                Cancel(path) => self.insist(path, "cancel"),
                Retry(path) => self.insist(path, "retry"),
                Trouble(is) => self.have_trouble(*is),
                Recover => self.recover(),
            }
        }
    }

    fn until_building(&mut self) {
        for _ in 0..100 {
            if self.is_building() {
                return;
            }
            if !self.round() {
                self.timers();
            }
        }
        self.witness.violated("no runner ever gets the build");
    }
}

fn write(files: &mut Files, path: &str, text: Option<Text>) {
    let text = match text {
        None => {
            files.remove(path);
            return;
        }
        Some(Build(packages, platforms)) => {
            let platform = platforms.trim_matches(['{', '}']);
            let platform = if platform.contains(':') {
                platform.to_owned()
            } else {
                format!("{platform}:")
            };
            let mut text = format!("reason: a test\nplatforms:\n  {platform}\npackages:\n");
            for (package, version) in packages {
                let (url, git_ref) = (url(package), git_ref(*version));
                text += &format!("  - source: {{git: \"{url}\", ref: {git_ref}}}\n");
            }
            text
        }
        Some(Release(from, to)) => format!("from: [{}]\nto: {to}\n", from.join(", ")),
    };
    files.insert(path.to_owned(), text);
}
