//! `dispatch` killed between its messages and its rows, and a service of parameters that is late.

use std::time::Duration;

use ledger::{Change, Key, Message, QueueName};
use ports::{Applied, Ledger as _, TaskQueue as _};
use serde_json::json;

use crate::cloud::Cloud;
use crate::end::{End, Moment, WRITE};
use crate::proxy::Fault;
use crate::runtime::Lambda;

const DISPATCH: &str = env!("CARGO_BIN_EXE_dispatch");

/// What was sent is sent again, and what is in the outbox is sent.
#[tokio::test]
async fn a_dispatch_that_is_killed_is_done_again() {
    const MESSAGES: usize = 12;
    let cloud = Cloud::new(&["app"]).await;
    let (ledger, queue) = (cloud.ledger(), cloud.queue());
    let message = |number: usize| Message::Report {
        request: format!("builds/2026/07/{number}.yaml").parse().unwrap(),
    };
    let mut change = Change::default();
    for number in 0..MESSAGES {
        change.effect(QueueName::report(), message(number), 0);
    }
    assert_eq!(ledger.apply(change, 1).await.unwrap(), Applied::Done);
    // Its rows are deleted behind the messages.
    let moment = Moment::of(&cloud.proxy, WRITE, End::Before(0));
    let mut lambda = Lambda::start(&cloud, DISPATCH).await;
    lambda.hand(&json!({}));
    lambda.ends(moment).await;
    assert_eq!(cloud.keys("outbox").await.len(), MESSAGES);

    let lambda = Lambda::start(&cloud, DISPATCH).await;
    lambda.answer(&json!({})).await;
    assert_eq!(cloud.keys("outbox").await, Vec::<Key>::new());
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

/// A function cannot begin without its document, so it asks again, also where there is no answer at all.
#[tokio::test]
async fn parameters_that_come_late_are_waited_for() {
    for fault in [
        Fault::Instead(400, "ThrottlingException"),
        Fault::Instead(500, "InternalServerError"),
        Fault::Body(503, "<html>".to_owned()),
        Fault::Late(Duration::from_secs(3_600)),
    ] {
        let cloud = Cloud::new(&["app"]).await;
        cloud.proxy.fault("GetParameter", 1, fault);
        let lambda = Lambda::start(&cloud, DISPATCH).await;
        lambda.answer(&json!({})).await;
        assert_eq!(cloud.proxy.end("GetParameter"), 2);
    }
}
