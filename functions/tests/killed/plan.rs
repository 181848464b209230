//! `plan` killed at its writes, and handed a message that nobody can read.

use std::sync::Arc;

use ledger::QueueName;
use serde_json::{Value, json};

use crate::cloud::{Cloud, DELIVERIES};
use crate::end::{End, Moment, WRITE, same};
use crate::mapping::{Mapping, event};
use crate::runtime::Lambda;

const WAKE: Mapping = Mapping {
    queue: "wake-normal",
    program: env!("CARGO_BIN_EXE_plan"),
};

/// Wherever it ends: the wake comes back, and there are the rows that would have been there.
#[tokio::test]
async fn a_plan_that_is_killed_at_a_write_is_done_again() {
    let cloud = Arc::new(Cloud::new(&["app"]).await);
    let run = |end| planned(Arc::clone(&cloud), end);
    let (undisturbed, writes) = run(None).await;
    assert!(undisturbed.len() > 3, "{undisturbed:?}");
    assert!(writes > 1, "{writes}");
    let again = |end| {
        let run = run(Some(end));
        async { run.await.0 }
    };
    same(&undisturbed, End::all(writes), again).await;
}

/// Rows after a wake, and the writes of the function that ended well. The first one that gets the wake may be killed.
async fn planned(cloud: Arc<Cloud>, end: Option<End>) -> (Vec<String>, usize) {
    let cloud = cloud.twin().await;
    cloud.queue().wake().await.unwrap();
    if let Some(end) = end {
        let moment = Moment::of(&cloud.proxy, WRITE, end);
        WAKE.killed(&cloud, 1, moment).await;
    }
    cloud.proxy.end("");
    let times = if end.is_some() { 2 } else { 1 };
    WAKE.done(&cloud, 1, times).await;
    let writes = cloud.proxy.end(WRITE);
    (cloud.timeless_rows().await, writes)
}

/// The wake beside it is worked off, and what nobody can read ends where people look.
#[tokio::test]
async fn a_poison_message_is_told_and_ends_with_the_dead_letters() {
    let cloud = Cloud::new(&["app"]).await;
    let queue = cloud.queue();
    cloud
        .send(
            "advance-normal",
            r#"{"envelope":1,"format":1,"message":"?"}"#,
        )
        .await;
    let mut lambda = Lambda::start(&cloud, WAKE.program).await;
    for delivery in 1..=DELIVERIES {
        let poison = cloud.batch("advance-normal").await;
        queue.wake().await.unwrap();
        let wake = cloud.batch("wake-normal").await;
        let batch: Vec<Value> = wake.iter().chain(&poison).cloned().collect();
        let answer = lambda.answer(&event(&batch)).await;
        let failed = json!([{"itemIdentifier": poison[0]["messageId"]}]);
        assert_eq!(answer["batchItemFailures"], failed, "delivery {delivery}");
        cloud.delete("wake-normal", &wake).await;
    }
    assert!(
        !cloud.keys("requests").await.is_empty(),
        "the wake was heard"
    );
    assert_eq!(cloud.batch("advance-normal").await, Vec::<Value>::new());
    assert_eq!(queue.dead(&QueueName::advance()).await.unwrap(), 1);
    lambda.kill().await;
    let told = lambda.log();
    assert!(told.contains("a message cannot be read"), "{told}");
}
