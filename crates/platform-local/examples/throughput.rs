//! How many durable steps a second this disk and these processors allow: `cargo run -p
//! platform-local --release --example throughput [FOLDER]`.
//!
//! A task's way is what the control plane does for a no-op task: its message is sent, received and
//! acknowledged, its lease and its end are changes of two and of five rows, and two more messages
//! follow. Every step is on the disk before the next begins.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring program for the shell"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Change, Expect, Key, Message, QueueName, RefRow, Row};
use platform_local::{Database, SqliteLedger, SqliteQueue, WallClock};
use ports::{Applied, Ledger, TaskQueue};
use tokio::task::JoinSet;

const CALLERS: usize = 32;
const CHANGES: usize = 10_000;
const TASKS: usize = 1_000;

type State = (SqliteLedger, SqliteQueue);

#[tokio::main]
async fn main() {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let scratch = tempfile::tempdir_in(given.unwrap_or_else(std::env::temp_dir)).unwrap();
    let database = Database::open(scratch.path()).unwrap();
    let queue = SqliteQueue::new(database.clone(), Arc::new(WallClock));
    let state = Arc::new((SqliteLedger::new(database), queue));
    println!(
        "{:>8.0} fsyncs a second, one after another",
        fsyncs(scratch.path())
    );
    println!("{} when idle, nothing done yet", resident());

    let start = Instant::now();
    crowd(&state, CHANGES, one_row).await;
    report(CHANGES, start, "changes of one row a second, by 32 callers");
    let start = Instant::now();
    crowd(&state, CHANGES / 10, one_row_alone).await;
    report(
        CHANGES / 10,
        start,
        "changes of one row a second, by 1 caller",
    );
    let start = Instant::now();
    crowd(&state, TASKS, task).await;
    report(TASKS, start, "tasks a second, by 32 callers");
    println!("{} when idle after all that", resident());
}

fn report(count: usize, start: Instant, what: &str) {
    println!(
        "{:>8.0} {what}",
        count as f64 / start.elapsed().as_secs_f64()
    );
}

fn fsyncs(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("probe")).unwrap();
    let start = Instant::now();
    for _ in 0..200 {
        file.write_all(&[0; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    200.0 / start.elapsed().as_secs_f64()
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap().to_owned()
}

async fn crowd<F>(state: &Arc<State>, count: usize, work: fn(Arc<State>, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let state = Arc::clone(state);
        callers.spawn(async move {
            for index in (caller..count).step_by(CALLERS) {
                work(Arc::clone(&state), index).await;
            }
        });
    }
    callers.join_all().await;
}

fn key(partition: &str, index: usize) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: format!("{index:06}"),
    }
}

/// 4 KB of JSON, about as much as a build task has.
fn row(number: i64) -> Row {
    Row::Ref(RefRow {
        url: "x".repeat(4_000),
        git_ref: "main".to_owned(),
        commit: "0".repeat(40),
        at: number,
    })
}

async fn apply(state: &State, change: Change, now: i64) {
    let applied = state.0.apply(change, now).await.unwrap();
    assert_eq!(applied, Applied::Done);
}

async fn one_row(state: Arc<State>, index: usize) {
    let mut change = Change::default();
    change.replace(key("one", index), Expect::Absent, row(0));
    apply(&state, change, 0).await;
}

async fn one_row_alone(state: Arc<State>, index: usize) {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let mut change = Change::default();
    change.replace(key("alone", index), Expect::Absent, row(0));
    apply(&state, change, 0).await;
}

fn message(index: usize) -> Message {
    Message::Advance {
        request: format!("builds/2026/07/{index}.yaml").parse().unwrap(),
    }
}

async fn task(state: Arc<State>, index: usize) {
    let (ledger, queue) = &*state;
    let work = QueueName::work(pipeline_spec::Role::BuildDeb, None);
    queue.send(&work, &message(index), 0).await.unwrap();
    let hide = Duration::from_secs(600);
    let got = queue.receive(&[work], 1, hide, hide).await.unwrap();

    let mut lease = Change::default();
    lease.replace(key("tasks", index), Expect::Absent, row(1));
    lease.put(key("leases", index), row(1));
    apply(&state, lease, 0).await;
    queue.acknowledge(&got[0].receipt).await.unwrap();

    let read = ledger.get(&key("tasks", index)).await.unwrap().unwrap();
    let mut finish = Change::default();
    finish.delete(key("leases", index));
    finish.replace(key("tasks", index), Expect::Version(read.version), row(2));
    finish.effect(QueueName::advance(), message(index), 0);
    finish.effect(QueueName::report(), message(index), 0);
    apply(&state, finish, 1).await;
    for name in [QueueName::advance(), QueueName::report()] {
        queue.send(&name, &message(index), 0).await.unwrap();
        let mut sent = Change::default();
        sent.delete(Key::outbox(1, &format!("{name} {}", message(index).name())));
        apply(&state, sent, 2).await;
    }
}
