//! What is said of damaged, foreign and occupied state, and what goes on beside it.
#![allow(
    clippy::disallowed_methods,
    reason = "the test damages files behind the adapter's back"
)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Scratch, key, message, row};
use ledger::{Change, QueueName, Share};
use pipeline_spec::Priority;
use platform_local::{
    Database, DirectoryStore, LocalPlatform, SqliteLedger, SqliteQueue, Verdict, WallClock,
};
use ports::{ArtifactStore, Clock, Error, Ledger, Place, TaskQueue};

/// Runs SQL on the closed database in `folder`.
fn edit(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("millrace.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn refused(folder: &Path) -> String {
    let refused = Database::open(folder).expect_err("it cannot be opened");
    let text = refused.to_string();
    text.replace(&folder.display().to_string(), "<state>")
}

#[tokio::test]
async fn damaged_row_is_named() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    for (damage, cause) in [
        ("document = '{'", "EOF while parsing"),
        ("document = '{\"row\":\"unheard-of\"}'", "unknown variant"),
        (
            "document = substr(document, 2)",
            "expected internally tagged",
        ),
        ("version = -1", "out of range"),
    ] {
        let ledger = SqliteLedger::new(Database::open(&folder).unwrap());
        let mut change = Change::default();
        for sort in ["good", "bad"] {
            change.put(key("request/x", sort), row(1, ""));
        }
        let _ = ledger.apply(change, 1).await.unwrap();
        drop(ledger);
        edit(
            &folder,
            &format!("UPDATE ledger SET {damage} WHERE sort = 'bad'"),
        );

        let ledger = SqliteLedger::new(Database::open(&folder).unwrap());
        let got = ledger.get(&key("request/x", "bad")).await.map(|_| ());
        let listed = ledger.list("request/x", "", None, 10).await.map(|_| ());
        for error in [got, listed].map(|result| result.expect_err("damage is an error")) {
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.starts_with("read ledger row request/x bad: "),
                "{text}"
            );
            assert!(text.contains(cause), "{text}");
        }
        let good = ledger.get(&key("request/x", "good")).await.unwrap();
        assert!(good.is_some(), "the other rows are as they were");
        drop(ledger);
        edit(&folder, "DELETE FROM ledger");
    }
}

#[tokio::test]
async fn unreadable_message_does_not_block_its_queue() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let open = || SqliteQueue::new(Database::open(&folder).unwrap(), Arc::new(WallClock));
    let queue = open();
    for name in ["bad", "good"] {
        let sent = queue
            .send(&QueueName::report(), &message(name), &Place::at(0))
            .await;
        sent.unwrap();
    }
    drop(queue);
    edit(&folder, "UPDATE messages SET message = 'x' WHERE id = 1");

    let queue = open();
    let wait = Duration::from_secs(60);
    let queues = [QueueName::report()];
    let got = queue.receive(&queues, 1, wait, wait).await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].message, message("good"));
    queue.acknowledge(&got[0].receipt).await.unwrap();
    assert_eq!(queue.depth(&queues[0]).await.unwrap(), 0);
    let noise = queue.acknowledge("noise").await;
    noise.expect_err("what is no receipt is an error");
}

#[test]
fn second_process_is_told_of_the_first() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let first = Database::open(&folder).unwrap();
    let text = format!(
        "open <state>: process {} uses it; stop that process, or choose another folder",
        std::process::id()
    );
    assert_eq!(refused(&folder), text);
    drop(first);
    Database::open(&folder).expect("it is free again");

    let folder = scratch.folder();
    let first = DirectoryStore::open(&folder).unwrap();
    let second = DirectoryStore::open(&folder).expect_err("a store has one owner too");
    assert!(second.to_string().contains("uses it"), "{second}");
    drop(first);
    DirectoryStore::open(&folder).expect("it is free again");
}

