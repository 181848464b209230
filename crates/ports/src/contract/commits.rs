//! The suite of [`StateRepo`].

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{RIVALS, Upstream, bytes};
use crate::ChangeKind::{Added, Modified, Removed};
use crate::{
    ChangeKind, Commit, Committed, MergeBase, NewCommit, ObjectKind, PathChange, Resolved,
    StateRepo,
};

/// 2026-07-01T00:00:00Z.
const TIME: i64 = 1_782_864_000;

/// *A commit's snapshot never changes; a commit on a moved parent loses.*
///
/// `make` gives the adapter and somebody else who pushes to the same, still empty, origin.
pub async fn state_repo<R, U>(make: impl AsyncFn() -> (R, U))
where
    R: StateRepo + 'static,
    U: Upstream,
{
    let (repo, upstream) = make().await;
    snapshots_stay(&repo, &upstream).await;
    let (repo, upstream) = make().await;
    differences(&repo, &upstream).await;
    let (repo, upstream) = make().await;
    ancestors(&repo, &upstream).await;
    let (repo, upstream) = make().await;
    parted(&repo, &upstream).await;
    let (repo, _) = make().await;
    commits_stack(&repo).await;
    let (repo, upstream) = make().await;
    moved_parent_loses(&repo, &upstream).await;
    let (repo, _) = make().await;
    one_of_many_commits(repo).await;
    let (repo, upstream) = make().await;
    resolves(&repo, &upstream).await;
}

async fn head(repo: &impl StateRepo, branch: &str) -> Option<Commit> {
    repo.head(branch).await.expect("read a branch's tip")
}

async fn text(repo: &impl StateRepo, commit: &str, path: &str) -> Option<String> {
    let read = repo.read(commit, path).await.expect("read a file");
    read.map(|bytes| String::from_utf8(bytes.into()).expect("text was written"))
}

async fn list(repo: &impl StateRepo, commit: &str, dir: &str) -> Vec<String> {
    repo.list(commit, dir).await.expect("list files")
}

fn assert_is_commit(commit: &str) {
    let hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(hex && commit.len() == 40, "{commit:?} is no commit id");
}

async fn snapshots_stay(repo: &impl StateRepo, upstream: &impl Upstream) {
    assert_eq!(head(repo, "main").await, None, "an empty origin has no tip");
    let files = [
        ("a/b.yaml", Some("1")),
        ("a/c/d.yaml", Some("ü")),
        ("a.yaml", Some("")),
        ("ab/x.yaml", Some("x")),
        ("z", Some("z")),
    ];
    let first = upstream.push(&files, "first\n\nwith a body\n").await;
    assert_is_commit(&first);
    assert_eq!(
        head(repo, "main").await.as_ref(),
        Some(&first),
        "looks anew"
    );
    let soon = ["a/b.yaml", "a", "no/such.yaml", "z"].map(str::to_owned);
    let announced = repo.prefetch(&first, &soon).await;
    announced.expect("say what is read soon, were it not there");
    let more = [("a/b.yaml", Some("2")), ("z", None), ("y", Some("new"))];
    let second = upstream.push(&more, "second").await;
    assert_eq!(
        head(repo, "main").await.as_ref(),
        Some(&second),
        "looks anew"
    );

    let all = ["a.yaml", "a/b.yaml", "a/c/d.yaml", "ab/x.yaml", "z"];
    assert_eq!(list(repo, &first, "").await, all, "the snapshot stays");
    let below = ["a/b.yaml", "a/c/d.yaml"];
    assert_eq!(list(repo, &first, "a").await, below, "below a folder");
    assert!(
        list(repo, &first, "none").await.is_empty(),
        "no such folder"
    );
    for (commit, path, content) in [
        (&first, "a/b.yaml", Some("1")),
        (&second, "a/b.yaml", Some("2")),
        (&first, "a.yaml", Some("")),
        (&first, "a/c/d.yaml", Some("ü")),
        (&first, "z", Some("z")),
        (&second, "z", None),
        (&first, "y", None),
        (&first, "a", None),
        (&first, "a/b.yaml/x", None),
        (&first, "nowhere/x", None),
    ] {
        let has = repo.has(commit, path).await.expect("look for a file");
        assert_eq!(has, content.is_some(), "{path} of {commit}");
        let read = text(repo, commit, path).await;
        assert_eq!(read.as_deref(), content, "{path} of {commit}");
    }
    let info = repo.info(&first).await.expect("read a commit");
    assert_eq!(info.message.trim_end(), "first\n\nwith a body");
    assert!(info.parents.is_empty(), "the first commit has no parent");
    assert!(
        info.author.contains('<') && info.author.ends_with('>'),
        "{:?} is no `Name <mail>`",
        info.author
    );
    objects(repo, &first).await;
    let info = repo.info(&second).await.expect("read a commit");
    assert_eq!(info.parents, [first], "the parent is the commit before");
    let unknown = repo.info(&"0".repeat(40)).await;
    assert!(unknown.is_err(), "a commit that nobody made is an error");
}

