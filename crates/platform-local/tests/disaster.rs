//! `kill -9` in the middle of everything, and a disk that is full.
//!
//! This test is its own victim: it starts itself once more, with a word that says what to be.
#![allow(
    clippy::disallowed_methods,
    reason = "the test starts itself, and looks at files behind the adapter's back"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use common::{Scratch, key, message, number, row};
use ledger::{Change, Expect, QueueName, partition};
use pipeline_spec::Sha256Digest;
use platform_local::{Database, DirectoryStore, SqliteLedger, SqliteQueue, Verdict, WallClock};
use ports::{Applied, ArtifactStore, Error, Ledger, Place, Stored, TaskQueue};
use tokio::runtime::Runtime;

const VICTIM: &str = "be-the-victim";
const FULL: &str = "be-on-a-full-disk";
/// Tasks of the victim that write at the same time.
const WRITERS: i64 = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = Runtime::new().expect("start tokio");
    match words[..] {
        [VICTIM, folder] => runtime.block_on(victim(Path::new(folder))),
        [FULL, folder] => runtime.block_on(on_a_full_disk(Path::new(folder))),
        _ => {
            runtime.block_on(survives_kill());
            println!("test survives_kill ... ok");
            says_that_the_disk_is_full();
            println!("test says_that_the_disk_is_full ... ok");
        }
    }
    ExitCode::SUCCESS
}

struct State {
    ledger: SqliteLedger,
    queue: SqliteQueue,
    store: DirectoryStore,
}

fn open(folder: &Path) -> State {
    let database = Database::open(folder).expect("open the state folder");
    State {
        ledger: SqliteLedger::new(database.clone()),
        queue: SqliteQueue::new(database, Arc::new(WallClock)),
        store: DirectoryStore::open(&folder.join("artifacts")).expect("open the store"),
    }
}

fn name(side: &str, writer: i64) -> ledger::Key {
    key("p", &format!("{side}/{writer}"))
}

fn content(writer: i64, round: i64) -> Bytes {
    format!("{writer} {round} ").repeat(100).into()
}

/// Writes as fast as it can, and says what has been answered, until it is killed.
async fn victim(folder: &Path) {
    let state = Arc::new(open(folder));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let state = Arc::clone(&state);
        writers.spawn(async move { write(&state, writer).await });
    }
    let store = state.store.clone();
    writers.spawn(async move { upload(&store).await });
    writers.spawn(async move { remove_and_put_again(&state.store).await });
    writers.join_all().await;
}

async fn write(state: &State, writer: i64) {
    let left = name("left", writer);
    let start = state.ledger.get(&left).await.expect("get");
    let start = start.map_or(0, |record| record.version);
    for version in start.. {
        let round = version as i64 + 1;
        let mut change = Change::default();
        let expect = Expect::as_read((version > 0).then_some(version));
        change.replace(left.clone(), expect, row(round, &"x".repeat(3_000)));
        change.put(name("right", writer), row(round, ""));
        let text = message(&format!("{writer}-{round}"));
        change.effect(QueueName::advance(), text.clone(), 0);
        let applied = state.ledger.apply(change, 1).await.expect("apply");
        assert_eq!(applied, Applied::Done);
        println!("row {writer} {round}");
        let sent = state
            .queue
            .send(&QueueName::report(), &text, &Place::at(0))
            .await;
        sent.expect("send");
        println!("message {writer} {round}");
        let put = state.store.put(content(writer, round)).await;
        println!("artifact {writer} {}", put.expect("put"));
    }
}

/// Streams large files, so that there is always one half way.
async fn upload(store: &DirectoryStore) {
    for round in 0_u64.. {
        let bytes = Bytes::from(format!("{round:08}").repeat(200_000));
        let wrong = Sha256Digest::new([0; 32]);
        let body = Box::new(std::io::Cursor::new(bytes.clone()));
        let Ok(Stored::OtherDigest(digest)) = store.put_stream(wrong, u64::MAX, body).await else {
            panic!("the digest is wrong on purpose");
        };
        let body = Box::new(std::io::Cursor::new(bytes));
        let stored = store.put_stream(digest, u64::MAX, body).await;
        assert_eq!(stored.expect("put a stream"), Stored::Yes);
        println!("artifact 0 {digest}");
    }
}

