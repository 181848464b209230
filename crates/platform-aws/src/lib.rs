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
mod parameters;
mod provision;
mod queue;
mod retry;

pub use clients::{Access, Clients};
pub use clock::WallClock;
pub use installation::{Installation, Invalid, Patience};
pub use ledger_rows::DynamoLedger;
pub use parameters::Parameters;
pub use provision::{provision_bucket, provision_queues, provision_table};
pub use queue::SqsQueue;