/// What a killed process had in its hands is nobody's: the folder is locked by one process at a time.
#[tokio::test]
async fn what_a_gone_process_had_claimed_is_due_at_once() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let open = || SqliteQueue::new(Database::open(&folder).unwrap(), Arc::new(WallClock));
    let queues = [QueueName::report()];
    let hour = Duration::from_secs(3_600);
    let receive = async |queue: &SqliteQueue| {
        let deliveries = queue.receive(&queues, 9, hour, Duration::ZERO).await;
        deliveries.unwrap()
    };
    let queue = open();
    let later = Place::at(WallClock.now() + 3_600_000);
    for (name, place) in [
        ("claimed", Place::at(0)),
        ("done", Place::at(0)),
        ("later", later),
    ] {
        queue
            .send(&queues[0], &message(name), &place)
            .await
            .unwrap();
    }
    let first = receive(&queue).await;
    assert_eq!(first.len(), 2);
    queue.acknowledge(&first[1].receipt).await.unwrap();
    assert!(receive(&queue).await.is_empty(), "they are claimed");
    drop(queue);

    let queue = open();
    let again = receive(&queue).await;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].message, first[0].message);
    assert_eq!(again[0].deliveries, 2, "the first delivery counts");
    queue.acknowledge(&first[0].receipt).await.unwrap();
    assert_eq!(queue.depth(&queues[0]).await.unwrap(), 2, "an old receipt");
    assert!(receive(&queue).await.is_empty(), "it is claimed once");
}

/// What an older program cannot read is not lost to a newer one.
#[tokio::test]
async fn a_message_that_was_set_aside_is_due_again_when_it_can_be_read() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let open = || SqliteQueue::new(Database::open(&folder).unwrap(), Arc::new(WallClock));
    let queues = [QueueName::report()];
    let sent = message("later");
    let queue = open();
    let done = queue.send(&queues[0], &sent, &Place::at(0)).await;
    done.unwrap();
    drop(queue);
    edit(
        &folder,
        "UPDATE messages SET message = replace(message, 'report', 'retort')",
    );
    let hide = Duration::from_secs(60);
    for _ in 0..2 {
        let queue = open();
        let got = queue.receive(&queues, 1, hide, Duration::ZERO).await;
        assert!(got.unwrap().is_empty(), "nobody has heard of a retort");
        assert_eq!(queue.depth(&queues[0]).await.unwrap(), 0);
    }
    edit(
        &folder,
        "UPDATE messages SET message = replace(message, 'retort', 'report')",
    );
    let got = open()
        .receive(&queues, 1, hide, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0].message, got[0].deliveries), (&sent, 1));
}

/// The tables of format 1, as they were released.
const FORMAT_1: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE ledger (
    partition TEXT NOT NULL,
    sort      TEXT NOT NULL,
    version   INTEGER NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT;
CREATE TABLE messages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT NOT NULL,
    due        INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    message    TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_due ON messages (queue, due);
INSERT INTO messages (queue, due, deliveries, message) VALUES
    ('report', 1, 3, '{\"message\":\"report\",\"request\":\"builds/2026/07/old.yaml\"}');
PRAGMA application_id = 0x4d696c6c;
PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_format_1_is_brought_up_to_date() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    fs::create_dir(&folder).unwrap();
    edit(&folder, FORMAT_1);
    // The second time there is nothing to do.
    drop(Database::open(&folder).unwrap());
    let queue = SqliteQueue::new(Database::open(&folder).unwrap(), Arc::new(WallClock));
    let mut place = Place::at(0);
    place.share.priority = Priority::Urgent;
    let report = QueueName::report();
    queue.send(&report, &message("new"), &place).await.unwrap();
    let wait = Duration::from_secs(60);
    let got = queue.receive(&[report], 2, wait, wait).await.unwrap();
    let seen: Vec<_> = got
        .iter()
        .map(|got| (got.message.name(), got.deliveries))
        .collect();
    let (new, old) = (message("new").name(), message("old").name());
    assert_eq!(seen, [(new, 1), (old, 4)], "what waited is still there");
    assert_eq!(got[1].share, Share::default());
}

/// Interrupted in the middle, here by a table that is in the way, all of it is as it was.
#[tokio::test]
async fn a_file_is_brought_up_to_date_whole_or_not_at_all() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    fs::create_dir(&folder).unwrap();
    edit(&folder, FORMAT_1);
    let schema = || {
        let db = rusqlite::Connection::open(folder.join("millrace.db")).unwrap();
        let sql = "SELECT group_concat(sql), (SELECT user_version FROM pragma_user_version) \
                   FROM sqlite_schema";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let seen: (String, i64) = db.query_row(sql, [], read).unwrap();
        seen
    };
    edit(&folder, "CREATE TABLE turns (x)");
    let before = schema();
    assert!(refused(&folder).contains("table turns already exists"));
    assert_eq!(schema(), before);
    edit(&folder, "DROP TABLE turns");
    drop(Database::open(&folder).expect("nothing is in the way"));
    assert_eq!(schema().1, 2);
}

