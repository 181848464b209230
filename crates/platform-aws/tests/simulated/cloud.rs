//! Ledger and queues of an installation on an emulator, as the simulator asks for them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use emulator::Kind;
use fastrand::Rng;
use ledger::{Change, Key, Message, Millis, QueueName, Record, Share};
use pipeline_spec::Role;
use platform_aws::{DynamoLedger, Installation, SqsQueue, provision_queues, provision_table};
use ports::{Applied, Delivery, Ledger, Place, Result, TaskQueue};
use simulator::Outside;
use tokio::runtime::{Builder, Runtime};

use crate::common::proxy::{Fault, Proxy, canceled};
use crate::common::{QUICK, clients, endpoint, installation};

/// Longer than any run: the simulator says when a message is seen again.
const HIDDEN: Duration = Duration::from_secs(12 * 3_600);
/// Deliveries until SQS gives a message up: the control plane does so before.
const DELIVERIES: u32 = 1_000;
/// Architectures of the simulated distribution.
const ARCHITECTURES: [&str; 3] = ["x86_64", "aarch64", "amd64"];

/// On its way to the services, a request meets...
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing.
    Clear,
    /// Faults by chance: fewer in a row than a call is tried.
    Rough,
}

/// One chance in so many that a call meets faults on a rough way.
const ROUGH: u32 = 4;

/// One installation, for one thread.
pub(crate) struct Cloud {
    runtime: Runtime,
    ledger: DynamoLedger,
    queue: SqsQueue,
    sqs: aws_sdk_sqs::Client,
    /// Addresses of queues, by their names in SQS.
    urls: Mutex<HashMap<String, String>>,
    rough: Option<(Proxy, Mutex<Rng>)>,
}

impl Cloud {
    pub(crate) fn new(way: Way, seed: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut installation = installation(endpoint(Kind::Ministack));
        installation.patience = QUICK;
        runtime.block_on(provision(&installation));
        let rough = (way == Way::Rough).then(|| {
            let proxy = runtime.block_on(Proxy::new(endpoint(Kind::Ministack)));
            installation.endpoint = Some(proxy.url.clone());
            (proxy, Mutex::new(Rng::with_seed(seed)))
        });
        let clients = clients(installation.clone());
        Self {
            runtime,
            ledger: DynamoLedger::new(clients.clone()),
            queue: SqsQueue::new(clients),
            sqs: sqs(&installation),
            urls: Mutex::default(),
            rough,
        }
    }

    /// What the requests of the next call meet, now and then.
    fn meets(&self, action: &str, again: Again) {
        let Some((proxy, rng)) = &self.rough else {
            return;
        };
        let mut rng = lock(rng);
        proxy.end("");
        if rng.u32(..ROUGH) == 0 {
            let faults = faults(action, again);
            let fault = faults[rng.usize(..faults.len())].clone();
            let most = QUICK.attempts as usize;
            proxy.fault(action, rng.usize(1..most), fault);
        }
    }

    async fn url(&self, name: &str) -> String {
        if let Some(url) = lock(&self.urls).get(name) {
            return url.clone();
        }
        let get = self.sqs.get_queue_url().queue_name(name).send();
        let url = get.await.unwrap().queue_url.unwrap();
        lock(&self.urls).insert(name.to_owned(), url.clone());
        url
    }
}

/// Whether a request may be done twice: its answer may be lost then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// What was done once is done.
    Harmless,
    /// There would be two of it, or nobody would know what came of it.
    Harmful,
}

fn faults(action: &str, again: Again) -> Vec<Fault> {
    let mut faults = vec![
        Fault::Instead(400, "ThrottlingException"),
        Fault::Instead(500, "InternalServerError"),
        Fault::Body(503, "no JSON at all".to_owned()),
    ];
    faults.extend(match action {
        "TransactWriteItems" => vec![
            canceled(&["TransactionConflict"]),
            canceled(&["ProvisionedThroughputExceeded"]),
            Fault::Instead(400, "TransactionInProgressException"),
        ],
        "GetItem" | "Query" => vec![
            Fault::Instead(400, "ProvisionedThroughputExceededException"),
            Fault::Body(200, "{".to_owned()),
        ],
        _ => vec![
            Fault::Instead(400, "RequestThrottled"),
            Fault::Instead(403, "OverLimit"),
        ],
    });
    if again == Again::Harmless {
        faults.push(Fault::Lost);
    }
    faults
}

async fn provision(installation: &Installation) {
    let clients = clients(installation.clone());
    provision_table(&clients).await.unwrap();
    let mut names = vec![QueueName::advance(), QueueName::report()];
    for role in [
        Role::BuildRpm,
        Role::BuildDeb,
        Role::Test,
        Role::Compose,
        Role::Sign,
    ] {
        names.push(QueueName::work(role, None));
        for arch in ARCHITECTURES {
            names.push(QueueName::work(role, Some(&arch.parse().unwrap())));
        }
    }
    let made = provision_queues(&clients, &names, DELIVERIES).await;
    made.unwrap();
}

fn sqs(installation: &Installation) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(installation.region.clone()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(installation.endpoint.clone().unwrap())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outside for Cloud {
    fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.meets("GetItem", Again::Harmless);
        self.runtime.block_on(self.ledger.get(key))
    }

    fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        self.meets("Query", Again::Harmless);
        let list = self.ledger.list(partition, prefix, after, limit);
        self.runtime.block_on(list)
    }

    fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        self.meets("TransactWriteItems", Again::Harmless);
        self.runtime.block_on(self.ledger.apply(change, now))
    }

    fn send(&self, queue: &QueueName, message: &Message, share: &Share) -> Result<()> {
        self.meets("SendMessage", Again::Harmful);
        let place = Place {
            not_before: 0,
            share: share.clone(),
        };
        let send = self.queue.send(queue, message, &place);
        self.runtime.block_on(send)
    }

    fn receive(&self, queues: &[QueueName], limit: usize) -> Result<Vec<Delivery>> {
        self.meets("ReceiveMessage", Again::Harmful);
        let receive = self.queue.receive(queues, limit, HIDDEN, Duration::ZERO);
        self.runtime.block_on(receive)
    }

    fn show(&self, receipt: &str) -> Result<()> {
        let (name, handle) = receipt.split_once(' ').unwrap();
        self.runtime.block_on(async {
            let change = self.sqs.change_message_visibility();
            let change = change.queue_url(self.url(name).await);
            let change = change.receipt_handle(handle).visibility_timeout(0);
            change.send().await.unwrap();
        });
        Ok(())
    }

    fn acknowledge(&self, receipt: &str) -> Result<()> {
        self.meets("DeleteMessage", Again::Harmless);
        self.runtime.block_on(self.queue.acknowledge(receipt))
    }
}
