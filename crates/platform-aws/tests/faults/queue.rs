//! SQS that is busy, messages that nobody can read, and waits.

use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use emulator::Kind;
use ledger::{QueueName, Share, Tenant};
use pipeline_spec::Priority;
use platform_aws::{Installation, SqsQueue, WallClock, provision_queues};
use ports::{Clock, Delivery, Error, Letter, Place, TaskQueue};

use crate::common::proxy::{Fault, Proxy};
use crate::common::{QUICK, clients, endpoint, installation, message};

const HOUR: Duration = Duration::from_secs(3_600);
/// Deliveries until SQS gives a message up.
const DELIVERIES: u32 = 3;

async fn make() -> (SqsQueue, Proxy, Installation) {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    let mut installation = installation(proxy.url.clone());
    installation.patience = QUICK;
    let clients = clients(installation.clone());
    let names = [name(), QueueName::report()];
    provision_queues(&clients, &names, DELIVERIES)
        .await
        .unwrap();
    (SqsQueue::new(clients), proxy, installation)
}

fn name() -> QueueName {
    QueueName::advance()
}

async fn send(queue: &SqsQueue, text: &str, priority: Priority) {
    let share = Share {
        tenant: Tenant::NOBODY,
        priority,
    };
    let not_before = 0;
    let place = Place { not_before, share };
    queue.send(&name(), &message(text), &place).await.unwrap();
}

/// What comes within `wait`, hidden for `hide`.
async fn receive(queue: &SqsQueue, hide: Duration, wait: Duration) -> Vec<Delivery> {
    queue.receive(&[name()], 10, hide, wait).await.unwrap()
}

/// Something that is no message of ours, straight into SQS.
pub(crate) async fn smuggle(installation: &Installation, body: &str) {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(installation.region.clone()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(installation.endpoint.clone().unwrap())
        .build();
    let client = aws_sdk_sqs::Client::from_conf(config);
    let queue = format!("{}-advance-normal", installation.queue_prefix);
    let url = client.get_queue_url().queue_name(queue).send();
    let url = url.await.unwrap().queue_url.unwrap();
    let send = client.send_message().queue_url(url).message_body(body);
    send.send().await.unwrap();
}

#[tokio::test]
async fn what_passes_is_tried_again_and_is_transient_in_the_end() {
    let (queue, proxy, _) = make().await;
    for fault in [
        Fault::Instead(400, "RequestThrottled"),
        Fault::Instead(400, "ThrottlingException"),
        Fault::Instead(403, "OverLimit"),
        Fault::Instead(500, "InternalFailure"),
        Fault::Body(503, "<html>".to_owned()),
    ] {
        let all = ["SendMessage", "ReceiveMessage", "DeleteMessage"];
        for action in all {
            proxy.fault(action, 3, fault.clone());
        }
        send(&queue, "one", Priority::Urgent).await;
        let got = receive(&queue, HOUR, Duration::ZERO).await;
        queue.acknowledge(&got[0].receipt).await.unwrap();
        assert_eq!(queue.depth(&name()).await.unwrap(), 0);
        proxy.end("");
        for action in all {
            proxy.fault(action, 100, fault.clone());
        }
        let sent = queue.send(&name(), &message("no"), &Place::at(0)).await;
        let received = queue.receive(&[name()], 1, HOUR, Duration::ZERO).await;
        let acknowledged = queue.acknowledge(&got[0].receipt).await;
        for error in [
            sent.unwrap_err(),
            received.unwrap_err(),
            acknowledged.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Transient { .. }), "{error}");
        }
        proxy.end("");
    }
}

/// Of what was received and not heard of, nothing is lost.
#[tokio::test]
async fn a_lost_answer_costs_time_and_no_message() {
    let (queue, proxy, _) = make().await;
    proxy.fault("SendMessage", 1, Fault::Lost);
    send(&queue, "one", Priority::Normal).await;
    proxy.fault("ReceiveMessage", 3, Fault::Lost);
    let second = Duration::from_secs(1);
    let (mut seen, mut tries) = (0, 0);
    while seen == 0 {
        seen = receive(&queue, second, 2 * second).await.len();
        tries += 1;
        assert!(tries < 20, "it never comes back");
    }
}

