//! A daemon that reads its queue itself and hands results in, against a control plane and a cloud in memory.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a panic is how a test fails"
)]

mod fake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fake::{Effect, Fake, Fault};
use pipeline_spec::{Priority, Repository, Role as RoleName, Sha256Digest};
use runner_agent::{
    Cloud, Config, Error, Found, HandedIn, Identity, Job, Keys, Later, Role, Running, Shutdown,
    settle,
};
use runner_api::protocol::Attempt;
use runner_api::{ComposeTask, Facts, Offer, Outcome, ResultManifest, TaskSpec, handed};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

/// Composes at once, or never ends.
#[derive(Clone, Copy)]
enum Composer {
    Quick,
    Endless,
}

impl Role for Composer {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::Compose]
    }

    fn run<'a>(&'a self, _: &'a Job) -> Running<'a> {
        let done = Outcome::Succeeded {
            artifacts: Vec::new(),
            facts: Facts::Nothing,
        };
        Box::pin(async move {
            if let Self::Endless = self {
                std::future::pending::<()>().await;
            }
            settle(Ok(done))
        })
    }
}

/// Messages, and what was handed in.
#[derive(Default)]
struct Sky {
    offers: VecDeque<Offer>,
    /// For so long each is hidden when it is received. It comes back when the test puts it back.
    hidden: Duration,
    removed: Vec<String>,
    results: BTreeMap<String, Vec<u8>>,
    /// Places where something is.
    taken: BTreeSet<String>,
    /// Of these, where something else was to be put.
    in_vain: Vec<String>,
    /// The store takes nothing, so often.
    refuses: usize,
    /// Opened with credentials, how often, and without.
    opened: Vec<bool>,
}

#[derive(Clone)]
struct SkyCloud {
    sky: Arc<Mutex<Sky>>,
    changed: Arc<watch::Sender<()>>,
}

impl SkyCloud {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Sky) -> T) -> T {
        let value = change(&mut self.sky());
        self.changed.send_replace(());
        value
    }

    async fn until<T>(&self, look: impl Fn(&Sky) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.sky()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        found.expect("it happens within a minute")
    }
}

impl Cloud for SkyCloud {
    fn next(&self) -> Later<'_, Option<Found>> {
        Box::pin(async move {
            let offer = self.until(|sky| sky.offers.front().cloned()).await;
            let hidden = self.change(|sky| {
                sky.offers.pop_front();
                sky.hidden
            });
            let receipt = format!("{}-{}", offer.task.id, offer.attempt);
            Ok(Some(Found {
                offer,
                receipt,
                hidden,
            }))
        })
    }

    fn remove<'a>(&'a self, receipt: &'a str) -> Later<'a, ()> {
        self.change(|sky| sky.removed.push(receipt.to_owned()));
        Box::pin(async { Ok(()) })
    }

    fn hand_in<'a>(&'a self, place: &'a str, document: &'a [u8]) -> Later<'a, HandedIn> {
        let taken = self.change(|sky| {
            if sky.refuses > 0 {
                sky.refuses -= 1;
                return Err("the store answers 403".to_owned());
            }
            if sky.taken.contains(place) {
                sky.in_vain.push(place.to_owned());
                return Ok(HandedIn::Before);
            }
            sky.taken.insert(place.to_owned());
            sky.results.insert(place.to_owned(), document.to_vec());
            Ok(HandedIn::Yes)
        });
        Box::pin(async move { taken })
    }
}

