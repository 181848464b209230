//! The suite of the port, against a bare repository on this disk and against a server; and what the port
//! hides of git.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start git and serve HTTP; a test that cannot go on fails"
)]

#[allow(
    dead_code,
    reason = "shared with the tests of the crate git, which use all of it"
)]
#[path = "../../git/tests/suite/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use fake_forge::Server;
use git::{CommitId, Credentials, Repository};
use ports::contract::Upstream;
use ports::{ChangeKind, PathChange, Resolved, StateRepo};
use state_repo::GitStateRepo;
use support::{TIME, bare, bare_with, git, try_git};

/// Somebody with git on the same machine as the origin. The suite may be done with them before it is done
/// with the repository, so the directory belongs to whoever started them.
struct Person {
    home: PathBuf,
    origin: PathBuf,
    server: Server,
}

impl Person {
    fn new(home: &Path) -> Self {
        let home = tempfile::tempdir_in(home).unwrap().keep();
        let origin = bare(&home, "r.git");
        git(&origin, &["config", "uploadpack.allowFilter", "true"]);
        let server = Server::start(&home);
        Self {
            home,
            origin,
            server,
        }
    }

    fn import(&self, from: &str, files: &[(&str, Option<&str>)], message: &str) -> String {
        let mut stream = format!(
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {TIME} +0000\ndata {}\n{message}\n{from}",
            message.len()
        );
        for (path, content) in files {
            match content {
                Some(text) => {
                    stream.push_str(&format!(
                        "M 100644 inline {path}\ndata {}\n{text}\n",
                        text.len()
                    ));
                }
                None => stream.push_str(&format!("D {path}\n")),
            }
        }
        let (ok, output) = try_git(
            &self.origin,
            &["fast-import", "--quiet", "--force"],
            stream.as_bytes(),
        );
        assert!(ok, "{output}");
        git(&self.origin, &["rev-parse", "main"])
    }
}

impl Upstream for Person {
    async fn push(&self, files: &[(&str, Option<&str>)], message: &str) -> String {
        let (exists, tip) = try_git(&self.origin, &["rev-parse", "--verify", "-q", "main"], b"");
        let from = if exists {
            format!("from {tip}\n")
        } else {
            String::new()
        };
        self.import(&from, files, message)
    }

    async fn rewrite(&self, files: &[(&str, &str)]) -> String {
        git(&self.origin, &["update-ref", "-d", "refs/heads/main"]);
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, Some(*text)))
            .collect();
        self.import("", &files, "rewritten")
    }

    async fn grow(&self, parents: &[&str], message: &str) -> String {
        git(&self.origin, &["update-ref", "-d", "refs/heads/main"]);
        let words = std::iter::once("from").chain(std::iter::repeat("merge"));
        let from = parents.iter().zip(words);
        let from: String = from
            .map(|(parent, word)| format!("{word} {parent}\n"))
            .collect();
        self.import(&from, &[], message)
    }

    async fn other(&self) -> (String, String) {
        let (path, commit) = bare_with(&self.home, "other.git", &[("x", "x")]);
        git(&path, &["tag", "-a", "-m", "One", "v1", "main"]);
        (
            support::url(&self.server, "other.git").to_string(),
            commit.to_string(),
        )
    }
}

#[tokio::test]
async fn on_this_disk() {
    let home = tempfile::tempdir().unwrap();
    ports::contract::state_repo(async || {
        let person = Person::new(home.path());
        let repository = Repository::open_bare(&person.origin).unwrap();
        (GitStateRepo::new(repository), person)
    })
    .await;
}

#[tokio::test]
async fn on_a_server() {
    served(|repository| repository).await;
}

#[tokio::test]
async fn on_a_server_with_a_blobless_copy() {
    served(Repository::blobless).await;
}

