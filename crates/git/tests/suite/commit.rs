//! Commits into a bare repository on this disk.

use std::sync::Barrier;

use git::{CommitMeta, Edit, Error, Outcome, Repository};

use crate::support::{bare_with, commit, fast_import, files, fsck, git, meta};

/// Applies `edits` to `before`, and compares what git then sees with `after`.
fn check(before: &[(&str, &str)], edits: &[(&str, Option<&str>)], after: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let (path, parent) = bare_with(home.path(), "r.git", before);
    let repo = Repository::open_bare(&path).unwrap();
    let edits: Vec<Edit<'_>> = edits
        .iter()
        .map(|(p, d)| (*p, d.map(str::as_bytes)))
        .collect();
    for reversed in [false, true] {
        let mut edits = edits.clone();
        if reversed {
            edits.reverse();
        }
        let branch = format!("try-{reversed}");
        git(&path, &["branch", &branch, &parent.to_string()]);
        let made = commit(&repo, &branch, Some(parent), &edits);
        assert_eq!(
            files(&path, &made.to_string()),
            after,
            "reversed: {reversed}"
        );
        assert_eq!(git(&path, &["rev-parse", &branch]), made.to_string());
    }
    fsck(&path);
}

#[test]
fn nested_directories() {
    check(
        &[("a", "1")],
        &[("x/y/z/deep.yaml", Some("d")), ("x/y/w", Some("w"))],
        &["a 1", "x/y/w w", "x/y/z/deep.yaml d"],
    );
}

#[test]
fn a_delete_that_empties_a_directory() {
    check(&[("a", "1"), ("x/y/z", "2")], &[("x/y/z", None)], &["a 1"]);
}

#[test]
fn deleting_everything() {
    check(
        &[("a", "1"), ("x/y", "2")],
        &[("x/y", None), ("a", None)],
        &[],
    );
}

#[test]
fn deleting_what_is_not_there() {
    check(
        &[("a", "1"), ("d/x", "1")],
        &[("b/c", None), ("d", None), ("a/b", None), ("a", Some("2"))],
        &["a 2", "d/x 1"],
    );
}

#[test]
fn unicode_and_spaces() {
    check(
        &[("a", "1")],
        &[("bäume/ein Baum/🌲.yaml", Some("t"))],
        &["a 1", "bäume/ein Baum/🌲.yaml t"],
    );
}

#[test]
fn a_file_becomes_a_directory() {
    check(
        &[("a", "1"), ("b", "2")],
        &[("a", None), ("a/x", Some("3"))],
        &["a/x 3", "b 2"],
    );
    check(
        &[("a", "1"), ("b", "2")],
        &[("a/x", Some("3"))],
        &["a/x 3", "b 2"],
    );
}

#[test]
fn a_directory_becomes_a_file() {
    check(
        &[("a/x", "1"), ("a/y/z", "1"), ("b", "2")],
        &[("a/x", None), ("a/y/z", None), ("a", Some("3"))],
        &["a 3", "b 2"],
    );
    check(
        &[("a/x", "1"), ("b", "2")],
        &[("a", Some("3"))],
        &["a 3", "b 2"],
    );
}

#[test]
fn names_that_sort_around_a_slash() {
    check(
        &[("a/x", "1")],
        &[
            ("a.b", Some("2")),
            ("a-b", Some("3")),
            ("a0", Some("4")),
            ("a/y", Some("5")),
        ],
        &["a-b 3", "a.b 2", "a/x 1", "a/y 5", "a0 4"],
    );
}

#[test]
fn five_hundred_files_at_once() {
    let paths: Vec<String> = (0..500)
        .map(|n| format!("builds/2026/{:02}/request-{n}.yaml", n % 12))
        .collect();
    let content: Vec<String> = (0..500)
        .map(|n| format!("state: {n}\n").repeat(50))
        .collect();
    let edits: Vec<Edit<'_>> = paths
        .iter()
        .zip(&content)
        .map(|(path, content)| (path.as_str(), Some(content.as_bytes())))
        .collect();
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let made = commit(&repo, "status", None, &edits);
    fsck(repo.path());
    assert_eq!(repo.list(made, "").unwrap().len(), 500);
    let shown = git(
        repo.path(),
        &["show", "status:builds/2026/03/request-3.yaml"],
    );
    assert_eq!(shown, content[3].trim_end());
}

