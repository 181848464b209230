//! Buttons of checks, from a press at the double of GitHub to what is asked for.

mod common;

use common::World;
use fake_forge::forge::{Delivery, Kind, Manner};
use forge::webhook::{messages, read};
use ledger::Message;
use ports::contract::{ForgeWorld as _, Home};
use ports::{Action, Check, CheckState, Forge as _};

const NAME: &str = "build and release";

fn check(commit: &str, state: CheckState, digest: &str) -> Check {
    let retry = Action {
        name: "retry",
        label: "Retry what failed",
        what: "Another attempt at each failed task",
    };
    Check {
        name: NAME.to_owned(),
        commit: commit.to_owned(),
        pull: None,
        state,
        title: "1 failed".to_owned(),
        summary: "It failed.".to_owned(),
        annotations: Vec::new(),
        actions: vec![retry],
        details: None,
        digest: digest.to_owned(),
    }
}

/// The name of what a delivery asks for.
fn asked(delivery: &Delivery) -> String {
    let header = |name: &str| {
        let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let found = delivery.headers.iter().find(is_it);
        found.map(|(_, value)| value.as_str())
    };
    let hook = read(&header, &delivery.body).expect("it can be read");
    let asked = messages(&hook, None).into_iter().find_map(|it| match it {
        Message::Asked(asked) => Some(asked.id),
        _ => None,
    });
    asked.expect("it asks")
}

/// What the newest press asks for.
fn press(world: &World, commit: &str) -> String {
    let check = format!("millrace / {NAME}");
    world.fake.click(commit, &check, "retry", "distro");
    let deliveries = world.fake.deliveries().into_iter();
    let mut presses = deliveries.filter(|it| it.action == "requested_action");
    asked(&presses.next_back().expect("it was pressed"))
}

#[tokio::test]
async fn each_failure_has_a_button_of_its_own() {
    let world = World::new(Kind::GitHub);
    // Nobody is there: what is sent is looked at here.
    world.fake.deliver(Manner::Never);
    world.fake.webhooks_to("http://127.0.0.1:9", "secret");
    let github = world.github();
    let pull = world.open("ada", "Add a", "main", Home::Own).await;
    let commit = world.fake.head_of(pull);
    let write = async |state, digest| {
        let written = github.write_check(&check(&commit, state, digest)).await;
        written.expect("no fault is armed");
        world.later(1);
    };
    write(CheckState::Failed, "failed").await;
    let first = press(&world, &commit);
    assert_eq!(first, press(&world, &commit), "a double click");
    write(CheckState::Running, "running").await;
    write(CheckState::Failed, "failed").await;
    let second = press(&world, &commit);
    assert_ne!(first, second, "it failed in the same way");
}
