//! No bit of a commit, a tree or a signature is another one.

use approvals::{Kind, Objects, Walk};
use proptest::test_runner::{Config, TestRunner};

use crate::scene::{NOW, RELEASE, Scene, release};

#[test]
fn a_changed_bit_is_refused() {
    let scene = Scene::new();
    let tip = scene.commit(Some("alice"), "Release x", &[(RELEASE, Some("one"))]);
    let mut walk = Walk::new(release(), tip);
    let objects = scene.walk(&mut walk);
    let people = scene.people();
    assert_eq!(walk.found(&objects, people, NOW).people().len(), 1);
    let ids: Vec<_> = objects.ids().collect();
    let signed = objects.bytes(tip).unwrap().1.to_vec();
    let text = String::from_utf8(signed.clone()).unwrap();
    let signature = text.find("gpgsig").unwrap()..text.find("\n\n").unwrap();

    // Under the name that it had: never taken.
    for id in ids {
        let (kind, bytes) = objects.bytes(id).unwrap();
        for at in 0..bytes.len() * 8 {
            let changed = flip(bytes, at);
            assert!(
                Objects::default().give(id, kind, &changed).is_err(),
                "{kind:?} {at}"
            );
        }
    }
    // Under its own name: it is another commit, of which nothing counts but what is signed in it.
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&(0..signed.len() * 8), |at| {
        let changed = flip(&signed, at);
        let id = Kind::Commit.name(&changed).unwrap();
        let mut objects = objects.clone();
        objects.give(id, Kind::Commit, &changed).unwrap();
        let mut walk = Walk::new(release(), id);
        for (missing, _) in walk.needs(&objects) {
            objects.withhold(missing, "it is not there");
        }
        walk.needs(&objects);
        let counts = !walk.found(&objects, people, NOW).approvals.is_empty();
        // In the armor there are bits that say nothing; what is signed is the same then.
        assert!(!counts || signature.contains(&(at / 8)), "bit {at}");
        Ok(())
    });
    run.unwrap();
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at / 8] ^= 1 << (at % 8);
    changed
}

#[test]
fn bytes_of_strangers_do_not_panic() {
    let mut runner = TestRunner::default();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..200);
    runner
        .run(&bytes, |bytes| {
            for kind in [Kind::Commit, Kind::Tree, Kind::Blob] {
                let id = kind.name(&bytes).unwrap();
                let mut objects = Objects::default();
                objects.give(id, kind, &bytes).unwrap();
                let mut walk = Walk::new(release(), id);
                walk.needs(&objects);
            }
            Ok(())
        })
        .unwrap();
}
