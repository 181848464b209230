//! kill -9, of a runner in each phase of its work and of the control plane over and over: the end is that
//! of an undisturbed run.

use serde_json::Value;

use crate::support::package::{BRIDGE, DEBIAN, deb, deb_with, request, rpm};
use crate::support::{Machine, find, git, said, text};

const BUILDER: &str = "local-builder";
const SIGNER: &str = "local-signer";
/// Kills of the control plane over three builds and their release, at least.
const KILLS: usize = 10;
/// The package that is an RPM.
const RPM: &str = "tiny-rpm";
/// Rounds until a phase of milliseconds is met.
const ROUNDS: usize = 5;

/// Where a runner is killed.
struct Phase {
    name: &'static str,
    runner: &'static str,
    /// How the task's title begins.
    task: &'static str,
    /// What must be seen besides the lease.
    at: At,
}

enum At {
    /// As soon as the task is leased.
    Lease,
    /// A root is being made.
    Root,
    /// This word of the package's stands in the log.
    Log(&'static str),
}

const BUILDS: [Phase; 4] = [
    phase("source", BUILDER, "source", At::Lease),
    phase("root", BUILDER, "build", At::Root),
    phase("build", BUILDER, "build", At::Log("the build is here")),
    phase("test", BUILDER, "test", At::Lease),
];
const RELEASES: [Phase; 4] = [
    phase("packages", SIGNER, "sign 2 packages", At::Lease),
    phase("compose", BUILDER, "compose", At::Lease),
    phase("metadata", SIGNER, "sign metadata", At::Lease),
    phase("smoke", BUILDER, "smoke", At::Lease),
];

const fn phase(name: &'static str, runner: &'static str, task: &'static str, at: At) -> Phase {
    Phase {
        name,
        runner,
        task,
        at,
    }
}

#[test]
fn a_runner_that_is_killed_in_any_phase_loses_nothing() {
    let mut machine = Machine::new("killed-runner");
    machine.use_bridge();
    machine.start();
    // Debian's packages carry no signature of ours, so the release of an RPM is the first.
    let source = machine.source(RPM, &rpm(RPM, "", "true"));
    machine.write(&[(&build(RPM), Some(&request(BRIDGE, RPM, &source)))]);
    let mut built = Vec::new();
    for phase in &BUILDS {
        built.push(until_met(phase, |round| {
            build_disturbed(&machine, phase, round)
        }));
    }
    machine.expect(&build(RPM), "succeeded");
    for (phase, name) in RELEASES
        .iter()
        .zip([RPM].into_iter().chain(built.iter().map(String::as_str)))
    {
        let to = if name == RPM {
            "bridge-12"
        } else {
            "debian-12"
        };
        until_met(phase, |round| {
            release_disturbed(&machine, phase, (name, to), round)
        });
    }
    for name in &built[..3] {
        assert_eq!(
            machine.apt_candidate(name).as_deref(),
            Some("1.0"),
            "{name}"
        );
    }
    let verified = machine.millrace(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

/// A short task may have ended just before the kill: then the next round tries again. Answers what the
/// round that met its phase has made.
fn until_met(phase: &Phase, mut disturbed: impl FnMut(usize) -> Option<String>) -> String {
    let met = (0..ROUNDS).find_map(&mut disturbed);
    met.unwrap_or_else(|| panic!("{}: never met in {ROUNDS} rounds", phase.name))
}

fn build(name: &str) -> String {
    format!("builds/2026/11/{name}.yaml")
}

/// A package that is built while its runner is killed in `phase`. Answers its name if that cost an attempt.
fn build_disturbed(machine: &Machine, phase: &Phase, round: usize) -> Option<String> {
    let name = format!("{}-{round}", phase.name);
    // In no earlier run, and in no other round, has this been asked for: so a root is made.
    let needs = format!("ed (>= 0.{}.{round})", std::process::id());
    let tree = match phase.at {
        At::Root => deb_with(&name, &needs, "", "true"),
        At::Log(word) => deb(&name, &format!("echo {word}; sleep 3")),
        At::Lease => deb(&name, "true"),
    };
    let source = machine.source(&name, &tree);
    let path = build(&name);
    machine.write(&[(&path, Some(&request(DEBIAN, &name, &source)))]);
    killed_in(machine, phase, &path, "succeeded").then_some(name)
}

/// A release while its runner is killed in `phase`; in each round another request for the same package.
fn release_disturbed(
    machine: &Machine,
    phase: &Phase,
    (name, to): (&str, &str),
    round: usize,
) -> Option<String> {
    let path = format!("releases/2026/11/{name}-{round}.yaml");
    let wish = format!("from: [{}]\nto: [{to}]\n", build(name));
    machine.write(&[(&path, Some(&wish))]);
    killed_in(machine, phase, &path, "published").then(|| name.to_owned())
}

/// Pushes, kills the runner in `phase`, and waits for the request's good end. Whether an attempt was lost.
fn killed_in(machine: &Machine, phase: &Phase, request: &str, end: &str) -> bool {
    machine.wait("the runner", || machine.runner(phase.runner).is_some());
    machine.push_all(request, &[]);
    let task = machine.catch(request, phase);
    machine.kill_runner(phase.runner);
    machine.expect(request, end);
    let status = machine.status(request);
    assert_one_result_each(&status);
    let task = find_id(&status, &task);
    let attempts = task["attempts"].as_array().expect("attempts");
    attempts.iter().any(|attempt| attempt["end"] != "succeeded")
}

impl Machine {
    /// Waits for the moment of a phase; answers the task's id.
    fn catch(&self, request: &str, phase: &Phase) -> String {
        let path = format!("/api/v1/request/{request}");
        let mut caught = String::new();
        self.wait_closely(phase.name, || {
            let Some(status) = self.get(&path) else {
                return false;
            };
            let status: Value = serde_json::from_str(&status).expect("JSON");
            let task = find(&status, phase.task);
            caught = text(&task["id"]);
            match task["state"].as_str() {
                Some("leased") => match phase.at {
                    At::Lease => true,
                    At::Root => self.a_root_is_made(),
                    At::Log(word) => self
                        .get(&format!("/api/v1/log/{caught}"))
                        .is_some_and(|log| log.contains(&format!("\n{word}"))),
                },
                // Too late; the next round tries again.
                Some("succeeded") => true,
                _ => false,
            }
        });
        caught
    }

    fn a_root_is_made(&self) -> bool {
        let roots = std::fs::read_dir(self.roots().join("roots"));
        let owners = roots.into_iter().flatten().flatten();
        let mut entries = owners.filter_map(|owner| std::fs::read_dir(owner.path()).ok());
        entries.any(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".making"))
            })
        })
    }
}