async fn served(copy: impl Fn(Repository) -> Repository) {
    let home = tempfile::tempdir().unwrap();
    ports::contract::state_repo(async || {
        let person = Person::new(home.path());
        let cache = person.home.join("cache.git");
        let url = support::url(&person.server, "r.git");
        let repository = Repository::remote(url, cache, Credentials::None).unwrap();
        (GitStateRepo::new(copy(repository)), person)
    })
    .await;
}

fn import(origin: &Path, from: Option<&str>, commands: &str) -> String {
    let from = from
        .map(|from| format!("from {from}\n"))
        .unwrap_or_default();
    let stream = format!(
        "commit refs/heads/main\ncommitter Ann <ann@example.org> {TIME} +0000\ndata 1\nx\n{from}{commands}"
    );
    let (ok, output) = try_git(origin, &["fast-import", "--quiet"], stream.as_bytes());
    assert!(ok, "{output}");
    git(origin, &["rev-parse", "main"])
}

#[tokio::test]
async fn only_files_exist() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let first = import(
        &person.origin,
        None,
        "M 100644 inline a\ndata 1\n1\nM 120000 inline l\ndata 1\na\n",
    );
    let second = import(
        &person.origin,
        Some(&first),
        "M 120000 inline a\ndata 1\nl\nM 100644 inline l\ndata 1\n2\nM 120000 inline new\ndata 1\na\n\
         M 160000 1111111111111111111111111111111111111111 module\n",
    );
    let repo = GitStateRepo::new(Repository::open_bare(&person.origin).unwrap());
    assert_eq!(repo.list(&first, "").await.unwrap(), ["a"]);
    assert_eq!(repo.list(&second, "").await.unwrap(), ["l"]);
    assert_eq!(repo.read(&second, "a").await.unwrap(), None);
    assert_eq!(repo.read(&second, "module").await.unwrap(), None);
    let change = |path: &str, kind| PathChange {
        path: path.to_owned(),
        kind,
    };
    let changes = repo.changes(Some(&first), &second).await.unwrap();
    assert_eq!(
        changes,
        [
            change("a", ChangeKind::NotAFile),
            change("l", ChangeKind::Modified),
            change("module", ChangeKind::NotAFile),
            change("new", ChangeKind::NotAFile),
        ]
    );
}

#[tokio::test]
async fn a_huge_file_is_the_parsers_to_refuse() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let huge = "x".repeat(17 << 20);
    let tip = person
        .push(&[("huge", Some(&huge)), ("ok", Some("1"))], "huge")
        .await;
    let repo = GitStateRepo::new(Repository::open_bare(&person.origin).unwrap());
    let read = repo.read(&tip, "huge").await.unwrap().unwrap();
    assert_eq!(read.len(), pipeline_spec::limits::MAX_FILE_BYTES + 1);
    assert_eq!(repo.read(&tip, "ok").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn what_people_are_told_about_their_refs() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let repo = GitStateRepo::new(Repository::open_bare(&person.origin).unwrap());
    let url = support::url(&person.server, "nothing.git").to_string();
    let missing = |text: &str| Resolved::Missing(text.to_owned());
    for (url, git_ref, expect) in [
        (
            url.as_str(),
            "main",
            missing(&format!(
                "failed to find a git repository at {url}: the server says that it does not exist"
            )),
        ),
        (
            "https://u:secret@example.org/x",
            "main",
            missing(
                "failed to use the repository address \"https://…@example.org/x\": a user or password in an address \
                 ends up in logs; configure credentials instead",
            ),
        ),
    ] {
        assert_eq!(repo.resolve(url, git_ref).await.unwrap(), expect);
    }
    let commit: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    let resolved = repo.resolve(&url, &commit.to_string()).await.unwrap();
    assert_eq!(resolved, Resolved::Commit(commit.to_string()));
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = repo
        .resolve(&format!("http://{closed}/x"), "main")
        .await
        .unwrap_err();
    assert!(matches!(error, ports::Error::Transient { .. }), "{error}");
}

