//! What is told at the forge beside plans and results: configuration, checks that are made again, architectures.

use memory::MemoryForge;
use ports::{CheckState, Platform};

use crate::commands::sweep_of_the_hour;
use crate::fixture::{APP, build};
use crate::review::{OTHER, RESULTS, broken, merge, one, open, plan, review, seen, tell, text};
use crate::world::{Act, World};

pub(crate) const DAY: u64 = 24 * 3_600;
pub(crate) const CONFIGURATION: &str = "configuration";

#[tokio::test]
async fn a_configuration_that_cannot_be_planned_is_told_on_its_commit() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let rows = world.rows().len();
    let wrong = "format: rpm\narchitectures: []\nbuildroot: [bash]\n";
    let bad = world.push(&[("platforms/el-11.yaml", Some(wrong))]);
    for _ in 0..2 {
        world.control.plan_head().await.expect("no fault is armed");
        tell(&world, &forge).await;
    }
    assert_eq!(forge.checks_written(), 1);
    let check = seen(&forge, &bad, CONFIGURATION).expect("it is told");
    insta::assert_snapshot!("told_broken", text(&check));
    // The next commit does not mend it.
    let worse = world.push(&[(APP, Some(&one("app")))]);
    world.control.plan_head().await.expect("no fault is armed");
    tell(&world, &forge).await;
    let check = seen(&forge, &worse, CONFIGURATION).expect("it is told");
    assert_eq!(check.state, CheckState::Failed);
    let good = world.push(&[("platforms/el-11.yaml", None)]);
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &good, CONFIGURATION).expect("it is told");
    assert_eq!(check.state, CheckState::Passed);
    // What came with it is told beside.
    let check = seen(&forge, &good, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Passed, "{}", check.summary);
    assert_eq!(tell(&world, &forge).await, control::Told::default());
    // Mended with nothing beside it leaves nothing.
    world.push(&[("platforms/el-11.yaml", Some(wrong))]);
    world.quiet().await;
    let good = world.push(&[("platforms/el-11.yaml", None)]);
    world.quiet().await;
    tell(&world, &forge).await;
    assert!(seen(&forge, &good, CONFIGURATION).is_some());
    assert!(seen(&forge, &good, RESULTS).is_none());
    assert!(world.rows().len() > rows);
    assert_eq!(tell(&world, &forge).await, control::Told::default());
}

#[tokio::test]
async fn a_check_is_made_again_when_somebody_wants_that() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    let again = async |check: Option<&str>| {
        let again = world.control.anew(&pull.head, check).await;
        again.expect("no fault is armed")
    };
    assert_eq!(again(Some("build and release")).await, 0);
    assert_eq!(review(&world, &forge).await.written, 0);
    let said = plan(&forge, &pull);
    assert_eq!(again(Some("plan")).await, 1);
    assert_eq!(review(&world, &forge).await.written, 1);
    assert_eq!(forge.checks_written(), 2);
    assert_eq!(plan(&forge, &pull).summary, said.summary);
    assert_eq!(again(None).await, 1);
    assert_eq!(review(&world, &forge).await.written, 1);
    assert_eq!(review(&world, &forge).await.written, 0);
}

#[tokio::test]
async fn results_are_made_again_after_all_is_done() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.merge(&[(APP, Some(&one("app")))]).await;
    let commit = world.tip("main").await;
    tell(&world, &forge).await;
    let writes = forge.checks_written();
    assert_eq!(tell(&world, &forge).await.watched, 0);
    let again = world.control.anew(&commit, None).await;
    assert_eq!(again.expect("no fault is armed"), 1);
    tell(&world, &forge).await;
    assert_eq!(forge.checks_written(), writes + 1);
    let stray = world.control.anew(&"1".repeat(40), None).await;
    assert_eq!(stray.expect("no fault is armed"), 0);
}

#[tokio::test]
async fn what_was_planned_together_is_told_together_after_all_is_done_too() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.merge(&[(APP, Some(&one("app")))]).await;
    world.push(&[(OTHER, Some(&one("lib")))]);
    let commit = world.push(&[(APP, Some(&one("tool")))]);
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &commit, RESULTS).expect("it is told");
    assert_eq!(check.title, "Done: 6 of 6 tasks done");
    let told_again = async |world: &World| {
        let again = world.control.anew(&commit, None).await;
        assert_eq!(again.expect("no fault is armed"), 1);
        let fresh = MemoryForge::default();
        tell(world, &fresh).await;
        seen(&fresh, &commit, RESULTS).expect("it is told").title
    };
    assert_eq!(told_again(&world).await, check.title);
    world.pass(89 * DAY);
    sweep_of_the_hour(&world).await;
    assert_eq!(told_again(&world).await, check.title);
    world.pass(2 * DAY);
    sweep_of_the_hour(&world).await;
    let again = world.control.anew(&commit, None).await;
    assert_eq!(again.expect("no fault is armed"), 0, "it is not known");
}

