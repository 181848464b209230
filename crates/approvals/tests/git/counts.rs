//! What counts.

use approvals::{Subject, Walk};

use crate::scene::{BUILD, NOW, RELEASE, Scene, release, words};

const APPROVE: &str = "Approve: releases/2026/11/x.yaml";

#[test]
fn who_writes_a_release_approves_it_and_others_say_so() {
    let scene = Scene::new();
    assert_eq!(scene.says(release()), "");
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    assert_eq!(scene.says(release()), "alice");
    scene.commit(Some("bob"), APPROVE, &[]);
    assert_eq!(scene.says(release()), "alice, bob");
    scene.commit(Some("bob"), &format!("Looked at it\n\n{APPROVE}\n"), &[]);
    scene.commit(None, "something else", &[("README.md", Some("x"))]);
    assert_eq!(scene.says(release()), "alice, bob");
}

#[test]
fn a_merge_by_the_forge_keeps_what_the_branch_has_and_a_squash_loses_it() {
    let scene = Scene::new();
    scene.git(&["checkout", "-q", "-b", "topic"]);
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.git(&["checkout", "-q", "main"]);
    scene.commit(None, "meanwhile", &[("README.md", Some("x"))]);
    scene.git(&["branch", "before"]);
    scene.merge(None, "topic");
    assert_eq!(scene.says(release()), "alice, bob");

    scene.git(&["checkout", "-q", "before"]);
    scene.git(&["merge", "-q", "--squash", "topic"]);
    scene.commit(None, "Release x (#1)", &[]);
    assert_eq!(scene.says(release()), "");
    scene.commit(Some("bob"), APPROVE, &[]);
    assert_eq!(scene.says(release()), "bob");
}

#[test]
fn a_signed_merge_counts_by_what_it_says() {
    let scene = Scene::new();
    scene.git(&["checkout", "-q", "-b", "topic"]);
    scene.commit(None, "Release x", &[(RELEASE, Some("one"))]);
    scene.git(&["checkout", "-q", "main"]);
    scene.merge(Some("alice"), "topic");
    assert_eq!(scene.says(release()), "");
    let sign = format!("-S{}", scene.key("alice"));
    let message = format!("Merge topic\n\n{APPROVE}");
    scene.git(&["commit", "-q", "--amend", &sign, "-m", &message]);
    assert_eq!(scene.says(release()), "alice");
}

#[test]
fn a_removal_is_approved_as_a_release_is() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.commit(None, "away", &[(RELEASE, None)]);
    assert_eq!(scene.says(release()), "");
    scene.commit(Some("bob"), APPROVE, &[]);
    assert_eq!(scene.says(release()), "bob");
    scene.git(&["revert", "--no-edit", "HEAD~1"]);
    scene.git(&["rm", "-q", RELEASE]);
    scene.commit(Some("alice"), "away again", &[]);
    assert_eq!(scene.says(release()), "alice");
}

#[test]
fn the_configuration_is_approved_by_its_name_alone() {
    let scene = Scene::new();
    scene.commit(
        Some("alice"),
        "add a runner",
        &[("runners/a.yaml", Some("x"))],
    );
    assert_eq!(scene.says(Subject::Configuration), "");
    scene.commit(Some("alice"), "Approve: configuration", &[]);
    assert_eq!(scene.says(Subject::Configuration), "alice");
    scene.commit(None, "a request", &[(RELEASE, Some("one"))]);
    assert_eq!(scene.says(Subject::Configuration), "alice");
    scene.commit(None, "a key", &[("keys/people/a.asc", Some("x"))]);
    assert_eq!(scene.says(Subject::Configuration), "");
}

#[test]
fn a_key_that_has_ended_counts_no_more() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    let found = scene.found_at(Walk::new(release(), scene.tip()), NOW + 400 * 86_400);
    assert_eq!(words(&found), " [the key of alice has ended]");
}

#[test]
fn signatures_that_count_for_nothing_are_told_of() {
    let scene = Scene::new();
    let check = |says: &str| assert_eq!(scene.says(release()), says);
    scene.commit(Some("mallory"), "Release x", &[(RELEASE, Some("one"))]);
    let mallory = scene.key("mallory").to_lowercase();
    let stranger = format!(" [the key {mallory} that signed it is of nobody in keys/people/]");
    check(&stranger);
    scene.commit(None, APPROVE, &[]);
    check(&format!(" [it is not signed]{stranger}"));
    let ssh = scene.path().join("id");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&ssh)
        .status();
    if made.is_ok_and(|made| made.success()) {
        let key = format!("user.signingKey={}", ssh.display());
        let args = [
            "-c",
            "gpg.format=ssh",
            "-c",
            &key,
            "commit",
            "-q",
            "--allow-empty",
            "-S",
            "-m",
            APPROVE,
        ];
        scene.git(&args);
        let says = scene.says(release());
        assert!(
            says.contains("it is signed with an SSH key; sign with OpenPGP"),
            "{says}"
        );
    }
}

#[test]
fn the_builds_of_a_release_are_approved_with_it() {
    let scene = Scene::new();
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    scene.commit(Some("bob"), APPROVE, &[]);
    scene.commit(None, "another source", &[(BUILD, Some("evil"))]);
    assert_eq!(scene.says(release()), "");
    scene.commit(Some("bob"), APPROVE, &[]);
    assert_eq!(scene.says(release()), "bob");
    // The author of a build has not looked at what others release of it.
    scene.commit(Some("alice"), "a better source", &[(BUILD, Some("good"))]);
    assert_eq!(scene.says(release()), "");
}