/// What is put after it was removed, and what is renewed instead, is answered for like all else.
async fn remove_and_put_again(store: &DirectoryStore) {
    for round in 0_i64.. {
        let bytes = content(-1, round);
        let digest = store.put(bytes.clone()).await.expect("put");
        let removed = store.remove_if_older(&digest, i64::MAX).await;
        assert!(removed.expect("remove"), "it is older than the end of time");
        store.put(bytes).await.expect("put again");
        let renewed = store.renew(&digest, i64::MAX).await.expect("renew");
        assert!(renewed.is_some(), "it was just put");
        let removed = store.remove_if_older(&digest, 1).await;
        assert!(!removed.expect("look"), "it is younger than 1970");
        println!("artifact 0 {digest}");
    }
}

/// What the victim has said.
#[derive(Default)]
struct Said {
    rows: BTreeMap<i64, i64>,
    messages: u64,
    artifacts: Vec<Sha256Digest>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, writer, value] = words[..] else {
            panic!("the victim said {line:?}");
        };
        let writer = writer.parse().expect("a number");
        match what {
            "row" => {
                self.rows.insert(writer, value.parse().expect("a number"));
            }
            "message" => self.messages += 1,
            "artifact" => self.artifacts.push(value.parse().expect("a digest")),
            _ => panic!("the victim said {line:?}"),
        }
    }
}

async fn survives_kill() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let mut said = Said::default();
    for round in 0..15 {
        let mut victim = Command::new(std::env::current_exe().expect("know my own path"))
            .args([VICTIM.as_ref(), folder.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start myself once more");
        let output = victim.stdout.take().expect("stdout is a pipe");
        let mut lines = BufReader::new(output).lines();
        // Another moment in each round; the first ones while everything is still being made.
        let moment = round * round * 7 + round;
        for line in lines.by_ref().take(moment) {
            said.hear(&line.expect("read what the victim says"));
        }
        victim.kill().expect("kill -9");
        for line in lines {
            said.hear(&line.expect("read the victim's last words"));
        }
        victim.wait().expect("bury the victim");
        check_rows(&folder, &said).await;
        check_artifacts(&folder, &said).await;
    }
    assert!(said.messages > 300, "the victim has done something");
}

async fn check_rows(folder: &Path, said: &Said) {
    let state = open(folder);
    let mut changes = 0;
    for writer in 0..WRITERS {
        let [left, right] = ["left", "right"].map(|side| name(side, writer));
        let [left, right] = [
            state.ledger.get(&left).await.expect("get"),
            state.ledger.get(&right).await.expect("get"),
        ];
        let left_number = left.as_ref().map_or(0, |record| number(&record.row));
        let right_number = right.as_ref().map_or(0, |record| number(&record.row));
        assert_eq!(left_number, right_number, "half a change is there");
        let version = left.map_or(0, |record| record.version);
        assert_eq!(version, left_number as u64, "a change is there twice");
        // One more than was said may be there: it was killed before it could say so.
        let acknowledged = said.rows.get(&writer).copied().unwrap_or(0);
        assert!(
            left_number == acknowledged || left_number == acknowledged + 1,
            "writer {writer} said {acknowledged}, and {left_number} is there"
        );
        changes += left_number as usize;
    }
    let outbox = state.ledger.list(partition::OUTBOX, "", None, usize::MAX);
    let effects = outbox.await.expect("list the outbox").len();
    assert_eq!(effects, changes, "every change has its effect");
    let messages = state.queue.depth(&QueueName::report()).await;
    let messages = messages.expect("read the depth");
    assert!(
        (said.messages..=changes as u64).contains(&messages),
        "{} messages were sent, {messages} are there",
        said.messages
    );
}

async fn check_artifacts(folder: &Path, said: &Said) {
    let store = open(folder).store;
    for digest in &said.artifacts {
        let verdict = store.verify(digest).await.expect("verify");
        assert_eq!(verdict, Verdict::Whole, "{digest} was answered for");
    }
    let artifacts = folder.join("artifacts");
    let entries = |path: &Path| std::fs::read_dir(path).expect("list a folder");
    for shard in entries(&artifacts.join("objects")) {
        let shard = shard.expect("list a folder");
        for file in entries(&shard.path()) {
            let file = file.expect("list a folder").file_name();
            let digest = format!("{}{}", shard.file_name().display(), file.display());
            let digest = digest.parse().expect("objects are named by digests");
            let verdict = store.verify(&digest).await.expect("verify");
            assert_eq!(verdict, Verdict::Whole, "what has a name is whole");
        }
    }
    let left = entries(&artifacts.join("tmp")).count();
    assert_eq!(left, 0, "halves are swept at open");
}

/// In a namespace of its own, since only there everybody may mount a small disk.
fn says_that_the_disk_is_full() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    std::fs::create_dir(&folder).expect("make a folder");
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && exec \"$0\" \"$2\" \"$1\"";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().expect("know my own path"))
        .arg(&folder)
        .arg(FULL)
        .status()
        .expect("start unshare (Debian: util-linux)");
    assert!(
        status.success(),
        "the test on a small disk failed; it needs user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1) and mount (Debian: mount)"
    );
}

