//! The table of `cost::Call` is what the adapters do: each call of a port is made through a proxy that counts requests.
#![allow(
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::proxy::Proxy;
use common::{clients, endpoint, installation, key, message, replace, row};
use cost::Call;
use emulator::Kind;
use ledger::{Change, Expect, QueueName, Share, Tenant};
use pipeline_spec::{Priority, Role, Sha256Digest};
use platform_aws::{
    Clients, DynamoLedger, S3Store, SqsQueue, provision_bucket, provision_queues, provision_table,
};
use ports::{Applied, ArtifactStore, Ledger, Letter, Place, TaskQueue};

const HOUR: Duration = Duration::from_secs(3_600);

async fn make() -> (Clients, Proxy) {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    (clients(installation(proxy.url.clone())), proxy)
}

/// All requests since the last time are those of `calls`.
fn check(proxy: &Proxy, what: &str, calls: &[Call]) {
    let wanted = calls.iter().flat_map(Call::requests);
    let wanted: u64 = wanted.map(|(_, count)| count).sum();
    assert_eq!(proxy.end("") as u64, wanted, "{what}");
}

/// The same of one kind of request, by its name in the service's API.
fn check_each(proxy: &Proxy, what: &str, call: &Call) {
    let names = proxy.names();
    let mut wanted = 0;
    for (action, count) in call.requests() {
        let name = format!("{action:?}");
        let is_it = |seen: &&String| seen.rsplit('.').next() == Some(&name);
        assert_eq!(
            names.iter().filter(is_it).count() as u64,
            count,
            "{what}: {name}"
        );
        wanted += count;
    }
    assert_eq!(names.len() as u64, wanted, "{what}: {names:?}");
}

#[tokio::test]
async fn the_ledger_asks_as_the_table_says() {
    let (clients, proxy) = make().await;
    provision_table(&clients).await.unwrap();
    let ledger = DynamoLedger::new(clients);
    proxy.names();
    let mut change = replace("a", Expect::Absent, 1);
    for number in 0..30 {
        change.put(key(&format!("b{number}")), row(number));
    }
    let rows = vec![
        cost::Row {
            before: 0,
            after: 1
        };
        31
    ];
    assert_eq!(ledger.apply(change, 1).await.unwrap(), Applied::Done);
    check_each(&proxy, "apply", &Call::Apply { rows });
    assert_eq!(
        ledger.apply(Change::default(), 1).await.unwrap(),
        Applied::Done
    );
    check_each(&proxy, "apply nothing", &Call::Apply { rows: Vec::new() });
    ledger.get(&key("a")).await.unwrap();
    check_each(&proxy, "get", &Call::Get { bytes: 1 });
    for limit in [10, 31, 500] {
        let rows = ledger.list("p", "", None, limit).await.unwrap().len() as u64;
        check_each(&proxy, "list", &Call::List { rows, bytes: 1 });
    }
    ledger.list("nothing", "", None, 500).await.unwrap();
    check_each(&proxy, "list nothing", &Call::List { rows: 0, bytes: 0 });
}

