//! Commits over smart HTTP, into a repository that `git http-backend` guards.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use base64::Engine as _;
use fake_forge::{Fault, Server};
use git::{Class, CommitId, Credentials, Edit, Error, Outcome, Repository};

use crate::support::{bare, bare_with, commit, fast_import, files, fsck, git, meta, url};

/// A server with one repository, `r.git`, that has `a` on `main`.
struct Site {
    home: tempfile::TempDir,
    path: PathBuf,
    first: CommitId,
    server: Server,
}

impl Site {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (path, first) = bare_with(home.path(), "r.git", &[("a", "1")]);
        let server = Server::start(home.path());
        Self {
            home,
            path,
            first,
            server,
        }
    }

    fn clone_as(&self, name: &str) -> Repository {
        Repository::remote(
            url(&self.server, "r.git"),
            self.home.path().join(name),
            Credentials::None,
        )
        .unwrap()
    }
}

fn push_edit(repo: &Repository, parent: Option<CommitId>) -> git::Result<Outcome> {
    repo.commit_files("main", parent, &[("b", Some(b"2"))], &meta("Update"))
}

#[test]
fn reads_and_pushes() {
    let site = Site::new();
    let repo = site.clone_as("cache");
    assert_eq!(repo.head("main").unwrap(), Some(site.first));
    assert_eq!(repo.head("status").unwrap(), None);
    assert_eq!(
        repo.read(site.first, "a", 10).unwrap().as_deref(),
        Some(b"1".as_slice())
    );

    let second = commit(
        &repo,
        "main",
        Some(site.first),
        &[("a", None), ("d/ü", Some(b"new"))],
    );
    assert_eq!(files(&site.path, "main"), ["d/ü new"]);
    let status = commit(&repo, "status", None, &[("builds/x.yaml", Some(b"ok"))]);
    assert_eq!(files(&site.path, "status"), ["builds/x.yaml ok"]);
    fsck(&site.path);
    fsck(repo.path());

    // What was pushed is in the cache: looking again fetches nothing.
    let before = site.server.requests().len();
    assert_eq!(repo.head("main").unwrap(), Some(second));
    assert_eq!(repo.head("status").unwrap(), Some(status));
    let looks = site.server.requests()[before..].to_vec();
    assert_eq!(looks.len(), 4, "two handshakes, two lists: {looks:?}");

    // Somebody else pushes; then the branch is rewritten.
    let third = fast_import(&site.path, "main", Some(second), &[("e", "3")]);
    assert_eq!(repo.head("main").unwrap(), Some(third));
    assert!(repo.is_ancestor(site.first, third).unwrap());
    let rewritten = fast_import(&site.path, "main", Some(site.first), &[("f", "4")]);
    assert_eq!(repo.head("main").unwrap(), Some(rewritten));
    assert!(!repo.is_ancestor(third, rewritten).unwrap());
}

#[test]
fn a_server_that_only_speaks_the_old_protocol() {
    let site = Site::new();
    let server = Server::old(site.home.path());
    let cache = site.home.path().join("cache");
    let repo = Repository::remote(url(&server, "r.git"), cache, Credentials::None).unwrap();
    assert_eq!(repo.head("main").unwrap(), Some(site.first));
    let second = commit(&repo, "main", Some(site.first), &[("b", Some(b"2"))]);
    let third = fast_import(&site.path, "main", Some(second), &[("c", "3")]);
    assert_eq!(repo.head("main").unwrap(), Some(third));
    assert_eq!(repo.list(third, "").unwrap().len(), 3);
    let other = fast_import(&site.path, "other", Some(site.first), &[("d", "4")]);
    assert_eq!(repo.head("other").unwrap(), Some(other));
    fsck(repo.path());
    fsck(&site.path);
}

#[test]
fn the_first_commit_of_an_empty_repository() {
    let home = tempfile::tempdir().unwrap();
    let path = bare(home.path(), "r.git");
    let server = Server::start(home.path());
    let repo = Repository::remote(
        url(&server, "r.git"),
        home.path().join("c"),
        Credentials::None,
    )
    .unwrap();
    assert_eq!(repo.head("main").unwrap(), None);
    commit(&repo, "main", None, &[("a", Some(b"1"))]);
    assert_eq!(files(&path, "main"), ["a 1"]);
    fsck(&path);
}

#[test]
fn a_cache_that_was_deleted_is_made_again() {
    let site = Site::new();
    let second = commit(
        &site.clone_as("one"),
        "main",
        Some(site.first),
        &[("b", Some(b"2"))],
    );
    let repo = site.clone_as("two");
    // The parent is not in this cache yet.
    commit(&repo, "main", Some(second), &[("c", Some(b"3"))]);
    assert_eq!(files(&site.path, "main"), ["a 1", "b 2", "c 3"]);
    let outcome = push_edit(&site.clone_as("three"), Some(second)).unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }), "{outcome:?}");
}

