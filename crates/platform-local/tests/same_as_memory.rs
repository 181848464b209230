//! Whatever is done to it, SQLite ends where the map in memory ends.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Scratch, key, message, row};
use ledger::{Change, Condition, Expect, Key, QueueName, Share, Tenant, partition};
use memory::{ManualClock, MemoryLedger, MemoryQueue};
use pipeline_spec::Priority;
use platform_local::{Database, SqliteLedger, SqliteQueue};
use ports::contract::TestClock;
use ports::{Ledger, Place, TaskQueue};
use proptest::prelude::*;
use tokio::runtime::Runtime;

fn keys() -> impl Strategy<Value = Key> {
    (0..2, 0..4).prop_map(|(part, sort)| key(&format!("p{part}"), &format!("s{sort}")))
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    // Mostly absent or young, so that a good part of the changes applies.
    let expect = prop_oneof![
        2 => Just(Expect::Absent),
        3 => (1_u64..4).prop_map(Expect::Version),
    ];
    let condition = (keys(), expect).prop_map(|(key, expect)| Condition { key, expect });
    prop::collection::vec(condition, 0..2)
}

fn changes() -> impl Strategy<Value = Change> {
    let write = (keys(), any::<Option<i64>>());
    let effects = prop::collection::vec(0..4_u8, 0..2);
    (conditions(), prop::collection::vec(write, 0..4), effects).prop_map(
        |(conditions, writes, effects)| {
            let mut change = Change {
                conditions,
                ..Change::default()
            };
            for (key, number) in writes {
                match number {
                    Some(number) => change.put(key, row(number, "ü\u{0}'")),
                    None => change.delete(key),
                }
            }
            for effect in effects {
                change.effect(QueueName::report(), message(&effect.to_string()), 5);
            }
            change
        },
    )
}

async fn everything(ledger: &impl Ledger) -> Vec<(Key, ledger::Record)> {
    let mut all = Vec::new();
    for part in ["p0", "p1", partition::OUTBOX] {
        all.extend(ledger.list(part, "", None, 1_000).await.unwrap());
    }
    all
}

#[derive(Debug, Clone)]
enum Step {
    Send(u8, u8, i64, Share),
    Receive(Vec<u8>, u64, usize),
    Acknowledge(prop::sample::Index),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_u8, 0..9_u8, -5..20_i64, shares())
            .prop_map(|(q, m, delay, share)| Step::Send(q, m, delay, share)),
        1 => (prop::collection::vec(0..3_u8, 0..4), 1..20_u64, 1..6_usize)
            .prop_map(|(q, v, limit)| Step::Receive(q, v, limit)),
        1 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        1 => (1..15_u64).prop_map(Step::Pass),
    ]
}

fn shares() -> impl Strategy<Value = Share> {
    let priority = prop_oneof![
        1 => Just(Priority::Urgent),
        4 => Just(Priority::Normal),
        1 => Just(Priority::Background),
    ];
    (0..4_u8, priority).prop_map(|(tenant, priority)| Share {
        tenant: Tenant::of_author(["", "ann", "bob", "cay"][usize::from(tenant)]),
        priority,
    })
}

fn queue_name(number: u8) -> QueueName {
    match number {
        0 => QueueName::advance(),
        1 => QueueName::report(),
        _ => QueueName::work(pipeline_spec::Role::Sign, None),
    }
}

/// What a receiver sees of a message.
type Seen = (QueueName, String, u32, Share);

/// What a receiver sees, in its order, and the receipts.
async fn receive(
    queue: &impl TaskQueue,
    queues: &[QueueName],
    (hide, limit): (u64, usize),
) -> (Vec<Seen>, Vec<String>) {
    let hide = Duration::from_secs(hide);
    let got = queue.receive(queues, limit, hide, Duration::ZERO).await;
    got.unwrap()
        .into_iter()
        .map(|d| {
            (
                (d.queue, d.message.name(), d.deliveries, d.share),
                d.receipt,
            )
        })
        .unzip()
}

async fn compare_queues(scratch: &Scratch, steps: Vec<Step>) {
    let clock = ManualClock::default();
    let memory = MemoryQueue::new(clock.clone());
    let database = Database::open(&scratch.folder()).unwrap();
    let sqlite = SqliteQueue::new(database, Arc::new(clock.clone()));
    let mut receipts: Vec<(String, String)> = Vec::new();
    for step in steps {
        match step {
            Step::Send(queue, text, delay, share) => {
                let (queue, text) = (queue_name(queue), message(&text.to_string()));
                let place = Place {
                    not_before: ports::Clock::now(&clock) + delay * 1_000,
                    share,
                };
                memory.send(&queue, &text, &place).await.unwrap();
                sqlite.send(&queue, &text, &place).await.unwrap();
            }
            Step::Receive(queues, hide, limit) => {
                let queues: Vec<_> = queues.into_iter().map(queue_name).collect();
                let (seen, left) = receive(&memory, &queues, (hide, limit)).await;
                let (also, right) = receive(&sqlite, &queues, (hide, limit)).await;
                assert_eq!(seen, also);
                receipts.extend(left.into_iter().zip(right));
            }
            Step::Acknowledge(_) if receipts.is_empty() => {}
            Step::Acknowledge(index) => {
                let (left, right) = index.get(&receipts);
                memory.acknowledge(left).await.unwrap();
                sqlite.acknowledge(right).await.unwrap();
            }
            Step::Pass(seconds) => clock.advance(Duration::from_secs(seconds)).await,
        }
        for queue in (0..3).map(queue_name) {
            let depth = memory.depth(&queue).await.unwrap();
            assert_eq!(sqlite.depth(&queue).await.unwrap(), depth);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ledgers(changes in prop::collection::vec(changes(), 1..40)) {
        let scratch = Scratch::new();
        Runtime::new().unwrap().block_on(async {
            let memory = MemoryLedger::default();
            let sqlite = SqliteLedger::new(Database::open(&scratch.folder()).unwrap());
            for (now, change) in (0..).zip(changes) {
                let expect = memory.apply(change.clone(), now / 3).await.unwrap();
                let applied = sqlite.apply(change, now / 3).await.unwrap();
                assert_eq!(applied, expect);
            }
            assert_eq!(everything(&sqlite).await, everything(&memory).await);
        });
    }

    #[test]
    fn queues(steps in prop::collection::vec(steps(), 1..60)) {
        let scratch = Scratch::new();
        Runtime::new().unwrap().block_on(compare_queues(&scratch, steps));
    }
}