#[test]
fn only_our_own_format_is_opened() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    drop(Database::open(&folder).unwrap());
    edit(&folder, "PRAGMA user_version = 3");
    assert_eq!(
        refused(&folder),
        "open <state>/millrace.db: its format is 3, and this program knows 2; \
         start the newer program that wrote it"
    );
    edit(&folder, "PRAGMA user_version = 2");
    Database::open(&folder).expect("our own format");

    let folder = scratch.folder();
    fs::create_dir(&folder).unwrap();
    edit(&folder, "CREATE TABLE other (x)");
    assert_eq!(
        refused(&folder),
        "open <state>/millrace.db: it is a database, but not one of Millrace"
    );

    let folder = scratch.folder();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("millrace.db"), "no database ".repeat(1_000)).unwrap();
    let path = "<state>/millrace.db";
    let advice = format!(
        "Rebuild it with `millrace recover --replace`; or move it and {path}-wal and {path}-shm away, \
         put a backup in its place, and start again"
    );
    assert_eq!(
        refused(&folder),
        format!("open {path}: the file is damaged: file is not a database. {advice}")
    );
}

/// Bytes in the middle are noise: nobody who only looks at the beginning sees that.
#[tokio::test]
async fn a_database_damaged_in_the_middle_is_not_opened() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let ledger = SqliteLedger::new(Database::open(&folder).unwrap());
    let mut change = Change::default();
    for number in 0..100 {
        let long = "x".repeat(1_000);
        change.put(
            key("request/x", &format!("{number:03}")),
            row(number, &long),
        );
    }
    let _ = ledger.apply(change, 1).await.unwrap();
    drop(ledger);
    let path = folder.join("millrace.db");
    let whole = fs::read(&path).unwrap();
    let middle = whole.len() / 2 / 4096 * 4096;
    let mut noise = whole.clone();
    noise[middle..middle + 4096].fill(0x5a);
    for damaged in [&noise[..], &whole[..middle]] {
        fs::write(&path, damaged).unwrap();
        let error = Database::open(&folder).expect_err("it is damaged");
        let text = error.to_string();
        let begin = format!("open {}: the file is damaged: ", path.display());
        assert!(text.starts_with(&begin), "{text}");
        assert!(text.contains("put a backup in its place"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        let cause = std::error::Error::source(&error);
        assert!(cause.is_none(), "the cause is told once");
    }
    for gone in ["millrace.db-wal", "millrace.db-shm"] {
        let _not_there = fs::remove_file(folder.join(gone));
    }
    fs::write(&path, whole).unwrap();
    Database::open(&folder).expect("the backup is whole");
}

/// The one file in `objects`.
fn object(root: &Path) -> PathBuf {
    let shards = fs::read_dir(root.join("objects")).unwrap();
    let mut files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    files.next().expect("an object is there").unwrap().path()
}

#[tokio::test]
async fn flipped_byte_is_found_and_mended() {
    let scratch = Scratch::new();
    let root = scratch.folder();
    let store = DirectoryStore::open(&root).unwrap();
    let whole = Bytes::from_static(b"what was built");
    let digest = store.put(whole.clone()).await.unwrap();
    assert_eq!(store.verify(&digest).await.unwrap(), Verdict::Whole);

    let path = object(&root);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444, "artifacts are read-only");
    fs::remove_file(&path).unwrap();
    assert_eq!(store.verify(&digest).await.unwrap(), Verdict::Missing);
    fs::write(&path, b"what was buolt").unwrap();
    let verdict = store.verify(&digest).await.unwrap();
    assert!(matches!(verdict, Verdict::Damaged(_)), "{verdict:?}");
    let error = store.get(&digest, 1_000).await.expect_err("a flipped byte");
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("is damaged"), "{error}");

    let again = store.put(whole.clone()).await.unwrap();
    assert_eq!(again, digest);
    assert_eq!(store.get(&digest, 1_000).await.unwrap(), Some(whole));
}

#[test]
fn leftovers_are_swept() {
    let scratch = Scratch::new();
    let root = scratch.folder();
    drop(DirectoryStore::open(&root).unwrap());
    let leftover = root.join("tmp/.tmpabc");
    fs::write(&leftover, "half").unwrap();
    drop(DirectoryStore::open(&root).unwrap());
    assert!(!leftover.exists(), "a killed process's half is removed");
}

