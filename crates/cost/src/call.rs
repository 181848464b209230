//! The table: which requests the adapter of AWS makes of a call of a port.
//!
//! | call | requests, where nothing fails | why |
//! |---|---|---|
//! | `Ledger::get` | 1 `GetItem` | |
//! | `Ledger::list` | 1 `Query` for each megabyte or 1,000 rows that are begun | a page of DynamoDB ends there |
//! | `Ledger::apply` | 1 `TransactWriteItems` | none if it touches no row |
//! | `TaskQueue::send` | 1 `SendMessage` | a message is far below 64 KiB, which is what a request is priced by |
//! | `TaskQueue::send_all` | 1 `SendMessageBatch` for ten of one queue of SQS | a priority is a queue of its own |
//! | `TaskQueue::receive` | up to 3 `ReceiveMessage` a queue; where it waits, 3 more a queue in 20 seconds | SQS has no priorities, and one request waits for one queue |
//! | `TaskQueue::acknowledge` | 1 `DeleteMessage` | |
//! | `TaskQueue::acknowledge_all` | 1 `DeleteMessageBatch` for ten of one queue of SQS | |
//! | `TaskQueue::depth` | 3 `GetQueueAttributes` | one a priority |
//! | `ArtifactStore::put`, `put_stream` | 1 `PutObject` | files above 8 MiB go up in parts, from runners by links |
//! | `ArtifactStore::size` | 1 `HeadObject` | |
//! | `ArtifactStore::renew` | 1 `HeadObject`, and 1 `CopyObject` of what is there and old | only a new version is young |
//! | `ArtifactStore::get`, `open`, `pointer` | 1 `GetObject` | |
//! | `ArtifactStore::held`, `pointers` | 1 `ListObjectsV2` for 1,000 names | |
//! | `ArtifactStore::set_pointer` | 1 `PutObject`; of one that is there, 1 `GetObject` before | the port compares bytes, S3 compares tags |
//! | `ArtifactStore::remove_if_older` | 1 `ListObjectVersions`, and 1 `DeleteObject` a version | |
//!
//! Links are signed by the process itself and ask nobody. Held against the adapter, request by request, by
//! `crates/platform-aws/tests/requests.rs`.

use crate::usage::{Action, Actor, Usage};

/// Bytes of a page of a query.
const PAGE_BYTES: u64 = 1 << 20;
/// Rows that the adapter asks for in one page, and names in one answer of S3.
const PAGE: u64 = 1_000;
/// Messages in one request.
const BATCH: u64 = 10;
/// Queues of SQS for one of ours.
const PRIORITIES: u64 = 3;
/// Bytes of one read unit: a consistent read of so much.
const READ_UNIT: u64 = 4 << 10;
/// Bytes of one write unit.
const WRITE_UNIT: u64 = 1 << 10;
/// A transaction prepares and commits: each row costs twice.
const TRANSACTION: u64 = 2;

/// A row that a transaction touches: bytes of its item before and after, 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Before the change.
    pub before: u64,
    /// After it.
    pub after: u64,
}

/// Write units of rows in a transaction. The larger of both sizes counts; an item that is not there counts as one
/// unit ("Read and write operations" in DynamoDB's developer guide).
pub fn item_units(rows: &[Row]) -> u64 {
    let units = |row: &Row| row.before.max(row.after).div_ceil(WRITE_UNIT).max(1);
    TRANSACTION * rows.iter().map(units).sum::<u64>()
}

/// A call of a port, with what its price hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above says what they are")]
pub enum Call {
    Get {
        bytes: u64,
    },
    List {
        rows: u64,
        bytes: u64,
    },
    Apply {
        rows: Vec<Row>,
    },
    Send,
    /// Messages by queue of SQS.
    SendAll {
        queues: Vec<u64>,
    },
    /// Requests of the look, and of 20 seconds of waiting each.
    Receive {
        looked: u64,
        waited: u64,
    },
    Acknowledge,
    /// Messages by queue of SQS.
    AcknowledgeAll {
        queues: Vec<u64>,
    },
    Depth,
    Put,
    Size,
    Renew {
        copied: bool,
    },
    Held {
        files: u64,
    },
    Read,
    Pointers {
        names: u64,
    },
    SetPointer {
        is_new: bool,
    },
    RemoveIfOlder {
        versions: u64,
    },
}

impl Call {
    /// A look at `queues` queues for at most `limit` messages, of which `found` tells how many each queue of SQS has,
    /// urgent ones first, in the order in which they are asked. It ends when it has enough; a queue is asked until it
    /// has no more.
    pub fn look(queues: u64, limit: u64, found: &[u64]) -> u64 {
        let (mut requests, mut got) = (0, 0);
        for at in 0..PRIORITIES * queues {
            let mut here = found.get(at as usize).copied().unwrap_or(0);
            while got < limit {
                requests += 1;
                let came = here.min(BATCH).min(limit - got);
                (here, got) = (here - came, got + came);
                if came == 0 {
                    break;
                }
            }
        }
        requests
    }

