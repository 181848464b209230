//! Releases: all repositories or none, one release at a time, and back again.

use ledger::{Phase, Row};
use ports::Platform;
use runner_api::{FailureKind, TaskSpec};

use crate::fixture::{APP, RELEASE, build_on, release};
use crate::runners::failure;
use crate::world::{Act, World, path};

const OTHER: &str = "builds/2026/11/lib.yaml";
const OTHER_RELEASE: &str = "releases/2026/11/lib.yaml";

fn one(package: &str) -> String {
    build_on("el-10: [x86_64]", &[package])
}

/// `app` is built, and nothing is released.
async fn built() -> World {
    let mut world = World::new().await;
    world
        .merge(&[(APP, Some(&one("app"))), (OTHER, Some(&one("lib")))])
        .await;
    assert_eq!(world.phase(APP).await, "succeeded");
    world
}

fn smoke_fails(world: &mut World, repository: &'static str) {
    world.script(move |grant| match &grant.spec {
        TaskSpec::Smoke(task) if task.repository.as_str() == repository => {
            Act::Say(failure(FailureKind::Smoke, "dnf: nothing provides libfoo"))
        }
        _ => Act::Work,
    });
}

#[tokio::test]
async fn a_release_is_published_in_all_its_repositories() {
    let mut world = built().await;
    let text = release(&[APP], &["base", "extra"]);
    world.merge(&[(RELEASE, Some(&text))]).await;
    insta::assert_snapshot!("release_story", world.story().await);
    let written = world.written(RELEASE).await.expect("it was reported");
    assert!(written.contains("phase: published"), "{written}");
}

#[tokio::test]
async fn a_debian_release_carries_the_files_of_its_sources() {
    let mut world = World::new().await;
    let text = build_on("debian-12:", &["tool"]);
    world.merge(&[(APP, Some(&text))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["debian"])))])
        .await;
    assert_eq!(
        world.repository("debian").await,
        "1: tool-1.0-1.amd64.pkg tool-doc-1.0-1.all.pkg tool_1.0-1.dsc tool_1.0-1.tar.xz"
    );
}

#[tokio::test]
async fn a_revert_brings_the_old_content_back() {
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))])
        .await;
    let before = (
        world.repository("base").await,
        world.repository("extra").await,
    );
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[OTHER], &["base", "extra"])))])
        .await;
    assert!(world.repository("base").await.contains("lib-1.0-1.x86_64"));
    world.merge(&[(OTHER_RELEASE, None)]).await;
    assert_eq!(world.phase(OTHER_RELEASE).await, "reverted");
    let content = |text: &str| text.split_once(": ").map(|(_, names)| names.to_owned());
    assert_eq!(content(&world.repository("base").await), content(&before.0));
    assert_eq!(
        content(&world.repository("extra").await),
        content(&before.1)
    );
    let generation = world.pointer("base").await.expect("published").generation;
    assert_eq!(generation, 3, "a rollback is a flip like any other");
}

#[tokio::test]
async fn a_release_that_was_never_published_is_reverted_at_once() {
    let mut world = built().await;
    smoke_fails(&mut world, "base");
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    assert_eq!(world.phase(RELEASE).await, "failed");
    world.merge(&[(RELEASE, None)]).await;
    assert_eq!(world.phase(RELEASE).await, "reverted");
    assert_eq!(world.repository("base").await, "nothing");
}

#[tokio::test]
async fn a_failed_smoke_test_publishes_nothing_anywhere_and_returns_the_turn() {
    let mut world = built().await;
    smoke_fails(&mut world, "extra");
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))])
        .await;
    insta::assert_snapshot!("smoke_failed", world.story().await);
    world.script(|_| Act::Work);
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[OTHER], &["base", "extra"])))])
        .await;
    assert_eq!(world.phase(OTHER_RELEASE).await, "published");
    // The retry composes anew, on top of what was published meanwhile.
    world
        .control
        .retry_request(&path(RELEASE))
        .await
        .expect("it failed");
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    let base = world.repository("base").await;
    assert!(
        base.contains("app-1.0-1") && base.contains("lib-1.0-1"),
        "{base}"
    );
    assert!(!world.story().await.contains("left:"));
}

#[tokio::test]
async fn a_revert_that_failed_is_retried_as_a_revert() {
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    smoke_fails(&mut world, "base");
    world.merge(&[(RELEASE, None)]).await;
    assert_eq!(world.phase(RELEASE).await, "failed");
    assert!(world.repository("base").await.starts_with("1: app"));
    world.script(|_| Act::Work);
    world
        .control
        .retry_request(&path(RELEASE))
        .await
        .expect("it failed");
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "reverted");
    assert_eq!(world.repository("base").await, "2: ");
}

#[tokio::test]
async fn releases_to_one_repository_take_turns() {
    let mut world = built().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Smoke(_) => Act::Hold,
        _ => Act::Work,
    });
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[OTHER], &["base", "extra"])))])
        .await;
    insta::assert_snapshot!("turns", world.story().await);
    world.script(|_| Act::Work);
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert_eq!(world.phase(OTHER_RELEASE).await, "published");
    let base = world.repository("base").await;
    assert!(
        base.contains("app-1.0-1") && base.contains("lib-1.0-1"),
        "{base}"
    );
    assert!(!world.story().await.contains("left:"));
}

