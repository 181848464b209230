//! What is held outlives forced pushes and git's gc.

use std::path::Path;

use fake_forge::Server;
use git::{CommitId, Credentials, Repository};

use crate::support::{bare, fast_import, fsck, git, url};

/// Refs of our own, as git sees them: `name commit`.
fn ours(repository: &Path) -> Vec<String> {
    let format = "--format=%(refname) %(objectname)";
    let refs = git(repository, &["for-each-ref", format, "refs/millrace"]);
    refs.lines().map(ToOwned::to_owned).collect()
}

fn gc(repository: &Path) {
    git(repository, &["gc", "-q", "--prune=now"]);
}

#[test]
fn a_planned_commit_outlives_a_forced_push_and_gc() {
    let home = tempfile::tempdir().unwrap();
    let path = bare(home.path(), "r.git");
    let repo = Repository::open_bare(&path).unwrap();
    let readable = |commit: CommitId| repo.read(commit, "x", 100).is_ok();

    let first = fast_import(&path, "main", None, &[("x", "1")]);
    repo.hold(first).unwrap();
    let second = fast_import(&path, "main", Some(first), &[("x", "2")]);
    repo.hold(second).unwrap();
    repo.hold(second).unwrap();
    assert_eq!(ours(&path), [format!("refs/millrace/planned {second}")]);

    let unseen = fast_import(&path, "main", None, &[("x", "unseen")]);
    let third = fast_import(&path, "main", None, &[("x", "3")]);
    gc(&path);
    assert!(!readable(unseen), "gc deletes what nothing holds");
    assert!(readable(first) && readable(second), "before the next look");
    repo.hold(third).unwrap();
    gc(&path);
    assert!(readable(first) && readable(second), "after it");
    let both = [
        format!("refs/millrace/earlier/{second} {second}"),
        format!("refs/millrace/planned {third}"),
    ];
    assert_eq!(ours(&path), both);

    // A late look at an older tip takes nothing back, and packed refs are read too.
    let fourth = fast_import(&path, "main", Some(third), &[("x", "4")]);
    repo.hold(fourth).unwrap();
    repo.hold(third).unwrap();
    assert_eq!(ours(&path)[1], format!("refs/millrace/planned {fourth}"));
    assert_eq!(ours(&path).len(), 2);
    fsck(&path);
}

#[test]
fn many_at_once_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = bare(home.path(), "r.git");
    let repo = Repository::open_bare(&path).unwrap();
    let tips: Vec<CommitId> = (0..4)
        .map(|i| fast_import(&path, "main", None, &[("x", &i.to_string())]))
        .collect();
    std::thread::scope(|scope| {
        for tip in &tips {
            scope.spawn(|| repo.hold(*tip).unwrap());
        }
    });
    git(&path, &["update-ref", "-d", "refs/heads/main"]);
    gc(&path);
    for tip in tips {
        assert!(repo.read(tip, "x", 100).is_ok(), "{tip}");
    }
}

#[test]
fn a_server_is_not_told() {
    let home = tempfile::tempdir().unwrap();
    let origin = bare(home.path(), "r.git");
    let server = Server::start(home.path());
    let cache = home.path().join("cache.git");
    let repo = Repository::remote(url(&server, "r.git"), &cache, Credentials::None).unwrap();
    let first = fast_import(&origin, "main", None, &[("x", "1")]);
    assert_eq!(repo.head("main").unwrap(), Some(first));
    repo.hold(first).unwrap();
    let second = fast_import(&origin, "main", None, &[("x", "2")]);
    assert_eq!(repo.head("main").unwrap(), Some(second));
    repo.hold(second).unwrap();
    crate::support::commit(&repo, "main", Some(second), &[("y", Some(b"y"))]);
    gc(&origin);
    gc(&cache);
    assert!(ours(&origin).is_empty());
    assert_eq!(ours(&cache).len(), 2);
    assert!(repo.read(first, "x", 100).is_ok(), "the cache has it still");
}
