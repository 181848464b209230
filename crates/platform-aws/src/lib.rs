//! Amazon Web Services: the ledger in DynamoDB, the queues in SQS, artifacts in S3.
//!
//! Callers: functions and programs that run in the cloud. Invariants: this is the only room that knows types of the
//! AWS SDK; nothing that is decided hangs on an item's time to live, on the order of messages, or on a list being a
//! snapshot; every call ends within its installation's [`Patience`]; what a service answers with "not now" is tried
//! again here, and is [`ports::Error::Transient`] after that.
//!
//! Why it is made like this: `docs/adr/0015-dynamodb-sqs-s3.md`.
#![allow(
    clippy::disallowed_methods,
    reason = "this adapter's business is the network, and the clock of the machine"
)]

mod clients;
mod clock;
mod installation;
mod ledger_rows;
mod lender;
mod parameters;
mod provision;
mod queue;
mod retry;
mod store;

pub use clients::{Access, Clients};
pub use clock::WallClock;
pub use installation::{Installation, Invalid, Patience};
pub use ledger_rows::DynamoLedger;
pub use lender::{Lender, Loan};
pub use parameters::Parameters;
pub use provision::{provision_bucket, provision_queues, provision_table};
pub use queue::SqsQueue;
pub use store::{Presigned, RESULTS, S3Store, Sizes};

/// All ports of one installation; the state repository is the caller's choice.
#[derive(Debug)]
pub struct AwsPlatform<R> {
    ledger: DynamoLedger,
    queue: SqsQueue,
    store: S3Store,
    state_repo: R,
    clock: WallClock,
}

impl<R> AwsPlatform<R> {
    /// The platform of `installation`. No request is made before the first call of a port.
    pub fn new(installation: Installation, access: Access, state_repo: R) -> Self {
        let clients = Clients::new(installation, access);
        Self {
            ledger: DynamoLedger::new(clients.clone()),
            queue: SqsQueue::new(clients.clone()),
            store: S3Store::new(clients),
            state_repo,
            clock: WallClock,
        }
    }
}

impl<R: ports::StateRepo + 'static> ports::Platform for AwsPlatform<R> {
    type Ledger = DynamoLedger;
    type Queue = SqsQueue;
    type Store = S3Store;
    type StateRepo = R;
    type Clock = WallClock;

    fn ledger(&self) -> &DynamoLedger {
        &self.ledger
    }

    fn queue(&self) -> &SqsQueue {
        &self.queue
    }

    fn store(&self) -> &S3Store {
        &self.store
    }

    fn state_repo(&self) -> &R {
        &self.state_repo
    }

    fn clock(&self) -> &WallClock {
        &self.clock
    }
}