/// Holds the smoke test of `RELEASE` to base and extra, so that it has both turns; then `edit`.
async fn edited_in_flight(edit: Option<&str>) -> World {
    let mut world = built().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Smoke(_) => Act::Hold,
        _ => Act::Work,
    });
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))])
        .await;
    world.script(|_| Act::Work);
    world.merge(&[(RELEASE, edit)]).await;
    while !world.held.is_empty() {
        world.finish_held().await;
    }
    world.quiet().await;
    world
}

async fn check_turns_are_free(mut world: World) {
    assert!(
        !world.story().await.contains("turn"),
        "{}",
        world.story().await
    );
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[OTHER], &["base", "extra"])))])
        .await;
    assert_eq!(world.phase(OTHER_RELEASE).await, "published");
}

#[tokio::test]
async fn an_edit_in_flight_loses_no_turn() {
    let to_extra = release(&[APP], &["extra"]);
    let world = edited_in_flight(Some(&to_extra)).await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert_eq!(world.repository("base").await, "nothing");
    check_turns_are_free(world).await;
    let world = edited_in_flight(Some("from: [")).await;
    assert_eq!(world.phase(RELEASE).await, "invalid");
    check_turns_are_free(world).await;
    let world = edited_in_flight(None).await;
    assert_eq!(world.phase(RELEASE).await, "reverted");
    check_turns_are_free(world).await;
}

#[tokio::test]
async fn a_build_that_opens_again_holds_up_no_other_release() {
    let mut world = built().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Smoke(_) => Act::Hold,
        _ => Act::Work,
    });
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Build(task) if task.package.as_str() == "tool" => Act::Hold,
        _ => Act::Work,
    });
    // The build of the release gets one package more, while the release is on its way.
    let text = build_on("el-10: [x86_64]", &["app", "tool"]);
    world.merge(&[(APP, Some(&text))]).await;
    world.finish_held().await;
    world.quiet().await;
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[OTHER], &["base"])))])
        .await;
    assert_eq!(world.phase(OTHER_RELEASE).await, "published");
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert!(world.repository("base").await.contains("tool-1.0-1.x86_64"));
}

#[tokio::test]
async fn an_edit_takes_packages_out_of_a_repository() {
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))])
        .await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert_eq!(world.repository("extra").await, "2: ");
}

#[tokio::test]
async fn a_build_is_released_as_its_file_is_now() {
    let mut world = built().await;
    world.merge(&[(APP, Some(&one("tool")))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    assert_eq!(
        world.repository("base").await,
        "1: tool-1.0-1.src.rpm tool-1.0-1.x86_64.pkg"
    );
}

#[tokio::test]
async fn one_build_released_twice_is_there_once() {
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    world
        .merge(&[(OTHER_RELEASE, Some(&release(&[APP, OTHER], &["base"])))])
        .await;
    assert_eq!(world.phase(OTHER_RELEASE).await, "published");
    assert_eq!(
        world.repository("base").await,
        "2: app-1.0-1.src.rpm app-1.0-1.x86_64.pkg lib-1.0-1.src.rpm lib-1.0-1.x86_64.pkg"
    );
    // Without the first, the second's copy stays.
    world.merge(&[(RELEASE, None)]).await;
    assert!(world.repository("base").await.contains("app-1.0-1.x86_64"));
}

#[tokio::test]
async fn a_release_waits_for_its_build_and_is_woken() {
    let mut world = World::new().await;
    world.script(|_| Act::Say(failure(FailureKind::Build, "make failed")));
    let text = release(&[APP], &["base"]);
    world
        .merge(&[(APP, Some(&one("app"))), (RELEASE, Some(&text))])
        .await;
    assert_eq!(world.phase(RELEASE).await, "open");
    let notes = world.status(RELEASE).await.notes;
    assert_eq!(
        notes[0].why,
        "it is failed; the release waits until it has succeeded"
    );
    world.script(|_| Act::Work);
    world
        .control
        .retry_request(&path(APP))
        .await
        .expect("it failed");
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
}

#[tokio::test]
async fn what_is_gone_from_the_store_is_not_published() {
    let mut world = built().await;
    let memory = world.memory.clone();
    world.script(move |grant| {
        if let TaskSpec::Smoke(task) = &grant.spec {
            // Everything that the compose made is damaged while the client judges.
            for artifact in &grant.inputs[&task.compose.id] {
                if artifact.kind == runner_api::ArtifactKind::Unsigned {
                    let store = ports::Platform::store(&memory);
                    store.tamper(&artifact.sha256, bytes::Bytes::from_static(b"?"));
                }
            }
        }
        Act::Work
    });
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))])
        .await;
    assert_eq!(world.phase(RELEASE).await, "failed");
    let problems = world.status(RELEASE).await.problems;
    assert!(
        problems[0].message.contains("is not in the artifact store"),
        "{problems:?}"
    );
    assert_eq!(world.repository("base").await, "nothing");
    assert_eq!(world.repository("extra").await, "nothing");
}