#[test]
fn five_hundred_files_in_one_push() {
    let site = Site::new();
    let repo = site.clone_as("cache");
    let paths: Vec<String> = (0..500)
        .map(|n| format!("builds/2026/{:02}/{n}.yaml", n % 12))
        .collect();
    let content = "state: built\n".repeat(100);
    let edits: Vec<Edit<'_>> = paths
        .iter()
        .map(|path| (path.as_str(), Some(content.as_bytes())))
        .collect();
    let made = commit(&repo, "status", None, &edits);
    assert_eq!(
        git(&site.path, &["ls-tree", "-r", "--name-only", "status"])
            .lines()
            .count(),
        500
    );
    assert_eq!(
        repo.commit_files("status", Some(made), &edits, &meta("x"))
            .unwrap(),
        Outcome::Unchanged
    );
    fsck(&site.path);
}

#[test]
fn a_push_to_a_moved_branch_is_refused_before_anything_is_sent() {
    let site = Site::new();
    let repo = site.clone_as("cache");
    repo.head("main").unwrap();
    let second = fast_import(&site.path, "main", Some(site.first), &[("x", "9")]);
    let outcome = push_edit(&repo, Some(site.first)).unwrap();
    assert_eq!(outcome, Outcome::Moved { now: Some(second) });
    let posts = site
        .server
        .requests()
        .iter()
        .filter(|r| r.starts_with("POST /r.git/git-receive-pack"))
        .count();
    assert_eq!(posts, 0);
}

#[test]
fn a_branch_that_moves_during_the_push() {
    let site = Site::new();
    let repo = site.clone_as("cache");
    let (path, first) = (site.path.clone(), site.first);
    let race = Fault::Before(Arc::new(move || {
        fast_import(&path, "main", Some(first), &[("x", "9")]);
    }));
    site.server.once("POST", "git-receive-pack", race);
    repo.head("main").unwrap();
    let outcome = push_edit(&repo, Some(site.first)).unwrap();
    let now = git(&site.path, &["rev-parse", "main"]).parse().unwrap();
    assert_eq!(outcome, Outcome::Moved { now: Some(now) });
    repo.head("main").unwrap();
    let outcome = push_edit(&repo, Some(now)).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert_eq!(files(&site.path, "main"), ["a 1", "b 2", "x 9"]);
    fsck(&site.path);
}

