//! A plan as people read it at Gitea, in the comment on a pull request.

mod common;

use common::World;
use fake_forge::forge::Kind;
use ports::contract::{ForgeWorld, Home};
use ports::{Check, CheckState, Forge};

/// What the control plane says of releases, as its own snapshot has it.
const PLAN: &str =
    include_str!("../../control/tests/suite/snapshots/suite__plans__plan_released.snap");

#[tokio::test]
async fn a_plan_with_its_versions() {
    let world = World::new(Kind::Gitea);
    let number = world.open("ada", "Release app", "main", Home::Own).await;
    let commit = world.fake.head_of(number);
    let mut parts = PLAN.splitn(3, "---\n");
    let plan = parts.nth(2).expect("a snapshot has a head");
    let (first, summary) = plan.split_once("\n\n").expect("a line and a text");
    let title = first.strip_prefix("Passed: ").expect("it can be planned");
    let check = Check {
        name: "plan".to_owned(),
        commit: commit.clone(),
        pull: Some(number),
        state: CheckState::Passed,
        title: title.to_owned(),
        summary: summary.to_owned(),
        annotations: Vec::new(),
        actions: Vec::new(),
        details: None,
        digest: "1".to_owned(),
    };
    let written = world.gitea().write_check(&check).await;
    written.expect("no fault is armed");
    let comments = world.fake.comments(number);
    let [comment] = comments.as_slice() else {
        panic!("one comment is kept up to date: {comments:#?}");
    };
    let text = comment.body.replace(&commit, "COMMIT");
    insta::assert_snapshot!("plan_as_a_comment", text.replace(&commit[..12], "COMMIT"));
}
