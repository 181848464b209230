//! DynamoDB that is busy, slow, or gone.

use std::sync::Arc;
use std::time::Duration;

use emulator::Kind;
use ledger::{Change, Condition, Expect};
use platform_aws::{DynamoLedger, provision_table};
use ports::{Applied, Error, Ledger};

use crate::common::proxy::{Fault, Proxy, canceled};
use crate::common::{QUICK, clients, endpoint, installation, key, replace, row};

async fn make() -> (DynamoLedger, Proxy) {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    let mut installation = installation(proxy.url.clone());
    installation.patience = QUICK;
    let clients = clients(installation);
    provision_table(&clients).await.unwrap();
    (DynamoLedger::new(clients), proxy)
}

/// Answers that say "not now", to any call.
fn busy() -> Vec<Fault> {
    vec![
        Fault::Instead(400, "ProvisionedThroughputExceededException"),
        Fault::Instead(400, "ThrottlingException"),
        Fault::Instead(400, "RequestLimitExceeded"),
        Fault::Instead(500, "InternalServerError"),
        Fault::Body(503, "no JSON at all".to_owned()),
    ]
}

#[tokio::test]
async fn what_passes_is_tried_again_and_is_transient_in_the_end() {
    let (ledger, proxy) = make().await;
    let mut faults = busy();
    faults.extend([
        Fault::Instead(400, "TransactionInProgressException"),
        canceled(&["TransactionConflict"]),
        canceled(&["ThrottlingError"]),
        canceled(&["ProvisionedThroughputExceeded"]),
    ]);
    for (number, fault) in faults.into_iter().enumerate() {
        let sort = number.to_string();
        proxy.fault("TransactWriteItems", 3, fault.clone());
        let applied = ledger.apply(replace(&sort, Expect::Absent, 1), 1).await;
        assert_eq!(applied.unwrap(), Applied::Done, "fault {number}");
        assert_eq!(proxy.end("TransactWriteItems"), 4, "fault {number}");
        proxy.fault("TransactWriteItems", 100, fault);
        let applied = ledger.apply(replace(&sort, Expect::Version(1), 2), 1).await;
        let error = applied.unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error}");
        assert_eq!(proxy.end("TransactWriteItems"), 4, "fault {number}");
        let record = ledger.get(&key(&sort)).await.unwrap().unwrap();
        assert_eq!(record.version, 1, "fault {number}");
    }
}

#[tokio::test]
async fn reads_are_tried_again() {
    let (ledger, proxy) = make().await;
    let applied = ledger.apply(replace("a", Expect::Absent, 1), 1).await;
    assert_eq!(applied.unwrap(), Applied::Done);
    for fault in busy() {
        for action in ["GetItem", "Query"] {
            proxy.fault(action, 3, fault.clone());
        }
        assert!(ledger.get(&key("a")).await.unwrap().is_some());
        assert_eq!(ledger.list("p", "", None, 10).await.unwrap().len(), 1);
        proxy.end("");
        for action in ["GetItem", "Query"] {
            proxy.fault(action, 100, fault.clone());
        }
        let error = ledger.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error}");
        let error = ledger.list("p", "", None, 10).await.unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error}");
        proxy.end("");
    }
}

/// The write is done and its answer is not heard: the second request is answered as the first was.
#[tokio::test]
async fn a_lost_answer_is_no_conflict() {
    let (ledger, proxy) = make().await;
    for (sort, fault) in [
        ("lost", Fault::Lost),
        ("cut", Fault::Body(200, "{".to_owned())),
    ] {
        proxy.fault("TransactWriteItems", 1, fault);
        let applied = ledger.apply(replace(sort, Expect::Absent, 1), 1).await;
        assert_eq!(applied.unwrap(), Applied::Done, "{sort}");
        assert_eq!(proxy.end("TransactWriteItems"), 2);
        let record = ledger.get(&key(sort)).await.unwrap().unwrap();
        assert_eq!(record.version, 1, "it is done once");
    }
}

