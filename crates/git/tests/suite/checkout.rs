//! Commits written as files, from friendly and hostile repositories.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_forge::Server;
use git::{CommitId, Credentials, Error, Limits, RemoteUrl, checkout};

use crate::support::{TIME, bare_with, fast_import, git, try_git, url};

const LIMITS: Limits = Limits {
    files: 1000,
    bytes: 1 << 20,
    fetch_bytes: 1 << 20,
    time: Duration::from_secs(60),
};

struct Site {
    home: tempfile::TempDir,
    path: PathBuf,
    first: CommitId,
    server: Server,
}

fn site() -> Site {
    let home = tempfile::tempdir().unwrap();
    let (path, first) = bare_with(home.path(), "r.git", &[("old", "1")]);
    let server = Server::start(home.path());
    Site {
        home,
        path,
        first,
        server,
    }
}

/// Commits what `git fast-import` is told, on a branch of its own.
fn import(path: &Path, commands: &str) -> CommitId {
    let stream = format!(
        "commit refs/heads/x\ncommitter Ann <ann@example.org> {TIME} +0000\ndata 1\nx\n{commands}"
    );
    let (ok, output) = try_git(
        path,
        &["fast-import", "--quiet", "--force"],
        stream.as_bytes(),
    );
    assert!(ok, "{output}");
    git(path, &["rev-parse", "x"]).parse().unwrap()
}

/// Mode, name and object of an entry.
type RawEntry<'a> = (&'a str, &'a str, &'a str);

/// A commit of a tree with these entries, which no git would write itself.
fn raw_tree(path: &Path, entries: &[RawEntry<'_>]) -> CommitId {
    let mut tree = Vec::new();
    for (mode, name, id) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend(
            (0..40)
                .step_by(2)
                .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()),
        );
    }
    let (ok, id) = try_git(
        path,
        &["hash-object", "-w", "-t", "tree", "--literally", "--stdin"],
        &tree,
    );
    assert!(ok, "{id}");
    let commit = git(path, &["commit-tree", &id, "-m", "raw"]);
    git(path, &["update-ref", "refs/heads/raw", &commit]);
    commit.parse().unwrap()
}

fn blob(path: &Path, content: &str) -> String {
    try_git(path, &["hash-object", "-w", "--stdin"], content.as_bytes()).1
}

fn run(
    url: &RemoteUrl,
    commit: CommitId,
    into: &Path,
    limits: &Limits,
) -> git::Result<git::Checkout> {
    checkout(url, commit, into, &Credentials::None, limits)
}

/// `mode mtime path -> content` of everything below a directory, itself included.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = path.symlink_metadata().unwrap();
        let what = if meta.is_symlink() {
            format!("-> {}", path.read_link().unwrap().display())
        } else if meta.is_dir() {
            pending.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else {
            std::fs::read_to_string(&path).unwrap()
        };
        let mode = if meta.is_symlink() {
            0
        } else {
            meta.permissions().mode() & 0o7777
        };
        let below = path.strip_prefix(root).unwrap().display().to_string();
        lines.push(
            format!("{mode:o} {} {below:?} {what}", meta.mtime())
                .trim_end()
                .to_owned(),
        );
    }
    lines.sort();
    lines
}

#[test]
fn files_links_and_modes() {
    let site = site();
    let commit = import(
        &site.path,
        "M 100644 inline debian/rules.d/ü\ndata 1\nr\nM 100755 inline configure\ndata 1\nc\n\
         M 120000 inline link\ndata 11\n/etc/passwd\nM 120000 inline debian/up\ndata 5\n../..\n\
         M 100644 inline empty\ndata 0\n\n",
    );
    let expect = [
        format!("0 {TIME} \"debian/up\" -> ../.."),
        format!("0 {TIME} \"link\" -> /etc/passwd"),
        format!("644 {TIME} \"debian/rules.d/ü\" r"),
        format!("644 {TIME} \"empty\""),
        format!("755 {TIME} \"\""),
        format!("755 {TIME} \"configure\" c"),
        format!("755 {TIME} \"debian\""),
        format!("755 {TIME} \"debian/rules.d\""),
    ];
    let on_disk: RemoteUrl = site.path.to_str().unwrap().parse().unwrap();
    for (n, url) in [url(&site.server, "r.git"), on_disk].iter().enumerate() {
        let into = site.home.path().join(format!("out-{n}"));
        let done = run(url, commit, &into, &LIMITS).unwrap();
        assert_eq!(listing(&into), expect);
        assert_eq!((done.files, done.bytes, done.time), (7, 2, TIME));
        assert_eq!(
            done.tree.to_string(),
            git(&site.path, &["rev-parse", "x^{tree}"])
        );
    }
    // Nothing is left beside it.
    let mut beside: Vec<_> = site
        .home
        .path()
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(beside, ["out-0", "out-1", "r.git"]);
}

