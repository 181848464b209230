//! The daemon against a control plane that restarts, refuses, forgets and lies.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the daemon under test lives on files and sockets; the bench's helpers are part of the tests"
)]

mod fake;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fake::{Effect, Fake, Fault, Place};
use pipeline_spec::{Repository, Role as RoleName, Sha256Digest, Weight};
use runner_agent::{Config, Error, Halt, Identity, Job, Role, Running, Shutdown, settle};
use runner_api::{
    Artifact, ArtifactKind, ComposeTask, Facts, FailureKind, Outcome, ResultManifest, Step,
    TaskSpec,
};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A role whose every job does what its repository's name says.
#[derive(Clone, Default)]
struct Puppet(Arc<Strings>);

#[derive(Default)]
struct Strings {
    started: AtomicUsize,
    dropped: AtomicBool,
    /// Lets `wait` go on.
    go: Notify,
}

impl Role for Puppet {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::Compose]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.act(job).await) })
    }
}

impl Puppet {
    async fn act(&self, job: &Job) -> Result<Outcome, Halt> {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let TaskSpec::Compose(task) = job.spec() else {
            panic!("only compose tasks are queued here");
        };
        let mut artifacts = Vec::new();
        match task.repository.as_str() {
            "store" => {
                job.log().line("hello");
                let path = job.dir().join("big");
                std::fs::write(&path, vec![7; 300_000]).map_err(Halt::infrastructure)?;
                artifacts.push(job.store(&path, "big", ArtifactKind::Rpm, None).await?);
                let small = b"small".to_vec();
                artifacts.push(job.store_bytes(small, "small", ArtifactKind::Tree).await?);
            }
            word if word.starts_with("wait") => {
                job.log().line("waiting");
                job.step(Step::Building);
                tokio::select! {
                    () = self.0.go.notified() => {}
                    () = job.cancelled().cancelled() => return Err(Halt::trouble("stopped")),
                }
                let after = b"after".to_vec();
                artifacts.push(job.store_bytes(after, "after", ArtifactKind::Tree).await?);
            }
            "deaf" => {
                let _guard = TellDropped(&self.0.dropped);
                std::future::pending().await
            }
            "panic" => panic!("a wheel came off"),
            "fail" => return Err(Halt::failed(FailureKind::Compose, "It does not fit.")),
            "fetch" => {
                let artifact = artifact("blob", task.content, 5);
                job.fetch(&artifact, &job.dir()).await?;
            }
            "chatter" => {
                for line in 0..60_000 {
                    job.log().line(line);
                }
            }
            _ => {}
        }
        Ok(Outcome::Succeeded {
            artifacts,
            facts: Facts::Nothing,
        })
    }
}

struct TellDropped<'a>(&'a AtomicBool);

impl Drop for TellDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Bench {
    fake: Fake,
    home: TempDir,
    puppet: Puppet,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            fake: Fake::start(),
            home: tempfile::tempdir().unwrap(),
            puppet: Puppet::default(),
        };
        bench.fake.enroll("b1", bench.identity().public());
        bench
    }

    fn identity(&self) -> Identity {
        let runner = "b1".parse().unwrap();
        Identity::load_or_create(runner, &self.home.path().join("key")).unwrap()
    }

    fn config(&self) -> Config {
        Config {
            control: self.fake.url().parse().unwrap(),
            runner: "b1".parse().unwrap(),
            key: self.home.path().join("key"),
            work: self.home.path().into(),
            scratch: self.home.path().join("jobs"),
            capacity: NonZeroU32::new(2),
            drain: Duration::from_secs(60),
            cloud: None,
        }
    }

    fn run(&self) -> Daemon {
        self.run_with(self.config())
    }

    fn run_with(&self, config: Config) -> Daemon {
        let shutdown = Shutdown::default();
        let roles: Vec<Box<dyn Role>> = vec![Box::new(self.puppet.clone())];
        Daemon {
            task: tokio::spawn(runner_agent::run(config, roles, shutdown.clone())),
            shutdown,
        }
    }

    fn queue(&self, word: &str) -> usize {
        self.queue_with(word, Sha256Digest::new([1; 32]))
    }

    fn queue_with(&self, word: &str, content: Sha256Digest) -> usize {
        let layout: Repository = serde_json::from_value(serde_json::json!({
            "platform": "bridge-12", "architectures": ["x86_64"], "key": "main",
            "keep": "all", "format": "rpm", "path": "bridge",
        }))
        .unwrap();
        let task = ComposeTask {
            repository: word.parse().unwrap(),
            layout,
            content,
            time: 1,
        };
        self.fake
            .queue(TaskSpec::Compose(Box::new(task)), BTreeMap::new())
    }

    async fn started(&self, task: usize, attempt: u32) {
        let seen = |state: &fake::State| {
            let task = &state.tasks[task];
            (task.attempt == attempt && !task.log.is_empty()).then_some(())
        };
        self.fake.until("the attempt begins", seen).await;
    }
}

