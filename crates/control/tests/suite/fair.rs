//! Who goes first when there are fewer runners than tasks.

use pipeline_spec::Weight;

use crate::fixture::{APP, RELEASE, build, release};
use crate::world::{Act, World};

const OTHER: &str = "builds/2026/11/other.yaml";
const FLOOD: usize = 200;
const BOB: &str = "Bob <bob@example.org>";

fn with_priority(priority: &str, packages: &[&str]) -> String {
    format!("priority: {priority}\n{}", build(packages))
}

/// The requests whose tasks are given out, in that order.
async fn grants(world: &mut World, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count
        && let Some(grant) = world.next_grant().await
    {
        seen.push(grant.task.request.to_string());
    }
    seen
}

#[tokio::test]
async fn a_flood_of_one_requester_does_not_hold_up_another() {
    let mut world = World::new().await;
    let names: Vec<String> = (0..FLOOD).map(|n| format!("flood{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        world.source(name, "main", '1');
    }
    world.push(&[(APP, Some(&build(&names)))]);
    world.offer().await;
    assert_eq!(grants(&mut world, 3).await, [APP; 3]);
    world.pass(60);
    world.push_as(BOB, &[(OTHER, Some(&build(&["tool"])))]);
    world.offer().await;
    let next = grants(&mut world, 2).await;
    assert!(next.iter().any(|request| request == OTHER), "{next:?}");
    assert_eq!(
        world
            .task(APP, "source flood0 for el-10")
            .share
            .tenant
            .as_str(),
        "ada@example.org"
    );
}

#[tokio::test]
async fn the_same_requester_twice_is_one() {
    let mut world = World::new().await;
    world.push(&[(APP, Some(&build(&["app", "lib"])))]);
    world.offer().await;
    world.pass(60);
    world.push(&[(OTHER, Some(&build(&["tool"])))]);
    world.offer().await;
    assert_eq!(grants(&mut world, 3).await, [APP, APP, OTHER]);
}

#[tokio::test]
async fn urgent_overtakes_and_background_comes_last() {
    let mut world = World::new().await;
    let urgent = "builds/2026/11/urgent.yaml";
    for (path, text) in [
        (OTHER, with_priority("background", &["app"])),
        (APP, build(&["lib"])),
        (urgent, with_priority("urgent", &["tool"])),
    ] {
        world.push(&[(path, Some(&text))]);
        world.offer().await;
        world.pass(1);
    }
    assert_eq!(grants(&mut world, 9).await, [urgent, APP, OTHER]);
    let status = world.control.status().await.expect("no fault is armed");
    let words: Vec<_> = status
        .requests
        .iter()
        .map(|it| it.priority.word())
        .collect();
    assert_eq!(words, ["urgent", "normal", "background"]);
}

/// What waits takes its new place, up or down; what is done or under way stays.
#[tokio::test]
async fn an_edit_of_the_priority_rebuilds_nothing() {
    for (before, after, expect) in [
        ("background", "urgent", [OTHER, APP]),
        ("urgent", "background", [APP, OTHER]),
    ] {
        let mut world = World::new().await;
        let text = with_priority(before, &["lib", "tool"]);
        world.push_as(BOB, &[(OTHER, Some(&text))]);
        world.offer().await;
        let held = world.next_grant().await.expect("two tasks wait");
        world.push(&[(APP, Some(&build(&["app"])))]);
        world.offer().await;
        let ids = |world: &World| -> Vec<_> {
            let tasks = world.tasks(OTHER).into_iter();
            tasks
                .map(|row| (row.task.id, row.state.word(), row.state.attempt()))
                .collect()
        };
        let known = ids(&world);
        let text = with_priority(after, &["lib", "tool"]);
        world.push_as(BOB, &[(OTHER, Some(&text))]);
        world.offer().await;
        assert_eq!(ids(&world), known, "{before} to {after}");
        assert_eq!(grants(&mut world, 9).await, expect, "{before} to {after}");
        // Each task was given out once.
        let given = world.held.iter().filter(|(_, it)| it.task == held.task);
        assert_eq!(given.count(), 1);
        world.script(|_| Act::Work);
        while !world.held.is_empty() {
            world.finish_held().await;
        }
        world.heal().await;
        assert_eq!(world.phase(OTHER).await, "succeeded");
        let rebuilt = world.tasks(OTHER).into_iter().filter(|row| row.is_past());
        assert_eq!(rebuilt.count(), 0, "nothing was superseded");
    }
}

/// Also when it becomes what it was.
#[tokio::test]
async fn an_edit_of_the_priority_publishes_nothing_again() {
    let mut world = World::new().await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let text = release(&[APP], &["base"]);
    world.merge(&[(RELEASE, Some(&text))]).await;
    let published = world.repository("base").await;
    assert!(published.starts_with("1: "), "{published}");
    for (priority, word) in [("priority: urgent\n", "urgent"), ("", "normal")] {
        world
            .merge(&[(RELEASE, Some(&format!("{text}{priority}")))])
            .await;
        assert_eq!(world.phase(RELEASE).await, "published", "{word}");
        assert_eq!(world.repository("base").await, published, "{word}");
        let status = world.control.status().await.expect("no fault is armed");
        let mut requests = status.requests.iter();
        let found = requests.find(|it| it.path.as_str() == RELEASE);
        assert_eq!(found.map(|it| it.priority.word()), Some(word));
    }
}

#[tokio::test]
async fn a_heavy_build_says_so_to_its_runner() {
    let mut world = World::new().await;
    let check = |world: &World, slots: u8| {
        let weight = |title| world.task(APP, title).weight;
        assert_eq!(weight("source app for el-10"), Weight::ONE);
        assert_eq!(weight("build app for el-10 x86_64").slots(), slots);
        assert_eq!(weight("test app on el-10 x86_64"), Weight::ONE);
    };
    let text = build(&["app"]).replace("ref: main}", "ref: main}\n    weight: 4");
    world.push(&[(APP, Some(&text))]);
    world.offer().await;
    world.next_grant().await.expect("the source waits");
    world.finish_held().await;
    world.offer().await;
    check(&world, 4);
    let heavier = text.replace("weight: 4", "weight: 64");
    world.push(&[(APP, Some(&heavier))]);
    world.offer().await;
    check(&world, 64);
    let grant = world.next_grant().await.expect("the build waits");
    assert_eq!(grant.weight.slots(), 64);
    world
        .control
        .report(std::time::Duration::ZERO)
        .await
        .expect("no fault is armed");
    world.lose_ledger().await;
    check(&world, 64);
}

/// As a twin that never crashed has them.
#[tokio::test]
async fn a_lost_ledger_comes_back_with_everyones_shares() {
    let mut world = World::new().await;
    let text = with_priority("urgent", &["app", "lib"]);
    world.push_as(BOB, &[(OTHER, Some(&text))]);
    world.offer().await;
    world.next_grant().await.expect("two tasks wait");
    // The task that is under way keeps what it was given out with.
    let text = with_priority("background", &["app", "lib"]);
    world.push(&[(OTHER, Some(&text))]);
    world.offer().await;
    world
        .control
        .report(std::time::Duration::ZERO)
        .await
        .expect("no fault is armed");
    let shares = |world: &World| -> Vec<_> {
        let tasks = world.tasks(OTHER).into_iter();
        tasks
            .map(|row| (row.task.id, row.share, row.weight))
            .collect()
    };
    let known = shares(&world);
    assert_ne!(known[0].1, known[1].1);
    world.lose_ledger().await;
    assert_eq!(shares(&world), known);
}