struct Bench {
    fake: Fake,
    cloud: SkyCloud,
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            fake: Fake::start(),
            cloud: SkyCloud {
                sky: Arc::default(),
                changed: Arc::new(watch::channel(()).0),
            },
            home: tempfile::tempdir().unwrap(),
        };
        bench.fake.enroll("b1", bench.identity().public());
        bench.fake.change(|state| state.lent_seconds = 3_600);
        bench
    }

    fn identity(&self) -> Identity {
        let runner = "b1".parse().unwrap();
        Identity::load_or_create(runner, &self.home.path().join("key")).unwrap()
    }

    fn run(&self, keys: Keys) -> (JoinHandle<Result<(), Error>>, Shutdown) {
        self.run_with(keys, Composer::Quick)
    }

    fn run_with(
        &self,
        keys: Keys,
        composer: Composer,
    ) -> (JoinHandle<Result<(), Error>>, Shutdown) {
        let config = Config {
            control: self.fake.url().parse().unwrap(),
            runner: "b1".parse().unwrap(),
            key: self.home.path().join("key"),
            work: self.home.path().into(),
            scratch: self.home.path().join("jobs"),
            capacity: NonZeroU32::new(1),
            drain: Duration::from_secs(60),
            cloud: Some(keys),
        };
        let shutdown = Shutdown::default();
        let roles: Vec<Box<dyn Role>> = vec![Box::new(composer)];
        let cloud = self.cloud.clone();
        let open = move |answer: runner_api::protocol::Cloud| {
            assert_eq!(answer.queues, ["compose.any"]);
            cloud.change(|sky| sky.opened.push(answer.credentials.is_some()));
            Ok(Arc::new(cloud.clone()) as Arc<dyn Cloud>)
        };
        let run = runner_agent::run_in_cloud(config, roles, shutdown.clone(), Box::new(open));
        (tokio::spawn(run), shutdown)
    }

    /// A task, and the message that offers it.
    fn offer(&self, name: &str) -> usize {
        let layout: Repository = serde_json::from_value(serde_json::json!({
            "platform": "bridge-12", "architectures": ["x86_64"], "key": "main",
            "keep": "all", "format": "rpm", "path": "bridge",
        }))
        .unwrap();
        let task = ComposeTask {
            repository: name.parse().unwrap(),
            layout,
            content: Sha256Digest::new([1; 32]),
            time: 1,
        };
        let spec = TaskSpec::Compose(Box::new(task));
        let index = self.fake.queue(spec, BTreeMap::new());
        let task = self.fake.state().tasks[index].reference.clone();
        let offer = Offer {
            task,
            attempt: 1,
            priority: Priority::Normal,
        };
        self.cloud.change(|sky| sky.offers.push_back(offer));
        index
    }

    /// Where the result of its first attempt belongs.
    fn place(&self, task: usize) -> String {
        let reference = &self.fake.state().tasks[task].reference;
        handed::place(&"b1".parse().unwrap(), reference, 1)
    }

    /// What a runner leaves that was killed in the middle of the task's first attempt.
    fn killed_at(&self, task: usize) {
        let job = self.home.path().join("jobs/b1/job-1");
        std::fs::create_dir_all(&job).unwrap();
        let attempt = Attempt {
            task: self.fake.state().tasks[task].reference.clone(),
            attempt: 1,
        };
        let note = serde_json::json!({"attempt": attempt, "started": 1});
        std::fs::write(job.join("attempt.json"), note.to_string()).unwrap();
    }

    /// The next result that is handed in, believed as the control plane would.
    async fn handed_in(&self) -> ResultManifest {
        let first = |sky: &Sky| {
            sky.results
                .first_key_value()
                .map(|(a, b)| (a.clone(), b.clone()))
        };
        let (place, document) = self.cloud.until(first).await;
        self.cloud.change(|sky| sky.results.remove(&place));
        let result = handed::HandedIn::read(&place, &document).unwrap();
        let key = self.identity().public();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        result
            .proven(key.as_bytes(), i64::try_from(now).unwrap())
            .unwrap()
    }

    fn count(&self, call: &str) -> usize {
        let calls = &self.fake.state().calls;
        calls.iter().filter(|it| it.contains(call)).count()
    }
}