fn find_id(status: &Value, id: &str) -> Value {
    let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
    tasks
        .into_iter()
        .find(|task| task["id"] == id)
        .unwrap_or_default()
}

/// Every task has succeeded, with one accepted result.
#[track_caller]
fn assert_one_result_each(status: &Value) {
    let tasks = status["tasks"].as_array().expect("tasks");
    assert!(!tasks.is_empty(), "{status}");
    for task in tasks {
        assert_eq!(task["state"], "succeeded", "{task}");
        let attempts = task["attempts"].as_array().expect("attempts");
        let accepted = attempts
            .iter()
            .filter(|attempt| attempt["end"] == "succeeded");
        assert_eq!(accepted.count(), 1, "{task}");
    }
}

#[test]
fn a_control_plane_that_is_killed_over_and_over_ends_where_a_calm_one_does() {
    let mut storm = Machine::new("storm");
    let mut calm = storm.twin("calm");
    let names = ["first", "second", "third"];
    let builds: Vec<String> = names
        .map(|name| format!("builds/2026/11/{name}.yaml"))
        .into();
    let release = "releases/2026/11/all.yaml";
    let wish = format!("from: [{}]\nto: [debian-12]\n", builds.join(", "));
    let sources = names.map(|name| storm.source(name, &deb(name, "true")));
    for ((name, build), source) in names.iter().zip(&builds).zip(&sources) {
        storm.write(&[(build, Some(&request(DEBIAN, name, source)))]);
    }
    storm.write(&[(release, Some(&wish))]);
    // One commit for both: its time is in what is published.
    calm.start();
    let to = calm.path("one/state.git").display().to_string();
    let commit = storm.push_all("three builds and their release", &[&to, "main"]);
    calm.expect(release, "published");

    storm.start();
    git(&storm.clone_path(), &["push", "--quiet"]);
    let kills = storm.kill_until_published(release);
    assert!(kills >= KILLS, "only {kills} kills fell into the work");
    storm.expect(release, "published");

    for request in builds.iter().map(String::as_str).chain([release]) {
        assert_one_result_each(&storm.status(request));
        assert_eq!(
            results(&storm, request),
            results(&calm, request),
            "{request}"
        );
    }
    assert_eq!(published(&storm), published(&calm));
    let verified = storm.millrace(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    for name in names {
        assert_eq!(storm.apt_candidate(name).as_deref(), Some("1.0"));
    }
    let head = git(&storm.path("one/state.git"), &["rev-parse", "main"]);
    assert_eq!(head, commit, "the machine wrote to main");
}

impl Machine {
    /// Kills the control plane after every few changes that can be seen, until the release is published.
    /// Answers how often.
    fn kill_until_published(&mut self, release: &str) -> usize {
        // A fixed seed: the same numbers in every run.
        let mut random = 0x6d69_6c6c_u64;
        let (mut kills, mut last) = (0, Value::Null);
        loop {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut wanted = 1 + (random >> 33) % 2;
            let mut over = false;
            self.wait_closely("a change", || {
                let Some(status) = self.get("/api/v1/status") else {
                    return false;
                };
                let seen: Value = serde_json::from_str(&status).expect("JSON");
                let requests = seen["requests"].as_array().expect("requests");
                over = requests
                    .iter()
                    .any(|request| request["path"] == release && request["phase"] == "published");
                if seen["requests"] != last {
                    last = seen["requests"].clone();
                    wanted -= 1;
                }
                over || wanted == 0
            });
            if over {
                return kills;
            }
            self.kill_control_plane();
            self.start();
            kills += 1;
        }
    }
}

/// Titles, ids and packages of a request's tasks, without what differs from run to run.
fn results(machine: &Machine, request: &str) -> Vec<String> {
    let status = machine.status(request);
    let tasks = status["tasks"].as_array().expect("tasks");
    let mut lines = Vec::new();
    for task in tasks {
        let artifacts = task["artifacts"].as_array().cloned().unwrap_or_default();
        let packages = artifacts
            .iter()
            .filter(|artifact| artifact["kind"] == "deb" || artifact["kind"] == "dsc")
            .map(|artifact| format!(" {}", text(&artifact["sha256"])));
        lines.push(format!(
            "{} {}{}",
            text(&task["id"]),
            text(&task["title"]),
            packages.collect::<String>()
        ));
    }
    lines
}

/// What is published: the digest of the tree, the signatures, and how often it was replaced.
fn published(machine: &Machine) -> String {
    let status = machine.get("/api/v1/status").expect("it is up");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["repositories"][0]["pointer"].to_string()
}
