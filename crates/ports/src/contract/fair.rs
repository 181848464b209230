//! The order in which messages go out: priorities, turns of tenants, age.

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::{Millis, QueueName, Share, Tenant};
use pipeline_spec::Priority::{self, Background, Normal, Urgent};

use super::messages::{a, b, due, due_hidden, message};
use super::{Order, QueueManner, TestClock};
use crate::{Place, TaskQueue};

pub(super) async fn all<Q: TaskQueue, C: TestClock>(
    manner: QueueManner,
    make: &impl AsyncFn() -> (Q, C),
) {
    for case in CASES {
        let (queue, clock) = make().await;
        check(&queue, &clock, case, manner.order).await;
    }
    let (queue, clock) = make().await;
    what_comes_back_keeps_its_share(&queue, &clock, manner.hidden).await;
    match manner.order {
        Order::Exact => turns(make).await,
        Order::ByPriority => {}
    }
}

/// What only holds where each tenant is by itself.
async fn turns<Q: TaskQueue, C: TestClock>(make: &impl AsyncFn() -> (Q, C)) {
    let (queue, _) = make().await;
    one_is_not_starved_by_a_thousand(&queue).await;
    let (queue, _) = make().await;
    who_comes_again_waits_his_turn(&queue).await;
    let (queue, _) = make().await;
    turns_are_per_queue(&queue).await;
    let (queue, _) = make().await;
    one_call_is_as_many(&queue).await;
}

/// What is sent, as name of a message, tenant, priority and how long before now it was due (less than
/// zero: how long from now), and the names in the order in which they come.
struct Case {
    about: &'static str,
    sent: &'static [(&'static str, &'static str, Priority, Millis)],
    expect: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        about: "priority goes before age and turns",
        sent: &[
            ("b1", "ann", Background, 90),
            ("n1", "ann", Normal, 80),
            ("u1", "ann", Urgent, 70),
            ("u2", "ann", Urgent, 60),
            ("n2", "bob", Normal, 50),
            ("b2", "bob", Background, 40),
        ],
        expect: &["u1", "u2", "n2", "n1", "b2", "b1"],
    },
    Case {
        about: "tenants take turns",
        sent: &[
            ("a1", "ann", Normal, 90),
            ("a2", "ann", Normal, 80),
            ("a3", "ann", Normal, 70),
            ("b1", "bob", Normal, 60),
            ("b2", "bob", Normal, 50),
            ("c1", "cay", Normal, 40),
        ],
        expect: &["a1", "b1", "c1", "a2", "b2", "a3"],
    },
    Case {
        about: "a tenant's own go by age, not by when they were sent",
        sent: &[
            ("a2", "ann", Normal, 20),
            ("a3", "ann", Normal, 10),
            ("a1", "ann", Normal, 30),
        ],
        expect: &["a1", "a2", "a3"],
    },
    Case {
        about: "messages without a tenant are one tenant's",
        sent: &[
            ("n1", "", Normal, 40),
            ("n2", "", Normal, 30),
            ("a1", "ann", Normal, 20),
            ("a2", "ann", Normal, 10),
        ],
        expect: &["n1", "a1", "n2", "a2"],
    },
    Case {
        about: "what is not due holds up nobody, however urgent",
        sent: &[
            ("late", "ann", Urgent, -3_600_000),
            ("a1", "ann", Normal, 20),
            ("b1", "bob", Background, 10),
        ],
        expect: &["a1", "b1"],
    },
];

async fn check(queue: &impl TaskQueue, clock: &impl TestClock, case: &Case, order: Order) {
    let now = clock.now();
    for (name, tenant, priority, age) in case.sent {
        let place = Place {
            not_before: now - age,
            share: share(tenant, *priority),
        };
        let sent = queue.send(&a(), &message(name), &place).await;
        sent.expect("send a message");
    }
    let mut seen = Vec::new();
    while let Some(name) = next(queue, &[a()]).await {
        seen.push(name);
    }
    let expect: Vec<_> = case.expect.iter().map(|it| message(it).name()).collect();
    match order {
        Order::Exact => assert_eq!(seen, expect, "{}", case.about),
        Order::ByPriority => {
            let runs = [&expect, &seen].map(|names| by_priority(case, names));
            assert_eq!(runs[1], runs[0], "{}: {seen:?}", case.about);
        }
    }
}

