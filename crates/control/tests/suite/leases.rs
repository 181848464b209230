//! Runners that fall silent, come back, or are not there.

use std::collections::BTreeMap;
use std::time::Duration;

use control::Taken;
use ledger::{Key, Message, QueueName, Row};
use pipeline_spec::Role;
use ports::{Platform, TaskQueue};
use runner_api::{Heartbeat, HeartbeatReply, ResultReply, Step, protocol::Attempt};

use crate::fixture::{APP, build, build_on};
use crate::runners::trouble;
use crate::world::{Act, World};

const TOOL: &str = "builds/2026/11/tool.yaml";

#[tokio::test]
async fn a_silent_runner_loses_its_lease_and_its_result_is_stale() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    world.pass(61);
    assert_eq!(
        world
            .control
            .expire_leases()
            .await
            .expect("no fault is armed"),
        1
    );
    world.script(|_| Act::Work);
    // Backoff first: the message comes later.
    world.quiet().await;
    assert_eq!(
        world.task(APP, "source app for el-10").state.word(),
        "ready"
    );
    world.pass(31);
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let (id, grant) = &world.held[0];
    let attempt = Attempt {
        task: grant.task.clone(),
        attempt: grant.attempt,
    };
    let heard = world
        .control
        .heartbeat(id, &attempt)
        .await
        .expect("no fault is armed");
    assert_eq!(heard, HeartbeatReply::Lost);
    let answer = world.finish_held().await;
    assert!(matches!(answer, ResultReply::Stale { .. }), "{answer:?}");
    assert_eq!(world.task(APP, "source app for el-10").state.attempt(), 2);
}

#[tokio::test]
async fn what_a_runner_does_is_told_to_who_asks_and_not_to_the_branch() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let before = world.written(APP).await.expect("it is reported");
    let (id, grant) = world.held[0].clone();
    let beat = Heartbeat {
        attempt: Attempt {
            task: grant.task.clone(),
            attempt: grant.attempt,
        },
        step: Some(Step::MakingRoot),
    };
    let heard = world.control.heartbeat(&id, beat).await;
    assert_eq!(heard.expect("no fault is armed"), HeartbeatReply::Continue);
    world.quiet().await;
    let detail = world.control.explain(&grant.task).await;
    let detail = detail.expect("no fault is armed").expect("it is planned");
    assert_eq!(detail.task.step.as_deref(), Some("making a clean root"));
    let because = detail.because.last().expect("a reason");
    assert!(
        because.ends_with("is at attempt 1: making a clean root"),
        "{because}"
    );
    assert!(before.contains("state: leased"), "{before}");
    assert_eq!(world.written(APP).await, Some(before));
}

#[tokio::test]
async fn a_heartbeat_keeps_the_lease() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (id, grant) = world.held[0].clone();
    let attempt = Attempt {
        task: grant.task,
        attempt: grant.attempt,
    };
    for _ in 0..3 {
        world.pass(50);
        let heard = world
            .control
            .heartbeat(&id, &attempt)
            .await
            .expect("no fault is armed");
        assert_eq!(heard, HeartbeatReply::Continue);
        assert_eq!(
            world
                .control
                .expire_leases()
                .await
                .expect("no fault is armed"),
            0
        );
    }
}

#[tokio::test]
async fn trouble_is_retried_and_ends() {
    let mut world = World::new().await;
    world.script(|_| Act::Say(trouble("reach the mirror: no route to host")));
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    for _ in 0..6 {
        world.pass(121);
        world.quiet().await;
    }
    assert_eq!(world.phase(APP).await, "failed");
    let status = world.status(APP).await;
    let task = &status.tasks[0];
    assert_eq!(
        (task.attempt, task.fault.as_deref()),
        (5, Some("infrastructure"))
    );
    assert_eq!(
        task.reason.as_deref(),
        Some(
            "gave up after attempt 5: failed to reach the mirror: no route to host; mend the cause, then `millrace retry`"
        )
    );
}