#[tokio::test]
async fn what_vanishes_after_the_decision_ends_the_release_and_never_blocks_the_rest() {
    // The process is killed before a flip, and the files of `extra`'s new tree are gone afterwards.
    for (n, public) in [
        (0, "nothing"),
        (1, "1: app-1.0-1.src.rpm app-1.0-1.x86_64.pkg"),
    ] {
        let mut world = built().await;
        world.push(&[(RELEASE, Some(&release(&[APP], &["base", "extra"])))]);
        world.faults.break_off("store.set_pointer", n);
        world.pump().await.expect_err("a flip fails");
        world.faults.disarm();
        let decision = world
            .rows()
            .into_values()
            .find_map(|record| match record.row {
                Row::Request(row) => match row.phase {
                    Phase::Publishing(decision) => Some(decision),
                    _ => None,
                },
                _ => None,
            });
        let flips = decision.expect("it is decided").flips;
        world.memory.store().remove(&flips[1].pointer.tree);
        world.restart();
        world.heal().await;
        let status = world.status(RELEASE).await;
        assert_eq!(status.phase, "failed");
        let problem = &status.problems[0].message;
        assert!(
            problem.contains("is not in the artifact store"),
            "{problem}"
        );
        assert_eq!(problem.contains("base had been published"), n == 1);
        assert_eq!(world.repository("base").await, public);
        // What is pushed later is planned, and the release can be taken back.
        let later = "builds/2026/11/later.yaml";
        world.push(&[(RELEASE, None), (later, Some(&one("tool")))]);
        world.heal().await;
        assert_eq!(world.phase(later).await, "succeeded");
        assert_eq!(world.phase(RELEASE).await, "reverted");
        assert!(!world.repository("base").await.contains("app-"));
        check_turns_are_free(world).await;
    }
}

#[tokio::test]
async fn a_published_release_is_not_retried() {
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    let refused = world
        .control
        .retry_request(&path(RELEASE))
        .await
        .expect_err("it is done");
    assert_eq!(
        refused.to_string(),
        format!("{RELEASE} is published: nothing of it failed")
    );
}

#[tokio::test]
async fn a_lost_ledger_does_not_go_on() {
    let new = World::new().await;
    let calm = new.control.check_ledger().await.expect("nothing fails");
    assert_eq!(calm, []);
    let mut world = built().await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    let calm = world.control.check_ledger().await.expect("nothing fails");
    assert_eq!(calm, []);
    let lost = control::Control::new(world.memory.without_ledger(), control::Options::default());
    let problems = lost.check_ledger().await.expect("nothing fails");
    let subjects: Vec<&str> = problems.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(subjects, ["the ledger", "base"], "{problems:?}");
    assert!(
        problems[0]
            .message
            .contains("the branch `status` has answers")
    );
    assert!(
        problems[1]
            .message
            .contains("clients see generation 1, and the ledger knows 0"),
        "{problems:?}"
    );
}

/// Nothing was released since the copy was made, so that no pointer tells that it is old.
#[tokio::test]
async fn a_ledger_of_yesterday_does_not_go_on() {
    const LATER: &str = "builds/2026/11/later.yaml";
    let mut world = built().await;
    let copy = world.rows();
    let calm = world.control.check_ledger().await.expect("nothing fails");
    assert_eq!(calm, []);
    world
        .merge(&[(LATER, Some(&crate::fixture::build(&["tool"])))])
        .await;
    let calm = world.control.check_ledger().await.expect("nothing fails");
    assert_eq!(calm, []);
    let tip = world.tip("status").await;
    world.memory.ledger().restore(copy);
    let problems = world.control.check_ledger().await.expect("nothing fails");
    let [problem] = &problems[..] else {
        panic!("{problems:?}");
    };
    let expect =
        format!("which tells of {LATER} what it does not know: `millrace recover --replace`");
    assert!(problem.message.contains(&expect), "{problem:?}");
    assert_eq!(world.tip("status").await, tip, "nothing is written");
}

/// As where the disk of the store is not mounted: clients would get nothing of what is published.
#[tokio::test]
async fn a_good_ledger_does_not_go_on_with_an_empty_store() {
    let mut world = built().await;
    empty_store_is_refused(&world).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    world.memory.store().remove_pointer("base");
    empty_store_is_refused(&world).await;
    assert_eq!(world.pointer("base").await, None, "nothing is written");
    world.memory.state_repo().delete("status");
    empty_store_is_refused(&world).await;
}

/// Takes every file out of the store.
async fn empty_store_is_refused(world: &World) {
    for digest in world.memory.store().digests() {
        world.memory.store().remove(&digest);
    }
    let problems = world.control.check_ledger().await.expect("nothing fails");
    let [problem] = &problems[..] else {
        panic!("{problems:?}");
    };
    assert_eq!(problem.subject, "the artifact store");
    let message = &problem.message;
    assert!(message.contains("is its disk mounted?"), "{message}");
}