/// A queue that is not there does not keep messages of the others back.
#[tokio::test]
async fn a_missing_queue_holds_up_no_other() {
    let (queue, _, _) = make().await;
    send(&queue, "one", Priority::Background).await;
    let missing = QueueName::work(pipeline_spec::Role::Compose, None);
    let queues = [missing.clone(), name()];
    let got = queue.receive(&queues, 1, HOUR, Duration::ZERO).await;
    assert_eq!(got.unwrap().len(), 1);
    // Nobody can have sent anything there.
    let own = [missing.clone()];
    let nothing = queue.receive(&own, 1, HOUR, Duration::ZERO).await;
    assert!(nothing.unwrap().is_empty());
    let place = Place::at(0);
    let error = queue.send(&missing, &message("lost"), &place).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error}");
    assert!(
        error.to_string().contains("make it with Terraform"),
        "{error}"
    );
}

#[tokio::test]
async fn what_nobody_can_read_ends_with_the_dead_letters_and_holds_up_nobody() {
    let (queue, _, installation) = make().await;
    let newer = r#"{"envelope":2,"format":9,"letter":"of another form"}"#;
    let unknown = r#"{"envelope":1,"format":9,"message":{"message":"sing"}}"#;
    for body in ["no JSON", newer, unknown] {
        smuggle(&installation, body).await;
    }
    // A queue full of it: more than one answer has room for.
    for _ in 0..15 {
        smuggle(&installation, "{}").await;
    }
    send(&queue, "one", Priority::Normal).await;
    let got = receive(&queue, Duration::from_secs(1), Duration::ZERO).await;
    let names: Vec<_> = got.iter().map(|got| got.message.name()).collect();
    assert_eq!(names, [message("one").name()], "behind 18 that are none");
    queue.acknowledge(&got[0].receipt).await.unwrap();
    for _ in 0..30 {
        if queue.dead(&name()).await.unwrap() == 18 {
            break;
        }
        let second = Duration::from_secs(1);
        let got = receive(&queue, second, second).await;
        assert!(got.is_empty(), "{got:?}");
    }
    assert_eq!(queue.dead(&name()).await.unwrap(), 18);
    assert_eq!(queue.depth(&name()).await.unwrap(), 0);
}

/// As one comes whose delay was longer than SQS can have.
#[tokio::test]
async fn what_comes_early_is_sent_back() {
    let (queue, _, installation) = make().await;
    let due = WallClock.now() + 3_000;
    let body = format!(
        r#"{{"envelope":1,"format":2,"message":{{"message":"configuration"}},"not_before":{due}}}"#
    );
    smuggle(&installation, &body).await;
    assert!(receive(&queue, HOUR, Duration::ZERO).await.is_empty());
    assert_eq!(queue.depth(&name()).await.unwrap(), 1, "it waits");
    let got = receive(&queue, HOUR, Duration::from_secs(20)).await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].deliveries, 1, "waiting is no delivery");
    assert!(WallClock.now() >= due, "it comes when it is due");
}

/// Several come during one wait; one is taken. The others are there for whoever asks next.
#[tokio::test]
async fn what_a_wait_does_not_need_is_given_back() {
    let (queue, proxy, _) = make().await;
    let waiting = queue.clone();
    let long = Duration::from_secs(20);
    let waiting =
        tokio::spawn(async move { waiting.receive(&[name()], 1, HOUR, long).await.unwrap() });
    // One request for each priority finds nothing; the next ones wait.
    proxy.until("ReceiveMessage", 6).await;
    tokio::join!(
        send(&queue, "b", Priority::Background),
        send(&queue, "u", Priority::Urgent),
        send(&queue, "n", Priority::Normal),
    );
    let mut seen = waiting.await.unwrap();
    assert_eq!(seen.len(), 1);
    let end = tokio::time::Instant::now() + Duration::from_secs(40);
    while seen.len() < 3 {
        assert!(tokio::time::Instant::now() < end, "{seen:?} is all");
        seen.extend(receive(&queue, HOUR, Duration::from_secs(2)).await);
    }
    let mut names: Vec<_> = seen.iter().map(|got| got.message.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["b", "n", "u"].map(|text| message(text).name()));
}