#[test]
fn one_commit_of_a_long_history_is_all_that_is_fetched() {
    let site = site();
    let mut tip = site.first;
    for n in 0..20 {
        let noise: String = (0..2000)
            .map(|i| format!("{} ", (i * 7919 + n * 104_729) % 99_991))
            .collect();
        tip = fast_import(
            &site.path,
            "main",
            Some(tip),
            &[("noise", &noise), ("n", &n.to_string())],
        );
    }
    let small = Limits {
        fetch_bytes: 20_000,
        ..LIMITS
    };
    let into = site.home.path().join("out");
    run(&url(&site.server, "r.git"), tip, &into, &small).unwrap();
    assert_eq!(std::fs::read_to_string(into.join("n")).unwrap(), "19");
    // A commit that no branch points to any more, too.
    let into = site.home.path().join("out2");
    fast_import(&site.path, "main", None, &[("new", "x")]);
    run(&url(&site.server, "r.git"), tip, &into, &small).unwrap();
}

#[test]
fn a_server_that_serves_only_the_tips_of_branches() {
    let site = site();
    let second = fast_import(&site.path, "main", Some(site.first), &[("new", "2")]);
    let server = Server::old(site.home.path());
    for (commit, expect) in [(second, "2"), (site.first, "1")] {
        let into = site.home.path().join(format!("out-{commit}"));
        run(&url(&server, "r.git"), commit, &into, &LIMITS).unwrap();
        let file = if commit == second { "new" } else { "old" };
        assert_eq!(std::fs::read_to_string(into.join(file)).unwrap(), expect);
    }
    let unknown: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    let error = run(
        &url(&server, "r.git"),
        unknown,
        &site.home.path().join("no"),
        &LIMITS,
    )
    .unwrap_err();
    assert!(matches!(error, Error::RefMissing { .. }), "{error}");
}

/// Checks out `commit` over HTTP; gives the error.
fn refused(site: &Site, commit: CommitId, limits: &Limits) -> Error {
    let into = site.home.path().join("refused");
    run(&url(&site.server, "r.git"), commit, &into, limits).unwrap_err()
}

#[test]
fn limits() {
    let site = site();
    let content = "x".repeat(1000);
    let commit = fast_import(
        &site.path,
        "main",
        None,
        &[("a", &content), ("b", &content), ("c/d", "")],
    );
    let cases = [
        (
            Limits { files: 3, ..LIMITS },
            "it has more than the 3 files",
        ),
        (
            Limits {
                bytes: 1999,
                ..LIMITS
            },
            "it has more than the 1999 bytes",
        ),
        (
            Limits {
                fetch_bytes: 100,
                ..LIMITS
            },
            "it has more than the 100 bytes",
        ),
    ];
    for (limits, expect) in cases {
        let error = refused(&site, commit, &limits);
        assert!(error.to_string().contains(expect), "{error}");
        std::fs::remove_dir_all(site.home.path().join("refused")).unwrap();
    }
    let exact = Limits {
        files: 4,
        bytes: 2000,
        ..LIMITS
    };
    run(
        &url(&site.server, "r.git"),
        commit,
        &site.home.path().join("exact"),
        &exact,
    )
    .unwrap();
}

