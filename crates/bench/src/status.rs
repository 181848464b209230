//! 500 status files in one commit, beside `git fast-import` of the same.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fake_forge::Server;
use git::{CommitId, CommitMeta, Credentials, Edit, Outcome, Repository};
use serde_json::{Value, json};

use crate::figures::{millis, round};
use crate::support::{bare, fast_import, url};

/// Requests that the repository has before.
const REQUESTS: usize = 20_000;
/// Status files in one commit.
const FILES: usize = 500;
/// Best of this many.
const RUNS: usize = 5;
/// The line: less than this many times git's own time.
const LIMIT: f64 = 3.0;

type Files = Vec<(String, String)>;

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    let path = bare(scratch.path(), "state.git");
    let requests: Files = (0..REQUESTS)
        .map(|n| (name(n), format!("state: {n}\n")))
        .collect();
    let base = fast_import(&path, "main", None, &borrowed(&requests));

    let mut tip = base;
    let peer = best(|run| {
        let files = statuses(run);
        let start = Instant::now();
        tip = fast_import(&path, "import", Some(tip), &borrowed(&files));
        Ok(start.elapsed())
    })?;
    let here = Repository::open_bare(&path)?;
    let local = ours(&here, &path, "local", base)?;
    let server = Server::start(scratch.path());
    let cache = scratch.path().join("cache");
    let remote = Repository::remote(url(&server, "state.git"), cache, Credentials::None)?;
    remote.head("main").context("fetch once")?;
    let pushed = ours(&remote, &path, "pushed", base)?;

    let ratio = |time: Duration| round(time.as_secs_f64() / peer.as_secs_f64());
    Ok(json!({
        "bench": "status", "files": FILES, "requests": REQUESTS,
        "fast_import_ms": millis(peer),
        "commit_here_ms": millis(local), "commit_here_ratio": ratio(local),
        "commit_and_push_http_ms": millis(pushed), "commit_and_push_http_ratio": ratio(pushed),
        "limit_ratio": LIMIT,
        "holds": ratio(local) < LIMIT && ratio(pushed) < LIMIT,
    }))
}

/// The best time of commits of other bytes each time, on a branch of their own.
fn ours(repository: &Repository, bare: &Path, branch: &str, base: CommitId) -> Result<Duration> {
    crate::support::git(bare, &["branch", branch, &base.to_string()]);
    let mut tip = base;
    best(|run| {
        let files = statuses(run + RUNS);
        let edits: Vec<Edit<'_>> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_bytes())))
            .collect();
        let meta = CommitMeta {
            name: "Millrace".to_owned(),
            email: "millrace@localhost".to_owned(),
            time: 1_795_000_000,
            message: format!("status: {FILES} requests"),
        };
        let start = Instant::now();
        let outcome = repository.commit_files(branch, Some(tip), &edits, &meta)?;
        let time = start.elapsed();
        let Outcome::Committed(commit) = outcome else {
            anyhow::bail!("the commit on {branch} ended as {outcome:?}");
        };
        ensure!(commit != tip, "the commit on {branch} changed nothing");
        tip = commit;
        Ok(time)
    })
}

fn best(mut run: impl FnMut(usize) -> Result<Duration>) -> Result<Duration> {
    let times: Vec<Duration> = (0..RUNS).map(&mut run).collect::<Result<_>>()?;
    times.into_iter().min().context("at least one run")
}

fn name(n: usize) -> String {
    format!("builds/2026/{:02}/request-{n}.yaml", n % 12 + 1)
}

/// Status files of about 1.5 KiB; other bytes in every run.
fn statuses(run: usize) -> Files {
    (0..FILES)
        .map(|n| {
            let lines = format!("- {{task: {n}, state: ready}}\n").repeat(50);
            (name(n), format!("run: {run}\ntasks:\n{lines}"))
        })
        .collect()
}

fn borrowed(files: &Files) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect()
}
