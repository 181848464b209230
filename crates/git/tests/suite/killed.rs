//! A writer that is killed in the middle of a commit, again and again.

use std::path::Path;
use std::process::{Command, Stdio};

use git::{CommitId, Outcome, Repository};

use crate::support::{fsck, git, meta};

/// Names the repository to the copy of this test that is to be killed.
const VICTIM: &str = "MILLRACE_TEST_VICTIM";
/// How often it is killed.
const KILLS: usize = 12;

#[test]
fn nothing_is_lost_and_nobody_waits() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let repo = Repository::open_bare(path).unwrap();
        loop {
            add(&repo);
        }
    }
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let mut tip = add(&repo);
    for kill in 0..KILLS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::nothing_is_lost_and_nobody_waits"])
            .env(VICTIM, repo.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It has started when it has committed; the rounds end at different points of what it does then.
        while repo.head("status").unwrap() == Some(tip) {
            std::thread::yield_now();
        }
        let mut spins = kill * 5000;
        while spins > 0 {
            spins -= 1;
            std::hint::spin_loop();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();

        let left = repo.head("status").unwrap().unwrap();
        assert!(repo.is_ancestor(tip, left).unwrap());
        fsck(repo.path());
        // No waiting for the lock of the dead.
        tip = add(&repo);
        assert!(!lock(repo.path()).exists());
    }
    let commits: usize = git(repo.path(), &["rev-list", "--count", "status"])
        .parse()
        .unwrap();
    let files = repo.list(tip, "").unwrap().len();
    assert_eq!(files, commits, "each commit has added one file");
}

/// Adds one file, named by how many there are.
fn add(repo: &Repository) -> CommitId {
    let mut tip = repo.head("status").unwrap();
    loop {
        let count = tip.map_or(0, |tip| repo.list(tip, "").unwrap().len());
        let name = format!("n/{count}");
        match repo
            .commit_files("status", tip, &[(&name, Some(b"x"))], &meta("Add"))
            .unwrap()
        {
            Outcome::Committed(commit) => return commit,
            Outcome::Moved { now } => tip = now,
            Outcome::Unchanged => panic!("a new file is a change"),
        }
    }
}

fn lock(repository: &Path) -> std::path::PathBuf {
    repository.join("refs/heads/status.lock")
}