    /// The requests of a poll that waits, in each 20 seconds: all queues are asked at once.
    pub fn poll(queues: u64) -> u64 {
        PRIORITIES * queues
    }

    /// The requests of it, and how many.
    pub fn requests(&self) -> Vec<(Action, u64)> {
        let batches = |queues: &[u64]| queues.iter().map(|count| count.div_ceil(BATCH)).sum();
        match self {
            Self::Get { .. } => vec![(Action::GetItem, 1)],
            Self::List { rows, bytes } => {
                let pages = bytes.div_ceil(PAGE_BYTES).max(rows.div_ceil(PAGE)).max(1);
                vec![(Action::Query, pages)]
            }
            Self::Apply { rows } => vec![(Action::TransactWriteItems, rows.len().min(1) as u64)],
            Self::Send => vec![(Action::SendMessage, 1)],
            Self::SendAll { queues } => vec![(Action::SendMessageBatch, batches(queues))],
            Self::Receive { looked, waited } => vec![(Action::ReceiveMessage, looked + waited)],
            Self::Acknowledge => vec![(Action::DeleteMessage, 1)],
            Self::AcknowledgeAll { queues } => vec![(Action::DeleteMessageBatch, batches(queues))],
            Self::Depth => vec![(Action::GetQueueAttributes, PRIORITIES)],
            Self::Put => vec![(Action::PutObject, 1)],
            Self::Size => vec![(Action::HeadObject, 1)],
            Self::Renew { copied } => {
                vec![
                    (Action::HeadObject, 1),
                    (Action::CopyObject, u64::from(*copied)),
                ]
            }
            Self::Held { files: names } | Self::Pointers { names } => {
                vec![(Action::ListObjectsV2, names.div_ceil(PAGE).max(1))]
            }
            Self::Read => vec![(Action::GetObject, 1)],
            Self::SetPointer { is_new } => {
                vec![
                    (Action::GetObject, u64::from(!is_new)),
                    (Action::PutObject, 1),
                ]
            }
            Self::RemoveIfOlder { versions } => {
                vec![
                    (Action::ListObjectVersions, 1),
                    (Action::DeleteObject, *versions),
                ]
            }
        }
    }

    /// Adds it to what `actor` used.
    pub fn add_to(&self, usage: &mut Usage, actor: Actor) {
        for (action, count) in self.requests() {
            usage.request(actor, action, count);
        }
        match self {
            Self::Get { bytes } | Self::List { bytes, .. } => {
                usage.read_units += bytes.div_ceil(READ_UNIT).max(1);
            }
            Self::Apply { rows } => usage.write_units += item_units(rows),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ends_when_it_has_enough() {
        for (queues, limit, found, expect) in [
            (1, 1, &[1][..], 1),
            (1, 1, &[0, 1], 2),
            (2, 1, &[0, 0, 0, 1], 4),
            (2, 1, &[], 6),
            // Ten at a time, and once more to hear that there is no more.
            (1, 100, &[0, 25], 1 + 4 + 1),
            (1, 25, &[0, 25], 1 + 3),
            (1, 0, &[], 0),
        ] {
            assert_eq!(
                Call::look(queues, limit, found),
                expect,
                "{queues} {limit} {found:?}"
            );
        }
    }

    #[test]
    fn units_are_begun_and_transactions_cost_twice() {
        let row = |before, after| Row { before, after };
        for (rows, expect) in [
            (vec![], 0),
            (vec![row(0, 1)], 2),
            (vec![row(0, 1_024), row(0, 1_025)], 2 + 4),
            (vec![row(3_000, 10)], 6),
            // A condition on a row that is not there, and a removal of one.
            (vec![row(0, 0), row(500, 0)], 4),
        ] {
            assert_eq!(item_units(&rows), expect, "{rows:?}");
        }
        let mut usage = Usage::default();
        Call::Get { bytes: 0 }.add_to(&mut usage, Actor::Plan);
        let list = Call::List {
            rows: 30,
            bytes: (1 << 20) + 1,
        };
        list.add_to(&mut usage, Actor::Plan);
        assert_eq!(usage.read_units, 1 + 257);
        assert_eq!(usage.control_plane_requests(), 1 + 2);
    }

    #[test]
    fn batches_are_of_one_queue() {
        let queues = vec![11, 1, 10];
        let sent = Call::SendAll { queues }.requests();
        assert_eq!(sent, [(Action::SendMessageBatch, 4)]);
    }
}
