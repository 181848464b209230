//! The real programs over an emulator, started as AWS starts them: killed at their time limit in the middle of their work,
//! handed a message that nobody can read, and kept waiting by the service of parameters.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and this one starts programs"
)]

mod cloud;
// The faults of the adapters' own tests.
#[path = "../../../crates/platform-aws/tests/common/proxy.rs"]
#[allow(dead_code, reason = "not all of its faults are needed here")]
mod proxy;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use cloud::{Cloud, DELIVERIES};
use ledger::{Change, Message, QueueName};
use platform_aws::{DynamoLedger, SqsQueue};
use ports::{Applied, Ledger as _, TaskQueue as _};
use proxy::Fault;
use runtime::Lambda;
use serde_json::{Value, json};
use tokio::sync::Notify;

const PLAN: &str = env!("CARGO_BIN_EXE_plan");
const DISPATCH: &str = env!("CARGO_BIN_EXE_dispatch");

/// The next of these requests is where the function is when its time ends.
fn ends_at(cloud: &Cloud, action: &str, passed: usize) -> Arc<Notify> {
    let [there, on] = [(); 2].map(|()| Arc::new(Notify::new()));
    if passed > 0 {
        cloud
            .proxy
            .fault(action, passed, Fault::Late(Duration::ZERO));
    }
    let there_too = Arc::clone(&there);
    cloud.proxy.fault(action, 1, Fault::Paused { there, on });
    there_too
}

/// What was sent is sent again, and what is in the outbox is sent.
#[tokio::test]
async fn a_dispatch_that_is_killed_is_done_again() {
    const MESSAGES: usize = 12;
    let cloud = Cloud::new().await;
    let (ledger, queue) = (
        DynamoLedger::new(cloud.clients()),
        SqsQueue::new(cloud.clients()),
    );
    let message = |number: usize| Message::Report {
        request: format!("builds/2026/07/{number}.yaml").parse().unwrap(),
    };
    let mut change = Change::default();
    for number in 0..MESSAGES {
        change.effect(QueueName::report(), message(number), 0);
    }
    assert_eq!(ledger.apply(change, 1).await.unwrap(), Applied::Done);
    // Its rows are deleted behind the messages.
    let there = ends_at(&cloud, "TransactWriteItems", 0);
    let mut lambda = Lambda::start(&cloud, DISPATCH).await;
    lambda.hand(&json!({}));
    there.notified().await;
    lambda.kill().await;
    assert_eq!(cloud.rows("outbox").await.len(), MESSAGES);

    let lambda = Lambda::start(&cloud, DISPATCH).await;
    lambda.answer(&json!({})).await;
    assert_eq!(cloud.rows("outbox").await, Vec::<String>::new());
    let (hide, name) = (Duration::from_secs(3_600), [QueueName::report()]);
    let got = queue.receive(&name, 100, hide, Duration::ZERO);
    let got = got.await.unwrap();
    for number in 0..MESSAGES {
        let times = got
            .iter()
            .filter(|it| it.message == message(number))
            .count();
        assert_eq!(
            times, 2,
            "message {number}: sent before the end and after it"
        );
    }
}

/// Wherever it ends: the wake comes back, and there are the rows that would have been there.
#[tokio::test]
async fn a_plan_that_is_killed_at_a_write_is_done_again() {
    let (undisturbed, writes) = planned(None).await;
    assert!(undisturbed.len() > 3, "{undisturbed:?}");
    assert!(writes > 1, "{writes}");
    for write in 0..writes {
        let (rows, _) = planned(Some(write)).await;
        assert_eq!(rows, undisturbed, "killed at write {write} of {writes}");
    }
}

/// Rows after a wake, and the writes of the function that ended well; the first one that gets the wake is killed after
/// so many.
async fn planned(killed_after: Option<usize>) -> (Vec<String>, usize) {
    let cloud = Cloud::new().await;
    SqsQueue::new(cloud.clients()).wake().await.unwrap();
    if let Some(writes) = killed_after {
        let there = ends_at(&cloud, "TransactWriteItems", writes);
        let mut lambda = Lambda::start(&cloud, PLAN).await;
        let batch = cloud.batch("wake-normal").await;
        assert_eq!(batch.len(), 1);
        lambda.hand(&event(&batch));
        there.notified().await;
        lambda.kill().await;
    }
    cloud.proxy.end("");
    let lambda = Lambda::start(&cloud, PLAN).await;
    let batch = cloud.batch("wake-normal").await;
    let came = &batch[0]["attributes"]["ApproximateReceiveCount"];
    let expect = if killed_after.is_some() { "2" } else { "1" };
    assert_eq!(came, expect, "it comes back once its time is over");
    let answer = lambda.answer(&event(&batch)).await;
    assert_eq!(answer["batchItemFailures"], json!([]));
    let mut rows = cloud.all_rows().await;
    // The outbox is in the order of time.
    let without_time = |row: &mut String| match row.split_once('/') {
        Some((time, rest)) if time.starts_with("outbox ") => *row = format!("outbox {rest}"),
        _ => {}
    };
    rows.iter_mut().for_each(without_time);
    rows.sort_unstable();
    (rows, cloud.proxy.end("TransactWriteItems"))
}

fn event(batch: &[Value]) -> Value {
    json!({ "Records": batch })
}

/// The wake beside it is worked off, and what nobody can read ends where people look.
#[tokio::test]
async fn a_poison_message_is_told_and_ends_with_the_dead_letters() {
    let cloud = Cloud::new().await;
    let queue = SqsQueue::new(cloud.clients());
    cloud
        .send(
            "advance-normal",
            r#"{"envelope":1,"format":1,"message":"?"}"#,
        )
        .await;
    let mut lambda = Lambda::start(&cloud, PLAN).await;
    for delivery in 1..=DELIVERIES {
        let poison = cloud.batch("advance-normal").await;
        queue.wake().await.unwrap();
        let wake = cloud.batch("wake-normal").await;
        let batch: Vec<Value> = wake.iter().chain(&poison).cloned().collect();
        let answer = lambda.answer(&event(&batch)).await;
        let failed = json!([{"itemIdentifier": poison[0]["messageId"]}]);
        assert_eq!(answer["batchItemFailures"], failed, "delivery {delivery}");
        cloud.delete("wake-normal", &wake[0]).await;
    }
    assert!(
        !cloud.rows("requests").await.is_empty(),
        "the wake was heard"
    );
    assert_eq!(cloud.batch("advance-normal").await, Vec::<Value>::new());
    assert_eq!(queue.dead(&QueueName::advance()).await.unwrap(), 1);
    lambda.kill().await;
    let told = lambda.log();
    assert!(told.contains("a message cannot be read"), "{told}");
}

/// A function cannot begin without its document, so it asks again, also where there is no answer at all.
#[tokio::test]
async fn parameters_that_come_late_are_waited_for() {
    for fault in [
        Fault::Instead(400, "ThrottlingException"),
        Fault::Instead(500, "InternalServerError"),
        Fault::Body(503, "<html>".to_owned()),
        Fault::Late(Duration::from_secs(3_600)),
    ] {
        let cloud = Cloud::new().await;
        cloud.proxy.fault("GetParameter", 1, fault);
        let lambda = Lambda::start(&cloud, DISPATCH).await;
        lambda.answer(&json!({})).await;
        assert_eq!(cloud.proxy.end("GetParameter"), 2);
    }
}
