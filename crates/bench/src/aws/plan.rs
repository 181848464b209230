//! A cold plan: a push of ten files to a state repository of 20,000, from the start of the process to tasks in the ledger.
//!
//! The repository has a history of small merges and is packed, as a forge keeps it. The ledger is the emulator's; it
//! has the head, and the rows of requests that a push edits. Two events, as Lambda gives them to one environment: the
//! wake, and the ten requests to move on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use emulator::{Emulator, Kind};
use fake_forge::Server;
use git::{CommitId, Credentials, Repository};
use ledger::{Change, Expect, HeadRow, Key, Message, Row, format};
use platform_aws::{Access, Clients, DynamoLedger, Installation, Patience, provision_table};
use ports::{Applied, Ledger as _};
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::function::{DOCUMENT, Program, STATE_TOKEN};
use crate::figures::{millis, percentile};
use crate::plan::{PLATFORM, PROJECT, TOUCHED, name, row, text, touched};
use crate::support::{TIME, bare, fast_import, git, try_git, url};

/// Requests in the repository.
const REQUESTS: usize = 20_000;
/// Requests that a merge of its history brought.
const MERGED: usize = 10;
/// Pushes, each planned by a process of its own.
const PUSHES: usize = 7;
const REGION: &str = "us-east-1";
const BRANCH: &str = "main";

pub(super) async fn measure(program: &Program, scratch: &Path) -> Result<Value> {
    let state = filled(scratch)?;
    let base: CommitId = git(&state, &["rev-parse", BRANCH]).parse()?;
    let server = Server::start(scratch);
    let address = server.url("state.git");
    let emulator = tokio::task::block_in_place(|| Emulator::start(Kind::Ministack))
        .context("start the emulator that is the ledger")?;
    let installation = installation(emulator.endpoint());
    let ledger = ledger(&installation, base).await?;
    let (mut heads, mut wholes, mut fetches, mut peers) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    let (mut tip, mut busy, mut peak) = (base, Vec::new(), 0);
    for push in 0..PUSHES {
        let files = touched(REQUESTS, push);
        tip = pushed(&state, tip, &files);
        let mut cloud = cloud(&installation, &address).await?;
        cloud.give(wake());
        cloud.give(requests(&files)?);
        let process = program.start(&cloud)?;
        for times in [&mut heads, &mut wholes] {
            let answer = cloud.answer().await?;
            let body = answer.body;
            ensure!(body["batchItemFailures"] == json!([]), "plan says {body}");
            times.push(answer.at - process.start);
        }
        busy.push(process.on_processor()?);
        peak = peak.max(process.peak()?);
        is_planned(&ledger, tip, &files).await?;
        let folder = tempfile::tempdir_in(scratch)?;
        fetches.push(fetch(&server, &folder.path().join("cache"))?);
        peers.push(clone(&address, folder.path())?);
    }
    let median = |times: &[Duration]| millis(percentile(times, 50));
    Ok(json!({
        "requests": REQUESTS, "touched": TOUCHED, "pushes": PUSHES,
        "median_ms": median(&wholes), "worst_ms": millis(percentile(&wholes, 100)),
        "on_processor_median_ms": median(&busy),
        "head_planned_median_ms": median(&heads), "fetch_median_ms": median(&fetches),
        "git_clone_blobless_median_ms": median(&peers),
        "peak_bytes": peak, "program_bytes": program.bytes()?,
    }))
}

/// The bare repository, by one `git fast-import`.
fn filled(scratch: &Path) -> Result<PathBuf> {
    let state = bare(scratch, "state.git");
    git(&state, &["config", "uploadpack.allowFilter", "true"]);
    let mut stream = String::new();
    let mut commit = |files: &[(String, String)]| {
        let who = format!("committer Ann <ann@example.org> {TIME} +0000");
        write!(stream, "commit refs/heads/{BRANCH}\n{who}\ndata 5\nMerge\n")
            .expect("writing to memory does not fail");
        for (path, text) in files {
            let length = text.len();
            write!(stream, "M 100644 inline {path}\ndata {length}\n{text}\n")
                .expect("writing to memory does not fail");
        }
    };
    commit(&[
        ("millrace.yaml".to_owned(), PROJECT.to_owned()),
        ("platforms/debian-12.yaml".to_owned(), PLATFORM.to_owned()),
    ]);
    for first in (0..REQUESTS).step_by(MERGED) {
        let files = (first..first + MERGED).map(|n| (name(n), text(n, 0)));
        commit(&files.collect::<Vec<_>>());
    }
    let (is_ok, said) = try_git(&state, &["fast-import", "--quiet"], stream.as_bytes());
    ensure!(is_ok, "git fast-import: {said}");
    git(
        &state,
        &["repack", "-a", "-d", "-q", "--write-bitmap-index"],
    );
    Ok(state)
}

