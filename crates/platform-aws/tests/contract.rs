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
use ports::contract::{self, Order, QueueManner, Wakes};

/// SQS counts in seconds, and this time passes.
const SQS: QueueManner = QueueManner {
    order: Order::ByPriority,
    hidden: Duration::from_secs(5),
    wakes: Wakes::Within(Duration::from_secs(20)),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger() {
    contract::ledger(async || {
        let clients = clients(installation(endpoint(Kind::Ministack)));
        provision_table(&clients).await.unwrap();
        DynamoLedger::new(clients)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue() {
    contract::queue(SQS, async || {
        let clients = clients(installation(endpoint(Kind::Ministack)));
        let names = [
            QueueName::advance(),
            QueueName::report(),
            QueueName::work(Role::Test, None),
            QueueName::work(Role::Sign, None),
        ];
        provision_queues(&clients, &names, 50).await.unwrap();
        (SqsQueue::new(clients), Wall)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store() {
    // S3's times are whole seconds.
    contract::store(Duration::from_secs(1), async || {
        let clients = clients(installation(endpoint(Kind::Ministack)));
        provision_bucket(&clients).await.unwrap();
        (S3Store::new(clients), Wall)
    })
    .await;
}

#[tokio::test]
async fn clock() {
    contract::clock(async || WallClock).await;
}