struct Daemon {
    task: JoinHandle<Result<(), Error>>,
    shutdown: Shutdown,
}

impl Daemon {
    async fn end(self) {
        self.shutdown.drain();
        self.task.await.unwrap().unwrap();
    }
}

fn artifact(name: &str, sha256: Sha256Digest, size: u64) -> Artifact {
    Artifact {
        name: name.into(),
        sha256,
        size,
        kind: ArtifactKind::Rpm,
        package: None,
    }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { artifacts, .. } => format!("succeeded {}", artifacts.len()),
        Outcome::Failed { failure, .. } => format!("failed {}", failure.message),
        Outcome::Excluded { reason } => format!("excluded {reason}"),
        Outcome::Infrastructure { message } => format!("infrastructure {message}"),
        Outcome::HandedBack { reason } => format!("handed back {reason}"),
    }
}

#[tokio::test]
async fn a_job_is_taken_worked_off_and_delivered() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("store");
    let result = bench.fake.result(task).await;

    let Outcome::Succeeded { artifacts, .. } = &result.outcome else {
        panic!("{:?}", result.outcome);
    };
    assert_eq!(result.runner.as_str(), "b1");
    assert_eq!((artifacts[0].size, artifacts[1].size), (300_000, 5));
    let log = result.log.as_ref().unwrap();
    {
        let state = bench.fake.state();
        assert!(
            artifacts
                .iter()
                .all(|made| state.blobs.contains_key(&made.sha256))
        );
        assert_eq!(state.blobs[&log.sha256], "hello\n");
        assert_eq!(state.tasks[task].log, b"hello\n");
    }
    daemon.end().await;
    let left: Vec<_> = std::fs::read_dir(bench.home.path().join("jobs/b1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"], "the job's directory is removed");
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_again() {
    let bench = Bench::new();
    let big = bench.fake.put_blob(vec![7; 300_000]);
    let daemon = bench.run();
    let task = bench.queue("store");
    bench.fake.result(task).await;
    let put = format!("PUT /runner/v1/blobs/{big}");
    assert!(
        !bench
            .fake
            .state()
            .calls
            .iter()
            .any(|call| call.starts_with(&put))
    );
    daemon.end().await;
}

/// Whatever the control plane knows of addresses, the blobs are there, and are sent once.
#[tokio::test]
async fn blobs_go_where_the_control_plane_says() {
    let check = async |place: Place, expect: &[&str]| {
        let bench = Bench::new();
        bench.fake.change(|state| state.place = place);
        let daemon = bench.run();
        let artifacts = artifacts(&bench.fake.result(bench.queue("store")).await);
        let calls = bench.fake.state().calls.clone();
        let blob = |call: &&String| call.contains(&artifacts[0].sha256.to_string());
        let calls: Vec<String> = calls.iter().filter(blob).map(|call| word(call)).collect();
        assert_eq!(calls, expect, "{place:?}");
        for artifact in &artifacts {
            assert!(bench.fake.state().blobs.contains_key(&artifact.sha256));
        }
        let content = bench.fake.put_blob("right");
        let fetched = bench.fake.result(bench.queue_with("fetch", content)).await;
        assert_eq!(words(&fetched.outcome), "succeeded 0", "{place:?}");
        daemon.end().await;
    };
    check(Place::Here, &["POST /runner 200", "PUT /runner 204"]).await;
    let unasked = ["POST /runner 405", "HEAD /runner 404", "PUT /runner 204"];
    check(Place::Unasked, &unasked).await;
    check(
        Place::Elsewhere,
        &["POST /runner 200", "PUT /elsewhere 204"],
    )
    .await;
}

