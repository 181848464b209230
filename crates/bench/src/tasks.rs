//! 1,000 no-op tasks queued at once, every step durable; and the control plane when it has nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::block_on;
use crate::figures::{memory, millis, processor_time, round};
use crate::machine::{Machine, request};
use crate::runner::Runner;

const TASKS: usize = 1_000;
/// Calls at a time, as of a machine with eight slots.
const CONNECTIONS: usize = 8;
/// The ways to ask for them: this many requests, with equally many tasks.
const SHAPES: [usize; 2] = [10, 1];
/// Until the control plane is idle.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Longest time for all tasks, and then until all requests are at rest.
const PATIENCE: Duration = Duration::from_secs(300);
/// The lines. No processor time: at most half a percent.
const LIMIT_RATE: f64 = 120.0;
const LIMIT_BYTES: u64 = 40 << 20;
const LIMIT_TIME: Duration = Duration::from_millis(50);

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    block_on(measure(scratch))
}

async fn measure(scratch: &tempfile::TempDir) -> Result<Value> {
    let (machine, runner) = Machine::start(scratch.path()).await?;
    tokio::time::sleep(SETTLE).await;
    let fresh = memory(&machine.pid(), "VmRSS")?;
    let mut shapes = Vec::new();
    for count in SHAPES {
        shapes.push(work_off(&machine, &runner, count).await?);
    }
    let before = processor_time(&machine.pid())?;
    tokio::time::sleep(IDLE).await;
    let busy = processor_time(&machine.pid())? - before;
    let idle = shapes.iter().map(|shape| shape.idle_bytes).max();
    let slowest = shapes.iter().map(|shape| shape.rate).reduce(f64::min);
    let misses: Vec<&str> = [
        ("tasks a second", slowest >= Some(LIMIT_RATE)),
        ("idle memory before any task", fresh < LIMIT_BYTES),
        ("idle memory after the tasks", idle < Some(LIMIT_BYTES)),
        ("processor time when idle", busy <= LIMIT_TIME),
    ]
    .into_iter()
    .filter_map(|(what, holds)| (!holds).then_some(what))
    .collect();
    Ok(json!({
        "bench": "tasks", "tasks": TASKS, "connections": CONNECTIONS,
        "shapes": shapes.into_iter().map(|shape| shape.line).collect::<Vec<_>>(),
        "limit_finished_per_second": LIMIT_RATE,
        "idle_bytes_fresh": fresh, "limit_idle_bytes": LIMIT_BYTES,
        "peak_bytes": memory(&machine.pid(), "VmHWM")?,
        "idle_cpu_ms_in_10_s": millis(busy), "limit_idle_cpu_ms": millis(LIMIT_TIME),
        "misses": misses, "holds": misses.is_empty(),
    }))
}

/// What one way to ask for the tasks gave.
struct Shape {
    /// Tasks finished a second, from the end of `git push` on.
    rate: f64,
    /// Memory of the control plane once it was idle again.
    idle_bytes: u64,
    line: Value,
}

/// Pushes `count` requests and works off their tasks.
async fn work_off(machine: &Machine, runner: &Runner, count: usize) -> Result<Shape> {
    let each = TASKS / count;
    let requests: Vec<(String, String)> = (0..count)
        .map(|n| request(&format!("tasks-{count}-{n}"), n * each..(n + 1) * each))
        .collect();
    machine.commit(&requests)?;
    let before = processor_time(&machine.pid())?;
    let (_, pushed) = tokio::task::block_in_place(|| machine.push())?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut hands = JoinSet::new();
    for _ in 0..CONNECTIONS {
        hands.spawn(hand(runner.clone(), done.clone()));
    }
    let mut spans = Vec::new();
    while let Some(span) = hands.join_next().await {
        spans.extend(span??);
    }
    let first = spans.iter().map(|span| span.0).min().context("no task")?;
    let last = spans.iter().map(|span| span.1).max().context("no task")?;
    at_rest(runner, &requests).await?;
    let rest = pushed.elapsed();
    let cpu = processor_time(&machine.pid())? - before;
    tokio::time::sleep(SETTLE).await;
    let idle_bytes = memory(&machine.pid(), "VmRSS")?;
    let rate = |time: Duration| round(TASKS as f64 / time.as_secs_f64());
    let line = json!({
        "requests": count,
        "finished_per_second": rate(last - pushed),
        "finished_per_second_since_first_lease": rate(last - first),
        "first_lease_ms": millis(first.saturating_duration_since(pushed)),
        "at_rest_ms": millis(rest),
        "control_plane_cpu_ms": millis(cpu),
        "idle_bytes_after": idle_bytes,
    });
    Ok(Shape {
        rate: rate(last - pushed),
        idle_bytes,
        line,
    })
}

/// Takes and ends tasks until all are ended; answers its first lease and its last end.
async fn hand(runner: Runner, done: Arc<AtomicUsize>) -> Result<Option<(Instant, Instant)>> {
    let mut span = None;
    let start = Instant::now();
    while done.load(Ordering::Relaxed) < TASKS {
        let count = done.load(Ordering::Relaxed);
        ensure!(
            start.elapsed() < PATIENCE,
            "only {count} of {TASKS} tasks came"
        );
        // The last hands would wait for a task that never comes.
        let Ok(taken) = tokio::time::timeout(SETTLE, runner.take()).await else {
            continue;
        };
        let Some(grant) = taken? else { continue };
        let leased = Instant::now();
        runner.finish(&grant).await?;
        done.fetch_add(1, Ordering::Relaxed);
        let first = span.map_or(leased, |(first, _)| first);
        span = Some((first, Instant::now()));
    }
    Ok(span)
}

/// Until every request says that it failed, as it must.
async fn at_rest(runner: &Runner, requests: &[(String, String)]) -> Result<()> {
    let start = Instant::now();
    for (path, _) in requests {
        loop {
            let request = runner.get(&format!("/api/v1/request/{path}")).await?;
            if request["phase"] == "failed" {
                break;
            }
            ensure!(start.elapsed() < PATIENCE, "{path} is not at rest");
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}
