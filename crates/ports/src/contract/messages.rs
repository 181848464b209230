//! The suite of [`TaskQueue`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Message, QueueName};
use pipeline_spec::Role;
use tokio::task::{JoinHandle, JoinSet};

use super::{QueueManner, RIVALS, StaleReceipt, TestClock, Wakes, fair};
use crate::{Delivery, Letter, Place, TaskQueue};

const SECOND: Duration = Duration::from_secs(1);
/// A wait that no test sits through: only a message ends it.
const LONG: Duration = Duration::from_secs(3_600);
/// What a call that should end by itself gets before the suite gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// *At least once, may duplicate; unacknowledged comes back; tenants take turns.*
pub async fn queue<Q, C>(manner: QueueManner, make: impl AsyncFn() -> (Q, C))
where
    Q: TaskQueue + 'static,
    C: TestClock,
{
    let (queue, _) = make().await;
    acknowledged_is_gone(&queue).await;
    let (queue, clock) = make().await;
    unacknowledged_comes_back(&queue, &clock, manner).await;
    let (queue, clock) = make().await;
    not_before_is_respected(&queue, &clock).await;
    let (queue, clock) = make().await;
    many_at_once(&queue, &clock).await;
    let (queue, clock) = make().await;
    due_message_ends_a_wait(&queue, &clock).await;
    let (queue, _) = make().await;
    several_queues_in_one_receive(&queue).await;
    let (queue, _) = make().await;
    no_queue_starves(&queue).await;
    fair::all(manner, &make).await;
    let (queue, _) = make().await;
    send_wakes_a_waiter(queue, manner.wakes).await;
    let (queue, _) = make().await;
    many_receivers_lose_nothing(queue).await;
}

pub(super) fn message(name: &str) -> Message {
    Message::Report {
        request: format!("builds/2026/07/{name}.yaml")
            .parse()
            .expect("a valid request path"),
    }
}

pub(super) fn a() -> QueueName {
    QueueName::advance()
}

pub(super) fn b() -> QueueName {
    QueueName::report()
}

fn c() -> QueueName {
    QueueName::work(Role::Test, None)
}

async fn send(queue: &impl TaskQueue, name: &QueueName, text: &str) {
    let sent = queue.send(name, &message(text), &Place::at(0)).await;
    sent.expect("send a message");
}

/// What is due now, hidden for long.
pub(super) async fn due(
    queue: &impl TaskQueue,
    queues: &[QueueName],
    limit: usize,
) -> Vec<Delivery> {
    due_hidden(queue, queues, limit, LONG).await
}

/// What is due now, hidden for `hidden`.
pub(super) async fn due_hidden(
    queue: &impl TaskQueue,
    queues: &[QueueName],
    limit: usize,
    hidden: Duration,
) -> Vec<Delivery> {
    let received = queue.receive(queues, limit, hidden, Duration::ZERO);
    let received = tokio::time::timeout(PATIENCE, received).await;
    let received = received.expect("receive without a wait returns at once");
    received.expect("receive messages")
}

async fn depth(queue: &impl TaskQueue, name: &QueueName) -> u64 {
    queue.depth(name).await.expect("read a queue's depth")
}

async fn acknowledged_is_gone(queue: &impl TaskQueue) {
    assert!(
        due(queue, &[a()], 10).await.is_empty(),
        "a new queue is empty"
    );
    send(queue, &a(), "one").await;
    assert_eq!(depth(queue, &a()).await, 1, "a waiting message counts");
    let got = due(queue, &[a()], 10).await;
    assert_eq!(got.len(), 1, "one message was sent");
    assert_eq!(got[0].message, message("one"), "it comes as it was sent");
    assert_eq!(got[0].queue, a(), "it says where it comes from");
    assert_eq!(got[0].deliveries, 1, "a first delivery counts as one");
    assert_eq!(depth(queue, &a()).await, 1, "a message in flight counts");
    for time in ["first", "second"] {
        let result = queue.acknowledge(&got[0].receipt).await;
        result.unwrap_or_else(|error| panic!("the {time} acknowledgement: {error}"));
        assert_eq!(depth(queue, &a()).await, 0, "acknowledged is gone");
    }
}

