//! The suite of [`Ledger`].

use ledger::{
    Change, Effect, Expect, Key, Message, QueueName, RefRow, Row, Share, Tenant, partition,
};
use pipeline_spec::Priority;

use super::races;
use crate::{Applied, Ledger};

/// *A change applies whole or not at all, only under its conditions; reads see own writes.*
pub async fn ledger<L: Ledger + 'static>(make: impl AsyncFn() -> L) {
    versions_count_up(&make().await).await;
    conditions_decide(&make().await).await;
    one_failing_condition_stops_all(&make().await).await;
    deletes(&make().await).await;
    lists_in_byte_order(&make().await).await;
    lists_by_prefix_and_page(&make().await).await;
    effects_are_outbox_rows(&make().await).await;
    largest_change(&make().await).await;
    larger_change_is_refused(&make().await).await;
    races::one_writer_wins(make().await).await;
    races::no_increment_is_lost(make().await).await;
    races::rows_change_together(make().await).await;
}

pub(super) fn key(partition: &str, sort: &str) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.to_owned(),
    }
}

/// A row that carries a number and some text.
pub(super) fn row(number: i64, text: &str) -> Row {
    Row::Ref(RefRow {
        url: text.to_owned(),
        git_ref: "main".to_owned(),
        commit: "0".repeat(40),
        at: number,
    })
}

/// The number that a row of [`row`] carries.
pub(super) fn number(row: &Row) -> i64 {
    match row {
        Row::Ref(row) => row.at,
        other => panic!("a row came back as another kind: {other:?}"),
    }
}

pub(super) fn replace(key: &Key, expect: Expect, row: Row) -> Change {
    let mut change = Change::default();
    change.replace(key.clone(), expect, row);
    change
}

fn put(keys: &[Key]) -> Change {
    let mut change = Change::default();
    for (number, key) in keys.iter().enumerate() {
        change.put(key.clone(), row(number as i64, "listed"));
    }
    change
}

async fn done(ledger: &impl Ledger, change: Change) {
    let applied = ledger.apply(change, 1).await.expect("apply a change");
    assert_eq!(applied, Applied::Done, "all conditions hold");
}

async fn version(ledger: &impl Ledger, key: &Key) -> Option<u64> {
    let record = ledger.get(key).await.expect("get a row");
    record.map(|record| record.version)
}

async fn sorts(
    ledger: &impl Ledger,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let rows = ledger.list("p", prefix, after, limit).await;
    rows.expect("list rows")
        .into_iter()
        .map(|(key, _)| key.sort)
        .collect()
}

async fn versions_count_up(ledger: &impl Ledger) {
    let key = key("p", "a");
    assert_eq!(version(ledger, &key).await, None, "a new ledger has no row");
    done(ledger, replace(&key, Expect::Absent, row(7, "first"))).await;
    let record = ledger.get(&key).await.expect("get").expect("own write");
    assert_eq!(record.version, 1, "a first put gives version 1");
    assert_eq!(record.row, row(7, "first"), "a row comes back as written");
    for before in 1..5 {
        let text = format!("ünïcode \0 \" ' {before}");
        done(
            ledger,
            replace(&key, Expect::Version(before), row(-1, &text)),
        )
        .await;
        let record = ledger.get(&key).await.expect("get").expect("own write");
        assert_eq!(record.version, before + 1, "a put raises the version by 1");
        assert_eq!(record.row, row(-1, &text), "a row comes back as written");
    }
    let mut plain = Change::default();
    plain.put(key.clone(), row(9, "unconditional"));
    done(ledger, plain).await;
    assert_eq!(version(ledger, &key).await, Some(6), "unconditional put");
}

