//! Planning a push that touches ten requests: the cost must be that of the push, not of the repository.
//!
//! The repository and the ledger are filled beforehand, the ledger with rows as planning and a finished
//! build would have left them. Each size is then measured in a process of its own, so that its peak memory
//! is that of planning.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use control::{Control, Options, Planned};
use git::{CommitId, CommitMeta, Outcome, Repository};
use ledger::{Change, Expect, HeadRow, Key, Phase, RequestRow, RequestSpec, Row};
use pipeline_spec::{RequestPath, parse_build};
use platform_local::LocalPlatform;
use ports::{Applied, Ledger as _, Platform as _};
use serde_json::{Value, json};
use state_repo::GitStateRepo;

use crate::block_on;
use crate::figures::{memory, millis, percentile, round};

/// The word for the process that measures one size.
pub(crate) const CHILD: &str = "plan-child";
const SMALL: usize = 1_000;
const LARGE: usize = 100_000;
/// Requests in one month's folder: below the 3,000 entries that forges show.
const MONTH: usize = 2_500;
/// Files in one commit of the filling.
const COMMIT: usize = 10_000;
/// Requests that a push touches: half are new, half are edited.
pub(crate) const TOUCHED: usize = 10;
/// Pushes measured; the median counts.
const PUSHES: usize = 15;
/// The lines: twice the time, 300 MB.
const LIMIT_RATIO: f64 = 2.0;
const LIMIT_BYTES: u64 = 300_000_000;

pub(crate) const PROJECT: &str = include_str!("../../../state-repo-template/millrace.yaml");
pub(crate) const PLATFORM: &str =
    include_str!("../../../state-repo-template/platforms/debian-12.yaml");

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    let small = size(scratch.path(), SMALL)?;
    let large = size(scratch.path(), LARGE)?;
    let number = |value: &Value, name: &str| {
        value[name]
            .as_f64()
            .with_context(|| format!("find {name} in {value}"))
    };
    let ratio = round(number(&large, "median_ms")? / number(&small, "median_ms")?);
    let peak = large["peak_bytes"].as_u64().context("find peak_bytes")?;
    Ok(json!({
        "bench": "plan", "touched": TOUCHED, "small": small, "large": large,
        "ratio": ratio, "limit_ratio": LIMIT_RATIO, "limit_bytes": LIMIT_BYTES,
        "holds": ratio <= LIMIT_RATIO && peak < LIMIT_BYTES,
    }))
}

/// Fills a place and has another process measure it.
fn size(scratch: &Path, count: usize) -> Result<Value> {
    let place = scratch.join(count.to_string());
    std::fs::create_dir(&place)?;
    let repository = Repository::init_bare(place.join("state.git"))?;
    block_on(fill(repository, &place.join("data"), count))?;
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, &count.to_string()])
        .arg(&place)
        .stderr(Stdio::inherit())
        .output()
        .context("start the process that measures")?;
    ensure!(output.status.success(), "{CHILD} {count} failed");
    serde_json::from_slice(&output.stdout).context("read what the process measured")
}

/// `count` requests in the repository, and a ledger in `data` that has them done.
pub(crate) async fn fill(repository: Repository, data: &Path, count: usize) -> Result<()> {
    let config = [
        ("millrace.yaml".to_owned(), PROJECT.to_owned()),
        ("platforms/debian-12.yaml".to_owned(), PLATFORM.to_owned()),
    ];
    let mut tip = commit(&repository, None, &config)?;
    let requests: Vec<(String, String)> = (0..count).map(|n| (name(n), text(n, 0))).collect();
    for files in requests.chunks(COMMIT) {
        tip = commit(&repository, Some(tip), files)?;
    }
    let platform = LocalPlatform::open(data, GitStateRepo::new(repository))?;
    for (n, chunk) in requests.chunks(Change::MAX_ROWS / 2).enumerate() {
        let mut change = Change::default();
        for (i, (name, text)) in chunk.iter().enumerate() {
            let row = row(name, text, tip, (n * chunk.len() + i) as u64)?;
            let request = row.path.clone();
            change.put(Key::listed(&request), Row::Index { request });
            change.put(Key::request(&row.path), Row::Request(Box::new(row)));
        }
        apply(&platform, change).await?;
    }
    let head = HeadRow {
        commit: tip.to_string(),
        sequence: count as u64,
        ..HeadRow::default()
    };
    let mut change = Change::default();
    change.replace(Key::head(), Expect::Absent, Row::Head(head));
    apply(&platform, change).await
}

