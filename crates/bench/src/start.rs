//! From `git push` accepted to the runner's lease, on an idle machine.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::block_on;
use crate::figures::{millis, percentile};
use crate::machine::{Machine, request};

const PUSHES: usize = 50;
/// Until the machine is idle again: longer than status commits are held back.
const REST: Duration = Duration::from_millis(700);
/// Until the runner's call waits at the control plane.
const ARRIVE: Duration = Duration::from_millis(50);
/// The line.
const LIMIT: Duration = Duration::from_millis(150);

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    block_on(measure(scratch))
}

async fn measure(scratch: &tempfile::TempDir) -> Result<Value> {
    let (machine, runner) = Machine::start(scratch.path()).await?;
    let (mut after, mut whole) = (Vec::new(), Vec::new());
    for n in 0..PUSHES {
        let (path, text) = request(&format!("start-{n}"), n..n + 1);
        machine.commit(&[(path.clone(), text)])?;
        let waiting = runner.clone();
        let taken = tokio::spawn(async move { (waiting.take().await, Instant::now()) });
        tokio::time::sleep(REST + ARRIVE).await;
        let (began, pushed) = tokio::task::block_in_place(|| machine.push())?;
        let (grant, at) = taken.await?;
        let Some(grant) = grant? else {
            let request = runner.get(&format!("/api/v1/request/{path}")).await?;
            bail!("no lease came: {request}");
        };
        // Git tells its user after the branch has moved: the runner may have started before.
        after.push(at.saturating_duration_since(pushed));
        whole.push(at.saturating_duration_since(began));
        runner.finish(&grant).await?;
    }
    let slow = percentile(&after, 95);
    Ok(json!({
        "bench": "start", "pushes": PUSHES,
        "after_push_p50_ms": millis(percentile(&after, 50)),
        "after_push_p95_ms": millis(slow),
        "after_push_max_ms": millis(percentile(&after, 100)),
        "with_push_p50_ms": millis(percentile(&whole, 50)),
        "with_push_p95_ms": millis(percentile(&whole, 95)),
        "limit_p95_ms": millis(LIMIT),
        "holds": slow < LIMIT,
    }))
}
