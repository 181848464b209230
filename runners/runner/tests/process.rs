//! The real program against a control plane in memory: killed, drained, misdated.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a real process with real files; the bench's helpers are part of the tests"
)]

#[path = "../../agent/tests/fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use fake::{Effect, Fake, Fault, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_spec::Runner;
use runner_api::{ComposeTask, Outcome, TaskSpec};
use tempfile::TempDir;

struct Bench {
    fake: Fake,
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            fake: Fake::start(),
            home: tempfile::tempdir().unwrap(),
        };
        bench.fake.enroll("b1", bench.enroll().key);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn enroll(&self) -> Runner {
        let output = enroll(&self.path("key"));
        assert!(output.status.success(), "{output:?}");
        serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    fn start(&self, drain_seconds: u32) -> Process {
        self.start_as("compose", &["--drain-seconds", &drain_seconds.to_string()])
    }

    fn start_as(&self, role: &str, words: &[&str]) -> Process {
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("stderr"))
            .unwrap();
        let child = program()
            .args(["run", "--role", role, "--runner", "b1"])
            .args(["--control", &self.fake.url()])
            .arg("--key")
            .arg(self.path("key"))
            .arg("--work")
            .arg(self.path("work"))
            // While one slot works, the other one's take shows whether the runner drains.
            .args(["--capacity", "2"])
            .args(words)
            .env("MILLRACE_LOG", "trace")
            .stderr(stderr)
            .spawn()
            .unwrap();
        Process(child)
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap()
    }

    fn jobs(&self) -> usize {
        let entries = std::fs::read_dir(self.path("work/jobs/b1")).unwrap();
        let is_job = |name: &str| name.starts_with("job-");
        entries
            .filter(|entry| is_job(entry.as_ref().unwrap().file_name().to_str().unwrap()))
            .count()
    }

    /// A job that hangs until the connection breaks: its first blob never comes.
    fn queue_hanging(&self) -> usize {
        let hang = Fault("GET /runner/v1/blobs", Effect::Hang);
        self.fake.change(|state| state.faults.push(hang));
        self.queue()
    }

    fn queue(&self) -> usize {
        let layout = serde_json::from_value(serde_json::json!({
            "platform": "bridge-12", "architectures": ["x86_64"], "key": "main",
            "keep": "all", "format": "rpm", "path": "bridge",
        }));
        let task = ComposeTask {
            repository: "test".parse().unwrap(),
            layout: layout.unwrap(),
            content: self.fake.put_blob("[]"),
            time: 1,
        };
        let spec = TaskSpec::Compose(Box::new(task));
        self.fake.queue(spec, BTreeMap::new())
    }

    /// Until the job has begun, as its heartbeats show.
    async fn at_work(&self, task: usize) {
        let hanging = |state: &State| {
            let begun = state.faults.is_empty() && state.tasks[task].beats > 0;
            (begun && state.open_takes == 1).then_some(())
        };
        self.fake.until("the job begins", hanging).await;
    }
}

struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-runner"));
    command.stdin(Stdio::null());
    command
}