fn letters(names: &[&str]) -> Vec<Letter> {
    let letter = |text: &&str| Letter {
        queue: name(),
        message: message(text),
        place: Place::at(0),
    };
    names.iter().map(letter).collect()
}

/// An answer to a batch in which all of `ids` have failed.
fn refused(ids: std::ops::Range<usize>, code: &str, sender_fault: bool) -> Fault {
    let entry = |id| {
        format!(
            r#"{{"Id":"{id}","Code":"{code}","SenderFault":{sender_fault},"Message":"injected"}}"#
        )
    };
    let failed: Vec<_> = ids.map(entry).collect();
    let failed = failed.join(",");
    Fault::Body(200, format!(r#"{{"Successful":[],"Failed":[{failed}]}}"#))
}

#[tokio::test]
async fn a_batch_is_one_request_for_ten() {
    let (queue, proxy, _) = make().await;
    let names: Vec<_> = (0..25).map(|n| n.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    queue.send_all(&letters(&names)).await.unwrap();
    assert_eq!(proxy.end("SendMessageBatch"), 3);
    let mut got = Vec::new();
    while got.len() < 25 {
        got.extend(receive(&queue, HOUR, Duration::ZERO).await);
    }
    let receipts: Vec<_> = got.iter().map(|got| got.receipt.as_str()).collect();
    proxy.end("");
    queue.acknowledge_all(&receipts).await.unwrap();
    assert_eq!(proxy.end("DeleteMessage"), 3);
    assert_eq!(queue.depth(&name()).await.unwrap(), 0);
}

/// Of a batch, entries may fail by themselves.
#[tokio::test]
async fn what_fails_of_a_batch_is_tried_again_alone() {
    let (queue, proxy, _) = make().await;
    for fault in [
        refused(0..3, "InternalError", false),
        refused(0..3, "ThrottlingException", true),
        refused(0..1, "InternalError", false),
    ] {
        proxy.fault("SendMessageBatch", 2, fault.clone());
        queue.send_all(&letters(&["x", "y", "z"])).await.unwrap();
        assert_eq!(proxy.end("SendMessageBatch"), 3);
        assert_eq!(queue.depth(&name()).await.unwrap(), 3);
        let got = receive(&queue, HOUR, Duration::ZERO).await;
        let receipts: Vec<_> = got.iter().map(|got| got.receipt.as_str()).collect();
        proxy.fault("DeleteMessageBatch", 2, fault.clone());
        queue.acknowledge_all(&receipts).await.unwrap();
        assert_eq!(proxy.end("DeleteMessageBatch"), 3);
        assert_eq!(queue.depth(&name()).await.unwrap(), 0);
        proxy.fault("SendMessageBatch", 100, fault);
        let error = queue
            .send_all(&letters(&["x", "y", "z"]))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error}");
        assert!(
            error.to_string().contains("3 of a batch are left"),
            "{error}"
        );
        assert_eq!(proxy.end("SendMessageBatch"), QUICK.attempts as usize);
    }
}

#[tokio::test]
async fn what_a_batch_can_never_send_is_an_error_after_the_others() {
    let (queue, proxy, _) = make().await;
    // The first of two can never be sent, and the other is not told of.
    proxy.fault(
        "SendMessageBatch",
        1,
        refused(0..1, "InvalidMessageContents", true),
    );
    let error = queue
        .send_all(&letters(&["never", "sent"]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(proxy.end("SendMessageBatch"), 2);
    let got = receive(&queue, HOUR, Duration::ZERO).await;
    let names: Vec<_> = got.iter().map(|got| got.message.name()).collect();
    assert_eq!(names, [message("sent").name()]);
    // Of a removal, a message that somebody else has now is no error.
    proxy.fault(
        "DeleteMessageBatch",
        1,
        refused(0..1, "ReceiptHandleIsInvalid", true),
    );
    queue.acknowledge_all(&[&got[0].receipt]).await.unwrap();
    assert_eq!(proxy.end("DeleteMessageBatch"), 1);
    let error = queue.acknowledge_all(&["nonsense"]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn receipts_of_strangers_are_refused() {
    let (queue, _, _) = make().await;
    let error = queue.acknowledge("nonsense").await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