async fn end((task, shutdown): (JoinHandle<Result<(), Error>>, Shutdown)) {
    shutdown.drain();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn work_is_found_in_a_queue_and_its_result_handed_in() {
    let bench = Bench::new();
    let daemon = bench.run(Keys::Own);
    for (number, name) in ["one", "two"].into_iter().enumerate() {
        let task = bench.offer(name);
        let result = bench.handed_in().await;
        let reference = bench.fake.state().tasks[task].reference.clone();
        assert_eq!((&result.task, result.attempt), (&reference, 1));
        assert!(matches!(result.outcome, Outcome::Succeeded { .. }));
        let removed = |sky: &Sky| (sky.removed.len() == number + 1).then_some(());
        bench.cloud.until(removed).await;
    }
    assert_eq!(bench.count("/runner/v1/lease"), 2);
    for never in ["/runner/v1/take", "/runner/v1/result"] {
        assert_eq!(bench.count(never), 0, "{never}");
    }
    assert_eq!(bench.cloud.sky().opened, [false], "once, with its own keys");
    end(daemon).await;
}

#[tokio::test]
async fn a_message_whose_task_is_gone_is_removed_and_one_without_an_answer_is_left() {
    let bench = Bench::new();
    bench.fake.change(|state| {
        state
            .faults
            .push(Fault("/runner/v1/lease", Effect::Status(503)));
    });
    let task = bench.offer("one");
    let daemon = bench.run(Keys::Own);
    bench
        .fake
        .until("the call fails", |state| {
            state
                .calls
                .iter()
                .any(|it| it.ends_with("lease 503"))
                .then_some(())
        })
        .await;
    assert_eq!(bench.cloud.sky().removed.len(), 0, "it comes back");
    let offer = |bench: &Bench| Offer {
        task: bench.fake.state().tasks[task].reference.clone(),
        attempt: 1,
        priority: Priority::Normal,
    };
    let again = offer(&bench);
    bench.cloud.change(|sky| sky.offers.push_back(again));
    bench.handed_in().await;
    // It is leased still, as far as the control plane knows.
    let stale = offer(&bench);
    bench.cloud.change(|sky| sky.offers.push_back(stale));
    bench
        .cloud
        .until(|sky| (sky.removed.len() == 2).then_some(()))
        .await;
    end(daemon).await;
}

/// Each receive counts against a message, and after a few its queue gives it up.
#[tokio::test]
async fn a_message_whose_lease_fails_is_held_on_to_and_no_other_is_received() {
    let bench = Bench::new();
    bench.cloud.change(|sky| sky.hidden = LONG);
    bench.fake.change(|state| {
        for status in [503, 500, 429, 503] {
            let fault = Fault("/runner/v1/lease", Effect::Status(status));
            state.faults.push(fault);
        }
    });
    let tasks = [bench.offer("one"), bench.offer("two")];
    let daemon = bench.run(Keys::Lent);
    for task in tasks {
        let result = bench.handed_in().await;
        assert_eq!(result.task, bench.fake.state().tasks[task].reference);
    }
    end(daemon).await;
    assert_eq!(bench.count("/runner/v1/lease"), 4 + 2);
    assert_eq!(bench.fake.state().lent, 1, "the credentials are good");
}

/// The claim ends before the control plane is back: the next message waits for it.
#[tokio::test]
async fn while_the_control_plane_is_away_one_message_is_received() {
    let bench = Bench::new();
    let daemon = bench.run(Keys::Lent);
    bench.offer("before");
    bench.handed_in().await;
    bench.fake.change(|state| state.is_away = true);
    for name in ["one", "two", "three"] {
        bench.offer(name);
    }
    let first = bench.cloud.sky().offers[0].clone();
    let asks = |state: &fake::State| {
        let refused = state.calls.iter().filter(|it| it.ends_with(" 503"));
        (refused.count() > 2).then_some(())
    };
    bench.fake.until("it asks again and again", asks).await;
    assert_eq!(bench.count("/runner/v1/lease 503"), 1);
    assert_eq!(bench.cloud.sky().offers.len(), 2, "they stay in the queue");
    bench.cloud.change(|sky| sky.offers.push_back(first));
    bench.fake.change(|state| state.is_away = false);
    for _ in 0..3 {
        bench.handed_in().await;
    }
    end(daemon).await;
    assert_eq!(bench.fake.state().lent, 1, "the credentials are good");
}

/// It answers all else. A runner that goes on at once would have the third message while it drains.
#[tokio::test]
async fn where_leases_fail_a_queue_is_not_emptied() {
    let bench = Bench::new();
    for name in ["one", "two", "three"] {
        bench.offer(name);
        bench.fake.change(|state| {
            let fault = Fault("/runner/v1/lease", Effect::Status(503));
            state.faults.push(fault);
        });
    }
    let daemon = bench.run(Keys::Lent);
    let failed = |state: &fake::State| {
        let calls = state.calls.iter();
        let failed = calls.filter(|it| it.ends_with("lease 503")).count();
        (failed == 2).then_some(())
    };
    bench.fake.until("two leases fail", failed).await;
    end(daemon).await;
    assert_eq!(bench.cloud.sky().offers.len(), 1);
}

/// Its roles may be others by now, and so its queues.
#[tokio::test]
async fn a_runner_that_is_refused_a_lease_asks_anew_what_is_its_own() {
    let bench = Bench::new();
    bench.cloud.change(|sky| sky.hidden = LONG);
    bench.fake.change(|state| {
        let fault = Fault("/runner/v1/lease", Effect::Status(403));
        state.faults.push(fault);
    });
    bench.offer("foreign");
    bench.fake.change(|state| state.tasks.clear());
    bench.offer("own");
    let daemon = bench.run(Keys::Lent);
    bench.handed_in().await;
    end(daemon).await;
    assert_eq!(bench.count("/runner/v1/lease"), 2, "it is asked for once");
    assert_eq!(bench.fake.state().lent, 2);
}

#[tokio::test]
async fn what_the_store_does_not_take_is_sent() {
    let bench = Bench::new();
    bench.cloud.change(|sky| sky.refuses = 1);
    let task = bench.offer("one");
    let daemon = bench.run(Keys::Lent);
    bench.fake.result(task).await;
    assert_eq!(bench.cloud.sky().results.len(), 0);
    // After a refusal, credentials are asked for anew.
    bench.offer("two");
    bench.handed_in().await;
    end(daemon).await;
    let opened = bench.cloud.sky().opened.clone();
    assert!(
        opened.len() > 1 && opened.iter().all(|lent| *lent),
        "{opened:?}"
    );
}

/// What lies there may be a stranger's: then the control plane hears it too.
#[tokio::test]
async fn where_something_lies_already_the_result_is_sent_as_well() {
    let bench = Bench::new();
    let task = bench.offer("one");
    let place = bench.place(task);
    bench.cloud.change(|sky| sky.taken.insert(place));
    let daemon = bench.run(Keys::Own);
    bench.fake.result(task).await;
    end(daemon).await;
}

#[tokio::test]
async fn a_runner_that_was_killed_says_so_in_the_store() {
    let bench = Bench::new();
    let task = bench.offer("one");
    bench.cloud.change(|sky| sky.offers.clear());
    bench.killed_at(task);
    let daemon = bench.run(Keys::Own);
    let result = bench.handed_in().await;
    let reference = bench.fake.state().tasks[task].reference.clone();
    assert_eq!((result.task, result.attempt), (reference, 1));
    let Outcome::Infrastructure { message } = result.outcome else {
        panic!("{:?}", result.outcome);
    };
    assert!(message.contains("was killed"), "{message}");
    end(daemon).await;
    assert_eq!(bench.count("/runner/v1/result"), 0);
}

/// What it had said counts: its next life does not say over the runner API that the attempt failed.
#[tokio::test]
async fn a_runner_that_was_killed_after_it_handed_in_leaves_it_at_that() {
    let bench = Bench::new();
    let task = bench.offer("one");
    let place = bench.place(task);
    bench.cloud.change(|sky| {
        sky.offers.clear();
        sky.taken.insert(place.clone());
    });
    bench.killed_at(task);
    let daemon = bench.run(Keys::Own);
    bench
        .cloud
        .until(|sky| (!sky.in_vain.is_empty()).then_some(()))
        .await;
    end(daemon).await;
    assert_eq!(bench.cloud.sky().in_vain, [place]);
    assert_eq!(bench.cloud.sky().results.len(), 0);
    assert_eq!(bench.count("/runner/v1/result"), 0);
}

/// There may be seconds left, and no time to find out that a store takes nothing.
#[tokio::test]
async fn a_runner_that_has_to_stop_says_so_through_the_runner_api() {
    let bench = Bench::new();
    let task = bench.offer("one");
    let (daemon, shutdown) = bench.run_with(Keys::Own, Composer::Endless);
    bench
        .cloud
        .until(|sky| (!sky.removed.is_empty()).then_some(()))
        .await;
    shutdown.now();
    let result = bench.fake.result(task).await;
    daemon.await.unwrap().unwrap();
    assert!(
        matches!(result.outcome, Outcome::HandedBack { .. }),
        "{:?}",
        result.outcome
    );
    assert_eq!(bench.cloud.sky().results.len(), 0);
}

#[tokio::test]
async fn lent_credentials_are_asked_for_again_before_they_end() {
    let bench = Bench::new();
    // Less than the time before the end at which they count as ended.
    bench.fake.change(|state| state.lent_seconds = 60);
    let daemon = bench.run(Keys::Lent);
    bench.offer("one");
    bench.handed_in().await;
    end(daemon).await;
    assert!(bench.count("/runner/v1/cloud 200") >= 2, "each use asks");
}

#[tokio::test]
async fn a_program_that_knows_no_cloud_says_so() {
    let bench = Bench::new();
    let config = Config {
        control: bench.fake.url().parse().unwrap(),
        runner: "b1".parse().unwrap(),
        key: bench.home.path().join("key"),
        work: bench.home.path().into(),
        scratch: bench.home.path().join("jobs"),
        capacity: None,
        drain: Duration::ZERO,
        cloud: Some(Keys::Own),
    };
    let error = runner_agent::run(config, Vec::new(), Shutdown::default()).await;
    let words = error.unwrap_err().to_string();
    assert!(words.contains("leave `cloud` out"), "{words}");
}