/// Addresses run out, stores answer 5xx, and downloads are cut: another address is asked for.
#[tokio::test]
async fn an_address_that_has_run_out_is_no_end() {
    let bench = Bench::new();
    let content = bench.fake.put_blob("right");
    bench.fake.change(|state| {
        state.place = Place::Elsewhere;
        for effect in [Effect::Status(403), Effect::Status(500)] {
            state.faults.push(Fault("PUT /elsewhere", effect));
            state.faults.push(Fault("GET /elsewhere", effect));
        }
    });
    let daemon = bench.run();
    let artifacts = artifacts(&bench.fake.result(bench.queue("store")).await);
    assert_eq!(artifacts.len(), 2);
    let fetched = bench.fake.result(bench.queue_with("fetch", content)).await;
    assert_eq!(words(&fetched.outcome), "succeeded 0");
    let calls = bench.fake.state().calls.clone();
    let count = |text: &str| calls.iter().filter(|call| call.contains(text)).count();
    // The big one; from then on it is known that the store takes blobs itself: the small one, and the log.
    assert_eq!(count("PUT /elsewhere"), 3 + 2, "{calls:#?}");
    assert_eq!(count("GET /elsewhere"), 3, "{calls:#?}");
    daemon.end().await;
}

/// A grant says where its files are; one whose address does not work is asked for.
#[tokio::test]
async fn files_come_from_the_addresses_of_the_grant() {
    let check = async |fault: Option<Effect>, expect: &[&str]| {
        let bench = Bench::new();
        let content = bench.fake.put_blob("right");
        bench.fake.change(|state| {
            state.place = Place::Elsewhere;
            state.linked = Some(content);
            let fault = fault.map(|effect| Fault("GET /elsewhere", effect));
            state.faults.extend(fault);
        });
        let daemon = bench.run();
        let fetched = bench.fake.result(bench.queue_with("fetch", content)).await;
        assert_eq!(words(&fetched.outcome), "succeeded 0");
        let calls = bench.fake.state().calls.clone();
        let gets = calls.iter().filter(|call| call.starts_with("GET"));
        let gets: Vec<String> = gets.map(|call| word(call)).collect();
        assert_eq!(gets, expect);
        daemon.end().await;
    };
    check(None, &["GET /elsewhere 200"]).await;
    check(
        Some(Effect::Status(403)),
        &[
            "GET /elsewhere 403",
            "GET /runner 307",
            "GET /elsewhere 200",
        ],
    )
    .await;
}

/// The connection breaks in mid-upload, and by then the address has run out: the runner asks for another, and begins
/// anew there.
#[tokio::test]
async fn an_address_that_runs_out_in_mid_upload_is_no_end() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state.place = Place::Elsewhere;
        let cut = Fault("PUT /elsewhere", Effect::CutAndRunOut);
        state.faults.push(cut);
    });
    let daemon = bench.run();
    let result = bench.fake.result(bench.queue("store")).await;
    let big = &artifacts(&result)[0];
    let calls = bench.fake.state().calls.clone();
    let uploads = calls
        .iter()
        .filter(|call| call.contains(&big.sha256.to_string()));
    let uploads: Vec<String> = uploads.map(|call| word(call)).collect();
    let expect = [
        "POST /runner 200",
        "PUT /elsewhere cut",
        "POST /runner 200",
        "PUT /elsewhere 204",
    ];
    assert_eq!(uploads, expect, "{calls:#?}");
    let stored = bench.fake.state().blobs[&big.sha256].len() as u64;
    assert_eq!(stored, big.size, "it is there as a whole");
    assert_eq!(result.attempt, 1, "the attempt is not lost with it");
    daemon.end().await;
}

