//! Every kind of request that the adapters make, judged by the forges' own descriptions of their APIs.

mod common;

use common::World;
use fake_forge::forge::Kind;
use forge::{GitHub, Gitea, Secret};
use ports::contract::{ForgeWorld, Home};
use ports::{Action, Annotation, Check, CheckState, Forge, Level, Permission, PullState, Reply};

#[tokio::test]
async fn github() {
    let Some((world, judge)) = World::judged(Kind::GitHub) else {
        return;
    };
    let address = World::address_at(judge.url());
    let forge = GitHub::new(address, world.app(), world.clock.clone()).expect("an adapter");
    asks_everything(&forge, &world).await;
    forge.push_token().await.expect("a token for pushes");
}

#[tokio::test]
async fn gitea() {
    let Some((world, judge)) = World::judged(Kind::Gitea) else {
        return;
    };
    let address = World::address_at(judge.url());
    let token = Secret::new(&world.fake.token());
    let forge = Gitea::new(address, token, world.clock.clone()).expect("an adapter");
    asks_everything(&forge, &world).await;
}

/// A request that does not fit is an error: the judge says 422, and it never reaches the forge.
async fn asks_everything(forge: &impl Forge, world: &World) {
    let number = world.open("ada", "Build zlib", "main", Home::Own).await;
    world.open("eve", "More", "main", Home::Fork).await;
    let open = forge.open_pulls("main").await.expect("list pull requests");
    assert_eq!(open.len(), 2);
    let none = forge.pull(4_711).await.expect("look for a pull request");
    assert_eq!(none, None);
    world.grant("ada", Permission::Write).await;
    let permission = forge.permission("ada").await.expect("ask for a permission");
    assert_eq!(permission, Permission::Write);

    let comment = world.comment("ada", number, "/millrace plan").await;
    let reply = Reply {
        pull: number,
        comment,
        written: 1_767_225_600_000,
        text: "The plan was made anew.".to_owned(),
    };
    for _ in 0..2 {
        forge.answer(&reply).await.expect("answer a comment");
    }
    assert_eq!(world.answers(number).await, ["The plan was made anew."]);
    let is_program = forge.is_program("ada").await.expect("ask who writes");
    assert!(!is_program);

    let mut check = check(&world.fake.head_of(number), number);
    for (state, annotations) in [
        (CheckState::Waiting, 0),
        (CheckState::Running, 0),
        (CheckState::Failed, 120),
        (CheckState::Failed, 1),
        (CheckState::Neutral, 0),
        (CheckState::Passed, 0),
    ] {
        check.state = state;
        check.annotations = (1..=annotations).map(annotation).collect();
        check.digest = format!("{state:?} {annotations}");
        forge.write_check(&check).await.expect("write a check");
        let shown = world.shown(&check.commit).await;
        assert_eq!(shown[0].annotations, annotations as usize);
    }
    let merged = world.merge(number).await;
    let pull = forge.pull(number).await.expect("read a pull request");
    let state = PullState::Merged(merged.clone());
    assert_eq!(pull.map(|pull| pull.state), Some(state));
    for (commit, expect) in [(&merged, Some(number)), (&check.commit, None)] {
        let brought = forge.pull_of(commit).await.expect("ask for a pull request");
        assert_eq!(brought.map(|pull| pull.number), expect);
    }
}

fn check(commit: &str, number: u64) -> Check {
    Check {
        name: "plan".to_owned(),
        commit: commit.to_owned(),
        pull: Some(number),
        state: CheckState::Waiting,
        title: "Builds 2 packages".to_owned(),
        summary: "| package |\n|---|\n| zlib |\n".to_owned(),
        annotations: Vec::new(),
        actions: vec![Action {
            name: "retry",
            label: "Retry failed",
            what: "Tries what failed again",
        }],
        details: Some("https://millrace.example.org/plan/1".to_owned()),
        digest: String::new(),
    }
}

fn annotation(line: u32) -> Annotation {
    Annotation {
        path: "builds/zlib.yaml".to_owned(),
        line,
        column: 3,
        level: Level::Warning,
        message: "no such platform".to_owned(),
        help: "write debian-12".to_owned(),
    }
}