async fn unacknowledged_comes_back(
    queue: &impl TaskQueue,
    clock: &impl TestClock,
    manner: QueueManner,
) {
    let hidden = manner.hidden;
    send(queue, &a(), "one").await;
    let mut stale = None;
    for delivery in 1..=3 {
        let got = due_hidden(queue, &[a()], 10, hidden).await;
        assert_eq!(
            got.len(),
            1,
            "delivery {delivery} of an unacknowledged message"
        );
        assert_eq!(got[0].deliveries, delivery, "deliveries count up");
        let earlier = stale.replace(got[0].receipt.clone());
        if let (Some(stale), StaleReceipt::RemovesNothing) = (earlier, manner.stale) {
            let result = queue.acknowledge(&stale).await;
            result.expect("a receipt of an earlier delivery is no error");
        }
        clock.advance(hidden - 2 * SECOND).await;
        let others = due(queue, &[a()], 10).await;
        assert!(
            others.is_empty(),
            "a delivered message is hidden from others"
        );
        clock.advance(3 * SECOND).await;
    }
    let got = due_hidden(queue, &[a()], 10, hidden).await;
    let last = got.first().expect("it comes back once more");
    queue.acknowledge(&last.receipt).await.expect("acknowledge");
    let stale = stale.expect("it was delivered before");
    let result = queue.acknowledge(&stale).await;
    result.expect("a receipt of an earlier delivery is no error");
    clock.advance(hidden + SECOND).await;
    assert!(
        due(queue, &[a()], 10).await.is_empty(),
        "acknowledged is gone"
    );
}

async fn not_before_is_respected(queue: &impl TaskQueue, clock: &impl TestClock) {
    let at = clock.now() + 6_000;
    let sent = queue.send(&a(), &message("late"), &Place::at(at)).await;
    sent.expect("send a message for later");
    send(queue, &a(), "now").await;
    assert_eq!(depth(queue, &a()).await, 2, "a delayed message counts");
    let got = due(queue, &[a()], 10).await;
    assert_eq!(got.len(), 1, "the delayed message is not due");
    assert_eq!(got[0].message, message("now"));
    queue
        .acknowledge(&got[0].receipt)
        .await
        .expect("acknowledge");
    clock.advance(4 * SECOND).await;
    assert!(due(queue, &[a()], 10).await.is_empty(), "still not due");
    clock.advance(3 * SECOND).await;
    let got = due(queue, &[a()], 10).await;
    assert_eq!(got.len(), 1, "it is due now");
    assert_eq!(got[0].deliveries, 1, "waiting is no delivery");
}

/// More than any service takes in one request, to several queues and places.
async fn many_at_once(queue: &impl TaskQueue, clock: &impl TestClock) {
    const EACH: usize = 23;
    queue.send_all(&[]).await.expect("nothing is sent");
    queue.acknowledge_all(&[]).await.expect("nothing is done");
    let letter = |queue: QueueName, text: String, not_before| Letter {
        queue,
        message: message(&text),
        place: Place::at(not_before),
    };
    let numbers = || 0..EACH;
    let mut letters: Vec<_> = numbers()
        .flat_map(|n| {
            [
                letter(a(), format!("a{n}"), 0),
                letter(b(), format!("b{n}"), 0),
            ]
        })
        .collect();
    letters.push(letter(a(), "late".to_owned(), clock.now() + 6_000));
    queue.send_all(&letters).await.expect("send messages");
    assert_eq!(depth(queue, &a()).await, EACH as u64 + 1, "all are there");
    assert_eq!(depth(queue, &b()).await, EACH as u64, "all are there");
    let mut got = Vec::new();
    while got.len() < 2 * EACH {
        let more = due(queue, &[a(), b()], 2 * EACH).await;
        assert!(!more.is_empty(), "only {} came", got.len());
        got.extend(more);
    }
    for (name, letter) in [(a(), "a"), (b(), "b")] {
        let mine = got.iter().filter(|delivery| delivery.queue == name);
        let came: BTreeSet<_> = mine.map(|delivery| delivery.message.name()).collect();
        let sent: BTreeSet<_> = numbers()
            .map(|n| message(&format!("{letter}{n}")).name())
            .collect();
        assert_eq!(came, sent, "each comes to its queue, once");
    }
    let receipts: Vec<&str> = got.iter().map(|it| it.receipt.as_str()).collect();
    // Some are gone already: that is fine for all of them.
    for receipt in &receipts[..3] {
        queue.acknowledge(receipt).await.expect("acknowledge");
    }
    queue.acknowledge_all(&receipts).await.expect("acknowledge");
    assert_eq!(depth(queue, &a()).await, 1, "the late one is left");
    assert_eq!(depth(queue, &b()).await, 0, "all are gone");
    clock.advance(7 * SECOND).await;
    let got = due(queue, &[a(), b()], 10).await;
    assert_eq!(got.len(), 1, "a delay holds in a batch, too");
    assert_eq!(got[0].message, message("late"));
}

async fn due_message_ends_a_wait(queue: &impl TaskQueue, clock: &impl TestClock) {
    let at = clock.now() + 50;
    let sent = queue.send(&a(), &message("soon"), &Place::at(at)).await;
    sent.expect("send a message for later");
    let queues = [a(), b()];
    let waiting = queue.receive(&queues, 10, LONG, LONG);
    let both = async { tokio::join!(waiting, clock.advance(Duration::from_millis(60))) };
    let (got, ()) = tokio::time::timeout(PATIENCE, both)
        .await
        .expect("a message that becomes due ends the wait");
    assert_eq!(got.expect("receive").len(), 1);
}