#[test]
fn a_pack_that_unfolds_to_gigabytes_is_refused() {
    let site = site();
    let zeros = "0".repeat(5 << 20);
    let commit = fast_import(&site.path, "main", None, &[("zeros", &zeros)]);
    let error = refused(&site, commit, &LIMITS);
    assert!(
        error.to_string().contains("limit") || error.to_string().contains("more than"),
        "{error}"
    );
}

#[test]
fn submodules() {
    let site = site();
    let commit = import(
        &site.path,
        "M 160000 1111111111111111111111111111111111111111 lib/module\n",
    );
    let error = refused(&site, commit, &LIMITS);
    assert_eq!(
        error.to_string(),
        format!(
            "check out \"lib/module\" of commit {commit}: it is a submodule, and those are not fetched; \
             put its files into the repository"
        )
    );
}

#[test]
fn hostile_trees() {
    let site = site();
    let outside = site.home.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let data = blob(&site.path, "evil");
    let target = blob(&site.path, outside.to_str().unwrap());
    let (_, inner) = try_git(
        &site.path,
        &["mktree"],
        format!("100644 blob {data}\tfile\n").as_bytes(),
    );
    let empty = blob(&site.path, "");
    let cases: &[(&[RawEntry<'_>], &str)] = &[
        (&[("100644", "..", &data)], "disallowed"),
        (&[("40000", "..", &inner)], "disallowed"),
        (&[("40000", ".git", &inner)], ".git"),
        (&[("40000", ".GIT", &inner)], ".git"),
        (&[("100644", "a/b", &data)], "separator"),
        (&[("100644", "/etc/x", &data)], "separator"),
        (
            &[("120000", "a", &target), ("40000", "a", &inner)],
            "same name twice",
        ),
        (
            &[("120000", "a", &target), ("100644", "a", &data)],
            "same name twice",
        ),
        (
            &[("120000", "a", &target), ("120000", "a", &target)],
            "same name twice",
        ),
        (
            &[("40000", "a", &inner), ("120000", "a", &target)],
            "same name twice",
        ),
        (&[("120000", "a", &empty)], "without a target"),
        (&[("100644", &"n".repeat(256), &data)], "file name"),
        (&[("40000", "a", &data)], "tree"),
        (&[("100644", "a", &inner)], "blob"),
        (
            &[("100644", "a", "2222222222222222222222222222222222222222")],
            "",
        ),
    ];
    let on_disk: RemoteUrl = site.path.to_str().unwrap().parse().unwrap();
    for (n, (entries, expect)) in cases.iter().enumerate() {
        let commit = raw_tree(&site.path, entries);
        let into = site.home.path().join(format!("out-{n}"));
        let error = run(&on_disk, commit, &into, &LIMITS)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expect), "{entries:?}: {error}");
        assert!(outside.read_dir().unwrap().next().is_none(), "{entries:?}");
    }
    assert!(!site.home.path().join("file").exists());
}

#[test]
fn deep_trees() {
    let site = site();
    let path = "directory/".repeat(310);
    let commit = import(&site.path, &format!("M 100644 inline {path}file\ndata 0\n"));
    let on_disk: RemoteUrl = site.path.to_str().unwrap().parse().unwrap();
    let error = run(&on_disk, commit, &site.home.path().join("out"), &LIMITS).unwrap_err();
    assert!(
        error.to_string().contains("longer than 3072 bytes"),
        "{error}"
    );
}

#[test]
fn what_is_not_there() {
    let site = site();
    let unknown: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    let on_disk: RemoteUrl = site.path.to_str().unwrap().parse().unwrap();
    for url in [url(&site.server, "r.git"), on_disk] {
        let into = site.home.path().join("nothing");
        let error = run(&url, unknown, &into, &LIMITS).unwrap_err();
        assert!(matches!(error, Error::RefMissing { .. }), "{error}");
    }
    let error = run(
        &url(&site.server, "nothing.git"),
        unknown,
        &site.home.path().join("n2"),
        &LIMITS,
    )
    .unwrap_err();
    assert!(matches!(error, Error::RepositoryMissing { .. }), "{error}");
    let error = run(&url(&site.server, "r.git"), site.first, &site.path, &LIMITS).unwrap_err();
    assert!(error.to_string().contains("check out into"), "{error}");
}
