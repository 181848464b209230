//! A lost ledger, rebuilt by the real `millrace recover`: time and peak memory.
//!
//! The requests, their status files and records are the real control plane's. The status branch is then
//! given the length that it would have with four reports a request.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::block_on;
use crate::figures::{memory, millis};
use crate::machine::{Machine, git, millrace, request, said};
use crate::runner::Runner;

const REQUESTS: usize = 5_000;
/// Tasks of each.
const TASKS: usize = 4;
const COMMITS: usize = 20_000;
/// Runner's calls at a time.
const CONNECTIONS: usize = 8;
/// Longest time until the ledger is there to be lost.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);
/// The lines.
const LIMIT: Duration = Duration::from_secs(10);
const LIMIT_BYTES: u64 = 300_000_000;

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    block_on(lived(scratch.path()))?;
    let repo = scratch.path().join("one/state.git");
    lengthen(&repo)?;
    let (took, peak, said) = recover(&scratch.path().join("one"))?;
    ensure!(
        said["requests"] == REQUESTS && said["tasks"] == REQUESTS * TASKS,
        "not all came back: {said}"
    );
    let commits = crate::support::git(&repo, &["rev-list", "--count", "status"]);
    Ok(json!({
        "bench": "recover", "status_commits": commits.parse::<usize>()?,
        "requests": REQUESTS, "tasks": REQUESTS * TASKS,
        "ms": millis(took), "limit_ms": millis(LIMIT),
        "peak_bytes": peak, "limit_bytes": LIMIT_BYTES,
        "holds": took < LIMIT && peak < LIMIT_BYTES,
    }))
}

/// All requests are asked for and worked off; then the control plane ends.
async fn lived(scratch: &Path) -> Result<()> {
    let (machine, runner) = Machine::start(scratch).await?;
    let requests: Vec<(String, String)> = (0..REQUESTS)
        .map(|n| request(&format!("recover-{n}"), n * TASKS..(n + 1) * TASKS))
        .collect();
    machine.commit(&requests)?;
    let _pushed = tokio::task::block_in_place(|| machine.push())?;
    let mut hands = JoinSet::new();
    for _ in 0..CONNECTIONS {
        hands.spawn(hand(runner.clone()));
    }
    let start = Instant::now();
    while told(scratch)? < REQUESTS {
        ensure!(start.elapsed() < PATIENCE, "the requests are not at rest");
        // A hand ends by itself only when something is wrong.
        if let Some(ended) = hands.try_join_next() {
            ended??;
        }
        tokio::time::sleep(POLL * 50).await;
    }
    Ok(())
}

async fn hand(runner: Runner) -> Result<()> {
    loop {
        if let Some(grant) = runner.take().await? {
            runner.finish(&grant).await?;
        }
    }
}

/// Requests that the status branch says have failed, as they must.
fn told(scratch: &Path) -> Result<usize> {
    let repo = scratch.join("one/state.git");
    let words = ["grep", "-l", "^phase: failed", "status", "--", "builds"];
    let output = git(&repo).args(words).output().context("start git grep")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().count())
}

/// Commits on the status branch that end with the tree that it has.
fn lengthen(repo: &Path) -> Result<()> {
    let tip = said(git(repo).args(["rev-parse", "status"]))?;
    let message = said(git(repo).args(["log", "-1", "--format=%B", "status"]))?;
    let files = said(git(repo).args(["ls-tree", "-r", "status", "builds"]))?;
    let files: Vec<(&str, &str)> = files
        .lines()
        .filter_map(|line| {
            let (object, path) = line.split_once('\t')?;
            Some((object.split(' ').nth(2)?, path))
        })
        .collect();
    ensure!(files.len() == REQUESTS, "{} status files", files.len());
    let before = crate::support::git(repo, &["rev-list", "--count", "status"]);
    let before: usize = before.parse()?;
    let mut stream = String::new();
    for n in before..COMMITS {
        let (blob, path) = files[n % REQUESTS];
        let (time, length) = (1_790_000_000 + n, message.len());
        stream.push_str(&format!(
            "commit refs/heads/status\ncommitter Millrace <millrace@localhost> {time} +0000\ndata {length}\n{message}\n"
        ));
        if n == before {
            stream.push_str(&format!("from {tip}\n"));
        }
        // An earlier answer, and in the last round the one that stands.
        if n + REQUESTS < COMMITS {
            let text = format!("request: {path}\nphase: open\npass: {n}\n");
            let length = text.len();
            stream.push_str(&format!("M 100644 inline {path}\ndata {length}\n{text}\n"));
        } else {
            stream.push_str(&format!("M 100644 {blob} {path}\n"));
        }
    }
    let mut import = git(repo)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start git fast-import")?;
    let mut input = import.stdin.take().context("a pipe was asked for")?;
    input.write_all(stream.as_bytes())?;
    drop(input);
    ensure!(import.wait()?.success(), "git fast-import failed");
    Ok(())
}

/// Time, most memory ever, and what it says.
fn recover(data: &Path) -> Result<(Duration, u64, Value)> {
    let start = Instant::now();
    let mut child = millrace()?
        .args(["recover", "--replace", "--json", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .context("start millrace recover")?;
    let peak = peak(&mut child)?;
    let took = start.elapsed();
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "millrace recover: {}",
        output.status
    );
    let said = serde_json::from_slice(&output.stdout).context("read what it says")?;
    Ok((took, peak, said))
}

/// Looks at a process until it has ended.
fn peak(child: &mut Child) -> Result<u64> {
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // One that ends at this moment has no figure any more.
        peak = memory(&child.id().to_string(), "VmHWM").map_or(peak, |now| peak.max(now));
        std::thread::sleep(POLL);
    }
    Ok(peak)
}
