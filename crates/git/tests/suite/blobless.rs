//! Copies without files: what is left out comes when it is read, and all at once when it is asked for.

use std::path::{Path, PathBuf};

use fake_forge::Server;
use git::{Change, Class, CommitId, Credentials, Error, Repository};

use tempfile::TempDir;

use crate::support::{self, bare, fast_import, fsck, git, url};

const FILES: [(&str, &str); 4] = [
    ("a/1", "one"),
    ("a/2", "two"),
    ("b/3", "three"),
    ("top", "four"),
];

fn blobless(server: &Server, cache: &Path) -> Repository {
    Repository::remote(url(server, "r.git"), cache, Credentials::None)
        .unwrap()
        .blobless()
}

fn origin(home: &Path, filter: bool) -> (PathBuf, CommitId) {
    let origin = bare(home, "r.git");
    git(
        &origin,
        &["config", "uploadpack.allowFilter", &filter.to_string()],
    );
    let first = fast_import(&origin, "main", None, &FILES);
    (origin, first)
}

/// A repository on a server that leaves files out, and a copy that knows its tip.
struct Copied {
    home: TempDir,
    origin: PathBuf,
    first: CommitId,
    server: Server,
    repo: Repository,
}

impl Copied {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (origin, first) = origin(home.path(), true);
        let server = Server::start(home.path());
        let repo = blobless(&server, &home.path().join("cache.git"));
        assert_eq!(repo.head("main").unwrap(), Some(first));
        Self {
            home,
            origin,
            first,
            server,
            repo,
        }
    }

    /// What is on the copy's disk.
    fn kinds(&self) -> String {
        kinds(&self.home.path().join("cache.git"))
    }

    /// Commits on top of the first, and lets the copy know.
    fn push(&self, files: &[(&str, &str)]) -> CommitId {
        let second = fast_import(&self.origin, "main", Some(self.first), files);
        git(&self.origin, &["repack", "-q", "-a", "-d", "-f"]);
        assert_eq!(self.repo.head("main").unwrap(), Some(second));
        second
    }
}

/// Objects in the copy, by kind.
fn kinds(cache: &Path) -> String {
    let all = git(
        cache,
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objecttype)",
        ],
    );
    let count = |kind: &str| all.lines().filter(|line| *line == kind).count();
    format!(
        "{} commits, {} trees, {} blobs",
        count("commit"),
        count("tree"),
        count("blob")
    )
}

fn conversations(server: &Server) -> usize {
    let requests = server.requests();
    requests.iter().filter(|it| it.starts_with("GET")).count()
}

fn paths(changes: Vec<Change>) -> Vec<String> {
    changes.into_iter().map(|change| change.path).collect()
}