fn artifacts(result: &ResultManifest) -> Vec<Artifact> {
    match &result.outcome {
        Outcome::Succeeded { artifacts, .. } => artifacts.clone(),
        other => panic!("{}", words(other)),
    }
}

/// `PUT /elsewhere 204` of a call.
fn word(call: &str) -> String {
    let (method, rest) = call.split_once(' ').unwrap();
    let top = rest.split('/').nth(1).unwrap();
    let status = rest.rsplit(' ').next().unwrap();
    format!("{method} /{top} {status}")
}

#[tokio::test]
async fn every_end_has_its_outcome() {
    let bench = Bench::new();
    let good = bench.fake.put_blob("right");
    let long = bench.fake.put_blob("right and more");
    let lie = Sha256Digest::new([9; 32]);
    bench
        .fake
        .change(|state| state.blobs.insert(lie, "wrong".into()));
    let gone = Sha256Digest::new([8; 32]);
    let daemon = bench.run();
    let check = async |task: usize, expect: &str| {
        assert_eq!(words(&bench.fake.result(task).await.outcome), expect);
    };
    let fetch = |content| bench.queue_with("fetch", content);

    check(bench.queue("fail"), "failed It does not fit.").await;
    check(
        bench.queue("panic"),
        "infrastructure work on the job: the runner panicked: a wheel came off",
    )
    .await;
    check(fetch(good), "succeeded 0").await;
    check(
        fetch(lie),
        &format!(
            "infrastructure fetch blob: {lie} (5 bytes) was recorded, but the store sent 8810ad581e59f2bc3928b261707a71308f7e139eb04820366dc4d5c18d980225 (5 bytes); it was tampered with or damaged"
        ),
    )
    .await;
    check(
        fetch(long),
        &format!(
            "infrastructure fetch blob: {long} (5 bytes) was recorded, but the store sent more than 5 bytes; it was tampered with or damaged"
        ),
    )
    .await;
    check(
        fetch(gone),
        &format!("infrastructure fetch blob: the store has no blob {gone}"),
    )
    .await;
    daemon.end().await;
}

#[tokio::test]
async fn a_log_arrives_whole_although_the_server_forgets_its_beginning() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state
            .faults
            .push(Fault("/runner/v1/log", Effect::Status(503)));
        state
            .faults
            .push(Fault("/runner/v1/log", Effect::ForgetLog));
    });
    let daemon = bench.run();
    let task = bench.queue("chatter");
    let result = bench.fake.result(task).await;
    let expect: String = (0..60_000).map(|line| format!("{line}\n")).collect();
    daemon.end().await;
    let state = bench.fake.state();
    assert!(state.tasks[task].log == expect.as_bytes());
    assert!(state.blobs[&result.log.unwrap().sha256] == expect);
    assert!(state.calls.iter().any(|call| call.ends_with(" 409")));
}

#[tokio::test]
async fn trouble_with_logs_fails_no_job() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state
            .faults
            .push(Fault("/runner/v1/log", Effect::Status(400)));
        state
            .faults
            .push(Fault("PUT /runner/v1/blobs", Effect::Status(413)));
    });
    let daemon = bench.run();
    let result = bench.fake.result(bench.queue("chatter")).await;
    assert_eq!(words(&result.outcome), "succeeded 0");
    assert_eq!(result.log, None);
    daemon.end().await;
}