#[tokio::test]
async fn queues_ask_as_the_table_says() {
    let (clients, proxy) = make().await;
    let (one, other) = (QueueName::advance(), QueueName::work(Role::Test, None));
    let both = [one.clone(), other.clone()];
    provision_queues(&clients, &both, 50).await.unwrap();
    let queue = SqsQueue::new(clients);
    // Addresses are asked for once in the life of a process.
    for name in &both {
        queue.depth(name).await.unwrap();
    }
    proxy.names();
    let letter = |queue: &QueueName, priority| Letter {
        queue: queue.clone(),
        message: message("x"),
        place: Place {
            not_before: 0,
            share: Share {
                tenant: Tenant::NOBODY,
                priority,
            },
        },
    };
    let mut letters = vec![letter(&one, Priority::Normal); 21];
    letters.extend([
        letter(&one, Priority::Urgent),
        letter(&other, Priority::Normal),
    ]);
    queue.send_all(&letters).await.unwrap();
    let queues = vec![21, 1, 1];
    check_each(&proxy, "send all", &Call::SendAll { queues });
    queue
        .send(&other, &message("y"), &Place::at(0))
        .await
        .unwrap();
    check_each(&proxy, "send", &Call::Send);
    queue.depth(&one).await.unwrap();
    check_each(&proxy, "depth", &Call::Depth);
    // What is there: urgent 1, normal 21; a look of one queue.
    let own = [one.clone()];
    let got = queue.receive(&own, 1, HOUR, Duration::ZERO).await.unwrap();
    let looked = Call::look(1, 1, &[1]);
    check_each(&proxy, "receive one", &Call::Receive { looked, waited: 0 });
    queue.acknowledge(&got[0].receipt).await.unwrap();
    check_each(&proxy, "acknowledge", &Call::Acknowledge);
    let mut got = Vec::new();
    while got.len() < 21 {
        got.extend(
            queue
                .receive(&own, 100, HOUR, Duration::ZERO)
                .await
                .unwrap(),
        );
    }
    proxy.names();
    let receipts: Vec<_> = got.iter().map(|it| it.receipt.as_str()).collect();
    queue.acknowledge_all(&receipts).await.unwrap();
    let queues = vec![21];
    check_each(&proxy, "acknowledge all", &Call::AcknowledgeAll { queues });
    // Nothing is there: a look at all, and a wait at all.
    let second = Duration::from_secs(1);
    let got = queue.receive(&own, 1, HOUR, second).await.unwrap();
    assert!(got.is_empty(), "{got:?}");
    let (looked, waited) = (Call::look(1, 1, &[]), Call::poll(1));
    check_each(&proxy, "wait", &Call::Receive { looked, waited });
}

#[tokio::test]
async fn the_store_asks_as_the_table_says() {
    let (clients, proxy) = make().await;
    provision_bucket(&clients).await.unwrap();
    let store = S3Store::new(clients);
    proxy.names();
    let digest = store.put(Bytes::from_static(b"x")).await.unwrap();
    check(&proxy, "put", &[Call::Put]);
    let body = Box::new(&b"x"[..]);
    let stored = store.put_stream(digest, 10, body).await.unwrap();
    assert_eq!(stored, ports::Stored::Yes);
    check(&proxy, "put a stream", &[Call::Put]);
    let missing = Sha256Digest::new([7; 32]);
    store.size(&digest).await.unwrap();
    store.size(&missing).await.unwrap();
    check(&proxy, "size", &[Call::Size, Call::Size]);
    for (what, digest, since, copied) in [
        ("renew", &digest, i64::MAX, true),
        ("renew what is young", &digest, 0, false),
        ("renew nothing", &missing, i64::MAX, false),
    ] {
        store.renew(digest, since).await.unwrap();
        check(&proxy, what, &[Call::Renew { copied }]);
    }
    store.get(&digest, 10).await.unwrap();
    store.open(&digest, 0).await.unwrap();
    check(&proxy, "get and open", &[Call::Read, Call::Read]);
    store.held(None, 1_000).await.unwrap();
    check(&proxy, "held", &[Call::Held { files: 1 }]);
    let (first, second) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
    store
        .set_pointer("base", None, first.clone())
        .await
        .unwrap();
    check(
        &proxy,
        "a new pointer",
        &[Call::SetPointer { is_new: true }],
    );
    store
        .set_pointer("base", Some(&first), second)
        .await
        .unwrap();
    check(&proxy, "a pointer", &[Call::SetPointer { is_new: false }]);
    store.pointer("base").await.unwrap();
    check(&proxy, "read a pointer", &[Call::Read]);
    store.pointers().await.unwrap();
    check(&proxy, "list pointers", &[Call::Pointers { names: 1 }]);
    let far = i64::MAX;
    assert!(store.remove_if_older(&digest, far).await.unwrap());
    // Put twice, renewed once.
    check(&proxy, "remove", &[Call::RemoveIfOlder { versions: 3 }]);
    let links = [
        store.upload_link(&digest, 1, HOUR).await.unwrap(),
        store.download_link(&digest, HOUR).await.unwrap(),
    ];
    assert!(links.iter().all(Option::is_some));
    check(&proxy, "links", &[]);
}