#[test]
fn two_pushes_at_the_same_time() {
    let site = Site::new();
    // Both have read where the branch is, and neither has pushed, when either goes on.
    let barrier = Arc::new(Barrier::new(2));
    for _ in 0..2 {
        let barrier = Arc::clone(&barrier);
        site.server.once(
            "POST",
            "git-receive-pack",
            Fault::Before(Arc::new(move || {
                barrier.wait();
            })),
        );
    }
    let repos = [site.clone_as("one"), site.clone_as("two")];
    let first_try: Vec<Outcome> = std::thread::scope(|scope| {
        let tries: Vec<_> = ["one", "two"]
            .into_iter()
            .zip(&repos)
            .map(|(name, repo)| {
                let parent = site.first;
                scope.spawn(move || {
                    repo.commit_files("main", Some(parent), &[(name, Some(b"x"))], &meta(name))
                        .unwrap()
                })
            })
            .collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let Some(winner) = first_try
        .iter()
        .position(|o| matches!(o, Outcome::Committed(_)))
    else {
        panic!("nobody won: {first_try:?}");
    };
    let loser = 1 - winner;
    let now = repos[loser].head("main").unwrap();
    assert_eq!(first_try[winner], Outcome::Committed(now.unwrap()));
    assert_eq!(first_try[loser], Outcome::Moved { now });
    let name = ["one", "two"][loser];
    commit(&repos[loser], "main", now, &[(name, Some(b"x"))]);
    assert_eq!(files(&site.path, "main"), ["a 1", "one x", "two x"]);
    fsck(&site.path);
}

/// What happens to the branch and to the caller when the push goes wrong in the middle.
fn check_fault(method: &'static str, word: &'static str, fault: Fault, expect: &str) {
    let site = Site::new();
    let repo = site.clone_as("cache");
    repo.head("main").unwrap();
    site.server.once(method, word, fault);
    let result = push_edit(&repo, Some(site.first));
    let got = match &result {
        Ok(Outcome::Committed(_)) => "committed".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{:?}: {error}", error.class()),
    };
    assert!(got.contains(expect), "{got}");
    let tip: CommitId = git(&site.path, &["rev-parse", "main"]).parse().unwrap();
    assert_eq!(tip != site.first, result.is_ok(), "{got}");
    fsck(&site.path);
    // Trying again succeeds, once.
    let outcome = push_edit(&repo, Some(site.first)).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert_eq!(git(&site.path, &["rev-list", "--count", "main"]), "2");
    fsck(&site.path);
    fsck(repo.path());
}

#[test]
fn the_server_dies_in_the_middle_of_the_pack() {
    check_fault(
        "POST",
        "git-receive-pack",
        Fault::CutRequest(250),
        "Transient: talk to http://",
    );
}

#[test]
fn the_server_dies_in_the_middle_of_the_command() {
    check_fault(
        "POST",
        "git-receive-pack",
        Fault::CutRequest(20),
        "Transient: talk to http://",
    );
}

#[test]
fn the_answer_is_lost() {
    check_fault("POST", "git-receive-pack", Fault::LoseAnswer, "committed");
}

#[test]
fn half_of_the_answer_is_lost() {
    check_fault(
        "POST",
        "git-receive-pack",
        Fault::CutAnswer(10),
        "committed",
    );
}

#[test]
fn the_server_is_busy() {
    let busy = || Fault::Answer("503 Service Unavailable", b"later".to_vec());
    check_fault(
        "POST",
        "git-receive-pack",
        busy(),
        "Transient: talk to http://",
    );
    check_fault(
        "GET",
        "git-receive-pack",
        busy(),
        "Transient: talk to http://",
    );
}

#[test]
fn the_greeting_is_cut() {
    check_fault(
        "GET",
        "git-receive-pack",
        Fault::CutAnswer(30),
        "Transient: talk to http://",
    );
}

#[test]
fn a_hook_that_declines() {
    let site = Site::new();
    let hook = site.path.join("hooks/pre-receive");
    std::fs::create_dir_all(site.path.join("hooks")).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = push_edit(&site.clone_as("cache"), Some(site.first)).unwrap_err();
    assert_eq!(error.class(), Class::User);
    assert_eq!(
        error.to_string(),
        format!(
            "push refs/heads/main to {}: the server refuses it: pre-receive hook declined",
            url(&site.server, "r.git")
        )
    );
}

#[test]
fn a_fetch_that_is_cut_leaves_the_cache_whole() {
    let site = Site::new();
    let repo = site.clone_as("cache");
    site.server
        .once("POST", "git-upload-pack", Fault::Before(Arc::new(|| {})));
    site.server
        .once("POST", "git-upload-pack", Fault::CutAnswer(100));
    let error = repo.head("main").unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    fsck(repo.path());
    assert_eq!(repo.head("main").unwrap(), Some(site.first));
    fsck(repo.path());
}

const PASSWORD: &str = "s3cret-passw0rd";

fn login(password: &str) -> (Credentials, String) {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("bot:{password}"));
    let credentials = Credentials::Basic {
        user: "bot".to_owned(),
        password: password.to_owned(),
    };
    (credentials, format!("Basic {text}"))
}

fn with_login(root: &Path, expected: &str, given: Credentials) -> git::Result<Outcome> {
    let (_, first) = bare_with(root, "r.git", &[("a", "1")]);
    let server = Server::with_login(root, Some(expected.to_owned()));
    let repo = Repository::remote(url(&server, "r.git"), root.join("cache"), given)?;
    repo.head("main")?;
    push_edit(&repo, Some(first))
}

#[test]
fn logins() {
    let (basic, header) = login(PASSWORD);
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(
        with_login(home.path(), &header, basic),
        Ok(Outcome::Committed(_))
    ));
    let home = tempfile::tempdir().unwrap();
    let bearer = Credentials::Bearer {
        token: PASSWORD.to_owned(),
    };
    let expected = format!("Bearer {PASSWORD}");
    assert!(matches!(
        with_login(home.path(), &expected, bearer),
        Ok(Outcome::Committed(_))
    ));
}

#[test]
fn a_wrong_password_is_in_no_error() {
    let (right, _) = login("other");
    let (wrong, header) = login(PASSWORD);
    let bearer = Credentials::Bearer {
        token: PASSWORD.to_owned(),
    };
    for (given, words) in [
        (wrong, "refuses the credentials"),
        (bearer, "refuses the credentials"),
        (right, "refuses the credentials"),
        (Credentials::None, "private and needs credentials"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let shown = format!("{given:?}");
        let error = with_login(home.path(), "Basic unknown", given).unwrap_err();
        assert!(matches!(error, Error::AccessDenied { .. }), "{error}");
        let text = format!("{error} {error:?} {shown}");
        assert!(text.contains(words), "{text}");
        for secret in [PASSWORD, header.trim_start_matches("Basic ")] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_commit_that_another_process_learned_of_is_fetched_when_it_is_read() {
    let site = Site::new();
    let (one, other) = (site.clone_as("one"), site.clone_as("other"));
    let tip = site.first;
    assert_eq!(one.head("main").unwrap(), Some(tip));
    assert_eq!(other.commit_info(tip).unwrap().parents.len(), 0);
    let next = commit(&one, "main", Some(tip), &[("new", Some(b"text"))]);
    // Its cache has never looked at the branch since.
    assert_eq!(other.read(next, "new", 10).unwrap().unwrap(), b"text");
    assert!(other.is_ancestor(tip, next).unwrap());
    let third = commit(&one, "main", Some(next), &[("new", None)]);
    let changes = other.changes(Some(tip), third).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
    // What is nowhere is told of, and asked for each time.
    let nowhere: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = other.read(nowhere, "new", 10).unwrap_err();
    assert!(matches!(error, Error::ObjectMissing { .. }), "{error}");
}
