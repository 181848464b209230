//! What a ledger must hold while many write.

use std::sync::Arc;

use ledger::{Change, Expect, Key};
use tokio::task::JoinSet;

use super::rows::{key, number, replace, row};
use super::{RIVALS, ROUNDS};
use crate::{Applied, Ledger};

/// Many writers, one condition: exactly one applies, and what it wrote stands.
pub(super) async fn one_writer_wins<L: Ledger + 'static>(ledger: L) {
    let ledger = Arc::new(ledger);
    let key = key("p", "contested");
    for round in 0..ROUNDS as u64 {
        let expect = Expect::as_read((round > 0).then_some(round));
        let mut rivals = JoinSet::new();
        for rival in 0..RIVALS as i64 {
            let (ledger, key) = (Arc::clone(&ledger), key.clone());
            rivals.spawn(async move {
                let change = replace(&key, expect, row(rival, "rival"));
                (rival, ledger.apply(change, 1).await.expect("apply"))
            });
        }
        let outcomes = rivals.join_all().await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, applied)| *applied == Applied::Done)
            .map(|(rival, _)| *rival)
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: one of {outcomes:?} wins");
        let record = ledger.get(&key).await.expect("get").expect("written");
        assert_eq!(record.version, round + 1, "one write, one version");
        assert_eq!(number(&record.row), winners[0], "the winner's row stands");
    }
}

/// Read, add one, write on condition, again on conflict: the sum is right.
pub(super) async fn no_increment_is_lost<L: Ledger + 'static>(ledger: L) {
    let ledger = Arc::new(ledger);
    let key = key("p", "counter");
    let mut rivals = JoinSet::new();
    for _ in 0..RIVALS {
        let (ledger, key) = (Arc::clone(&ledger), key.clone());
        rivals.spawn(async move {
            for _ in 0..ROUNDS {
                increment(&*ledger, &key).await;
            }
        });
    }
    rivals.join_all().await;
    let record = ledger.get(&key).await.expect("get").expect("written");
    let sum = (RIVALS * ROUNDS) as u64;
    assert_eq!(number(&record.row), sum as i64, "no increment is lost");
    assert_eq!(record.version, sum, "the version counts the writes");
}

async fn increment(ledger: &impl Ledger, key: &Key) {
    loop {
        let record = ledger.get(key).await.expect("get");
        let value = record.as_ref().map_or(0, |record| number(&record.row));
        let expect = Expect::as_read(record.map(|record| record.version));
        let change = replace(key, expect, row(value + 1, ""));
        match ledger.apply(change, 1).await.expect("apply") {
            Applied::Done => return,
            Applied::Conflict(_) => tokio::task::yield_now().await,
        }
    }
}

/// Two rows that are always written together are equal whenever they are listed together.
pub(super) async fn rows_change_together<L: Ledger + 'static>(ledger: L) {
    let ledger = Arc::new(ledger);
    let writer = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            for round in 0..(ROUNDS * RIVALS) as i64 {
                let mut change = Change::default();
                change.put(key("p", "left"), row(round, ""));
                change.put(key("p", "right"), row(round, ""));
                let applied = ledger.apply(change, 1).await.expect("apply");
                assert_eq!(applied, Applied::Done);
            }
        })
    };
    while !writer.is_finished() {
        let rows = ledger.list("p", "", None, 10).await.expect("list");
        let numbers: Vec<_> = rows.iter().map(|(_, record)| number(&record.row)).collect();
        assert!(
            numbers.is_empty() || (numbers.len() == 2 && numbers[0] == numbers[1]),
            "half a change was seen: {numbers:?}"
        );
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer ends well");
}
