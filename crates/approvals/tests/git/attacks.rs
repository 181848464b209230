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
    for (first, second) in [("gone", "old"), ("old", "gone")] {
        scene.git(&["checkout", "-q", "--detach", first]);
        scene.git(&[
            "merge",
            "-q",
            "--no-ff",
            "--no-commit",
            "-s",
            "ours",
            second,
        ]);
        scene.git(&["checkout", "-q", "old", "--", RELEASE]);
        scene.commit(None, "Merge", &[]);
        assert_eq!(scene.says(release()), format!("{BACK}{BACK}"), "{first}");
        // A long way that hides where the file was gone.
        for n in 0..12 {
            scene.commit(None, &format!("{n}"), &[]);
        }
        scene.git(&["merge", "-q", "--no-ff", "-s", "ours", "-m", "Merge", "old"]);
        let short = Walk::with_limit(release(), scene.tip(), 5);
        assert_eq!(scene.found_at(short, NOW).people().len(), 0, "{first}");
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

/// The two files of 2017 with one SHA-1, in front of which git's header changes nothing for who knows how.
#[test]
fn known_ways_to_two_contents_of_one_name_are_seen() {
    // The blocks of shattered.io, from which both files go on alike.
    let block = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    };
    let prefix = "255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033203020522f547970652034203020522f537562747970652035203020522f46696c7465722036203020522f436f6c6f7253706163652037203020522f4c656e6774682038203020522f42697473506572436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01";
    let near = "7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c56b45c1530afedfb76038e972722fe7ad728f0e4904e046c230570fe9d41398abe12ef5bc942be33542a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a21566461309789606bd0bf3f98cda8044629a1";
    let bytes = [block(prefix), block(near)].concat();
    let mut hash = sha1_checked::Sha1::new();
    sha1_checked::Digest::update(&mut hash, &bytes);
    assert!(hash.try_finalize().has_collision());
}

fn put(scene: &Scene, commit: &str) -> Id {
    let file = scene.path().join("forged");
    std::fs::write(&file, commit).unwrap();
    let id = scene.git(&["hash-object", "-t", "commit", "-w", "forged"]);
    std::fs::remove_file(file).unwrap();
    id.parse().unwrap()
}