fn enroll(key: &std::path::Path) -> Output {
    program()
        .args([
            "enroll", "--id", "b1", "--arch", "x86_64", "--arch", "amd64",
        ])
        .args([
            "--role",
            "compose",
            "--label",
            "big",
            "--capacity",
            "2",
            "--key",
        ])
        .arg(key)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_killed_runner_leaves_its_job_to_the_next() {
    let bench = Bench::new();
    let mut first = bench.start(60);
    let task = bench.queue_hanging();
    bench.at_work(task).await;
    assert_eq!(bench.jobs(), 1);
    first.signal(Signal::SIGKILL);
    first.wait();
    assert_eq!(bench.jobs(), 1, "a killed process cleans up nothing");

    let mut second = bench.start(60);
    let result = bench.fake.result(task).await;
    let Outcome::Infrastructure { message } = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(
        message,
        "finish: the runner b1 was killed, and has started again"
    );
    assert_eq!(result.attempt, 1, "nobody waits for the lease's end");
    bench.fake.change(|state| state.tasks[task].accepted = None);
    let result = bench.fake.result(task).await;
    assert_eq!(result.attempt, 2);
    assert!(
        matches!(result.outcome, Outcome::Succeeded { .. }),
        "{result:?}"
    );
    second.signal(Signal::SIGTERM);
    assert!(second.wait().success());
    assert_eq!(bench.jobs(), 0, "the next process does");
    assert_eq!(bench.fake.state().tasks[task].stale, []);
}

#[tokio::test]
async fn sigterm_hands_the_job_back_after_the_grace_and_a_second_one_at_once() {
    let bench = Bench::new();
    for (drain_seconds, signals) in [(0, 1), (3600, 2)] {
        let mut runner = bench.start(drain_seconds);
        let task = bench.queue_hanging();
        bench.at_work(task).await;
        for _ in 0..signals {
            runner.signal(Signal::SIGTERM);
            let idle = |state: &State| (state.open_takes == 0).then_some(());
            bench.fake.until("the last take ends", idle).await;
        }
        assert!(runner.wait().success(), "{}", bench.stderr());
        let result = bench.fake.result(task).await;
        assert!(
            matches!(result.outcome, Outcome::HandedBack { .. }),
            "{result:?}"
        );
        assert_eq!(bench.jobs(), 0);
        bench.fake.change(|state| state.tasks.clear());
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named_and_the_key_never() {
    let bench = Bench::new();
    bench.fake.change(|state| state.clock_ahead = 1000);
    let task = bench.queue();
    let mut runner = bench.start(60);
    let refused = |state: &State| {
        let take = "POST /runner/v1/take 401".to_owned();
        state.calls.contains(&take).then_some(())
    };
    bench.fake.until("a refusal", refused).await;
    bench.fake.change(|state| state.clock_ahead = 0);
    bench.fake.result(task).await;
    runner.signal(Signal::SIGTERM);
    assert!(runner.wait().success());

    let stderr = bench.stderr();
    assert!(stderr.contains("check the runner's clock"), "{stderr}");
    assert!(
        stderr.contains("the control plane answers again"),
        "{stderr}"
    );
    let pem = std::fs::read_to_string(bench.path("key")).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    assert!(secret.len() > 40 && !stderr.contains(secret), "{stderr}");
    // The header of each call is as good as the key for five minutes.
    assert!(!stderr.contains("Millrace-Ed25519"), "{stderr}");
    let first: serde_json::Value = serde_json::from_str(stderr.lines().next().unwrap()).unwrap();
    assert!(first["timestamp"].is_string(), "{first}");
}

#[tokio::test]
async fn roots_beyond_the_size_of_the_cache_are_removed() {
    let bench = Bench::new();
    let sandbox = testkit::sandbox(&bench.path("work")).await;
    let key = sandbox::RootKey::new("old").unwrap();
    let missing = async || match sandbox.root(&key, None).await.unwrap() {
        sandbox::RootEntry::Missing(new) => Some(new),
        sandbox::RootEntry::Ready(_) => None,
    };
    missing().await.unwrap().commit().await.unwrap();
    let waits = |state: &State| (state.open_takes == 1).then_some(());
    for (size, is_gone) in [("1GiB", false), ("1KiB", true)] {
        let mut runner = bench.start_as("build-deb", &["--cache-size", size]);
        bench.fake.until("a take", waits).await;
        runner.signal(Signal::SIGTERM);
        assert!(runner.wait().success(), "{}", bench.stderr());
        assert_eq!(missing().await.is_some(), is_gone, "{size}");
        bench
            .fake
            .until("the take ends", |state| {
                (state.open_takes == 0).then_some(())
            })
            .await;
    }
}

#[test]
fn enrolling_twice_is_enrolling_once() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    let first = enroll(&key);
    assert!(first.status.success(), "{first:?}");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = String::from_utf8(first.stdout).unwrap();
    let (head, rest) = text.split_once("key: ").unwrap();
    assert_eq!(head, "# runners/b1.yaml\n");
    assert_eq!(
        rest.split_once('\n').unwrap().1,
        "roles: [compose]\narchitectures: [x86_64, amd64]\nlabels: [big]\ncapacity: 2\n"
    );
    assert_eq!(String::from_utf8(enroll(&key).stdout).unwrap(), text);
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    enroll(&key);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let again = enroll(&key);
    assert!(!again.status.success());
    let words = String::from_utf8(again.stderr).unwrap();
    let expect = format!(
        "Error: use {}: others than its owner have rights on it (mode 0644); run: chmod 600 {}\n",
        key.display(),
        key.display()
    );
    assert_eq!(words, expect);
}
