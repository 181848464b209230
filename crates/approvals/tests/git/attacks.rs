//! Somebody with the right to push and no listed key, or with the forge itself.

use approvals::{Id, Kind, Objects, Subject, Walk};

use crate::scene::{NOW, RELEASE, Scene, release, words};

const APPROVE: &str = "Approve: releases/2026/11/x.yaml";
const BACK: &str = " [what it approves was changed or removed since, and is back]";

#[test]
fn who_signs_everything_approves_nothing_of_others() {
    let scene = Scene::new();
    scene.commit(None, "Release x", &[(RELEASE, Some("evil"))]);
    scene.commit(
        Some("alice"),
        "a build of mine",
        &[("builds/2026/11/z.yaml", Some("z"))],
    );
    scene.git(&["checkout", "-q", "-b", "topic", "HEAD~2"]);
    scene.commit(Some("bob"), "mine", &[("README.md", Some("b"))]);
    scene.merge(Some("bob"), "main");
    assert_eq!(scene.says(release()), "");
}

#[test]
fn an_approval_does_not_come_back_with_the_file() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.git(&["branch", "old"]);
    scene.commit(Some("alice"), "it was bad", &[(RELEASE, None)]);
    scene.git(&["branch", "gone"]);
    scene.commit(None, "again", &[(RELEASE, Some("one"))]);
    assert_eq!(scene.says(release()), "");

    // The same by a merge of the branch that was approved, with either parent first.
    let tree = scene.git(&["rev-parse", "old^{tree}"]);
    let upon = |parents: &[&str]| {
        let parents = parents.iter().flat_map(|parent| ["-p", *parent]);
        let args: Vec<&str> = ["commit-tree", &tree, "-m", "x"]
            .into_iter()
            .chain(parents)
            .collect();
        scene.git(&args)
    };
    // A long way that hides where the file was gone.
    let mut long = upon(&["gone"]);
    for _ in 0..12 {
        long = upon(&[&long]);
    }
    for [first, second] in [["gone", "old"], ["old", "gone"]] {
        let found = scene.found_at(
            Walk::new(release(), upon(&[first, second]).parse().unwrap()),
            NOW,
        );
        assert_eq!(words(&found), format!("{BACK}{BACK}"), "{first}");
    }
    for parents in [[&*long, "old"], ["old", &*long]] {
        let tip: Id = upon(&parents).parse().unwrap();
        for limit in [5, 100] {
            let found = scene.found_at(Walk::with_limit(release(), tip, limit), NOW);
            assert!(found.people().is_empty(), "{parents:?} {limit}");
        }
    }
}

#[test]
fn long_histories_hide_what_is_old_and_nothing_else() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    for n in 0..8 {
        scene.commit(None, &format!("{n}"), &[]);
    }
    scene.commit(Some("bob"), APPROVE, &[]);
    let found = scene.found_at(Walk::with_limit(release(), scene.tip(), 5), NOW);
    assert!(found.is_cut);
    assert_eq!(words(&found), "bob");
    let found = scene.found_at(Walk::with_limit(release(), scene.tip(), 50), NOW);
    assert_eq!(
        (words(&found).as_str(), found.is_cut),
        ("alice, bob", false)
    );
}

#[test]
fn what_was_approved_elsewhere_is_not_approved_here() {
    let scene = Scene::new();
    // The same person tries the same release in a trial distribution.
    scene.git(&["checkout", "-q", "--orphan", "trial"]);
    scene.commit(None, "a trial", &[("millrace.yaml", Some("name: trial"))]);
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.git(&["checkout", "-q", "main"]);
    scene.git(&[
        "merge",
        "-q",
        "--no-commit",
        "--allow-unrelated-histories",
        "-s",
        "ours",
        "trial",
    ]);
    scene.commit(None, "Merge", &[(RELEASE, Some("one"))]);
    assert_eq!(scene.says(release()), "");
}

#[test]
fn another_path_or_a_link_is_another_thing() {
    let scene = Scene::new();
    scene.commit(
        Some("alice"),
        "Release x",
        &[("releases/2026/11/z.yaml", Some("one"))],
    );
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.git(&["mv", "releases/2026/11/z.yaml", RELEASE]);
    scene.commit(None, "renamed", &[]);
    assert_eq!(scene.says(release()), "");
    scene.commit(Some("alice"), APPROVE, &[]);
    assert_eq!(scene.says(release()), "alice");
    let hash = scene.git(&["rev-parse", &format!("HEAD:{RELEASE}")]);
    let link = format!("120000,{hash},{RELEASE}");
    scene.git(&["update-index", "--cacheinfo", &link]);
    scene.commit(None, "a link of the same bytes", &[]);
    assert_eq!(scene.says(release()), "");
}

#[test]
fn a_signature_does_not_move_to_another_commit() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    let signed = scene.object(Kind::Commit, scene.tip()).unwrap();
    scene.commit(None, "Release x", &[(RELEASE, Some("evil"))]);
    let plain = scene.object(Kind::Commit, scene.tip()).unwrap();
    let (signed, plain) = (
        String::from_utf8(signed).unwrap(),
        String::from_utf8(plain).unwrap(),
    );
    let begin = signed.find("gpgsig").unwrap();
    let end = signed.find("\n\n").unwrap();
    let (head, message) = plain.split_once("\n\n").unwrap();
    let forged = format!("{head}\n{}\n\n{message}", &signed[begin..end]);
    let id = put(&scene, &forged);
    let found = scene.found_at(Walk::new(release(), id), NOW);
    assert_eq!(words(&found), " [it was changed after alice signed it]");
}

#[test]
fn a_folder_with_two_files_of_one_name_is_read_by_nobody() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    let tip = scene.tip();
    let mut walk = Walk::new(release(), tip);
    let objects = scene.walk(&mut walk);
    let (_, commit) = objects.bytes(tip).unwrap();
    let tree: Id = std::str::from_utf8(&commit[5..45])
        .unwrap()
        .parse()
        .unwrap();
    let tree = scene.object(Kind::Tree, tree).unwrap();
    let twice = [&tree[..], &tree[..]].concat();
    let commit = format!(
        "tree {}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n",
        Kind::Tree.name(&twice).unwrap()
    );
    let id = Kind::Commit.name(commit.as_bytes()).unwrap();
    let mut objects = Objects::default();
    objects.give(id, Kind::Commit, commit.as_bytes()).unwrap();
    objects
        .give(Kind::Tree.name(&twice).unwrap(), Kind::Tree, &twice)
        .unwrap();
    let mut walk = Walk::new(release(), id);
    assert_eq!(walk.needs(&objects), []);
    assert_eq!(walk.state(), None);
    assert_eq!(Walk::new(Subject::Configuration, id).state(), None);
}

fn put(scene: &Scene, commit: &str) -> Id {
    let file = scene.path().join("forged");
    std::fs::write(&file, commit).unwrap();
    let id = scene.git(&["hash-object", "-t", "commit", "-w", "forged"]);
    std::fs::remove_file(file).unwrap();
    id.parse().unwrap()
}