#[tokio::test]
async fn a_cancelled_job_stops_and_is_handed_back_at_once() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("wait");
    bench.started(task, 1).await;
    bench
        .fake
        .change(|state| state.tasks[task].cancel = Some("superseded".into()));
    let result = bench.fake.result(task).await;
    assert_eq!(words(&result.outcome), "handed back canceled");
    daemon.end().await;
    let state = bench.fake.state();
    let log = &state.blobs[&result.log.unwrap().sha256];
    assert_eq!(log, "waiting\ncanceled: superseded\n");
    assert_eq!(state.tasks[task].stale, []);
}

#[tokio::test]
async fn a_step_is_told_while_the_job_is_at_it() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("wait");
    let told = |state: &fake::State| (state.tasks[task].steps == [Step::Building]).then_some(());
    bench.fake.until("a heartbeat with the step", told).await;
    bench.puppet.0.go.notify_waiters();
    bench.fake.result(task).await;
    daemon.end().await;
}

#[tokio::test]
async fn a_runner_takes_as_many_jobs_as_its_enrolment_says_unless_it_is_configured() {
    for (configured, told, at_once) in [(None, Some(3), 3), (Some(1), Some(3), 1), (None, None, 1)]
    {
        let bench = Bench::new();
        bench
            .fake
            .change(|state| state.capacity = told.and_then(NonZeroU32::new));
        let daemon = bench.run_with(Config {
            capacity: configured.and_then(NonZeroU32::new),
            ..bench.config()
        });
        for word in ["wait", "wait-1", "wait-2", "wait-3"] {
            bench.queue(word);
        }
        let busy = |state: &fake::State| {
            let begun = state.tasks.iter().filter(|task| task.beats > 1).count();
            (begun == at_once && state.open_takes == 0).then_some(())
        };
        bench.fake.until("all slots are taken", busy).await;
        let leased = bench
            .fake
            .state()
            .tasks
            .iter()
            .filter(|task| task.leased)
            .count();
        assert_eq!(leased, at_once, "{configured:?} {told:?}");
        daemon.shutdown.now();
        daemon.task.await.unwrap().unwrap();
    }
}

/// Of the tasks, how many were leased, and the numbers of those that wait for slots.
fn waiting(state: &fake::State) -> (usize, Vec<usize>) {
    let leased = state.tasks.iter().filter(|task| task.attempt > 0).count();
    let waits = |at: &usize| state.tasks[*at].steps.last() == Some(&Step::Waiting);
    (leased, (0..state.tasks.len()).filter(waits).collect())
}

#[tokio::test]
async fn a_heavy_job_waits_for_its_slots_and_the_next_one_for_it() {
    // Heavier than the runner: it gets all there is.
    for weight in [2, 64] {
        let bench = Bench::new();
        let light = bench.queue("wait");
        let heavy = bench.queue("wait-1");
        let last = bench.queue("wait-2");
        let weight = Weight::new(weight).unwrap();
        bench
            .fake
            .change(|state| state.tasks[heavy].weight = weight);
        let daemon = bench.run();
        let waits = |state: &fake::State| (waiting(state) == (2, vec![heavy])).then_some(());
        bench.fake.until("the heavy one waits", waits).await;
        assert_eq!(bench.puppet.0.started.load(Ordering::SeqCst), 1);
        bench.puppet.0.go.notify_waiters();
        bench.fake.result(light).await;
        let begun = |state: &fake::State| {
            let is_at_work = state.tasks[heavy].steps.last() == Some(&Step::Building);
            (is_at_work && state.tasks[last].attempt == 0).then_some(())
        };
        bench.fake.until("the heavy one works alone", begun).await;
        bench.puppet.0.go.notify_waiters();
        bench.fake.result(heavy).await;
        let begun = |state: &fake::State| {
            (state.tasks[last].steps.last() == Some(&Step::Building)).then_some(())
        };
        bench.fake.until("the last one works", begun).await;
        bench.puppet.0.go.notify_waiters();
        bench.fake.result(last).await;
        daemon.end().await;
    }
}