async fn conditions_decide(ledger: &impl Ledger) {
    let (there, gone) = (key("p", "there"), key("p", "gone"));
    done(ledger, replace(&there, Expect::Absent, row(1, ""))).await;
    for (key, expect) in [
        (&there, Expect::Absent),
        (&there, Expect::Version(0)),
        (&there, Expect::Version(2)),
        (&gone, Expect::Version(1)),
        (&gone, Expect::Version(0)),
    ] {
        let applied = ledger.apply(replace(key, expect, row(2, "")), 1).await;
        assert_eq!(
            applied.expect("apply"),
            Applied::Conflict(key.clone()),
            "{key} does not fulfil {expect:?}"
        );
    }
    assert_eq!(version(ledger, &there).await, Some(1), "conflicts write");
    assert_eq!(version(ledger, &gone).await, None, "conflicts write");
}

async fn one_failing_condition_stops_all(ledger: &impl Ledger) {
    let keys = ["a", "b", "c", "d"].map(|sort| key("p", sort));
    done(ledger, put(&keys[..3])).await;
    // The third condition is on a row that the change does not write.
    for (broken, bad) in [
        (0, Expect::Absent),
        (1, Expect::Version(9)),
        (2, Expect::Version(2)),
    ] {
        let mut change = Change::default();
        for (index, key) in keys[..3].iter().enumerate() {
            let expect = if index == broken {
                bad
            } else {
                Expect::Version(1)
            };
            change.conditions.push(ledger::Condition {
                key: key.clone(),
                expect,
            });
        }
        change.put(keys[0].clone(), row(100, "torn"));
        change.delete(keys[1].clone());
        change.put(keys[3].clone(), row(100, "torn"));
        change.effect(QueueName::advance(), message("torn"), 0);
        let applied = ledger.apply(change, 1).await.expect("apply");
        assert_eq!(applied, Applied::Conflict(keys[broken].clone()));
        let seen = ledger.list("p", "", None, 10).await.expect("list");
        let seen: Vec<_> = seen.iter().map(|(_, r)| (r.version, &r.row)).collect();
        let rows = [row(0, "listed"), row(1, "listed"), row(2, "listed")];
        let before: Vec<_> = rows.iter().map(|row| (1, row)).collect();
        assert_eq!(seen, before, "one condition fails: nothing is written");
        let outbox = ledger.list(partition::OUTBOX, "", None, 10).await;
        assert!(outbox.expect("list").is_empty(), "a conflict has no effect");
    }
}

async fn deletes(ledger: &impl Ledger) {
    let key = key("p", "a");
    done(ledger, put(std::slice::from_ref(&key))).await;
    let mut delete = Change::default();
    delete.delete(key.clone());
    done(ledger, delete.clone()).await;
    assert_eq!(version(ledger, &key).await, None, "a deleted row is gone");
    done(ledger, delete).await;
    done(ledger, replace(&key, Expect::Absent, row(2, ""))).await;
    assert_eq!(version(ledger, &key).await, Some(1), "a row made anew");
}

async fn lists_in_byte_order(ledger: &impl Ledger) {
    let ordered = [
        "",
        "B",
        "a",
        "a ",
        "a/1",
        "a/10",
        "a/2",
        "a0",
        "b",
        "é",
        "\u{10ffff}",
    ];
    let mut keys: Vec<_> = ordered.iter().rev().map(|sort| key("p", sort)).collect();
    keys.push(key("p2", "a/1"));
    keys.push(key("", "a/1"));
    done(ledger, put(&keys)).await;
    let all = sorts(ledger, "", None, 100).await;
    assert_eq!(all, ordered, "one partition, sorted by bytes");
}