#[test]
fn what_git_log_shows() {
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let first = commit(&repo, "status", None, &[("a", Some(b"1"))]);
    let meta = CommitMeta {
        message: "Report builds\n\nDesired: 123".to_owned(),
        ..meta("")
    };
    let outcome = repo
        .commit_files("status", Some(first), &[("a", Some(b"2"))], &meta)
        .unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    let log = git(
        repo.path(),
        &[
            "log",
            "--format=%an <%ae> %at %cn %ct %B%(trailers:key=Desired)",
            "-1",
            "status",
        ],
    );
    assert_eq!(
        log,
        "Millrace <millrace@example.org> 1767323045 Millrace 1767323045 Report builds\n\nDesired: 123\nDesired: 123"
    );
    assert_eq!(git(repo.path(), &["rev-list", "--count", "status"]), "2");
}

#[test]
fn the_same_content_is_no_commit() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("a", "1"), ("d/b", "2")]);
    let repo = Repository::open_bare(&path).unwrap();
    for edits in [
        &[("a", Some(b"1".as_slice())), ("d/b", Some(b"2"))] as &[Edit<'_>],
        &[("gone", None)],
        &[],
    ] {
        let outcome = repo
            .commit_files("main", Some(first), edits, &meta("x"))
            .unwrap();
        assert_eq!(outcome, Outcome::Unchanged);
    }
    let second = fast_import(&path, "main", Some(first), &[("a", "2")]);
    let outcome = repo
        .commit_files("main", Some(first), &[], &meta("x"))
        .unwrap();
    assert_eq!(outcome, Outcome::Moved { now: Some(second) });
}

#[test]
fn a_moved_branch_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("a", "1")]);
    let repo = Repository::open_bare(&path).unwrap();
    let second = fast_import(&path, "main", Some(first), &[("a", "2")]);
    let edits: &[Edit<'_>] = &[("b", Some(b"b"))];
    for (expected, now) in [(Some(first), Some(second)), (None, Some(second))] {
        let outcome = repo
            .commit_files("main", expected, edits, &meta("x"))
            .unwrap();
        assert_eq!(outcome, Outcome::Moved { now });
    }
    let outcome = repo
        .commit_files("other", Some(first), edits, &meta("x"))
        .unwrap();
    assert_eq!(outcome, Outcome::Moved { now: None });
    let third = commit(&repo, "main", Some(second), edits);
    assert_eq!(files(&path, "main"), ["a 2", "b b"]);
    // The answer was lost, the caller tries again: its own commit is found.
    let again = repo
        .commit_files("main", Some(second), edits, &meta("Update"))
        .unwrap();
    assert_eq!(again, Outcome::Committed(third));
    fsck(&path);
}

#[test]
fn packed_branches_are_seen() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("a", "1")]);
    git(&path, &["pack-refs", "--all"]);
    let repo = Repository::open_bare(&path).unwrap();
    let outcome = repo
        .commit_files("main", None, &[("a", Some(b"2"))], &meta("x"))
        .unwrap();
    assert_eq!(outcome, Outcome::Moved { now: Some(first) });
    let second = commit(&repo, "main", Some(first), &[("a", Some(b"2"))]);
    git(&path, &["pack-refs", "--all"]);
    git(&path, &["gc", "--quiet", "--prune=now"]);
    assert_eq!(repo.head("main").unwrap(), Some(second));
    commit(&repo, "main", Some(second), &[("a", Some(b"3"))]);
    assert_eq!(files(&path, "main"), ["a 3"]);
}