#[tokio::test]
async fn two_heavy_jobs_work_one_after_the_other() {
    let bench = Bench::new();
    let tasks = [bench.queue("one"), bench.queue("two"), bench.queue("three")];
    let weight = Weight::new(2).unwrap();
    let all = |state: &mut fake::State| state.tasks.iter_mut().for_each(|it| it.weight = weight);
    bench.fake.change(all);
    let daemon = bench.run();
    for task in tasks {
        let result = bench.fake.result(task).await;
        assert!(matches!(result.outcome, Outcome::Succeeded { .. }));
    }
    daemon.end().await;
}

#[tokio::test]
async fn a_job_that_waits_for_slots_ends_with_its_lease_or_with_the_runner() {
    let bench = Bench::new();
    let light = bench.queue("wait");
    let heavy = [bench.queue("wait-1"), bench.queue("wait-2")];
    let weight = Weight::new(2).unwrap();
    bench
        .fake
        .change(|state| heavy.iter().for_each(|at| state.tasks[*at].weight = weight));
    let daemon = bench.run();
    let waits = |at| move |state: &fake::State| (waiting(state).1 == [at]).then_some(());
    bench
        .fake
        .until("the first one waits", waits(heavy[0]))
        .await;
    bench
        .fake
        .change(|state| state.tasks[heavy[0]].cancel = Some("no".to_owned()));
    let result = bench.fake.result(heavy[0]).await;
    assert_eq!(words(&result.outcome), "handed back canceled");
    bench
        .fake
        .change(|state| state.tasks[heavy[0]].steps.clear());
    bench
        .fake
        .until("the second one waits", waits(heavy[1]))
        .await;
    daemon.shutdown.drain();
    let result = bench.fake.result(heavy[1]).await;
    assert_eq!(words(&result.outcome), "handed back the runner b1 stops");
    assert_eq!(bench.puppet.0.started.load(Ordering::SeqCst), 1);
    bench.puppet.0.go.notify_waiters();
    let result = bench.fake.result(light).await;
    assert!(matches!(result.outcome, Outcome::Succeeded { .. }));
    daemon.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lease_that_arrives_while_the_runner_drains_is_handed_back() {
    let bench = Bench::new();
    let daemon = bench.run();
    let waits = |state: &fake::State| (state.open_takes == 1).then_some(());
    bench.fake.until("a take", waits).await;
    // No await in between: the daemon drains before it can see the lease.
    daemon.shutdown.drain();
    let task = bench.queue("store");
    daemon.task.await.unwrap().unwrap();
    let result = bench.fake.result(task).await;
    assert_eq!(words(&result.outcome), "handed back the runner b1 stops");
    assert_eq!(bench.puppet.0.started.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_job_that_does_not_stop_is_dropped() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("deaf");
    bench
        .fake
        .until("a heartbeat", |state| {
            (state.tasks[task].beats > 0).then_some(())
        })
        .await;
    bench
        .fake
        .change(|state| state.tasks[task].cancel = Some("superseded".into()));
    let result = bench.fake.result(task).await;
    assert_eq!(words(&result.outcome), "handed back canceled");
    assert!(bench.puppet.0.dropped.load(Ordering::SeqCst));
    daemon.end().await;
}

#[tokio::test]
async fn of_a_lost_lease_nothing_is_delivered() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("wait");
    bench.started(task, 1).await;
    bench.fake.expire(task);
    bench.started(task, 2).await;
    bench.puppet.0.go.notify_waiters();
    let result = bench.fake.result(task).await;
    daemon.end().await;
    assert_eq!(
        (result.attempt, words(&result.outcome)),
        (2, "succeeded 1".into())
    );
    assert_eq!(bench.fake.state().tasks[task].stale, []);
}

#[tokio::test]
async fn a_job_survives_the_restart_of_the_control_plane() {
    let mut bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("wait");
    bench.started(task, 1).await;
    bench.fake.crash();
    // The job finishes into the void: its artifact, its log and its result have nowhere to go yet.
    bench.puppet.0.go.notify_waiters();
    bench.fake.resume();
    let result = bench.fake.result(task).await;
    assert_eq!(
        (result.attempt, words(&result.outcome)),
        (1, "succeeded 1".into())
    );
    assert!(result.log.is_some());
    assert_eq!(bench.puppet.0.started.load(Ordering::SeqCst), 1);
    daemon.end().await;
}

#[tokio::test]
async fn a_result_whose_answer_is_lost_is_sent_again() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state
            .faults
            .push(Fault("/runner/v1/result", Effect::DoneBut500));
    });
    let daemon = bench.run();
    let task = bench.queue("store");
    bench.fake.result(task).await;
    daemon.end().await;
    let state = bench.fake.state();
    let sent = state
        .calls
        .iter()
        .filter(|call| call.starts_with("POST /runner/v1/result"));
    assert_eq!(
        sent.collect::<Vec<_>>(),
        ["POST /runner/v1/result 500", "POST /runner/v1/result 200"]
    );
    assert_eq!(state.tasks[task].stale, []);
}