/// Of a commit with a folder `a`. Their hashes are for those to check who depend on them.
async fn objects(repo: &impl StateRepo, commit: &str) {
    let read = async |kind, name: &str, limit| {
        let read = repo.object(kind, name, limit).await;
        read.expect("read an object")
    };
    let object = read(ObjectKind::Commit, commit, 10_000).await;
    let object = object.expect("a commit is an object");
    let text = String::from_utf8(object.to_vec()).expect("it was written as text");
    assert!(text.contains("\n\nfirst\n\nwith a body"), "{text}");
    let tree = text.strip_prefix("tree ").and_then(|rest| rest.get(..40));
    let tree = tree.expect("a commit begins with its tree");
    let folder = read(ObjectKind::Tree, tree, 10_000)
        .await
        .expect("a tree is an object");
    let entry = b"40000 a\0";
    assert!(
        folder.windows(entry.len()).any(|part| part == entry),
        "{folder:?}"
    );
    for (kind, name, limit) in [
        (ObjectKind::Commit, tree, 10_000),
        (ObjectKind::Tree, commit, 10_000),
        (ObjectKind::Tree, tree, folder.len() - 1),
        (ObjectKind::Commit, commit, object.len() - 1),
        (
            ObjectKind::Tree,
            "00000000000000000000000000000000000000ff",
            10_000,
        ),
    ] {
        assert_eq!(read(kind, name, limit).await, None, "{kind:?} {name}");
    }
}

fn paths(changes: &[(&str, ChangeKind)]) -> Vec<PathChange> {
    let change = |(path, kind): &(&str, ChangeKind)| PathChange {
        path: (*path).to_owned(),
        kind: *kind,
    };
    changes.iter().map(change).collect()
}

async fn differences(repo: &impl StateRepo, upstream: &impl Upstream) {
    let files = [
        ("a/same", Some("s")),
        ("a/turns", Some("file")),
        ("a-b", Some("1")),
        ("gone/deep/x", Some("x")),
        ("mod", Some("1")),
    ];
    let first = upstream.push(&files, "first").await;
    let files = [
        ("a/turns", None),
        ("a/turns/dir", Some("now a folder")),
        ("gone/deep/x", None),
        ("mod", Some("2")),
        ("new/deep/y", Some("y")),
    ];
    let second = upstream.push(&files, "second").await;
    head(repo, "main").await;
    for (from, to, expect) in [
        (
            None,
            &first,
            paths(&[
                ("a-b", Added),
                ("a/same", Added),
                ("a/turns", Added),
                ("gone/deep/x", Added),
                ("mod", Added),
            ]),
        ),
        (
            Some(&first),
            &second,
            paths(&[
                ("a/turns", Removed),
                ("a/turns/dir", Added),
                ("gone/deep/x", Removed),
                ("mod", Modified),
                ("new/deep/y", Added),
            ]),
        ),
        (
            Some(&second),
            &first,
            paths(&[
                ("a/turns", Added),
                ("a/turns/dir", Removed),
                ("gone/deep/x", Added),
                ("mod", Modified),
                ("new/deep/y", Removed),
            ]),
        ),
        (Some(&second), &second, paths(&[])),
    ] {
        let changes = repo.changes(from.map(String::as_str), to).await;
        let changes = changes.expect("compare two commits");
        assert_eq!(changes, expect, "from {from:?} to {to}");
    }
}

