//! Checks that are made again after all is done: they say what they said, as long as that is known.

use ledger::Key;
use memory::MemoryForge;
use ports::{Check, CheckState, Platform, Pull, PullState};

use crate::commands::sweep_of_the_hour;
use crate::fixture::APP;
use crate::results::{CONFIGURATION, DAY};
use crate::review::{OTHER, RESULTS, broken, merge, one, open, push, review, seen, tell, text};
use crate::world::{Act, World, path};

/// Somebody wants the checks of `commit` again. Answers what stands there then, on a forge that knows nothing else.
async fn again(world: &World, commit: &str, check: Option<&str>) -> MemoryForge {
    let again = world.control.anew(commit, check).await;
    again.expect("no fault is armed");
    let fresh = MemoryForge::default();
    tell(world, &fresh).await;
    fresh
}

fn results(forge: &MemoryForge, commit: &str) -> Check {
    seen(forge, commit, RESULTS).expect("it is told")
}

/// Its first commit brings `app`, its second one a text, and a commit of its own merges it. Answers that, too.
async fn merged(world: &mut World, forge: &MemoryForge) -> (Pull, String) {
    let mut pull = open(world, forge, &[(APP, Some(&one("app")))]).await;
    push(world, forge, &mut pull, &[("README.md", Some("x"))]).await;
    review(world, forge).await;
    let parents = [pull.head.clone(), world.tip("main").await];
    let repo = world.memory.state_repo();
    let merge = repo.push_merge("main", "Ada <ada@example.org>", &parents, "merge");
    let state = PullState::Merged(merge.clone());
    forge.change_pull(pull.number, |it| it.state = state);
    world.quiet().await;
    review(world, forge).await;
    tell(world, forge).await;
    (pull, merge)
}

#[tokio::test]
async fn a_pull_request_that_is_done_says_the_same() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let (pull, merge) = merged(&mut world, &forge).await;
    let said = text(&results(&forge, &pull.head));
    assert!(
        said.starts_with("Passed: Done: 3 of 3 tasks done"),
        "{said}"
    );
    assert!(said.contains("What runs is what plan `"), "{said}");
    for check in [None, Some(RESULTS)] {
        let fresh = again(&world, &pull.head, check).await;
        assert_eq!(text(&results(&fresh, &pull.head)), said);
        assert_eq!(tell(&world, &fresh).await.watched, 0);
    }
    // Nor does the page change when the commit's own check is made again.
    let of_commit = text(&results(&forge, &merge));
    let wanted = world.control.anew(&merge, None).await;
    assert_eq!(wanted.expect("no fault is armed"), 1);
    tell(&world, &forge).await;
    assert_eq!(text(&results(&forge, &merge)), of_commit);
    assert_eq!(text(&results(&forge, &pull.head)), said);
}

/// Its page is that of the commit.
#[tokio::test]
async fn one_that_was_merged_as_it_is_says_the_same() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let said = text(&results(&forge, &pull.head));
    assert!(said.contains("What runs is what plan `"), "{said}");
    let fresh = again(&world, &pull.head, None).await;
    assert_eq!(text(&results(&fresh, &pull.head)), said);
    assert_eq!(tell(&world, &fresh).await.watched, 0);
}

#[tokio::test]
async fn what_is_not_known_any_more_is_not_written_over() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let (pull, merge) = merged(&mut world, &forge).await;
    let writes = forge.checks_written();
    world.pass(91 * DAY);
    sweep_of_the_hour(&world).await;
    for commit in [&pull.head, &merge] {
        let again = world.control.anew(commit, None).await;
        assert_eq!(again.expect("no fault is armed"), 0);
        tell(&world, &forge).await;
    }
    assert_eq!(forge.checks_written(), writes);
}

#[tokio::test]
async fn a_failed_pull_request_is_forgotten_with_what_is_old() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.script(|_| Act::Say(broken("no")));
    let (pull, _) = merged(&mut world, &forge).await;
    assert_eq!(results(&forge, &pull.head).state, CheckState::Failed);
    let is_known = |world: &World| world.rows().contains_key(&Key::pull(pull.number));
    world.pass(89 * DAY);
    sweep_of_the_hour(&world).await;
    assert!(is_known(&world));
    // What goes on is told on its page, however old it is.
    world.script(|_| Act::Hold);
    let retried = world.control.retry_request(&path(APP)).await;
    retried.expect("it failed");
    world.quiet().await;
    world.pass(2 * DAY);
    sweep_of_the_hour(&world).await;
    assert!(is_known(&world));
    world.script(|_| Act::Say(broken("no")));
    world.heal().await;
    world.pass(61);
    tell(&world, &forge).await;
    sweep_of_the_hour(&world).await;
    assert!(!is_known(&world));
}

#[tokio::test]
async fn pull_requests_are_read_once_a_round() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.script(|_| Act::Hold);
    for file in [APP, OTHER] {
        world.push(&[(file, Some(&one("app")))]);
        world.quiet().await;
    }
    let from = world.faults.calls().len();
    assert_eq!(tell(&world, &forge).await.watched, 2);
    let calls = world.faults.calls().split_off(from);
    let lists = calls.iter().filter(|call| **call == "ledger.list").count();
    // Commits, scratch builds and pull requests; and each of two requests, for its pull request and for what is told.
    assert_eq!(lists, 7, "{calls:?}");
}

#[tokio::test]
async fn a_configuration_is_told_again() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let wrong = "format: rpm\narchitectures: []\nbuildroot: [bash]\n";
    let bad = world.push(&[("platforms/el-11.yaml", Some(wrong))]);
    world.quiet().await;
    tell(&world, &forge).await;
    let good = world.push(&[("platforms/el-11.yaml", None), (APP, Some(&one("app")))]);
    world.quiet().await;
    tell(&world, &forge).await;
    for commit in [&bad, &good] {
        let said = seen(&forge, commit, CONFIGURATION).expect("it is told");
        for check in [None, Some(CONFIGURATION)] {
            let fresh = again(&world, commit, check).await;
            let told = seen(&fresh, commit, CONFIGURATION).expect("it is told");
            assert_eq!(text(&told), text(&said));
            assert_eq!(tell(&world, &fresh).await.watched, 0);
        }
    }
    // Nothing of a broken commit is planned.
    let fresh = again(&world, &bad, None).await;
    assert!(seen(&fresh, &bad, RESULTS).is_none());
    let fresh = again(&world, &good, None).await;
    let told = results(&fresh, &good);
    assert_eq!(text(&told), text(&results(&forge, &good)));
}