/// The priorities of these messages in the order in which they came, each with its messages in any order.
fn by_priority(case: &Case, names: &[String]) -> Vec<(Priority, BTreeSet<String>)> {
    let mut runs: Vec<(Priority, BTreeSet<String>)> = Vec::new();
    for name in names {
        let sent = case.sent.iter();
        let mut sent = sent.filter(|(text, ..)| message(text).name() == *name);
        let (_, _, priority, _) = sent.next().expect("it was sent");
        match runs.last_mut() {
            Some((last, names)) if last == priority => {
                names.insert(name.clone());
            }
            _ => runs.push((*priority, BTreeSet::from([name.clone()]))),
        }
    }
    runs
}

fn share(tenant: &str, priority: Priority) -> Share {
    Share {
        tenant: Tenant::of_author(tenant),
        priority,
    }
}

async fn send(queue: &impl TaskQueue, name: &QueueName, tenant: &str, text: &str) {
    let place = Place {
        not_before: 0,
        share: share(tenant, Normal),
    };
    let sent = queue.send(name, &message(text), &place).await;
    sent.expect("send a message");
}

/// The next message's name; it is acknowledged.
async fn next(queue: &impl TaskQueue, queues: &[QueueName]) -> Option<String> {
    let got = due(queue, queues, 1).await.pop()?;
    let done = queue.acknowledge(&got.receipt).await;
    done.expect("acknowledge");
    Some(got.message.name())
}

async fn one_is_not_starved_by_a_thousand(queue: &impl TaskQueue) {
    for index in 0..1_000 {
        send(queue, &a(), "flood", &format!("flood{index}")).await;
    }
    for _ in 0..10 {
        next(queue, &[a()]).await.expect("a thousand were sent");
    }
    send(queue, &a(), "bob", "one").await;
    let first = next(queue, &[a()]).await.expect("some are left");
    let second = next(queue, &[a()]).await.expect("some are left");
    assert!(
        [first, second].contains(&message("one").name()),
        "a tenant waits for at most one message of another tenant"
    );
}

/// Else one who always has a single message would always be new, and go first.
async fn who_comes_again_waits_his_turn(queue: &impl TaskQueue) {
    for index in 0..3 {
        send(queue, &a(), "ann", &format!("ann{index}")).await;
    }
    let mut seen = Vec::new();
    for index in 0..3 {
        send(queue, &a(), "bob", &format!("bob{index}")).await;
        for _ in 0..2 {
            seen.extend(next(queue, &[a()]).await);
        }
    }
    let expect = ["ann0", "bob0", "ann1", "bob1", "ann2", "bob2"];
    assert_eq!(seen, expect.map(|name| message(name).name()));
}

/// Who is served elsewhere all the time is not made to wait here for it.
async fn turns_are_per_queue(queue: &impl TaskQueue) {
    for index in 0..10 {
        send(queue, &a(), "ann", &format!("ann{index}")).await;
        send(queue, &b(), "bob", &format!("elsewhere{index}")).await;
    }
    send(queue, &a(), "bob", "here").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        next(queue, &[b()]).await.expect("ten were sent");
        seen.extend(next(queue, &[a()]).await);
    }
    let here = message("here").name();
    assert!(seen.contains(&here), "{seen:?}: turns are of one queue");
}

async fn one_call_is_as_many(queue: &impl TaskQueue) {
    for (tenant, name) in [("ann", "a1"), ("ann", "a2"), ("ann", "a3"), ("bob", "b1")] {
        send(queue, &a(), tenant, name).await;
    }
    send(queue, &b(), "bob", "b2").await;
    let got = due(queue, &[a(), b()], 3).await;
    let seen: Vec<_> = got.iter().map(|got| got.message.name()).collect();
    let expect = ["a1", "b1", "b2"].map(|name| message(name).name());
    assert_eq!(seen, expect, "three of one call, each of another's turn");
}

async fn what_comes_back_keeps_its_share(
    queue: &impl TaskQueue,
    clock: &impl TestClock,
    hidden: Duration,
) {
    let place = Place {
        not_before: 0,
        share: share("ann", Urgent),
    };
    let sent = queue.send(&a(), &message("one"), &place).await;
    sent.expect("send a message");
    for _ in 0..2 {
        let got = due_hidden(queue, &[a()], 1, hidden).await;
        assert_eq!(got[0].share, place.share, "it comes as it was sent");
        clock.advance(hidden + Duration::from_secs(1)).await;
    }
}
