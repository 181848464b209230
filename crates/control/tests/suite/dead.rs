//! Messages that fail again and again.

use std::time::Duration;

use ledger::{Change, Key, Message, QueueName, Row};
use ports::{Ledger as _, Platform as _, TaskQueue as _};

use crate::fixture::{APP, build};
use crate::world::{Act, World, path};

const TOOL: &str = "builds/2026/11/tool.yaml";

/// A row that no version of the program has written there.
fn wrong() -> Key {
    Key {
        partition: Key::request_partition(&path(APP)),
        sort: "task/wrong".to_owned(),
    }
}

async fn write(world: &World, change: Change) {
    let applied = world.memory.ledger().apply(change, 0).await;
    assert_eq!(applied.expect("memory"), ports::Applied::Done);
}

/// What the loops do with one request's messages; answers how many were there.
async fn advance(world: &World) -> usize {
    let queue = world.control.platform().queue();
    let claim = Duration::from_secs(60);
    let queues = [QueueName::advance()];
    let taken = queue.receive(&queues, 100, claim, Duration::ZERO);
    let deliveries = taken.await.expect("memory");
    for delivery in &deliveries {
        let Message::Advance { request } = &delivery.message else {
            panic!("{delivery:?}");
        };
        match world.control.advance(request).await {
            Ok(()) => queue.acknowledge(&delivery.receipt).await.expect("memory"),
            Err(error) => {
                let given_up = world.control.give_up(delivery, &error).await;
                given_up.expect("no fault is armed");
            }
        }
    }
    deliveries.len()
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_given_up_and_holds_up_nobody() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let mut change = Change::default();
    let request = path(APP);
    change.put(wrong(), Row::Index { request });
    for message in [
        (
            QueueName::advance(),
            Message::Advance { request: path(APP) },
        ),
        (QueueName::report(), Message::Report { request: path(APP) }),
    ] {
        change.effect(message.0, message.1, 0);
    }
    write(&world, change).await;
    world.push(&[(TOOL, Some(&build(&["tool"])))]);
    world.control.plan_head().await.expect("no fault is armed");
    world.control.dispatch().await.expect("no fault is armed");
    world
        .control
        .report(Duration::ZERO)
        .await
        .expect("the other is written");
    assert!(world.written(TOOL).await.is_some());

    let mut rounds = 0;
    while advance(&world).await > 0 || world.control.report(Duration::ZERO).await.is_err() {
        rounds += 1;
        assert!(rounds < 20, "it comes back for ever");
        world.pass(121);
    }
    let status = world.control.status().await.expect("it is told");
    let letters: Vec<String> = status
        .dead_letters
        .iter()
        .map(|it| format!("{} x{}: {}", it.message.name(), it.deliveries, it.error))
        .collect();
    assert_eq!(
        letters,
        [
            "advance builds/2026/11/app.yaml x10: read request/builds/2026/11/app.yaml task/wrong: the row is of another kind",
            "report builds/2026/11/app.yaml x10: read request/builds/2026/11/app.yaml task/wrong: the row is of another kind",
        ]
    );
    assert_eq!(status.problems.len(), 1, "{:?}", status.problems);
    assert!(status.requests.iter().any(|it| it.path == path(TOOL)));

    let mut mended = Change::default();
    mended.delete(wrong());
    write(&world, mended).await;
    world.control.sweep().await.expect("no fault is armed");
    let status = world.control.status().await.expect("no fault is armed");
    assert_eq!((status.dead_letters, status.problems), (vec![], vec![]));
}

#[tokio::test]
async fn a_task_that_no_runner_can_do_says_so_in_its_status() {
    let mut world = World::new().await;
    world.push(&[("runners/builder.yaml", None)]);
    world.quiet().await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let notes: Vec<String> = world
        .status(APP)
        .await
        .notes
        .iter()
        .map(|note| format!("{}: {}", note.subject, note.why))
        .filter(|note| note.contains("runner"))
        .collect();
    assert_eq!(
        notes,
        [
            "build-rpm on x86_64: 1 task waits: no enrolled runner has the role build-rpm for x86_64: enrol one in runners/, or take the architecture out of the request"
        ]
    );
    let written = world.written(APP).await.expect("it is reported");
    assert!(written.contains("1 task waits"), "{written}");
}
