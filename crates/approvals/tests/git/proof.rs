//! What a signer sees for itself.

use approvals::{People, Proven, Subject, Walk, check, prove};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pipeline_spec::Approvals;
use runner_api::Proof;

use crate::scene::{BUILD, NOW, RELEASE, Scene, release};

const TEXT: &str = "from: [builds/2026/11/y.yaml]\nto: [base]\n";

fn rules() -> Vec<Approvals> {
    let rule = r#"[{"repositories": ["base", "extra"], "count": 2, "by": ["alice", "bob"]}]"#;
    serde_json::from_str(rule).unwrap()
}

/// A release that alice wrote and bob approved, merged behind other commits.
fn approved() -> (Scene, Proof) {
    let scene = Scene::new();
    scene.git(&["checkout", "-q", "-b", "topic"]);
    scene.commit(Some("alice"), "Release x", &[(RELEASE, Some(TEXT))]);
    scene.commit(Some("bob"), "Approve: releases/2026/11/x.yaml", &[]);
    scene.git(&["checkout", "-q", "main"]);
    scene.commit(None, "meanwhile", &[("README.md", Some("x"))]);
    scene.merge(None, "topic");
    scene.commit(None, "later", &[("builds/2026/11/z.yaml", Some("z"))]);
    let proof = proof(&scene, release(), &[TEXT, "build"]);
    (scene, proof)
}

fn proof(scene: &Scene, subject: Subject, files: &[&str]) -> Proof {
    let mut walk = Walk::new(subject, scene.tip());
    let objects = scene.walk(&mut walk);
    let found = walk.found(&objects, scene.people(), NOW);
    let files: Vec<Vec<u8>> = files.iter().map(|text| text.as_bytes().to_vec()).collect();
    prove(&walk, &objects, &found, &files).unwrap()
}

fn says(people: &People, proof: &Proof, repository: &str) -> Result<Proven, String> {
    let asked = (&RELEASE.parse().unwrap(), &repository.parse().unwrap());
    check(proof, asked, (&rules(), people), NOW)
}

#[test]
fn a_signer_sees_what_the_control_plane_has_seen() {
    let (scene, proof) = approved();
    let proven = says(scene.people(), &proof, "base").unwrap();
    assert_eq!(proven.builds, [BUILD.parse().unwrap()].into());
    assert!(!proven.removes);
    let travelled = serde_json::from_str(&serde_json::to_string(&proof).unwrap()).unwrap();
    assert_eq!(says(scene.people(), &travelled, "base"), Ok(proven));
}

#[test]
fn a_proof_is_of_one_request_and_its_repositories() {
    let (scene, proof) = approved();
    let error = says(scene.people(), &proof, "extra").unwrap_err();
    assert_eq!(
        error,
        "releases/2026/11/x.yaml as it was approved does not release to extra"
    );
    let other = "releases/2026/11/other.yaml".parse().unwrap();
    let asked = (&other, &"base".parse().unwrap());
    let error = check(&proof, asked, (&rules(), scene.people()), NOW).unwrap_err();
    assert_eq!(
        error,
        "releases/2026/11/other.yaml needs 2 approvals, by alice or bob, for base"
    );
}

#[test]
fn a_signer_believes_its_own_keys_alone() {
    let (scene, proof) = approved();
    let other = Scene::new();
    let error = says(other.people(), &proof, "base").unwrap_err();
    assert_eq!(
        error,
        "releases/2026/11/x.yaml needs 2 approvals, by alice or bob, for base"
    );
    let asked = (&RELEASE.parse().unwrap(), &"base".parse().unwrap());
    let later = NOW + 400 * 86_400;
    assert!(
        check(&proof, asked, (&rules(), scene.people()), later).is_err(),
        "they have ended"
    );
}

#[test]
fn a_changed_or_missing_object_proves_nothing() {
    let (scene, proof) = approved();
    let whole = says(scene.people(), &proof, "base").unwrap();
    let mut needed = 0;
    for at in 0..proof.objects.len() {
        let mut less = proof.clone();
        less.objects.remove(at);
        let without = says(scene.people(), &less, "base");
        needed += usize::from(without.is_err());
        let mut changed = proof.clone();
        let mut bytes = BASE64.decode(&changed.objects[at].bytes).unwrap();
        // A sample: `bits` has each of them.
        for bit in (0..bytes.len() * 8).step_by(bytes.len() / 2 + 1) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            changed.objects[at].bytes = BASE64.encode(&bytes);
            let found = says(scene.people(), &changed, "base");
            // What is changed is as if it were missing.
            assert_eq!(found.is_err(), without.is_err(), "{at} {bit}: {found:?}");
            assert!(found.is_err() || found == Ok(whole.clone()));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    // The way from the tip to alice's commit with the folders of each, and the request.
    assert!(needed > 10, "{needed} of {}", proof.objects.len());
    let mut odd = proof;
    odd.objects[0].kind = "tag".to_owned();
    let error = says(scene.people(), &odd, "base").unwrap_err();
    assert_eq!(error, "its proof has something that is no object of git");
}

#[test]
fn a_removal_is_proven_as_one() {
    let scene = Scene::new();
    scene.commit(None, "Release x", &[(RELEASE, Some(TEXT))]);
    scene.commit(Some("alice"), "away", &[(RELEASE, None)]);
    scene.commit(Some("bob"), "Approve: releases/2026/11/x.yaml", &[]);
    let subject = Subject::Release {
        path: RELEASE.parse().unwrap(),
        builds: [].into(),
    };
    let proof = proof(&scene, subject, &[]);
    let proven = says(scene.people(), &proof, "base").unwrap();
    assert!(proven.removes && proven.builds.is_empty());
}