async fn apply(platform: &LocalPlatform<GitStateRepo>, change: Change) -> Result<()> {
    let applied = platform.ledger().apply(change, 0).await?;
    ensure!(applied == Applied::Done, "the ledger refused: {applied:?}");
    Ok(())
}

pub(crate) fn row(name: &str, text: &str, tip: CommitId, sequence: u64) -> Result<RequestRow> {
    let path: RequestPath = name.parse()?;
    let Ok(request) = parse_build(&path, text.as_bytes()) else {
        bail!("{name} does not parse");
    };
    Ok(RequestRow {
        path,
        commit: tip.to_string(),
        time: 1_795_000_000,
        author: "Ann <ann@example.org>".to_owned(),
        sequence,
        spec: Some(RequestSpec::Build(Box::new(request))),
        phase: Phase::Succeeded,
        problems: Vec::new(),
        notes: Vec::new(),
    })
}

/// Measures; the pushes are made through a view of their own, as another program would.
pub(crate) fn child(count: usize, place: &Path) -> Result<Value> {
    let state = place.join("state.git");
    let author = Repository::open_bare(&state)?;
    let mut tip = author.head("main")?.context("the branch main is empty")?;
    let (times, peak, status) = block_on(async {
        let repo = GitStateRepo::new(Repository::open_bare(&state)?);
        let platform = LocalPlatform::open(&place.join("data"), repo)?;
        let control = Control::new(platform, Options::default());
        let mut times = Vec::new();
        for push in 0..PUSHES {
            let files = touched(count, push);
            tip = commit(&author, Some(tip), &files)?;
            times.push(plan(&control, &files).await?);
            control.dispatch().await?;
        }
        let peak = memory("self", "VmHWM")?;
        // After the peak was read: the page of everything is no part of planning, and has no line to hold.
        let start = Instant::now();
        control.status().await?;
        Ok((times, peak, start.elapsed()))
    })?;
    Ok(json!({
        "requests": count,
        "first_ms": millis(times[0]),
        "median_ms": millis(percentile(&times, 50)),
        "slowest_ms": millis(percentile(&times, 100)),
        "peak_bytes": peak,
        "status_of_everything_ms": millis(status),
        "status_of_everything_peak_bytes": memory("self", "VmHWM")?,
    }))
}

/// From a moved branch to tasks in the ledger.
async fn plan(
    control: &Control<LocalPlatform<GitStateRepo>>,
    files: &[(String, String)],
) -> Result<Duration> {
    let start = Instant::now();
    let planned = control.plan_head().await?;
    for (name, _) in files {
        control.advance(&name.parse()?).await?;
    }
    let time = start.elapsed();
    ensure!(
        matches!(planned, Planned::New(_, TOUCHED)),
        "planned {planned:?}"
    );
    Ok(time)
}

/// New requests, and edits spread over the whole repository.
pub(crate) fn touched(count: usize, push: usize) -> Vec<(String, String)> {
    let new = TOUCHED / 2;
    let first = count + push * new;
    let step = count / (TOUCHED - new);
    let edited = (0..TOUCHED - new).map(|n| n * step + push);
    (first..first + new)
        .chain(edited)
        .map(|n| (name(n), text(n, push + 1)))
        .collect()
}

pub(crate) fn name(n: usize) -> String {
    let month = n / MONTH;
    format!(
        "builds/{}/{:02}/request-{n}.yaml",
        2020 + month / 12,
        month % 12 + 1
    )
}

pub(crate) fn text(n: usize, version: usize) -> String {
    format!(
        "reason: update {version} of package {n}\nplatforms: {{debian-12: [amd64]}}\npackages:\n  - source: {{dsc: \"https://example.org/p{n}_{version}.dsc\", sha256: \"{n:064x}\"}}\n"
    )
}

fn commit(
    repository: &Repository,
    parent: Option<CommitId>,
    files: &[(String, String)],
) -> Result<CommitId> {
    let edits: Vec<git::Edit<'_>> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_bytes())))
        .collect();
    let meta = CommitMeta {
        name: "Ann".to_owned(),
        email: "ann@example.org".to_owned(),
        time: 1_795_000_000,
        message: "wishes".to_owned(),
    };
    match repository.commit_files("main", parent, &edits, &meta)? {
        Outcome::Committed(commit) => Ok(commit),
        other => bail!("the commit ended as {other:?}"),
    }
}