async fn ancestors(repo: &impl StateRepo, upstream: &impl Upstream) {
    let first = upstream.push(&[("a", Some("1"))], "first").await;
    let second = upstream.push(&[("a", Some("2"))], "second").await;
    head(repo, "main").await;
    let third = upstream.rewrite(&[("a", "3")]).await;
    assert_eq!(head(repo, "main").await.as_ref(), Some(&third), "rewritten");
    let nowhere = "f".repeat(40);
    for (old, new, expect) in [
        (&first, &first, true),
        (&first, &second, true),
        (&second, &first, false),
        (&first, &third, false),
        (&second, &third, false),
        (&nowhere, &third, false),
    ] {
        let is = repo.is_ancestor(old, new).await.expect("compare history");
        assert_eq!(is, expect, "whether {new} has {old} in its history");
    }
}

/// Of `root - trunk`, on which `mine` and `theirs` are, there are two merges; and one commit that has nothing to do
/// with any of them.
async fn parted(repo: &impl StateRepo, upstream: &impl Upstream) {
    let grow = async |parents: &[&str], message| {
        let commit = upstream.grow(parents, message).await;
        assert_eq!(head(repo, "main").await.as_ref(), Some(&commit));
        commit
    };
    let root = grow(&[], "root").await;
    let trunk = grow(&[&root], "trunk").await;
    let mine = grow(&[&trunk], "mine").await;
    let theirs = grow(&[&trunk], "theirs").await;
    let both = grow(&[&mine, &theirs], "both").await;
    let cross = grow(&[&theirs, &mine], "cross").await;
    let after = grow(&[&both], "after").await;
    let lone = grow(&[], "lone").await;
    let all = 8;
    for (one, other, expect) in [
        (&mine, &mine, &[&mine][..]),
        (&root, &after, &[&root]),
        (&mine, &theirs, &[&trunk]),
        (&mine, &both, &[&mine]),
        (&theirs, &after, &[&theirs]),
        (&after, &cross, &[&mine, &theirs]),
        (&lone, &after, &[]),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let found = repo.merge_base(one, other, all).await;
            let found = found.expect("compare history");
            let is_expected = match &found {
                MergeBase::At(commit) => expect.contains(&commit),
                MergeBase::Nowhere => expect.is_empty(),
                MergeBase::TooFar => false,
            };
            assert!(is_expected, "{one} and {other}: {found:?}, not {expect:?}");
        }
    }
    let few = repo.merge_base(&after, &lone, 3).await;
    let few = few.expect("compare history");
    assert_eq!(few, MergeBase::TooFar, "of 8 commits 3 were allowed");
    let nowhere = "f".repeat(40);
    for (one, other) in [(&nowhere, &mine), (&mine, &nowhere)] {
        let unknown = repo.merge_base(one, other, all).await;
        assert!(unknown.is_err(), "a commit that nobody made is an error");
    }
}

fn new(files: &[(&str, Option<&str>)], message: &str) -> NewCommit {
    NewCommit {
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.map(bytes)))
            .collect(),
        message: message.to_owned(),
        time: TIME,
    }
}

async fn commit(repo: &impl StateRepo, parent: Option<&str>, new: NewCommit) -> Committed {
    let committed = repo.commit("status", parent, new).await;
    committed.expect("make a commit")
}

async fn made(repo: &impl StateRepo, parent: Option<&str>, new: NewCommit) -> Commit {
    match commit(repo, parent, new).await {
        Committed::Yes(commit) => commit,
        other => panic!("the branch is at the parent, and yet: {other:?}"),
    }
}

