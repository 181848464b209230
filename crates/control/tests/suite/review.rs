//! Pull requests: what their checks say, and that they are told once.

use std::fmt::Write as _;

use control::{Reviewed, Told};
use ledger::Key;
use memory::MemoryForge;
use ports::{Check, CheckState, Platform, Pull, PullState};
use runner_api::{Failure, FailureKind, Outcome};

use crate::fixture::{APP, RELEASE, build_on, release};
use crate::plans::squash;
use crate::world::{Act, World, path};

pub(crate) const OTHER: &str = "builds/2026/11/other.yaml";

/// A pull request of these files on `main`'s tip.
pub(crate) async fn open(
    world: &mut World,
    forge: &MemoryForge,
    files: &[(&str, Option<&str>)],
) -> Pull {
    let repo = world.memory.state_repo().clone();
    repo.reset("topic", &world.tip("main").await);
    let new = world.next_commit(files);
    let mut pull = pull(repo.push("topic", "Ada <ada@example.org>", new));
    pull.number = forge.open_pull(pull.clone());
    pull
}

pub(crate) fn pull(head: String) -> Pull {
    Pull {
        number: 0,
        title: "a change".to_owned(),
        author: "ada".to_owned(),
        head,
        base: "main".to_owned(),
        is_own: true,
        state: PullState::Open,
    }
}

/// Somebody pushes to its branch.
pub(crate) async fn push(
    world: &mut World,
    forge: &MemoryForge,
    pull: &mut Pull,
    files: &[(&str, Option<&str>)],
) {
    let repo = world.memory.state_repo().clone();
    repo.reset("topic", &pull.head);
    let new = world.next_commit(files);
    pull.head = repo.push("topic", "Ada <ada@example.org>", new);
    forge.change_pull(pull.number, |it| it.head.clone_from(&pull.head));
}

pub(crate) async fn review(world: &World, forge: &MemoryForge) -> Reviewed {
    world
        .control
        .review(forge)
        .await
        .expect("no fault is armed")
}

pub(crate) fn plan(forge: &MemoryForge, pull: &Pull) -> Check {
    seen(forge, &pull.head, "plan").expect("it has a check")
}

pub(crate) fn seen(forge: &MemoryForge, commit: &str, name: &str) -> Option<Check> {
    let mut checks = forge.checks(commit).into_iter();
    checks.find(|check| check.name == name)
}

/// Somebody merges it.
pub(crate) async fn merge(world: &mut World, forge: &MemoryForge, pull: &Pull) {
    let repo = world.memory.state_repo().clone();
    repo.reset("main", &pull.head);
    let merged = PullState::Merged(pull.head.clone());
    forge.change_pull(pull.number, |it| it.state = merged);
    let planned = world.control.plan_head().await;
    planned.expect("no fault is armed");
}

pub(crate) async fn tell(world: &World, forge: &MemoryForge) -> Told {
    world.control.tell(forge).await.expect("no fault is armed")
}

/// As people read it.
pub(crate) fn text(check: &Check) -> String {
    let mut text = format!("{:?}: {}\n\n{}", check.state, check.title, check.summary);
    for found in &check.annotations {
        let _ = writeln!(
            text,
            "\n{:?} at {}:{}:{}: {}\n  {}",
            found.level, found.path, found.line, found.column, found.message, found.help
        );
    }
    text
}

pub(crate) fn one(package: &str) -> String {
    build_on("el-10: [x86_64]", &[package])
}

#[tokio::test]
async fn a_mistake_is_marked_on_its_line_and_its_mending_shows_the_plan() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let broken = one("app").replace("el-10", "el-11");
    let mut pull = open(&mut world, &forge, &[(APP, Some(&broken))]).await;
    let reviewed = review(&world, &forge).await;
    assert_eq!((reviewed.open, reviewed.written), (1, 1));
    let check = plan(&forge, &pull);
    insta::assert_snapshot!("review_mistake", text(&check));
    let released = release(&[APP], &["base"]);
    let files = [(APP, Some(&*one("app"))), (RELEASE, Some(&*released))];
    push(&mut world, &forge, &mut pull, &files).await;
    assert_eq!(review(&world, &forge).await.written, 1);
    let check = plan(&forge, &pull);
    insta::assert_snapshot!("review_plan", text(&check));
}

#[tokio::test]
async fn what_was_said_is_not_said_again() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    assert_eq!(review(&world, &forge).await.written, 1);
    assert_eq!(review(&world, &forge).await.written, 0);
    // Another request is merged: this one's plan is as it was, over another commit.
    world.merge(&[(OTHER, Some(&one("lib")))]).await;
    assert_eq!(review(&world, &forge).await.written, 0);
    assert_eq!(review(&world, &forge).await.written, 0);
    // A ledger that was lost has the forge asked whether it is there.
    world.lose_ledger().await;
    assert_eq!(review(&world, &forge).await.open, 1);
    assert_eq!(forge.checks_written(), 1);
    let check = plan(&forge, &pull);
    assert_eq!(check.pull, Some(pull.number));
}