/// As a forge has it after a merge.
fn pushed(state: &Path, tip: CommitId, files: &[(String, String)]) -> CommitId {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (&**path, &**text))
        .collect();
    fast_import(state, BRANCH, Some(tip), &files)
}

fn installation(endpoint: String) -> Installation {
    let name = "bench".to_owned();
    Installation {
        version: 1,
        region: REGION.to_owned(),
        table: name.clone(),
        bucket: name.clone(),
        queue_prefix: name,
        endpoint: Some(endpoint),
        patience: Patience::default(),
    }
}

/// With `base` planned.
async fn ledger(installation: &Installation, base: CommitId) -> Result<DynamoLedger> {
    let keys = Access::Keys {
        id: "bench".to_owned(),
        secret: "bench".to_owned(),
        session: None,
    };
    let clients = Clients::new(installation.clone(), keys);
    provision_table(&clients).await?;
    let ledger = DynamoLedger::new(clients);
    let mut change = Change::default();
    for push in 0..PUSHES {
        for (path, _) in touched(REQUESTS, push).iter().skip(TOUCHED / 2) {
            let number = path
                .rsplit('-')
                .next()
                .and_then(|end| end.strip_suffix(".yaml"));
            let number: usize = number.context("a request's number")?.parse()?;
            let row = row(path, &text(number, 0), base, number as u64)?;
            let request = row.path.clone();
            change.put(Key::listed(&request), Row::Index { request });
            change.put(Key::request(&row.path), Row::Request(Box::new(row)));
        }
    }
    let head = HeadRow {
        commit: base.to_string(),
        sequence: REQUESTS as u64,
        ..HeadRow::default()
    };
    change.replace(Key::head(), Expect::Absent, Row::Head(head));
    let applied = ledger.apply(change, 0).await?;
    ensure!(applied == Applied::Done, "the ledger says {applied:?}");
    Ok(ledger)
}

async fn cloud(installation: &Installation, address: &str) -> Result<Cloud> {
    let mut document = serde_json::to_value(installation)?;
    document["state_repository"] = json!({"url": address});
    document["secrets"] = json!({"state_token": STATE_TOKEN});
    let parameters = vec![
        (DOCUMENT, document.to_string()),
        (STATE_TOKEN, "none".to_owned()),
    ];
    Cloud::new(|_| parameters).await
}

/// Of SQS, as it starts a function.
fn event(queue: &str, bodies: &[String]) -> Value {
    let arn = format!("arn:aws:sqs:{REGION}:000000000000:bench-{queue}");
    let record = |(number, body): (usize, &String)| {
        json!({
            "messageId": number.to_string(), "receiptHandle": number.to_string(), "body": body,
            "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
            "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": REGION,
        })
    };
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    json!({"Records": records})
}

fn wake() -> Value {
    event("wake-normal", &["look".to_owned()])
}

/// Messages that dispatch sends once the head is planned.
fn requests(files: &[(String, String)]) -> Result<Value> {
    let mut bodies = Vec::new();
    for (path, _) in files {
        let message = Message::Advance {
            request: path.parse()?,
        };
        let body = json!({"envelope": 1, "format": format::CURRENT, "message": message});
        bodies.push(body.to_string());
    }
    Ok(event("advance-normal", &bodies))
}

/// Each request has a task.
async fn is_planned(
    ledger: &DynamoLedger,
    tip: CommitId,
    files: &[(String, String)],
) -> Result<()> {
    let head = ledger.get(&Key::head()).await?.context("no head")?;
    let Row::Head(head) = head.row else {
        anyhow::bail!("the head is another row");
    };
    ensure!(head.commit == tip.to_string(), "planned is {}", head.commit);
    for (path, _) in files {
        let partition = Key::request_partition(&path.parse()?);
        let rows = ledger.list(&partition, "task/", None, 10).await?;
        ensure!(!rows.is_empty(), "{path} has no task");
    }
    Ok(())
}

/// What of it is the fetch: the same, in this process.
fn fetch(server: &Server, cache: &Path) -> Result<Duration> {
    let start = Instant::now();
    let repository = Repository::remote(url(server, "state.git"), cache, Credentials::None)?;
    repository.head(BRANCH)?.context("the branch is empty")?;
    Ok(start.elapsed())
}

/// git's own way to have commits and trees alone.
fn clone(address: &str, folder: &Path) -> Result<Duration> {
    let start = Instant::now();
    let (is_ok, said) = try_git(
        folder,
        &[
            "clone",
            "--quiet",
            "--bare",
            "--filter=blob:none",
            address,
            "peer.git",
        ],
        b"",
    );
    ensure!(is_ok, "git clone: {said}");
    Ok(start.elapsed())
}
