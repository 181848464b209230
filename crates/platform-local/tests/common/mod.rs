//! What several tests need.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use ledger::{Key, Message, RefRow, Row};
use tempfile::TempDir;

/// Folders that are gone after the test.
pub(crate) struct Scratch {
    root: TempDir,
    made: AtomicUsize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("make a folder for the test"),
            made: AtomicUsize::new(0),
        }
    }

    /// A folder that is not there yet.
    pub(crate) fn folder(&self) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.root.path().join(number.to_string())
    }
}

pub(crate) fn key(partition: &str, sort: &str) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.to_owned(),
    }
}

pub(crate) fn row(number: i64, text: &str) -> Row {
    Row::Ref(RefRow {
        url: text.to_owned(),
        git_ref: "main".to_owned(),
        commit: "0".repeat(40),
        at: number,
    })
}

pub(crate) fn number(row: &Row) -> i64 {
    match row {
        Row::Ref(row) => row.at,
        other => panic!("a row came back as another kind: {other:?}"),
    }
}

pub(crate) fn message(name: &str) -> Message {
    Message::Report {
        request: format!("builds/2026/07/{name}.yaml").parse().unwrap(),
    }
}
