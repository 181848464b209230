//! Listings, differences, history: the same answers as git's.

use git::{ChangeKind, CommitId, Error, Kind, Repository};

use crate::support::{TIME, bare_with, fast_import, git, try_git};

#[test]
fn files_and_directories() {
    let home = tempfile::tempdir().unwrap();
    let (path, commit) = bare_with(
        home.path(),
        "r.git",
        &[
            ("a/b/c.yaml", "one"),
            ("a/d", "two"),
            ("z", ""),
            ("ö/x y", "three"),
        ],
    );
    let repo = Repository::open_bare(path).unwrap();
    assert_eq!(repo.head("main").unwrap(), Some(commit));
    assert_eq!(repo.head("nothing").unwrap(), None);

    let read = |path: &str| {
        repo.read(commit, path, 100)
            .unwrap()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(read("a/b/c.yaml").as_deref(), Some("one"));
    assert_eq!(read("ö/x y").as_deref(), Some("three"));
    assert_eq!(read("z").as_deref(), Some(""));
    assert_eq!(read("a/b"), None);
    assert_eq!(read("a/b/c.yaml/d"), None);
    assert_eq!(read("nothing"), None);
    assert_eq!(read(""), None);

    let list = |prefix: &str| -> Vec<String> {
        repo.list(commit, prefix)
            .unwrap()
            .into_iter()
            .map(|e| e.path)
            .collect()
    };
    assert_eq!(list(""), ["a/b/c.yaml", "a/d", "z", "ö/x y"]);
    assert_eq!(list("a"), ["a/b/c.yaml", "a/d"]);
    assert_eq!(list("a/b/"), ["a/b/c.yaml"]);
    assert!(list("z").is_empty());
    assert!(list("nothing").is_empty());

    let error = repo.read(commit, "a/d", 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("read a/d of commit {commit}: it has more than the 2 bytes that are allowed")
    );
    let missing: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    assert!(matches!(
        repo.read(missing, "z", 1),
        Err(Error::ObjectMissing { .. })
    ));
}

#[test]
fn differences_are_those_of_git() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(
        home.path(),
        "r.git",
        &[
            ("keep", "k"),
            ("edit", "1"),
            ("gone", "g"),
            ("turns", "file"),
            ("dir/x", "x"),
            ("dir/y", "y"),
        ],
    );
    let stream = format!(
        "commit refs/heads/main\ncommitter Ann <ann@example.org> {TIME} +0000\ndata 2\n2\nfrom {first}\n\
         M 100644 inline edit\ndata 1\n2\nD gone\nD turns\nM 100644 inline turns/inside\ndata 1\ni\n\
         D dir\nM 100644 inline dir\ndata 1\nd\nM 100755 inline new\ndata 1\nn\n"
    );
    let (ok, output) = try_git(&path, &["fast-import", "--quiet"], stream.as_bytes());
    assert!(ok, "{output}");
    let repo = Repository::open_bare(&path).unwrap();
    let second = repo.head("main").unwrap().unwrap();

    let ours: Vec<String> = repo
        .changes(Some(first), second)
        .unwrap()
        .iter()
        .map(|change| {
            let letter = match change.change {
                ChangeKind::Added => 'A',
                ChangeKind::Modified => 'M',
                ChangeKind::Removed => 'D',
            };
            format!("{letter}\t{}", change.path)
        })
        .collect();
    let theirs = git(
        &path,
        &[
            "diff-tree",
            "-r",
            "--no-renames",
            "--name-status",
            &first.to_string(),
            &second.to_string(),
        ],
    );
    let mut theirs: Vec<&str> = theirs.lines().collect();
    theirs.sort_by_key(|line| &line[2..]);
    assert_eq!(ours, theirs);
    assert_eq!(repo.changes(None, first).unwrap().len(), 6);
    assert!(repo.changes(Some(first), first).unwrap().is_empty());
}