async fn commits_stack(repo: &impl StateRepo) {
    let files = [("b/1.json", Some("one")), ("b/2.json", Some("two"))];
    let first = made(repo, None, new(&files, "status\n\nPlanned: x\n")).await;
    assert_is_commit(&first);
    assert_eq!(head(repo, "status").await.as_ref(), Some(&first));
    let info = repo.info(&first).await.expect("read a commit");
    assert_eq!(info.time, TIME, "the time is the one that was given");
    assert_eq!(info.message.trim_end(), "status\n\nPlanned: x");
    assert!(info.parents.is_empty(), "the branch's first commit");

    let files = [
        ("b/1.json", None),
        ("b/2.json", Some("changed")),
        ("c/deep/3.json", Some("three")),
        ("never/was", None),
    ];
    let second = made(repo, Some(&first), new(&files, "more")).await;
    assert_eq!(list(repo, &second, "").await, ["b/2.json", "c/deep/3.json"]);
    let read = text(repo, &second, "b/2.json").await;
    assert_eq!(read.as_deref(), Some("changed"));
    let info = repo.info(&second).await.expect("read a commit");
    assert_eq!(info.parents, [first], "the parent is the commit before");

    let files = [("b/2.json", Some("changed")), ("b/1.json", None)];
    let same = commit(repo, Some(&second), new(&files, "nothing")).await;
    assert_eq!(same, Committed::Unchanged, "nothing differs");
    assert_eq!(head(repo, "status").await, Some(second), "left alone");
    assert_eq!(head(repo, "main").await, None, "other branches too");
}

async fn moved_parent_loses(repo: &impl StateRepo, upstream: &impl Upstream) {
    upstream.push(&[("a", Some("1"))], "on main").await;
    let file = |text| new(&[("f", Some(text))], "try");
    let nowhere = "f".repeat(40);
    let lost = commit(repo, Some(&nowhere), file("0")).await;
    assert_eq!(lost, Committed::Moved(None), "there is no such branch yet");
    let first = made(repo, None, file("1")).await;
    let lost = commit(repo, None, file("2")).await;
    assert_eq!(lost, Committed::Moved(Some(first.clone())), "it is there");
    let second = made(repo, Some(&first), file("2")).await;
    let lost = commit(repo, Some(&first), file("3")).await;
    assert_eq!(lost, Committed::Moved(Some(second.clone())), "it has moved");
    let read = text(repo, &second, "f").await;
    assert_eq!(read.as_deref(), Some("2"), "the loser wrote nothing");

    // Somebody else moves the branch, and this adapter has not looked since.
    let tip = head(repo, "main").await.expect("main is there");
    let theirs = upstream.push(&[("a", Some("2"))], "theirs").await;
    let ours = new(&[("a", Some("3"))], "ours");
    let lost = repo.commit("main", Some(&tip), ours).await;
    assert_eq!(lost.expect("commit"), Committed::Moved(Some(theirs)));
}

async fn one_of_many_commits<R: StateRepo + 'static>(repo: R) {
    let repo = Arc::new(repo);
    let mut tip = None;
    for round in 0..5 {
        let mut rivals = JoinSet::new();
        for rival in 0..RIVALS {
            let (repo, parent) = (Arc::clone(&repo), tip.clone());
            rivals.spawn(async move {
                let content = format!("{round} {rival}");
                let new = new(&[("f", Some(&content))], "race");
                (content, commit(&*repo, parent.as_deref(), new).await)
            });
        }
        let outcomes = rivals.join_all().await;
        let won = |(content, committed): &(String, Committed)| match committed {
            Committed::Yes(commit) => Some((content.clone(), commit.clone())),
            Committed::Unchanged | Committed::Moved(_) => None,
        };
        let winners: Vec<_> = outcomes.iter().filter_map(won).collect();
        assert_eq!(winners.len(), 1, "exactly one of {outcomes:?} wins");
        let (content, winner) = winners[0].clone();
        assert_eq!(head(&*repo, "status").await.as_ref(), Some(&winner));
        let read = text(&*repo, &winner, "f").await;
        assert_eq!(read, Some(content), "the winner's file stands");
        tip = Some(winner);
    }
}

async fn resolves(repo: &impl StateRepo, upstream: &impl Upstream) {
    let (url, commit) = upstream.other().await;
    for git_ref in ["main", "v1"] {
        let resolved = repo.resolve(&url, git_ref).await.expect("resolve");
        assert_eq!(resolved, Resolved::Commit(commit.clone()), "{git_ref}");
    }
    let missing = repo.resolve(&url, "no-such-ref").await.expect("resolve");
    assert!(
        matches!(missing, Resolved::Missing(_)),
        "a ref that is not there is the user's to mend: {missing:?}"
    );
}
