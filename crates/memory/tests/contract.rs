//! The adapters in memory hold what the ports say.

use std::time::Duration;

use bytes::Bytes;
use memory::{ManualClock, MemoryForge, MemoryLedger, MemoryQueue, MemoryStateRepo, MemoryStore};
use ports::contract::{self, QueueManner, Upstream};
use ports::{Commit, NewCommit};

#[tokio::test]
async fn ledger() {
    contract::ledger(async || MemoryLedger::default()).await;
}

#[tokio::test]
async fn queue() {
    contract::queue(QueueManner::EXACT, async || {
        let clock = ManualClock::default();
        (MemoryQueue::new(clock.clone()), clock)
    })
    .await;
}

#[tokio::test]
async fn store() {
    contract::store(Duration::ZERO, async || {
        let clock = ManualClock::default();
        (MemoryStore::new(clock.clone()), clock)
    })
    .await;
}

#[tokio::test]
async fn clock() {
    contract::clock(async || ManualClock::default()).await;
}

#[tokio::test]
async fn state_repo() {
    contract::state_repo(async || {
        let repo = MemoryStateRepo::default();
        (repo.clone(), Somebody(repo))
    })
    .await;
}

#[tokio::test]
async fn forge() {
    contract::forge(async || {
        let forge = MemoryForge::default();
        (forge.clone(), forge)
    })
    .await;
}

struct Somebody(MemoryStateRepo);

const AUTHOR: &str = "Ada <ada@example.org>";

fn new(files: impl Iterator<Item = (String, Option<Bytes>)>, message: &str) -> NewCommit {
    NewCommit {
        files: files.collect(),
        message: message.to_owned(),
        time: 1_782_864_000,
    }
}

fn content(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl Upstream for Somebody {
    async fn push(&self, files: &[(&str, Option<&str>)], message: &str) -> Commit {
        let files = files.iter();
        let files = files.map(|(path, text)| ((*path).to_owned(), text.map(content)));
        self.0.push("main", AUTHOR, new(files, message))
    }

    async fn rewrite(&self, files: &[(&str, &str)]) -> Commit {
        let files = files.iter();
        let files = files.map(|(path, text)| ((*path).to_owned(), Some(content(text))));
        self.0.force_push("main", AUTHOR, new(files, "rewritten"))
    }

    async fn grow(&self, parents: &[&str], message: &str) -> Commit {
        let parents: Vec<Commit> = parents.iter().map(|it| (*it).to_owned()).collect();
        self.0.push_merge("main", AUTHOR, &parents, message)
    }

    async fn other(&self) -> (String, Commit) {
        let (url, commit) = ("https://example.org/other.git", "ab".repeat(20));
        for git_ref in ["main", "v1"] {
            self.0.set_ref(url, git_ref, &commit);
        }
        (url.to_owned(), commit)
    }
}