#[tokio::test]
async fn what_was_planned_outlives_a_forced_push_and_gc() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let repository = Repository::open_bare(&person.origin).unwrap();
    let repo = GitStateRepo::new(repository).holding("wishes");
    let refs = || git(&person.origin, &["for-each-ref", "refs/millrace"]);
    let on_branch =
        |commit: &str| git(&person.origin, &["update-ref", "refs/heads/wishes", commit]);
    let first = person.push(&[("x", Some("1"))], "first").await;
    assert!(repo.head("main").await.unwrap().is_some());
    assert_eq!(refs(), "", "only the planned branch is held");
    on_branch(&first);
    assert_eq!(repo.head("wishes").await.unwrap().as_ref(), Some(&first));

    let other = person.rewrite(&[("x", "2")]).await;
    on_branch(&other);
    for _ in 0..2 {
        git(&person.origin, &["gc", "-q", "--prune=now"]);
        assert_eq!(repo.read(&first, "x").await.unwrap().unwrap(), "1");
        assert_eq!(repo.head("wishes").await.unwrap().as_ref(), Some(&other));
    }
}

#[tokio::test]
async fn what_cannot_be_held_is_read_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let tip = person.push(&[("x", Some("1"))], "first").await;
    std::fs::write(person.origin.join("refs/millrace"), "in the way").unwrap();
    let repo = GitStateRepo::new(Repository::open_bare(&person.origin).unwrap());
    assert_eq!(repo.head("main").await.unwrap(), Some(tip));
}

/// One byte more than an object of a pull request may have.
const TOO_LARGE: usize = (16 << 20) + 1;

/// Anybody may propose it; only who merges it makes the rest bear it.
#[tokio::test]
async fn what_is_too_large_is_read_once_it_is_merged() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let first = person.push(&[("x", Some("1"))], "first").await;
    let zeros = "0".repeat(TOO_LARGE);
    let files = [("large", Some(zeros.as_str())), ("y", Some("2"))];
    let large = person.push(&files, "large").await;
    git(&person.origin, &["update-ref", "refs/heads/fork", &large]);
    git(&person.origin, &["update-ref", "refs/heads/main", &first]);
    let copy = |name: &str| {
        let url = support::url(&person.server, "r.git");
        let repository = Repository::remote(url, person.home.join(name), Credentials::None);
        GitStateRepo::new(repository.unwrap())
    };
    let error = copy("one").read(&large, "y").await.unwrap_err();
    assert!(matches!(error, ports::Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("16777216 bytes"), "{error}");

    // A copy that has never looked at the branch.
    git(&person.origin, &["update-ref", "refs/heads/main", &large]);
    let read = copy("two").read(&large, "y").await.unwrap();
    assert_eq!(read.unwrap(), "2");
}

#[tokio::test]
async fn who_reads_a_damaged_copy_learns_that_it_is_one() {
    let home = tempfile::tempdir().unwrap();
    let person = Person::new(home.path());
    let tip = person.push(&[("x", Some("1"))], "first").await;
    let cache = person.home.join("cache.git");
    let copy = || {
        let url = support::url(&person.server, "r.git");
        GitStateRepo::new(Repository::remote(url, &cache, Credentials::None).unwrap())
    };
    assert_eq!(copy().head("main").await.unwrap().as_ref(), Some(&tip));
    let commit = git(&cache, &["cat-file", "commit", &tip]);
    std::fs::remove_dir_all(cache.join("objects/pack")).unwrap();
    let store = [
        "hash-object",
        "-w",
        "--stdin",
        "-t",
        "commit",
        "--literally",
    ];
    let (ok, stored) = try_git(&cache, &store, commit.as_bytes());
    assert_eq!((ok, stored), (true, tip.clone()));
    let error = copy().read(&tip, "x").await.unwrap_err();
    assert!(matches!(error, ports::Error::Corrupt { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("This directory is a copy"), "{said}");
}