#[test]
fn links_submodules_and_bad_names_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let (path, _) = bare_with(home.path(), "r.git", &[("x", "x")]);
    let stream = format!(
        "commit refs/heads/odd\ncommitter Ann <ann@example.org> {TIME} +0000\ndata 1\no\n\
         M 120000 inline link\ndata 11\n/etc/passwd\n\
         M 160000 1111111111111111111111111111111111111111 module\n\
         M 100755 inline run\ndata 1\nr\n\
         M 100644 inline \"bad\\377name\"\ndata 1\nb\nM 100644 inline \"new\\nline\"\ndata 1\nb\n"
    );
    let (ok, output) = try_git(&path, &["fast-import", "--quiet"], stream.as_bytes());
    assert!(ok, "{output}");
    let repo = Repository::open_bare(&path).unwrap();
    let commit = repo.head("odd").unwrap().unwrap();
    let list: Vec<_> = repo
        .list(commit, "")
        .unwrap()
        .into_iter()
        .map(|entry| (entry.path, entry.kind))
        .collect();
    let expect = [
        ("bad\u{fffd}name", Kind::BadName),
        ("link", Kind::Symlink),
        ("module", Kind::Submodule),
        ("new\\nline", Kind::BadName),
        ("run", Kind::Executable),
    ];
    assert_eq!(list, expect.map(|(path, kind)| (path.to_owned(), kind)));
    let changes = repo.changes(None, commit).unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, expect.map(|(_, kind)| kind));
    for (path, what) in [("link", "a symbolic link"), ("module", "a submodule")] {
        let error = repo.read(commit, path, 100).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn history() {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("x", "1")]);
    let second = fast_import(&path, "main", Some(first), &[("x", "2")]);
    let side = fast_import(&path, "side", Some(first), &[("y", "2")]);
    let lone = fast_import(&path, "lone", None, &[("z", "2")]);
    let tree = git(&path, &["rev-parse", &format!("{second}^{{tree}}")]);
    let message =
        "Merge the side\n\nWhy and how.\n\nDesired: abc\nSigned-off-by: Ann <ann@example.org>\n";
    let (ok, merge) = try_git(
        &path,
        &[
            "commit-tree",
            &tree,
            "-p",
            &second.to_string(),
            "-p",
            &side.to_string(),
        ],
        message.as_bytes(),
    );
    assert!(ok, "{merge}");
    let merge: CommitId = merge.parse().unwrap();

    let repo = Repository::open_bare(path).unwrap();
    let info = repo.commit_info(merge).unwrap();
    assert_eq!(info.parents, [second, side]);
    assert_eq!(info.author, "Ann <ann@example.org>");
    assert_eq!(info.time, TIME);
    assert_eq!(info.message, message);
    let trailers: Vec<_> = info
        .trailers
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        trailers,
        ["Desired=abc", "Signed-off-by=Ann <ann@example.org>"]
    );

    assert_eq!(
        repo.log_first_parent(merge, None, 10).unwrap(),
        [merge, second, first]
    );
    assert_eq!(
        repo.log_first_parent(merge, Some(first), 10).unwrap(),
        [merge, second]
    );
    assert_eq!(repo.log_first_parent(merge, None, 1).unwrap(), [merge]);

    let unknown: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    for (old, new, expect) in [
        (first, merge, true),
        (side, merge, true),
        (merge, merge, true),
        (merge, first, false),
        (side, second, false),
        (lone, merge, false),
        (unknown, merge, false),
    ] {
        assert_eq!(repo.is_ancestor(old, new).unwrap(), expect, "{old} {new}");
    }
}

#[test]
fn a_tree_that_unfolds_to_billions_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (path, _) = bare_with(home.path(), "r.git", &[("x", "x")]);
    let (_, blob) = try_git(&path, &["hash-object", "-w", "--stdin"], b"boom");
    let mut tree = format!("100644 blob {blob}\tleaf\n");
    let mut id = String::new();
    for _ in 0..10 {
        (_, id) = try_git(&path, &["mktree"], tree.as_bytes());
        tree = (0..10)
            .map(|n| format!("040000 tree {id}\td{n}\n"))
            .collect();
    }
    let commit: CommitId = git(&path, &["commit-tree", &id, "-m", "bomb"])
        .parse()
        .unwrap();
    let repo = Repository::open_bare(path).unwrap();
    for result in [
        repo.list(commit, "").map(|_| ()),
        repo.changes(None, commit).map(|_| ()),
    ] {
        assert!(
            matches!(
                result,
                Err(Error::Limit {
                    unit: "entries",
                    ..
                })
            ),
            "{result:?}"
        );
    }
}