#[tokio::test]
async fn a_branch_that_is_behind_is_planned_as_it_would_be_merged() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    world.merge(&[(OTHER, Some(&one("lib")))]).await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    // Nothing of what was merged meanwhile.
    assert!(!check.summary.contains("other.yaml"), "{}", check.summary);
    assert!(check.summary.contains("app.yaml"), "{}", check.summary);
    // Both change one file.
    world.merge(&[(APP, Some(&one("tool")))]).await;
    assert_eq!(review(&world, &forge).await.written, 1);
    let check = plan(&forge, &pull);
    insta::assert_snapshot!("review_both", text(&check));
}

#[tokio::test]
async fn a_fork_has_nobody_called() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    forge.change_pull(pull.number, |it| it.is_own = false);
    // Would be looked up, were it asked for by somebody who may push.
    world.source("app", "main", '3');
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert!(
        check.summary.contains("is still to be looked up"),
        "{}",
        check.summary
    );
}

#[tokio::test]
async fn closed_pull_requests_are_forgotten() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let rows = |world: &World| {
        let mut rows = world.rows();
        rows.remove(&Key::forge_writes());
        rows
    };
    let before = rows(&world);
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    assert_ne!(rows(&world), before);
    forge.change_pull(pull.number, |it| it.state = PullState::Closed);
    assert_eq!(review(&world, &forge).await, Reviewed::default());
    assert_eq!(rows(&world), before);
}

pub(crate) const RESULTS: &str = "build and release";

#[tokio::test]
async fn after_the_merge_the_same_page_turns_green() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let released = release(&[APP], &["base"]);
    let files = [(APP, Some(&*one("app"))), (RELEASE, Some(&*released))];
    let mut pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    // A push that nobody has reviewed before the merge.
    push(&mut world, &forge, &mut pull, &[("README.md", Some("x"))]).await;
    merge(&mut world, &forge, &pull).await;
    assert_eq!(review(&world, &forge).await.open, 0);
    assert_eq!(
        tell(&world, &forge).await,
        Told {
            watched: 1,
            written: 1,
            ..Told::default()
        }
    );
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    insta::assert_snapshot!("tell_begun", text(&check));
    // At most once a minute.
    world.quiet().await;
    assert_eq!(tell(&world, &forge).await.written, 0);
    world.pass(61);
    assert_eq!(
        tell(&world, &forge).await,
        Told {
            watched: 1,
            written: 1,
            ..Told::default()
        }
    );
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    insta::assert_snapshot!("tell_done", text(&check));
    // Nothing is left of it.
    assert_eq!(tell(&world, &forge).await, Told::default());
    let writes = forge.checks_written();
    review(&world, &forge).await;
    assert_eq!(forge.checks_written(), writes);
}

#[tokio::test]
async fn a_failure_is_shown_first_and_its_retry_on_the_same_pages() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let files = [(APP, Some(&*one("app"))), (OTHER, Some(&*one("lib")))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    world.script(|grant| match grant.spec.title().contains("build lib") {
        true => Act::Say(broken("lib.c:1: error: `x` undeclared")),
        false => Act::Work,
    });
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Failed);
    insta::assert_snapshot!("tell_failed", text(&check));
    world.script(|_| Act::Work);
    let retried = world.control.retry_request(&path(OTHER)).await;
    assert!(retried.expect("it failed") > 0);
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!(
        (check.state, &*check.title),
        (CheckState::Passed, "Done: 6 of 6 tasks done")
    );
    assert_eq!(check.pull, Some(pull.number));
}

#[tokio::test]
async fn a_lost_ledger_does_not_leave_a_page_under_way_for_ever() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.script(|_| Act::Hold);
    world.push(&[(APP, Some(&one("app")))]);
    let commit = world.tip("main").await;
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &commit, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Running);
    world.lose_ledger().await;
    let mut world = world.telling();
    world.control.watch_open().await.expect("no fault is armed");
    world.script(|_| Act::Work);
    world.quiet().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &commit, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Passed, "{}", check.summary);
}

#[tokio::test]
async fn what_a_later_commit_changed_is_no_failure_of_this_one() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.script(|_| Act::Hold);
    world.push(&[(APP, Some(&one("app")))]);
    let first = world.tip("main").await;
    world.offer().await;
    world.push(&[(APP, Some(&one("tool")))]);
    world.offer().await;
    tell(&world, &forge).await;
    let check = seen(&forge, &first, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Passed);
    assert!(check.summary.contains("changed by"), "{}", check.summary);
}

pub(crate) fn broken(line: &str) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            kind: FailureKind::Build,
            message: "the compiler found an error".to_owned(),
            excerpt: vec!["cc -c lib.c".to_owned(), line.to_owned()],
        },
        artifacts: Vec::new(),
    }
}

/// A page that the forge does not take holds up no other one of the same commit.
#[tokio::test]
async fn one_page_that_fails_holds_up_no_other() {
    let mut written = Vec::new();
    for call in 0..3 {
        let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
        let files = [(APP, Some(&*one("app")))];
        let pull = open(&mut world, &forge, &files).await;
        review(&world, &forge).await;
        squash(&mut world, &forge, &pull, &files).await;
        review(&world, &forge).await;
        forge.fail_after(call, ports::Error::transient("write a check", "no"));
        let told = tell(&world, &forge).await;
        let pages = [pull.head.clone(), world.tip("main").await];
        let there = pages
            .iter()
            .filter(|at| seen(&forge, at, RESULTS).is_some());
        written.push((there.count(), told.failed));
    }
    assert_eq!(written, [(1, 1), (1, 1), (2, 0)]);
}
