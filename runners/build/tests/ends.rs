//! How a stranger's command ends, and what people are told: each limit, and the network that is not there.

#![allow(
    clippy::disallowed_methods,
    reason = "a test looks for a program of the host"
)]

use std::path::Path;
use std::time::Duration;

use runner_api::{FailureKind, Outcome, TaskSpec};
use runner_build::{Blame, Room};
use sandbox::{Command, Limits, Root, RootEntry, RootKey, Sandbox};
use testkit::{Desk, assert_failed, assert_trouble, cache};

const BUSYBOX: &str = "/bin/busybox";
const MIB: u64 = 1 << 20;
const LIMITS: Limits = Limits {
    memory_bytes: 64 * MIB,
    processes: 32,
    wall: Duration::from_secs(60),
    disk_bytes: 8 * MIB,
    log_bytes: MIB,
};

async fn root(sandbox: &Sandbox) -> Root {
    let key = RootKey::new("busybox-1").expect("a key");
    let entry = sandbox.root(&key, None).await.expect("the cache");
    let new = match entry {
        RootEntry::Ready(root) => return root,
        RootEntry::Missing(new) => new,
    };
    assert!(
        Path::new(BUSYBOX).is_file(),
        "{BUSYBOX} is missing: install the Debian package busybox-static"
    );
    let script = "set -e; cd /workspace; mkdir bin etc root; cp /in/busybox bin/
        for name in $(bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done
        echo root:x:0:0::/root:/bin/sh >etc/passwd; echo root:x:0: >etc/group";
    let make = Command::prepare_on_host(["sh", "-c", script]).bind_read_only("/bin", "/in");
    let (mut log, never) = (Vec::new(), sandbox::CancellationToken::new());
    let made = new.workspace().run(&make, &LIMITS, &mut log, &never).await;
    assert!(
        made.expect("the sandbox works").success(),
        "{}",
        String::from_utf8_lossy(&log)
    );
    new.commit().await.expect("a root")
}

/// A task to work for; the room does not look into it.
fn task() -> TaskSpec {
    serde_json::from_value(serde_json::json!({
        "do": "sign-packages", "repository": "main", "key": "main", "packages": [], "time": 0,
    }))
    .expect("a task")
}

async fn run(script: &str, limits: Limits, blame: Blame) -> Outcome {
    let desk = Desk::new();
    let job = desk.job(task(), vec![]);
    let sandbox = testkit::sandbox(&cache("build")).await;
    let root = root(&sandbox).await;
    let workspace = sandbox.workspace(&root, limits.disk_bytes).await;
    let room = Room::new(&job, workspace.expect("a workspace"), limits);
    let command = Command::build(["sh", "-c", script])
        .writable("/build")
        .current_dir("/build");
    let ended = room.run(&command, "build", blame).await;
    Outcome::from(ended.expect_err("the command does not end well"))
}

/// The package is told, in one sentence with cause and remedy.
async fn check(script: &str, kind: FailureKind, sentence: &str) {
    let blame = Blame::Package(FailureKind::Build);
    let outcome = run(script, LIMITS, blame).await;
    assert_failed(&outcome, kind, "");
    let Outcome::Failed { failure, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.message, sentence, "{script}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_is_named_with_its_limit() {
    let limits = Limits {
        wall: Duration::from_secs(1),
        ..LIMITS
    };
    let outcome = run("sleep 1000", limits, Blame::Package(FailureKind::Build)).await;
    assert_failed(
        &outcome,
        FailureKind::TimedOut,
        "failed to build: it ran longer than 1 s; raise `limits: {minutes: …}` in millrace.yaml if the package needs it",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_is_named_with_its_limit() {
    check(
        "dd if=/dev/zero of=/dev/null bs=200M count=1",
        FailureKind::OutOfMemory,
        "failed to build: it wanted more than 64 MiB of memory; raise `limits: {memory: …}` in millrace.yaml if the package needs it",
    )
    .await;
    check(
        "dd if=/dev/zero of=big bs=1M count=100",
        FailureKind::DiskFull,
        "failed to build: it wrote more than 8 MiB; raise `limits: {disk: …}` in millrace.yaml if the package needs it",
    )
    .await;
    check(
        "yes",
        FailureKind::LogLimit,
        "failed to build: it printed more than 1 MiB; raise `limits: {log: …}` in millrace.yaml if the package needs it",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_named_with_its_limit() {
    // What cannot fork gives up and waits: the clock ends it, and the processes are the cause.
    let limits = Limits {
        wall: Duration::from_secs(5),
        ..LIMITS
    };
    let bomb = "f() { f | f & }; f; while :; do sleep 1; done";
    let outcome = run(bomb, limits, Blame::Package(FailureKind::Build)).await;
    assert_failed(
        &outcome,
        FailureKind::Build,
        "failed to build: it started more than 32 processes; raise `limits: {processes: …}` in millrace.yaml if the package needs it",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_tries_the_network_is_told_that_there_is_none() {
    check(
        "wget http://deb.debian.org/",
        FailureKind::Build,
        "failed to build: exit code 1; it tried the network, which builds do not have (wget: bad address 'deb.debian.org'); \
         put what it fetches into the source or into a build dependency",
    )
    .await;
    check(
        "wget http://192.0.2.1/",
        FailureKind::Build,
        "failed to build: exit code 1; it tried the network, which builds do not have (wget: can't connect to remote host (192.0.2.1): Network is unreachable); \
         put what it fetches into the source or into a build dependency",
    )
    .await;
    check(
        "echo no rule to make target; exit 2",
        FailureKind::Build,
        "failed to build: exit code 2; the log's end shows why",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_ours_never_blames_the_package() {
    for (script, words) in [
        (
            "echo first; echo last; exit 3",
            "build: exit code 3: first / last",
        ),
        (
            "dd if=/dev/zero of=big bs=1M count=100",
            "the disk of its workspace is full",
        ),
        ("yes", "it printed more than allowed"),
    ] {
        assert_trouble(&run(script, LIMITS, Blame::Us).await, words);
    }
}
