//! Commits that anybody may have made: too large, odd or not whole. They end in an error of their own, and the branch
//! goes on.

use std::path::{Path, PathBuf};

use fake_forge::{Fault, Server};
use git::{Class, CommitId, Credentials, Error, Repository};
use tempfile::TempDir;

use crate::support::{TIME, bare_with, fast_import, fsck, git, try_git, url};

/// One byte more than an object of a stranger may have.
const TOO_LARGE: usize = (16 << 20) + 1;

/// A repository on a server, which leaves files out for whoever wants that.
struct Site {
    home: TempDir,
    origin: PathBuf,
    first: CommitId,
    server: Server,
}

impl Site {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (origin, first) = bare_with(home.path(), "r.git", &[("a", "one")]);
        git(&origin, &["config", "uploadpack.allowFilter", "true"]);
        let server = Server::start(home.path());
        Self {
            home,
            origin,
            first,
            server,
        }
    }

    /// A copy that has seen `main`.
    fn copy(&self, name: &str) -> Repository {
        let repo = self.new_copy(name);
        assert!(repo.head("main").unwrap().is_some());
        repo
    }

    fn new_copy(&self, name: &str) -> Repository {
        let cache = self.home.path().join(name);
        Repository::remote(url(&self.server, "r.git"), cache, Credentials::None).unwrap()
    }

    /// A commit upon the first, of this tree and with this message.
    fn commit(&self, tree: &str, message: &str) -> CommitId {
        let first = self.first;
        let who = format!("Eve <eve@example.org> {TIME} +0000");
        let text =
            format!("tree {tree}\nparent {first}\nauthor {who}\ncommitter {who}\n\n{message}\n");
        object(&self.origin, "commit", text.as_bytes())
            .parse()
            .unwrap()
    }
}

/// Stores an object as it is; gives its name.
fn object(origin: &Path, kind: &str, bytes: &[u8]) -> String {
    let command = ["hash-object", "-w", "--stdin", "--literally", "-t", kind];
    let (ok, name) = try_git(origin, &command, bytes);
    assert!(ok, "{name}");
    name
}

/// A tree of one file `f`, which is the object of this name.
fn tree(origin: &Path, object_name: &str) -> String {
    let mut bytes = b"100644 f\0".to_vec();
    let digits = object_name.as_bytes().chunks(2);
    bytes.extend(digits.map(|two| {
        let two = std::str::from_utf8(two).unwrap();
        u8::from_str_radix(two, 16).unwrap()
    }));
    object(origin, "tree", &bytes)
}

#[test]
fn an_object_that_unfolds_to_too_much_is_not_taken_from_a_stranger() {
    let site = Site::new();
    let zeros = "0".repeat(TOO_LARGE);
    let large_file = fast_import(&site.origin, "fork", Some(site.first), &[("large", &zeros)]);
    let root = git(&site.origin, &["rev-parse", "main^{tree}"]);
    let large_message = site.commit(&root, &zeros);
    let repo = site.copy("cache");
    for commit in [large_file, large_message] {
        let error = repo.commit_info(commit).unwrap_err();
        assert_eq!(error.class(), Class::User, "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "fetch commit {commit}: it brings more than the 16777216 bytes that are allowed; take what is large out of it"
            )
        );
    }
    fsck(repo.path());

    // Nobody reads the file where files are left out.
    let blobless = site.copy("blobless").blobless();
    assert_eq!(blobless.commit_info(large_file).unwrap().parents.len(), 1);

    // Who merges it has it.
    git(&site.origin, &["update-ref", "refs/heads/main", "fork"]);
    assert!(repo.catch_up("main").unwrap());
    assert!(!repo.catch_up("main").unwrap());
    assert_eq!(repo.read(large_file, "a", 10).unwrap().unwrap(), b"one");
}

#[test]
fn what_the_server_cannot_send_is_the_commits_own_fault() {
    let site = Site::new();
    let nowhere = "12".repeat(20);
    let missing = site.commit(&tree(&site.origin, &nowhere), "missing");
    let folder = git(&site.origin, &["rev-parse", "main^{tree}"]);
    let folder_as_file = site.commit(&tree(&site.origin, &folder), "odd");
    let repo = site.copy("cache");
    let error = repo.commit_info(missing).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "fetch commit {missing}: the server cannot send all of it, and says: aborting due to possible repository corruption on the remote side."
        )
    );
    let blobless = site.copy("blobless").blobless();
    for (repo, commit) in [
        (&blobless, missing),
        (&repo, folder_as_file),
        (&blobless, folder_as_file),
    ] {
        let error = repo.read(commit, "f", 100).unwrap_err();
        assert_eq!(error.class(), Class::Broken, "{error}");
    }
    assert_eq!(repo.read(site.first, "a", 10).unwrap().unwrap(), b"one");
}

#[test]
fn a_connection_that_is_cut_is_nobodys_fault() {
    let site = Site::new();
    let fork = fast_import(&site.origin, "fork", Some(site.first), &[("b", "two")]);
    let repo = site.copy("cache");
    site.server
        .once("POST", "git-upload-pack", Fault::CutAnswer(100));
    let error = repo.commit_info(fork).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert_eq!(repo.commit_info(fork).unwrap().parents, [site.first]);
}

#[test]
fn a_copy_without_its_objects_is_fetched_again() {
    let site = Site::new();
    let copy = site.copy("cache");
    let path = copy.path().to_owned();
    drop(copy);
    std::fs::remove_dir_all(path.join("objects/pack")).unwrap();
    let copy = site.copy("cache");
    assert_eq!(copy.read(site.first, "a", 10).unwrap().unwrap(), b"one");
    fsck(&path);
}