fn assert_full(error: &Error) {
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("is full") && text.contains("ree some space"),
        "{text}"
    );
}

async fn on_a_full_disk(folder: &Path) {
    let state = open(folder);
    // 3 MB that are freed later, so that the ledger can be seen to go on.
    let filler = folder.join("filler");
    std::fs::write(&filler, vec![1; 3_000_000]).expect("fill a part of the disk");

    let big = Bytes::from(vec![7; 9_000_000]);
    let digest = Sha256Digest::new([0; 32]);
    let body = Box::new(std::io::Cursor::new(big.clone()));
    let streamed = state.store.put_stream(digest, u64::MAX, body).await;
    assert_full(&streamed.expect_err("9 MB do not fit 8"));
    assert_full(&state.store.put(big).await.expect_err("9 MB do not fit 8"));
    let tmp = std::fs::read_dir(folder.join("artifacts/tmp"));
    assert_eq!(tmp.expect("list a folder").count(), 0, "nothing is left");
    let small = state.store.put(Bytes::from_static(b"small")).await;
    small.expect("what fits is stored");

    let mut written = 0;
    let change = |number: i64| {
        let mut change = Change::default();
        let key = key("p", &format!("{number:06}"));
        change.replace(key, Expect::Absent, row(number, &"x".repeat(50_000)));
        change
    };
    let error = loop {
        match state.ledger.apply(change(written), 1).await {
            Ok(applied) => assert_eq!(applied, Applied::Done),
            Err(error) => break error,
        }
        written += 1;
        assert!(written < 1_000, "50 MB do not fit 8");
    };
    assert_full(&error);
    check_count(&state.ledger, written).await;
    std::fs::remove_file(&filler).expect("free some space");
    let applied = state.ledger.apply(change(written), 1).await;
    assert_eq!(applied.expect("there is room again"), Applied::Done);
    check_count(&state.ledger, written + 1).await;
    drop(state);
    check_count(&open(folder).ledger, written + 1).await;
}

async fn check_count(ledger: &SqliteLedger, written: i64) {
    let rows = ledger.list("p", "", None, usize::MAX).await;
    let rows = rows.expect("a full disk can still be read");
    let numbers: Vec<_> = rows.iter().map(|(_, record)| number(&record.row)).collect();
    assert_eq!(numbers, (0..written).collect::<Vec<_>>(), "as answered");
}