/// An architecture that is merged before somebody has made its queues stops nobody's work but its own.
#[tokio::test]
async fn a_queue_that_is_not_there_holds_up_no_other() {
    let mut world = World::new().await;
    let missing: QueueName =
        QueueName::work(Role::BuildRpm, Some(&"aarch64".parse().expect("a name")));
    world.faults.take_away(missing.clone());
    let text = build_on("el-10: [x86_64, aarch64]", &["app", "lib"]);
    let other = build_on("el-10: [x86_64]", &["tool"]);
    world.push(&[(APP, Some(&text)), (TOOL, Some(&other))]);
    world.quiet().await;
    assert_eq!(world.phase(TOOL).await, "succeeded");
    assert_eq!(world.phase(APP).await, "open");
    let waits = |rows: &BTreeMap<Key, ledger::Record>| {
        let to = |record: &ledger::Record| match &record.row {
            Row::Outbox(row) => Some(row.effect.queue.clone()),
            _ => None,
        };
        rows.values().filter_map(to).collect::<Vec<_>>()
    };
    assert_eq!(
        waits(&world.rows()),
        [missing.clone(), missing],
        "theirs wait"
    );
    let alone = world.control.dispatch().await;
    assert!(alone.is_err(), "nothing could be sent: {alone:?}");
    world.faults.disarm();
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(waits(&world.rows()), [], "all is sent");
}

#[tokio::test]
async fn lost_messages_are_sent_again_by_the_sweep() {
    let mut world = World::new().await;
    let text = build_on("el-10: [x86_64]", &["app", "lib", "tool"]);
    world.push(&[(APP, Some(&text))]);
    world.control.plan_head().await.expect("no fault is armed");
    world
        .control
        .advance(&crate::world::path(APP))
        .await
        .expect("no fault is armed");
    world.control.dispatch().await.expect("no fault is armed");
    // All three tasks' messages are lost, and the request's own.
    let queue = world.memory.queue();
    let names: Vec<_> = queue.messages().into_iter().map(|(name, _)| name).collect();
    let hour = std::time::Duration::from_secs(3600);
    for delivery in queue
        .receive(&names, 100, hour, std::time::Duration::ZERO)
        .await
        .expect("memory")
    {
        queue.acknowledge(&delivery.receipt).await.expect("memory");
    }
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "open");
    world.pass(61);
    let swept = world.control.sweep().await.expect("no fault is armed");
    assert_eq!(swept.offered, 3, "{swept:?}");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn work_that_nobody_serves_waits_and_says_so() {
    let mut world = World::new().await;
    let runner = "key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
roles: [build-rpm, test]
architectures: [x86_64]
";
    let text = build(&["app"]);
    world
        .merge(&[("runners/builder.yaml", Some(runner)), (APP, Some(&text))])
        .await;
    assert_eq!(world.phase(APP).await, "open");
    assert_eq!(
        world.task(APP, "test app on el-10 x86_64").state.word(),
        "succeeded"
    );
    let status = world.control.status().await.expect("no fault is armed");
    let said: Vec<String> = status
        .unserved
        .iter()
        .map(|need| format!("{}: {}", need.title, need.sentence()))
        .collect();
    assert_eq!(
        said,
        [
            "build app for el-10 aarch64: no enrolled runner has the role build-rpm for aarch64: enrol one in runners/, or take the architecture out of the request"
        ]
    );
}

#[tokio::test]
async fn a_stale_message_does_not_end_a_runners_wait() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app", "lib"])))]).await;
    let (id, first) = world.held[0].clone();
    // Two dispatchers had read the outbox: the message of a task that is leased comes once more.
    let again = Message::Attempt {
        task: first.task.clone(),
        attempt: first.attempt,
    };
    let queue = QueueName::work(first.spec.role(), first.spec.arch());
    let sent = world
        .memory
        .queue()
        .send(&queue, &again, &ports::Place::at(0))
        .await;
    sent.expect("memory");
    let tool = "builds/2026/11/tool.yaml";
    world.push(&[(tool, Some(&build(&["tool"])))]);
    world.control.plan_head().await.expect("no fault is armed");
    let path = crate::world::path(tool);
    world
        .control
        .advance(&path)
        .await
        .expect("no fault is armed");
    world.control.dispatch().await.expect("no fault is armed");
    let runner = world.control.runner(&id).await.expect("no fault is armed");
    let runner = runner.expect("it is enrolled");
    let taken = world.control.take(&id, &runner, Duration::ZERO).await;
    let Taken::Granted(grant) = taken.expect("no fault is armed") else {
        panic!("the runner is sent away, and there is work");
    };
    assert_eq!(grant.task.request, path);
}