async fn lists_by_prefix_and_page(ledger: &impl Ledger) {
    let sorts_in = ["t", "t%", "t/1", "t/2", "t/3", "t_x", "u/1", "\u{10ffff}a"];
    done(ledger, put(&sorts_in.map(|sort| key("p", sort)))).await;
    for (prefix, after, limit, expect) in [
        ("t/", None, 10, &["t/1", "t/2", "t/3"][..]),
        ("t/", None, 2, &["t/1", "t/2"]),
        ("t/", Some("t/1"), 10, &["t/2", "t/3"]),
        ("t/", Some("t/10"), 1, &["t/2"]),
        ("t/", Some("a"), 10, &["t/1", "t/2", "t/3"]),
        ("t/", Some("t/3"), 10, &[]),
        ("t/", Some("z"), 10, &[]),
        ("t%", None, 10, &["t%"]),
        ("t_", None, 10, &["t_x"]),
        ("T", None, 10, &[]),
        ("\u{10ffff}", None, 10, &["\u{10ffff}a"]),
        ("", None, 0, &[]),
        ("", Some("t_x"), 10, &["u/1", "\u{10ffff}a"]),
    ] {
        let seen = sorts(ledger, prefix, after, limit).await;
        assert_eq!(seen, expect, "list {prefix:?} after {after:?}, {limit}");
    }
    let mut paged = Vec::new();
    loop {
        let after = paged.last().cloned();
        let page: Vec<String> = sorts(ledger, "", after.as_deref(), 3).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, sorts_in, "pages join to the whole");
}

fn message(name: &str) -> Message {
    Message::Advance {
        request: format!("builds/2026/07/{name}.yaml")
            .parse()
            .expect("a valid request path"),
    }
}

async fn effects_are_outbox_rows(ledger: &impl Ledger) {
    const NOW: i64 = 1_234_567;
    let mut change = replace(&key("p", "a"), Expect::Absent, row(1, ""));
    change.effect(QueueName::report(), message("b"), 99);
    let urgent = Share {
        tenant: Tenant::of_author("Ann <ann@example.org>"),
        priority: Priority::Urgent,
    };
    change.effects.push(Effect {
        queue: QueueName::advance(),
        message: message("a"),
        not_before: NOW + 5_000,
        share: urgent.clone(),
    });
    let applied = ledger.apply(change, NOW).await.expect("apply");
    assert_eq!(applied, Applied::Done);
    let outbox = ledger.list(partition::OUTBOX, "", None, 10).await;
    let seen: Vec<_> = outbox.expect("list the outbox");
    let mut effects = Vec::new();
    for (key, record) in seen {
        let Row::Outbox(outbox) = record.row else {
            panic!("{key} is no outbox row");
        };
        let stamp = Key::outbox(NOW, "").sort;
        assert!(key.sort.starts_with(&stamp), "{key} is stamped {NOW}");
        effects.push(outbox.effect);
    }
    effects.sort_by_key(|effect| effect.not_before);
    let expect = [
        Effect {
            queue: QueueName::report(),
            message: message("b"),
            not_before: 99,
            share: Share::default(),
        },
        Effect {
            queue: QueueName::advance(),
            message: message("a"),
            not_before: NOW + 5_000,
            share: urgent,
        },
    ];
    assert_eq!(effects, expect, "every effect is one outbox row, unchanged");
}

async fn largest_change(ledger: &impl Ledger) {
    // 300 KB of text in one row: what fits a DynamoDB item.
    let big = "x".repeat(300_000);
    let mut change = Change::default();
    for index in 0..Change::MAX_ROWS {
        let text = if index == 50 { &big } else { "" };
        let key = key("p", &format!("{index:03}"));
        change.replace(key, Expect::Absent, row(index as i64, text));
    }
    done(ledger, change).await;
    let rows = ledger.list("p", "", None, 1_000).await.expect("list");
    let numbers: Vec<_> = rows.iter().map(|(_, record)| number(&record.row)).collect();
    let expect: Vec<_> = (0..Change::MAX_ROWS as i64).collect();
    assert_eq!(numbers, expect, "all rows of the largest change are there");
    assert_eq!(rows[50].1.row, row(50, &big), "a big row comes back whole");
}

async fn larger_change_is_refused(ledger: &impl Ledger) {
    let mut change = Change::default();
    for index in 0..Change::MAX_ROWS {
        let key = key("p", &format!("{index:03}"));
        change.replace(key, Expect::Absent, row(0, ""));
    }
    change.effect(QueueName::advance(), message("one-too-many"), 0);
    let applied = ledger.apply(change, 1).await;
    applied.expect_err("effects count as rows, and one row is too many");
    let rows = sorts(ledger, "", None, 1_000).await;
    assert!(rows.is_empty(), "a refused change writes nothing");
}
