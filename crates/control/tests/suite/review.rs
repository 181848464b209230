//! Pull requests: what their checks say, and that they are told once.

use std::fmt::Write as _;

use control::Reviewed;
use memory::MemoryForge;
use ports::{Check, Platform, Pull, PullState};

use crate::fixture::{APP, RELEASE, build_on, release};
use crate::world::World;

const OTHER: &str = "builds/2026/11/other.yaml";

/// A pull request of these files on `main`'s tip.
async fn open(world: &mut World, forge: &MemoryForge, files: &[(&str, Option<&str>)]) -> Pull {
    let repo = world.memory.state_repo().clone();
    let branch = format!("topic-{}", forge.next_number());
    repo.reset(&branch, &world.tip("main").await);
    let new = world.next_commit(files);
    let head = repo.push(&branch, "Ada <ada@example.org>", new);
    forge.open(pull(head))
}

fn pull(head: String) -> Pull {
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

async fn push(world: &mut World, forge: &MemoryForge, pull: &Pull, files: &[(&str, Option<&str>)]) {
    let repo = world.memory.state_repo().clone();
    let branch = format!("topic-{}", pull.number);
    let new = world.next_commit(files);
    let head = repo.push(&branch, "Ada <ada@example.org>", new);
    forge.push_to(pull.number, &head);
}

async fn review(world: &World, forge: &MemoryForge) -> Reviewed {
    world
        .control
        .review(forge)
        .await
        .expect("no fault is armed")
}

fn plan(forge: &MemoryForge, pull: &Pull) -> Check {
    let check = forge.check(&forge.head(pull.number), "plan");
    check.expect("it has a check")
}

/// As people read it.
fn text(check: &Check) -> String {
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

fn one(package: &str) -> String {
    build_on("el-10: [x86_64]", &[package])
}

#[tokio::test]
async fn a_mistake_is_marked_on_its_line_and_its_mending_shows_the_plan() {
    let (mut world, forge) = (World::new().await, MemoryForge::default());
    let broken = one("app").replace("el-10", "el-11");
    let pull = open(&mut world, &forge, &[(APP, Some(&broken))]).await;
    let reviewed = review(&world, &forge).await;
    assert_eq!((reviewed.open, reviewed.written), (1, 1));
    let check = plan(&forge, &pull);
    insta::assert_snapshot!("review_mistake", text(&check));
    let released = release(&[APP], &["base"]);
    let files = [(APP, Some(&*one("app"))), (RELEASE, Some(&*released))];
    push(&mut world, &forge, &pull, &files).await;
    assert_eq!(review(&world, &forge).await.written, 1);
    let check = plan(&forge, &pull);
    insta::assert_snapshot!("review_plan", text(&check));
}

#[tokio::test]
async fn what_was_said_is_not_said_again() {
    let (mut world, forge) = (World::new().await, MemoryForge::default());
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
    assert_eq!(forge.writes(), 1);
    let check = plan(&forge, &pull);
    assert_eq!(check.pull, Some(pull.number));
}

#[tokio::test]
async fn a_branch_that_is_behind_is_planned_as_it_would_be_merged() {
    let (mut world, forge) = (World::new().await, MemoryForge::default());
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
    let (mut world, forge) = (World::new().await, MemoryForge::default());
    let mut pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    pull.is_own = false;
    forge.change(&pull);
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
    let (mut world, forge) = (World::new().await, MemoryForge::default());
    let before = world.rows();
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    assert_ne!(world.rows(), before);
    forge.close(pull.number);
    assert_eq!(review(&world, &forge).await, Reviewed::default());
    assert_eq!(world.rows(), before);
}
