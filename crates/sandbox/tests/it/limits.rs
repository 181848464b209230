//! What stops a command, and what its end is called.

use std::time::Duration;

use nix::sys::statvfs::statvfs;
use sandbox::{CancellationToken, Command, Ended, Limits, LogSink};

use crate::stage::{DISK_BYTES, build, limits, mark, processes, run, run_within, state, workspace};

async fn check(script: &str, limits: &Limits, expect: Ended) -> String {
    let (ended, log) = run_within(&workspace().await, &build(script), limits).await;
    let end = log.len().saturating_sub(500);
    assert_eq!(
        ended,
        expect,
        "{script}: {}",
        String::from_utf8_lossy(&log.as_bytes()[end..])
    );
    log
}

#[tokio::test]
async fn ends_of_its_own() {
    check("true", &limits(), Ended::Exited(0)).await;
    check("exit 7", &limits(), Ended::Exited(7)).await;
    check("kill -SEGV $$", &limits(), Ended::Killed(11)).await;
    check("sh -c 'kill -TERM $$'", &limits(), Ended::Killed(15)).await;
}

#[tokio::test]
async fn output_is_one_stream_in_order() {
    assert_eq!(
        check("echo a; echo b >&2; echo c", &limits(), Ended::Exited(0)).await,
        "a\nb\nc\n"
    );
}

#[tokio::test]
async fn a_memory_hog_is_out_of_memory() {
    let tight = Limits {
        memory_bytes: 32 << 20,
        ..limits()
    };
    check(
        "dd if=/dev/zero of=/dev/null bs=200M count=1",
        &tight,
        Ended::OutOfMemory,
    )
    .await;
    // Many small ones count together.
    let crowd = "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero bs=30M count=1 2>/dev/null | (sleep 30; cat) & done; wait";
    check(
        &format!("({crowd}) >/dev/null; exit 1"),
        &tight,
        Ended::OutOfMemory,
    )
    .await;
}

#[tokio::test]
async fn a_fork_bomb_is_contained_and_ended() {
    let mark = mark();
    check(
        &format!("while :; do sleep {mark} & done"),
        &limits(),
        Ended::ProcessLimit,
    )
    .await;
    let short = Limits {
        wall: Duration::from_secs(2),
        ..limits()
    };
    check(
        &format!("bomb() {{ bomb | bomb & }}; bomb; sleep {mark}"),
        &short,
        Ended::ProcessLimit,
    )
    .await;
    assert_eq!(processes(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn endless_output_is_cut() {
    let log = check("yes", &limits(), Ended::LogLimit).await;
    assert_eq!(log.len() as u64, limits().log_bytes);
    // A command that ends with exactly the limit is within it.
    check("head -c 1048576 /dev/zero", &limits(), Ended::Exited(0)).await;
    check("head -c 1048577 /dev/zero", &limits(), Ended::LogLimit).await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_the_hosts_disk_is_not_touched() {
    let free = || {
        let state = statvfs(&state()).expect("the host's disk");
        state.blocks_available() * state.fragment_size()
    };
    let before = free();
    for place in ["/build", "/tmp", "/var/tmp", "/dev/shm"] {
        check(
            &format!("dd if=/dev/zero of={place}/x bs=1M"),
            &limits(),
            Ended::DiskFull,
        )
        .await;
    }
    check(
        "seq 1 70000 | xargs touch 2>/dev/null; exit 1",
        &limits(),
        Ended::DiskFull,
    )
    .await;
    // Cleaning up after the failure does not hide it, neither does a program that does not say why.
    check(
        "dd if=/dev/zero of=x bs=1M 2>/dev/null; sleep 0.3; rm x; exit 1",
        &limits(),
        Ended::DiskFull,
    )
    .await;
    check(
        "dd if=/dev/zero of=x bs=1M; rm x; exit 1",
        &limits(),
        Ended::DiskFull,
    )
    .await;
    check(
        "dd if=/dev/zero of=x bs=1M count=8 2>/dev/null; exit 1",
        &limits(),
        Ended::Exited(1),
    )
    .await;
    let others = 16 * DISK_BYTES;
    assert!(
        before.saturating_sub(free()) < others,
        "the host's disk lost {} bytes",
        before - free()
    );
}

#[tokio::test]
async fn a_hang_is_timed_out() {
    let mark = mark();
    let short = Limits {
        wall: Duration::from_millis(300),
        ..limits()
    };
    check(
        &format!("trap '' TERM INT HUP; sleep {mark}"),
        &short,
        Ended::TimedOut,
    )
    .await;
    check("kill -STOP $$", &short, Ended::TimedOut).await;
    assert_eq!(processes(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn a_daemon_ends_with_its_command() {
    let mark = mark();
    let workspace = workspace().await;
    let script =
        format!("(setsid sleep {mark} >/dev/null 2>&1 &) ; (setsid sleep {mark} &); echo done");
    let script = script.as_str();
    let (ended, log) = run(&workspace, &build(script)).await;
    assert_eq!((ended, log.as_str()), (Ended::Exited(0), "done\n"));
    assert_eq!(processes(&mark), Vec::<String>::new());
    let (ended, _) = run(&workspace, &Command::prepare(["sh", "-c", script])).await;
    assert_eq!((ended, processes(&mark)), (Ended::Exited(0), Vec::new()));
}

/// Cancels as soon as the command speaks.
struct Canceler(CancellationToken);

impl LogSink for Canceler {
    async fn write(&mut self, _: &[u8]) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_canceled_command_is_gone() {
    let mark = mark();
    let token = CancellationToken::new();
    let command = build(&format!("echo started; sleep {mark}"));
    let ended = workspace()
        .await
        .run(&command, &limits(), &mut Canceler(token.clone()), &token)
        .await;
    assert_eq!(ended.expect("an end"), Ended::Canceled);
    assert_eq!(processes(&mark), Vec::<String>::new());
    let ended = workspace()
        .await
        .run(&command, &limits(), &mut Vec::new(), &token)
        .await;
    assert_eq!(
        ended.expect("an end"),
        Ended::Canceled,
        "canceled before it began"
    );
}

#[tokio::test]
async fn commands_of_one_workspace_run_at_once() {
    let workspace = workspace().await;
    let wait = build("until [ -e go ]; do sleep 0.01; done; echo went");
    let go = build("touch go");
    let ((waited, log), (went, _)) = tokio::join!(run(&workspace, &wait), run(&workspace, &go));
    assert_eq!(
        (waited, went, log.as_str()),
        (Ended::Exited(0), Ended::Exited(0), "went\n")
    );
}