#[tokio::test]
async fn a_refused_result_becomes_an_infrastructure_error() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state
            .faults
            .push(Fault("/runner/v1/result", Effect::Status(422)));
    });
    let daemon = bench.run();
    let result = bench.fake.result(bench.queue("store")).await;
    assert_eq!(
        words(&result.outcome),
        "infrastructure deliver the result: the control plane answers 422: a fault of the test"
    );
    daemon.end().await;
}

#[tokio::test]
async fn a_runner_that_is_not_enrolled_waits_for_it() {
    let bench = Bench::new();
    let mine = bench.identity().public();
    let other = Identity::load_or_create("b1".parse().unwrap(), &bench.home.path().join("other"));
    bench.fake.enroll("b1", other.unwrap().public());
    let task = bench.queue("store");
    let daemon = bench.run();
    let refused = |state: &fake::State| state.calls.contains(&"POST /runner/v1/take 401".into());
    bench
        .fake
        .until("a refusal", |state| refused(state).then_some(()))
        .await;
    assert_eq!(bench.fake.state().tasks[task].attempt, 0);
    bench.fake.enroll("b1", mine);
    bench.fake.result(task).await;
    daemon.end().await;
}

#[tokio::test]
async fn draining_lets_a_job_finish_and_takes_no_other() {
    let bench = Bench::new();
    let daemon = bench.run();
    let task = bench.queue("wait");
    bench.started(task, 1).await;
    daemon.shutdown.drain();
    let idle = |state: &fake::State| (state.open_takes == 0).then_some(());
    bench.fake.until("the last take ends", idle).await;
    let late = bench.queue("store");
    bench.puppet.0.go.notify_waiters();
    daemon.task.await.unwrap().unwrap();
    let state = bench.fake.state();
    assert!(state.tasks[task].accepted.is_some());
    assert_eq!(state.tasks[late].attempt, 0);
}

#[tokio::test]
async fn draining_hands_back_what_does_not_finish() {
    let bench = Bench::new();
    let check = async |drain: Duration, stop: fn(&Shutdown)| {
        let daemon = bench.run_with(Config {
            drain,
            ..bench.config()
        });
        let task = bench.queue("wait");
        bench.started(task, 1).await;
        stop(&daemon.shutdown);
        daemon.task.await.unwrap().unwrap();
        let result = bench.fake.result(task).await;
        assert_eq!(words(&result.outcome), "handed back the runner b1 stops");
        assert!(result.log.is_some());
        bench.fake.change(|state| state.tasks.clear());
    };
    check(Duration::ZERO, Shutdown::drain).await;
    check(Duration::from_secs(3600), Shutdown::now).await;
}

#[tokio::test]
async fn two_runners_never_share_a_directory() {
    let bench = Bench::new();
    let first = bench.run();
    bench.fake.result(bench.queue("store")).await;
    let error = bench.run().task.await.unwrap().unwrap_err().to_string();
    assert!(
        error.contains("another runner of this name uses it"),
        "{error}"
    );
    first.end().await;
}