fn read(repo: &Repository, commit: CommitId, path: &str) -> String {
    let bytes = repo.read(commit, path, 100).unwrap().unwrap();
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

#[test]
fn files_come_when_they_are_read() {
    let copied = Copied::new();
    let (repo, first) = (&copied.repo, copied.first);
    assert_eq!(copied.kinds(), "1 commits, 3 trees, 0 blobs");
    assert_eq!(repo.list(first, "").unwrap().len(), 4);
    assert_eq!(read(repo, first, "a/1"), "one");
    assert_eq!(copied.kinds(), "1 commits, 3 trees, 1 blobs");

    // The new file is close to one that is not here: a server may describe it by that one alone.
    let second = copied.push(&[("a/2", "two again"), ("b/4", "four")]);
    assert_eq!(
        paths(repo.changes(Some(first), second).unwrap()),
        ["a/2", "b/4"]
    );
    assert_eq!(copied.kinds(), "2 commits, 6 trees, 1 blobs");
    assert_eq!(read(repo, second, "a/2"), "two again");
    assert_eq!(read(repo, first, "a/2"), "two");
    assert!(repo.is_ancestor(first, second).unwrap());
}

#[test]
fn files_that_are_asked_for_come_at_once() {
    let copied = Copied::new();
    let (repo, first) = (&copied.repo, copied.first);
    let before = conversations(&copied.server);
    let wanted = ["a/1", "a/2", "b/3", "b", "no/such", "top"].map(str::to_owned);
    repo.prefetch(first, &wanted, 1_000).unwrap();
    for (path, text) in FILES {
        assert_eq!(read(repo, first, path), text);
    }
    repo.prefetch(first, &wanted, 1_000).unwrap();
    assert_eq!(conversations(&copied.server) - before, 1);
}

/// One file that is too large keeps nobody from reading the others.
#[test]
fn a_file_that_is_too_large_is_not_fetched() {
    let copied = Copied::new();
    let repo = &copied.repo;
    let second = copied.push(&[("a/0", &"0".repeat(1 << 20))]);
    let every = ["a/0", "a/1", "a/2", "b/3", "top"].map(str::to_owned);
    repo.prefetch(second, &every, 1_000).unwrap();
    let before = conversations(&copied.server);
    for (path, text) in FILES {
        assert_eq!(read(repo, second, path), text);
    }
    assert_eq!(conversations(&copied.server), before, "they are here");
    let error = repo.read(second, "a/0", 1_000).unwrap_err();
    assert!(
        matches!(error, Error::Limit { limit: 1_000, .. }),
        "{error}"
    );
    assert_eq!(copied.kinds(), "2 commits, 5 trees, 4 blobs");
}

#[test]
fn whether_a_file_is_there_costs_no_file() {
    let copied = Copied::new();
    for (path, is_there) in [("a/1", true), ("a", false), ("no/such", false)] {
        let has = copied.repo.has_file(copied.first, path).unwrap();
        assert_eq!(has, is_there, "{path}");
    }
    assert_eq!(copied.kinds(), "1 commits, 3 trees, 0 blobs");
}

#[test]
fn commits_are_made_and_pushed_without_files() {
    let copied = Copied::new();
    let edits = [("a/1", Some(b"1".as_slice())), ("b/3", None)];
    support::commit(&copied.repo, "main", Some(copied.first), &edits);
    assert_eq!(copied.kinds(), "2 commits, 5 trees, 1 blobs");
    fsck(&copied.origin);
    assert_eq!(
        support::files(&copied.origin, "main"),
        ["a/1 1", "a/2 two", "top four"]
    );
}

#[test]
fn a_server_that_leaves_nothing_out_gives_all() {
    let home = tempfile::tempdir().unwrap();
    for (name, start) in [
        ("new", Server::start as fn(&Path) -> Server),
        ("old", Server::old),
    ] {
        let home = home.path().join(name);
        std::fs::create_dir(&home).unwrap();
        let (origin, first) = origin(&home, name == "old");
        let server = start(&home);
        let cache = home.join("cache.git");
        let repo = blobless(&server, &cache);
        assert_eq!(repo.head("main").unwrap(), Some(first));
        assert_eq!(kinds(&cache), "1 commits, 3 trees, 4 blobs", "{name}");
        let second = fast_import(&origin, "main", Some(first), &[("a/2", "two again")]);
        assert_eq!(repo.head("main").unwrap(), Some(second));
        assert_eq!(read(&repo, second, "a/2"), "two again");
        fsck(&cache);
        // The second time only what is new.
        let packs = std::fs::read_dir(cache.join("objects/pack")).unwrap();
        let indexes = packs.map(|it| it.unwrap().path());
        let mut counts: Vec<usize> = indexes
            .filter(|path| path.extension().is_some_and(|it| it == "idx"))
            .map(|path| {
                let list = git(&cache, &["verify-pack", "-v", path.to_str().unwrap()]);
                let is_object = |line: &&str| line.contains(" blob ") || line.contains(" tree ");
                list.lines().filter(is_object).count()
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [3, 7], "{name}");
    }
}

#[test]
fn a_server_that_stops_to_leave_files_out_is_read_on() {
    let copied = Copied::new();
    assert_eq!(copied.kinds(), "1 commits, 3 trees, 0 blobs");
    git(
        &copied.origin,
        &["config", "uploadpack.allowFilter", "false"],
    );
    let second = copied.push(&[("a/2", "two again")]);
    assert_eq!(read(&copied.repo, second, "a/2"), "two again");
    assert_eq!(read(&copied.repo, copied.first, "a/2"), "two");
    fsck(&copied.home.path().join("cache.git"));
}

#[test]
fn what_the_server_lost_is_said_to_be_missing() {
    let copied = Copied::new();
    let (repo, first) = (&copied.repo, copied.first);
    fast_import(&copied.origin, "main", None, &[("other", "1")]);
    git(&copied.origin, &["gc", "-q", "--prune=now"]);
    let every = FILES.map(|(path, _)| path.to_owned());
    repo.prefetch(first, &every, 1_000).unwrap();
    let error = repo.read(first, "a/1", 100).unwrap_err();
    assert_eq!(error.class(), Class::Broken, "{error}");
    assert!(error.to_string().ends_with("it is not there"), "{error}");
}
