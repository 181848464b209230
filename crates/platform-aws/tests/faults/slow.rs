//! Services that do what they are asked, and answer too late to be heard.

use std::time::Duration;

use bytes::Bytes;
use emulator::Kind;
use ledger::QueueName;
use platform_aws::{Installation, S3Store, SqsQueue, provision_bucket, provision_queues};
use ports::{ArtifactStore, Place, TaskQueue};

use crate::common::proxy::{Fault, Proxy};
use crate::common::{QUICK, clients, endpoint, installation, message};

/// Longer than anybody waits for an answer.
const NEVER: Fault = Fault::Late(Duration::from_secs(3_600));

async fn make() -> (Installation, Proxy) {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    let mut installation = installation(proxy.url.clone());
    installation.patience = QUICK;
    (installation, proxy)
}

/// The installation of somebody who waits a second for an answer.
fn hasty(installation: &Installation) -> Installation {
    let mut installation = installation.clone();
    installation.patience.attempt_millis = 1_000;
    installation
}

/// What was sent may be there twice, and what was received comes again. SQS has the time of a long poll beside that of
/// an answer, so this takes its 20 seconds, all of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_queue_costs_time_and_no_message() {
    let (installation, proxy) = make().await;
    let names = [QueueName::advance(), QueueName::report()];
    let made = provision_queues(&clients(installation.clone()), &names, 50).await;
    made.unwrap();
    let queue = SqsQueue::new(clients(hasty(&installation)));
    let [sent_to, known] = names;
    for text in ["received", "acknowledged"] {
        let sent = queue.send(&known, &message(text), &Place::at(0)).await;
        sent.unwrap();
    }
    let hide = Duration::from_secs(3_600);
    let one = queue.receive(std::slice::from_ref(&known), 1, hide, Duration::ZERO);
    let one = one.await.unwrap();
    for action in ["SendMessage", "ReceiveMessage", "DeleteMessage"] {
        proxy.fault(action, 1, NEVER);
    }
    let second = Duration::from_secs(1);
    let (text, place) = (message("sent"), Place::at(0));
    let known = [known];
    let (sent, received, acknowledged) = tokio::join!(
        queue.send(&sent_to, &text, &place),
        queue.receive(&known, 1, second, 20 * second),
        queue.acknowledge(&one[0].receipt),
    );
    sent.unwrap();
    acknowledged.unwrap();
    let other = received.unwrap();
    assert_eq!(other.len(), 1, "it comes once more after its time");
    assert_ne!(other[0].message, one[0].message);
    queue.acknowledge(&other[0].receipt).await.unwrap();
    assert_eq!(queue.depth(&known[0]).await.unwrap(), 0);
    let sent = queue.receive(&[sent_to], 10, hide, Duration::ZERO).await;
    let sent = sent.unwrap();
    assert!((1..=2).contains(&sent.len()), "{sent:?}");
    assert!(sent.iter().all(|it| it.message == text), "{sent:?}");
}

/// What was put is there, and a pointer knows its own write again.
#[tokio::test]
async fn a_silent_store_is_asked_again() {
    let (installation, proxy) = make().await;
    provision_bucket(&clients(installation.clone()))
        .await
        .unwrap();
    let store = S3Store::new(clients(hasty(&installation)));
    let content = Bytes::from("content");
    proxy.end("");
    proxy.fault("PUT ", 1, NEVER);
    let digest = store.put(content.clone()).await.unwrap();
    assert_eq!(proxy.end("PUT "), 2);
    proxy.fault("GET ", 1, NEVER);
    assert_eq!(store.get(&digest, 100).await.unwrap(), Some(content));
    assert_eq!(proxy.end("GET "), 2);
    proxy.fault("PUT ", 1, NEVER);
    let first = Bytes::from("first");
    assert!(
        store
            .set_pointer("base", None, first.clone())
            .await
            .unwrap()
    );
    assert_eq!(store.pointer("base").await.unwrap(), Some(first.clone()));
    let again = store.set_pointer("base", None, Bytes::from("second")).await;
    assert!(!again.unwrap(), "it is set once");
}