/// As a process leaves it that is killed between two renames: the next run completes the same folder.
#[test]
fn a_database_that_was_put_aside_by_half_is_not_opened_without_its_journal() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let part = folder.join("set-aside.part");
    drop(Database::open(&folder).unwrap());
    fs::create_dir(&part).unwrap();
    fs::write(part.join("millrace.db-wal"), "the last changes").unwrap();
    assert_eq!(
        refused(&folder),
        "open <state>/millrace.db: its last changes are in <state>/set-aside.part, where an interrupted \
         `millrace recover --replace` put them; run `millrace recover --replace` again"
    );
    let aside = platform_local::set_aside(&folder).unwrap().unwrap();
    assert_eq!(aside, folder.join("set-aside-1"));
    for name in ["millrace.db", "millrace.db-wal"] {
        assert!(aside.join(name).exists(), "{name}");
    }
    Database::open(&folder).unwrap();
}

/// A recovery that cannot be done must not cost the ledger that it was to replace.
#[test]
fn a_database_that_was_put_aside_is_put_back_as_it_was() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    drop(Database::open(&folder).unwrap());
    fs::write(folder.join("millrace.db-wal"), "").unwrap();
    let files = || ["millrace.db", "millrace.db-wal"].map(|name| fs::read(folder.join(name)).ok());
    let before = files();
    let aside = platform_local::set_aside(&folder).unwrap().unwrap();
    fs::write(folder.join("millrace.db"), "the new one").unwrap();
    fs::write(folder.join("millrace.db-shm"), "of the new one").unwrap();
    platform_local::put_back(&folder, &aside).unwrap();
    assert_eq!(files(), before);
    for gone in [
        aside,
        folder.join("set-aside.part"),
        folder.join("millrace.db-shm"),
    ] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    drop(Database::open(&folder).unwrap());
}

/// Somebody deleted the database and left its journal: what is put aside is never missed later.
#[test]
fn a_journal_without_its_database_is_put_aside_alone() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("millrace.db-wal"), "of a database that is gone").unwrap();
    for expect in [Some(folder.join("set-aside-1")), None] {
        assert_eq!(platform_local::set_aside(&folder).unwrap(), expect);
    }
    for _ in 0..2 {
        drop(Database::open(&folder).unwrap());
    }
}

/// SQLite deletes the journal of a database that it finds empty or makes anew.
#[test]
fn a_journal_without_its_database_is_refused_and_stays() {
    let scratch = Scratch::new();
    for database in [None, Some("")] {
        let folder = scratch.folder();
        fs::create_dir_all(&folder).unwrap();
        let journal = folder.join("millrace.db-wal");
        fs::write(&journal, "of a database that is gone").unwrap();
        if let Some(bytes) = database {
            fs::write(folder.join("millrace.db"), bytes).unwrap();
        }
        assert_eq!(
            refused(&folder),
            "open <state>/millrace.db: it is not there, and its last changes are, in \
             <state>/millrace.db-wal, which another database would delete. Bring <state>/millrace.db back \
             beside it, if you have it; else `millrace recover --replace` puts the journal aside and \
             rebuilds the ledger"
        );
        let left = fs::read_to_string(&journal).unwrap();
        assert_eq!(left, "of a database that is gone");
        assert_eq!(folder.join("millrace.db").exists(), database.is_some());
    }
}

/// Names of all files and folders below `folder`.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path.clone());
            }
            names.push(path);
        }
    }
    names.sort();
    names
}

/// Who looks and does not go on leaves no trace, and takes nothing with him.
#[tokio::test]
async fn a_folder_is_left_as_it_was_found() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    let open = || LocalPlatform::open(&folder, ()).unwrap();
    let look = || open().leave_as_found();
    look();
    assert_eq!(names(&folder), [folder.join("lock")]);

    // As where a disk is to be mounted.
    fs::create_dir(folder.join("artifacts")).unwrap();
    let before = names(&folder);
    look();
    assert_eq!(names(&folder), before);

    // What was put meanwhile stays.
    let store = DirectoryStore::open(&folder.join("artifacts")).unwrap();
    store.leave_as_found();
    let put = store.put(Bytes::from_static(b"kept")).await.unwrap();
    drop(store);
    let store = DirectoryStore::open(&folder.join("artifacts")).unwrap();
    assert!(store.size(&put).await.unwrap().is_some());
    drop(store);

    drop(open());
    let before = names(&folder);
    assert!(before.contains(&folder.join("millrace.db")));
    look();
    assert_eq!(names(&folder), before);
}

/// One that cannot be opened whole makes no database.
#[test]
fn a_store_that_cannot_be_opened_leaves_no_database() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("artifacts"), "no folder").unwrap();
    LocalPlatform::open(&folder, ()).expect_err("no folder");
    assert!(!folder.join("millrace.db").exists());
}