async fn several_queues_in_one_receive(queue: &impl TaskQueue) {
    for name in [a(), b(), c()] {
        send(queue, &name, name.as_str()).await;
    }
    let got = due(queue, &[a(), b()], 1).await;
    assert_eq!(got.len(), 1, "no more than the limit");
    let mut seen = BTreeSet::from([got[0].queue.clone()]);
    let got = due(queue, &[a(), b()], 10).await;
    seen.extend(got.iter().map(|delivery| delivery.queue.clone()));
    assert_eq!(seen, BTreeSet::from([a(), b()]), "of any queue named");
    assert_eq!(depth(queue, &c()).await, 1, "other queues are left alone");
    let got = due(queue, &[c()], 10).await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].message, message(c().as_str()));
    assert!(due(queue, &[], 10).await.is_empty(), "no queue, no message");
}

async fn no_queue_starves(queue: &impl TaskQueue) {
    for index in 0..20 {
        send(queue, &a(), &format!("a{index}")).await;
    }
    send(queue, &b(), "b").await;
    let mut seen = BTreeSet::new();
    for _ in 0..21 {
        for delivery in due(queue, &[a(), b()], 1).await {
            seen.insert(delivery.queue.clone());
            let done = queue.acknowledge(&delivery.receipt).await;
            done.expect("acknowledge");
        }
    }
    assert!(seen.contains(&b()), "a full queue does not starve another");
}

/// Order of events where that can be: the receive ends before some other sends do, each as costly as it.
async fn send_wakes_a_waiter<Q: TaskQueue + 'static>(queue: Q, wakes: Wakes) {
    let aside = QueueName::work(Role::Sign, None);
    let queue = Arc::new(queue);
    for round in 0..10 {
        let receiver = Arc::clone(&queue);
        let waiting = tokio::spawn(async move {
            let queues = [b(), c(), a()];
            receiver.receive(&queues, 1, LONG, LONG).await
        });
        // Lets the receiver get to its wait in most rounds; in the others it finds the message.
        for _ in 0..round {
            send(&*queue, &aside, "aside").await;
            tokio::task::yield_now().await;
        }
        send(&*queue, &a(), "wake").await;
        let got = match wakes {
            Wakes::AtOnce => {
                ends_before_sends(&*queue, &aside, &waiting).await;
                waiting.await
            }
            Wakes::Within(time) => {
                let got = tokio::time::timeout(time, waiting).await;
                got.expect("a send wakes the one who waits")
            }
        };
        let got = got.expect("join").expect("receive");
        let names: Vec<_> = got.iter().map(|got| got.message.name()).collect();
        assert_eq!(names, [message("wake").name()], "the wait ends with it");
        let done = queue.acknowledge(&got[0].receipt).await;
        done.expect("acknowledge");
    }
}

async fn ends_before_sends<T>(queue: &impl TaskQueue, aside: &QueueName, waiting: &JoinHandle<T>) {
    const SENDS: usize = 200;
    let mut sends = 0;
    while !waiting.is_finished() {
        assert!(sends < SENDS, "a send does not wake the one who waits");
        send(queue, aside, "aside").await;
        tokio::task::yield_now().await;
        sends += 1;
    }
}

async fn many_receivers_lose_nothing<Q: TaskQueue + 'static>(queue: Q) {
    const MESSAGES: usize = 200;
    let queue = Arc::new(queue);
    let mut crowd = JoinSet::new();
    for rival in 0..RIVALS {
        let queue = Arc::clone(&queue);
        crowd.spawn(async move {
            for index in (rival..MESSAGES).step_by(RIVALS) {
                send(&*queue, &a(), &index.to_string()).await;
            }
            BTreeSet::new()
        });
    }
    for _ in 0..RIVALS {
        let queue = Arc::clone(&queue);
        crowd.spawn(async move { drain(&*queue).await });
    }
    let seen: BTreeSet<String> = crowd.join_all().await.into_iter().flatten().collect();
    let expect: BTreeSet<String> = (0..MESSAGES)
        .map(|index| message(&index.to_string()).name())
        .collect();
    let late = drain(&*queue).await;
    let seen: BTreeSet<String> = seen.union(&late).cloned().collect();
    assert_eq!(seen, expect, "every message reaches somebody");
    assert_eq!(depth(&*queue, &a()).await, 0, "all are acknowledged");
}

/// Receives and acknowledges until nothing is there; the names of what came.
async fn drain(queue: &impl TaskQueue) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    loop {
        let got = due(queue, &[a()], 3).await;
        if got.is_empty() {
            return seen;
        }
        for delivery in got {
            seen.insert(delivery.message.name());
            let done = queue.acknowledge(&delivery.receipt).await;
            done.expect("acknowledge");
        }
    }
}