#[tokio::test]
async fn many_builds_have_a_check_for_each_architecture() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let names = ["p0", "p1", "p2", "p3", "p4", "p5"];
    for name in names {
        world.source(name, "main", '1');
    }
    let pull = open(&mut world, &forge, &[(APP, Some(&build(&names)))]).await;
    review(&world, &forge).await;
    world.script(
        |grant| match grant.spec.title() == "build p3 for el-10 aarch64" {
            true => Act::Say(broken("p3.c:1: error")),
            false => Act::Work,
        },
    );
    merge(&mut world, &forge, &pull).await;
    review(&world, &forge).await;
    world.quiet().await;
    tell(&world, &forge).await;
    let on = |arch: &str| seen(&forge, &pull.head, &format!("build {arch}")).expect("it is told");
    assert_eq!(on("x86_64").state, CheckState::Passed);
    assert_eq!(on("x86_64").title, "12 of 12 builds and tests done");
    insta::assert_snapshot!("told_architecture", text(&on("aarch64")));
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    let (_, table) = check.summary.split_once("| request").expect("a table");
    insta::assert_snapshot!("told_columns", table);
    // Another attempt is told on the same checks.
    world.script(|_| Act::Work);
    let retried = world.control.retry_request(&crate::world::path(APP)).await;
    retried.expect("it failed");
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &pull.head, "build aarch64").expect("it is told");
    assert_eq!(check.state, CheckState::Passed, "{}", check.summary);
}

#[tokio::test]
async fn checks_of_architectures_are_few_writes() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let names = ["p0", "p1", "p2", "p3", "p4", "p5"];
    for name in names {
        world.source(name, "main", '1');
    }
    world.script(|_| Act::Hold);
    world.push(&[(APP, Some(&build(&names)))]);
    world.quiet().await;
    let commit = world.tip("main").await;
    let mut digests = std::collections::BTreeSet::new();
    let mut tasks = 0;
    // One task ends at a time, and each time somebody looks.
    for _ in 0..100 {
        if world.held.is_empty() {
            break;
        }
        world.finish_held().await;
        tasks += 1;
        world.quiet().await;
        world.pass(61);
        tell(&world, &forge).await;
        let check = seen(&forge, &commit, "build aarch64");
        digests.extend(check.map(|check| check.digest));
    }
    assert_eq!(tasks, 30);
    let check = seen(&forge, &commit, "build aarch64").expect("it is told");
    assert_eq!(check.state, CheckState::Passed, "{}", check.summary);
    assert!(digests.len() <= 6, "{digests:?}");
}

/// Somebody looks at the work before anybody has seen that the pull request is merged.
#[tokio::test]
async fn checks_of_architectures_come_to_a_page_that_is_noted_later() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let names = ["p0", "p1", "p2", "p3", "p4", "p5"];
    for name in names {
        world.source(name, "main", '1');
    }
    let pull = open(&mut world, &forge, &[(APP, Some(&build(&names)))]).await;
    review(&world, &forge).await;
    let parents = [pull.head.clone(), world.tip("main").await];
    let repo = world.memory.state_repo();
    let commit = repo.push_merge("main", "Ada <ada@example.org>", &parents, "merge");
    world.script(|grant| match grant.spec.title().starts_with("test") {
        true => Act::Hold,
        false => Act::Work,
    });
    world.quiet().await;
    tell(&world, &forge).await;
    assert!(seen(&forge, &commit, "build aarch64").is_some());
    let merged = ports::PullState::Merged(commit);
    forge.change_pull(pull.number, |it| it.state = merged);
    review(&world, &forge).await;
    world.pass(61);
    tell(&world, &forge).await;
    assert!(seen(&forge, &pull.head, RESULTS).is_some());
    for arch in ["aarch64", "x86_64"] {
        let check = seen(&forge, &pull.head, &format!("build {arch}"));
        assert_eq!(check.expect("it is told").state, CheckState::Running);
    }
}
