//! The adapters of AWS hold what the ports say, on an emulator.
#![allow(
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and a suite runs once"
)]

mod common;

use std::time::Duration;

use common::{Wall, clients, endpoint, installation};
use emulator::Kind;
use ledger::QueueName;
use pipeline_spec::Role;
use platform_aws::{
    DynamoLedger, S3Store, SqsQueue, WallClock, provision_bucket, provision_queues, provision_table,
};
use ports::contract::{self, Order, QueueManner, StaleReceipt, Wakes};

/// SQS counts in seconds, and this time passes.
const SQS: QueueManner = QueueManner {
    order: Order::ByPriority,
    hidden: Duration::from_secs(5),
    wakes: Wakes::Within(Duration::from_secs(20)),
    stale: StaleReceipt::RemovesNothing,
};

/// S3's times are whole seconds.
const S3: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger() {
    contract::ledger(async || new_ledger(Kind::Ministack).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_on_moto() {
    contract::ledger(async || new_ledger(Kind::Moto).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue() {
    let make = async || (new_queue(Kind::Ministack).await, Wall);
    Box::pin(contract::queue(SQS, make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_on_moto() {
    // SQS keeps a message when it is deleted with an old receipt ("DeleteMessage" in its API reference); moto does not.
    let moto = QueueManner {
        stale: StaleReceipt::MayRemove,
        ..SQS
    };
    let make = async || (new_queue(Kind::Moto).await, Wall);
    Box::pin(contract::queue(moto, make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store() {
    contract::store(S3, async || (new_store(Kind::Ministack).await, Wall)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_on_moto() {
    contract::store(S3, async || (new_store(Kind::Moto).await, Wall)).await;
}

async fn new_ledger(kind: Kind) -> DynamoLedger {
    let clients = clients(installation(endpoint(kind)));
    provision_table(&clients).await.unwrap();
    DynamoLedger::new(clients)
}

async fn new_queue(kind: Kind) -> SqsQueue {
    let clients = clients(installation(endpoint(kind)));
    let names = [
        QueueName::advance(),
        QueueName::report(),
        QueueName::work(Role::Test, None),
        QueueName::work(Role::Sign, None),
    ];
    provision_queues(&clients, &names, 50).await.unwrap();
    SqsQueue::new(clients)
}

async fn new_store(kind: Kind) -> S3Store {
    let clients = clients(installation(endpoint(kind)));
    provision_bucket(&clients).await.unwrap();
    S3Store::new(clients)
}

#[tokio::test]
async fn clock() {
    contract::clock(async || WallClock).await;
}