#[test]
fn writers_at_the_same_time() {
    const WRITERS: usize = 4;
    const EACH: usize = 10;
    let home = tempfile::tempdir().unwrap();
    let (path, _) = bare_with(home.path(), "r.git", &[("a", "1")]);
    let barrier = Barrier::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (path, barrier) = (&path, &barrier);
            scope.spawn(move || {
                let repo = Repository::open_bare(path).unwrap();
                barrier.wait();
                for n in 0..EACH {
                    let name = format!("w{writer}/{n}");
                    let mut parent = repo.head("main").unwrap();
                    while let Outcome::Moved { now } = repo
                        .commit_files("main", parent, &[(&name, Some(b"x"))], &meta(&name))
                        .unwrap()
                    {
                        parent = now;
                    }
                }
            });
        }
    });
    fsck(&path);
    assert_eq!(
        git(&path, &["rev-list", "--count", "main"]),
        (1 + WRITERS * EACH).to_string()
    );
    assert_eq!(files(&path, "main").len(), 1 + WRITERS * EACH);
}

#[test]
fn a_lock_that_git_holds_is_respected_and_a_dead_one_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("a", "1")]);
    let repo = Repository::open_bare(&path).unwrap();
    let lock = path.join("refs/heads/main.lock");
    let file = std::fs::File::create(&lock).unwrap();
    let error = repo
        .commit_files("main", Some(first), &[("a", Some(b"2"))], &meta("x"))
        .unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(error.class(), git::Class::Transient);
    assert_eq!(repo.head("main").unwrap(), Some(first));

    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(120);
    file.set_modified(long_ago).unwrap();
    commit(&repo, "main", Some(first), &[("a", Some(b"2"))]);
    assert!(!lock.exists());
    assert_eq!(files(&path, "main"), ["a 2"]);
}

#[test]
fn a_lock_that_our_own_dead_left_is_gone_at_once() {
    use std::os::unix::fs::MetadataExt as _;
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("a", "1")]);
    let lock = path.join("refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    let inode = lock.metadata().unwrap().ino();
    let note = path.join("millrace.lock");
    let repo = Repository::open_bare(&path).unwrap();

    // Another file than the dead one made is left alone.
    std::fs::write(&note, format!("{} {}", inode + 1, lock.display())).unwrap();
    let outcome = repo.commit_files("main", Some(first), &[("a", Some(b"2"))], &meta("x"));
    assert!(matches!(outcome, Err(Error::Locked { .. })), "{outcome:?}");

    std::fs::write(&note, format!("{inode} {}", lock.display())).unwrap();
    commit(&repo, "main", Some(first), &[("a", Some(b"2"))]);
    assert_eq!(std::fs::read_to_string(&note).unwrap(), "");
    assert!(!lock.exists());

    for nonsense in ["", " ", "x", "12", "99999999999999999999 /x", "12 "] {
        std::fs::write(&note, nonsense).unwrap();
        let tip = repo.head("main").unwrap();
        commit(
            &repo,
            "main",
            tip,
            &[
                ("n", Some(nonsense.as_bytes())),
                ("m", Some(&[b'x'; 9][..nonsense.len().min(9)])),
            ],
        );
    }
}

#[test]
fn what_is_refused() {
    fn refused(edits: &[Edit<'_>], meta: &CommitMeta, expect: &str) {
        let home = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
        let error = repo
            .commit_files("main", None, edits, meta)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expect), "{error}");
        assert_eq!(repo.head("main").unwrap(), None);
    }
    let ok = meta("x");
    refused(&[("../x", Some(b""))], &ok, "disallowed");
    refused(&[("a/.git/x", Some(b""))], &ok, ".git");
    refused(
        &[("a", Some(b"")), ("a", Some(b"2"))],
        &ok,
        "writes it twice",
    );
    refused(&[("a", Some(b"")), ("a", None)], &ok, "writes it twice");
    refused(
        &[("a", Some(b"")), ("a/b", Some(b""))],
        &ok,
        "as a file and as a directory",
    );
    let time = CommitMeta {
        time: -1,
        ..ok.clone()
    };
    refused(&[("a", Some(b""))], &time, "before 1970");
    let name = CommitMeta {
        name: "A <b>".to_owned(),
        ..ok.clone()
    };
    refused(&[("a", Some(b""))], &name, "without < and >");
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let error = repo
        .commit_files("a..b", None, &[], &ok)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not allow"), "{error}");
}
