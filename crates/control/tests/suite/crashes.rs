//! A crash at every call to the world: whatever was cut off, the next run ends where it should.

use crate::faults::When;
use crate::fixture::{APP, RELEASE, build_on, release};
use crate::world::{World, path};

pub(crate) type Scene = &'static [(&'static str, Option<fn() -> String>)];

pub(crate) const WRITES: [&str; 7] = [
    "ledger.apply",
    "queue.send",
    "queue.receive",
    "queue.acknowledge",
    "store.put",
    "store.set_pointer",
    "repo.commit",
];

pub(crate) const TWO: Scene = &[(APP, Some(|| build_on("el-10: [x86_64]", &["app", "lib"])))];
pub(crate) const BUILD: Scene = &[(APP, Some(|| build_on("el-10: [x86_64]", &["app"])))];
pub(crate) const RELEASED: Scene = &[(RELEASE, Some(|| release(&[APP], &["base", "extra"])))];
pub(crate) const REVERTED: Scene = &[(RELEASE, None)];

pub(crate) fn push(world: &mut World, scene: Scene) {
    for (path, text) in scene {
        let text = text.map(|text| text());
        world.push(&[(path, text.as_deref())]);
    }
}

pub(crate) async fn prepared(before: &[Scene]) -> World {
    let mut world = World::new().await;
    let requires = vec!["lib-devel".to_owned()];
    world.upstream.requires.insert("app".to_owned(), requires);
    for scene in before {
        push(&mut world, scene);
        world.quiet().await;
    }
    world
}

/// Plays `scene` after `before` with a crash at every call, before and after it; all must end as the
/// undisturbed run does.
async fn check(before: &[Scene], scene: Scene) {
    let mut world = prepared(before).await;
    let from = world.faults.calls().len();
    push(&mut world, scene);
    world.quiet().await;
    let calls = world.faults.calls().split_off(from);
    world.heal().await;
    let expect = world.story().await;
    assert!(
        !expect.contains("left:") && !expect.contains("open:"),
        "{expect}"
    );
    for (n, call) in calls.iter().enumerate() {
        // A call that only reads does the same harm before as after.
        let whens = if WRITES.contains(call) {
            &[When::Before, When::After][..]
        } else {
            &[When::Before]
        };
        for when in whens {
            let mut world = prepared(before).await;
            push(&mut world, scene);
            world.faults.arm(n, *when);
            // Some failures are healed at once, the others end the process.
            let _crashed = world.pump().await;
            world.faults.disarm();
            world.restart();
            world.heal().await;
            let count = calls.len();
            assert_eq!(
                world.story().await,
                expect,
                "crash {when:?} call {n} of {count}, {call}"
            );
        }
    }
}

#[tokio::test]
async fn a_build_survives_a_crash_at_every_call() {
    check(&[], TWO).await;
}

#[tokio::test]
async fn a_release_survives_a_crash_at_every_call() {
    check(&[BUILD], RELEASED).await;
}

#[tokio::test]
async fn a_revert_survives_a_crash_at_every_call() {
    check(&[BUILD, RELEASED], REVERTED).await;
}

/// Between any two calls of an advance, another process does the same.
#[tokio::test]
async fn two_that_advance_one_release_do_it_once() {
    let mut world = prepared(&[BUILD]).await;
    push(&mut world, RELEASED);
    world.quiet().await;
    let expect = world.story().await;
    for n in 0..150 {
        let mut world = prepared(&[BUILD]).await;
        push(&mut world, RELEASED);
        let other = world.another();
        let rival = async move {
            other.dispatch().await.expect("nothing fails");
            let request = path(RELEASE);
            other.advance(&request).await.expect("nothing fails");
            other.sweep().await.expect("nothing fails");
        };
        world.faults.interleave(n, Box::pin(rival));
        world.heal().await;
        assert_eq!(world.story().await, expect, "interrupted before call {n}");
    }
}