#[tokio::test]
async fn a_late_answer_is_no_conflict() {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    let mut installation = installation(proxy.url.clone());
    installation.patience = QUICK;
    provision_table(&clients(installation.clone()))
        .await
        .unwrap();
    installation.patience.attempt_millis = 2_000;
    let ledger = DynamoLedger::new(clients(installation));
    proxy.fault(
        "TransactWriteItems",
        1,
        Fault::Late(Duration::from_secs(60)),
    );
    let mut change = Change::default();
    change.put(key("a"), row(1));
    let applied = ledger.apply(change, 1).await;
    assert_eq!(applied.unwrap(), Applied::Done);
    assert_eq!(proxy.end("TransactWriteItems"), 2);
    let record = ledger.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(record.version, 1, "it is done once");
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let mut installation = installation("http://127.0.0.1:1".to_owned());
    installation.patience = QUICK;
    let ledger = DynamoLedger::new(clients(installation));
    let error = ledger.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error}");
    assert!(error.to_string().contains("read ledger row p a"), "{error}");
}

/// A condition that failed is an answer, whatever else was busy.
#[tokio::test]
async fn a_conflict_is_told_among_other_reasons() {
    let (ledger, proxy) = make().await;
    let mut change = replace("a", Expect::Absent, 1);
    let (key_b, expect) = (key("b"), Expect::Version(3));
    change.conditions.push(Condition {
        key: key_b.clone(),
        expect,
    });
    let reasons = ["TransactionConflict", "ConditionalCheckFailed"];
    proxy.fault("TransactWriteItems", 1, canceled(&reasons));
    let applied = ledger.apply(change, 1).await.unwrap();
    assert_eq!(applied, Applied::Conflict(key_b));
    assert_eq!(proxy.end("TransactWriteItems"), 1);
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    let (ledger, proxy) = make().await;
    for (code, passes) in [
        ("AccessDeniedException", true),
        ("ResourceNotFoundException", true),
        ("ValidationException", false),
        ("IdempotentParameterMismatchException", false),
    ] {
        proxy.fault("TransactWriteItems", 100, Fault::Instead(400, code));
        let applied = ledger.apply(replace("a", Expect::Absent, 1), 1).await;
        let error = applied.unwrap_err();
        let transient = matches!(error, Error::Transient { .. });
        assert_eq!(transient, passes, "{code}: {error}");
        assert!(error.to_string().contains(code), "{error}");
        assert_eq!(proxy.end("TransactWriteItems"), 1, "{code}");
    }
}

/// Two processes, each with clients of its own, and one condition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_wins_every_time() {
    const ROUNDS: u64 = 300;
    let installation = installation(endpoint(Kind::Ministack));
    provision_table(&clients(installation.clone()))
        .await
        .unwrap();
    let writers = [(); 2].map(|()| Arc::new(DynamoLedger::new(clients(installation.clone()))));
    for round in 0..ROUNDS {
        let expect = Expect::as_read((round > 0).then_some(round));
        let [one, two] = [0, 1].map(|number| {
            let writer = Arc::clone(&writers[number]);
            let change = replace("a", expect, number as i64);
            tokio::spawn(async move { writer.apply(change, 1).await.unwrap() })
        });
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        let lost = Applied::Conflict(key("a"));
        let (winner, both) = if one == Applied::Done {
            (0, (&two, &lost))
        } else {
            (1, (&one, &lost))
        };
        assert_eq!(both.0, both.1, "round {round}");
        let record = writers[0].get(&key("a")).await.unwrap().unwrap();
        assert_eq!((record.version, record.row), (round + 1, row(winner)));
    }
}

/// What the port's other adapters do too: each write on what the one before left.
#[tokio::test]
async fn several_writes_of_one_row_are_one_action() {
    let (ledger, _) = make().await;
    let version = async |change: Change| {
        let applied = ledger.apply(change, 1).await.unwrap();
        assert_eq!(applied, Applied::Done);
        let record = ledger.get(&key("a")).await.unwrap();
        record.map(|record| (record.version, record.row))
    };
    assert_eq!(version(Change::default()).await, None, "nothing to do");
    let mut change = Change::default();
    change.put(key("a"), row(1));
    change.put(key("a"), row(2));
    assert_eq!(version(change).await, Some((2, row(2))));
    let mut change = Change::default();
    change.delete(key("a"));
    change.put(key("a"), row(3));
    assert_eq!(version(change).await, Some((1, row(3))));
    let mut change = Change::default();
    change.put(key("a"), row(4));
    change.delete(key("a"));
    assert_eq!(version(change).await, None);
}
