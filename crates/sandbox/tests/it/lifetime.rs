//! What is left when the runner is killed: nothing that runs, nothing mounted, and what lies about is swept.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{mark, open, own_state, processes, root, runner};

const SOON: Duration = Duration::from_secs(20);

struct Runner(Child);

impl Runner {
    fn kill_9(&mut self) {
        self.0.kill().expect("a kill");
        self.0.wait().expect("an end");
    }
}

impl Drop for Runner {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// Starts a runner of its own and waits until its command says "started".
fn start(state: &Path, arguments: &[&str]) -> Runner {
    let child = Command::new(runner())
        .arg(state)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests");
    let mut runner = Runner(child);
    let out = BufReader::new(runner.0.stdout.take().expect("a pipe"));
    let line = out.lines().next().expect("a line").expect("text");
    assert_eq!(line, "started");
    runner
}

/// The kernel ends a tree of processes a moment after its first one: looked for until it is so, within bounds.
fn gone(mark: &str) {
    let begin = Instant::now();
    while !processes(mark).is_empty() {
        assert!(begin.elapsed() < SOON, "still there: {:?}", processes(mark));
        std::thread::yield_now();
    }
}

fn below(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The processes that have marked the state directory and not taken the mark away.
fn sessions(state: &Path) -> Vec<u32> {
    let pid = |name: &str| name.strip_prefix('s')?.split('-').next()?.parse().ok();
    below(&state.join("sessions"))
        .iter()
        .filter_map(|name| pid(name))
        .collect()
}

fn groups_of(pid: u32) -> Vec<String> {
    let output = Command::new("find")
        .args([
            "/sys/fs/cgroup",
            "-type",
            "d",
            "-name",
            &format!("s{pid}-*"),
        ])
        .output()
        .expect("find");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn kill_9_of_the_runner_ends_its_build() {
    let mark = mark();
    let state = own_state();
    root(&open(state.path()).await, "busybox").await;
    let daemons = format!(
        "(setsid sleep {mark} &); (setsid sh -c 'trap \"\" TERM HUP; sleep {mark}; sleep {mark}' &); echo started; sleep {mark}"
    );
    for room in ["build", "prepare"] {
        let mut runner = start(state.path(), &[room, "busybox", "sh", "-c", &daemons]);
        let pid = runner.0.id();
        assert!(!processes(&mark).is_empty());
        runner.kill_9();
        gone(&mark);
        gone(&format!("/s{pid}-"));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains("millrace"), "{mounts}");
        assert_eq!(sessions(state.path()), [pid]);
        let sandbox = open(state.path()).await;
        assert_eq!(groups_of(pid), Vec::<String>::new());
        drop(sandbox);
        assert_eq!(sessions(state.path()), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn kill_9_in_the_middle_of_a_root_leaves_no_root() {
    let mark = mark();
    let state = own_state();
    let script = format!(
        "mkdir -p /workspace/usr/bin; chown -R 3:3 /workspace/usr; echo started; sleep {mark}"
    );
    let mut runner = start(state.path(), &["new", "half", "sh", "-c", &script]);
    let ranges = || below(&state.path().join("roots"));
    let roots = || {
        let mut names = below(&state.path().join("roots").join(&ranges()[0]));
        names.retain(|name| !name.starts_with("millrace-probe"));
        names
    };
    assert_eq!(roots(), ["half.lock", "half.making"]);
    runner.kill_9();
    gone(&mark);
    assert_eq!(roots(), ["half.lock", "half.making"]);
    let sandbox = open(state.path()).await;
    assert_eq!(roots(), ["half.lock"]);
    root(&sandbox, "half").await;
    assert_eq!(roots(), ["half", "half.lock"]);
}

#[tokio::test]
async fn a_living_runner_is_not_swept() {
    let mark = mark();
    let state = own_state();
    root(&open(state.path()).await, "busybox").await;
    let mut runner = start(
        state.path(),
        &[
            "build",
            "busybox",
            "sh",
            "-c",
            &format!("echo started; sleep {mark}"),
        ],
    );
    let pid = runner.0.id();
    let groups = groups_of(pid);
    drop(open(state.path()).await);
    assert_eq!(sessions(state.path()), [pid]);
    assert_eq!(groups_of(pid), groups);
    assert!(!processes(&mark).is_empty());
    runner.kill_9();
    gone(&mark);
}

#[tokio::test]
async fn a_dropped_run_ends_its_command() {
    let mark = mark();
    let state = own_state();
    let sandbox = open(state.path()).await;
    let root = root(&sandbox, "busybox").await;
    let workspace = sandbox
        .workspace(&root, crate::stage::DISK_BYTES)
        .await
        .expect("a workspace");
    let command = crate::stage::build(&format!("echo started; sleep {mark}"));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let task = tokio::spawn(async move {
        let (mut sink, never) = (sender, sandbox::CancellationToken::new());
        workspace
            .run(&command, &crate::stage::limits(), &mut sink, &never)
            .await
    });
    assert_eq!(receiver.recv().await.expect("output"), b"started\n");
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());
    gone(&mark);
    gone(&state.path().display().to_string());
}
