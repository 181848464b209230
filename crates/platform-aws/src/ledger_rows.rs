//! The ledger in one DynamoDB table.
//!
//! # Items
//!
//! | attribute | type | is |
//! |---|---|---|
//! | `pk` | S | `/` and the ledger's partition. At most 2,048 bytes |
//! | `sk` | S | `/` and the sort key. At most 1,024 bytes. DynamoDB orders by bytes, as the port does |
//! | `version` | N | of the row, from 1 |
//! | `format` | N | [`ledger::format::CURRENT`] of the program that wrote the row |
//! | `row` | S or B | the row as JSON; where that is more than a write unit (1 KiB), zstd of it |
//!
//! The slash is there because DynamoDB takes no empty keys, and the port does. Nothing has a time to live: DynamoDB
//! removes such items days late, so a decision that hangs on one would be late by days.
//!
//! # Access
//!
//! Which partitions are read and written how often, and how that fits the limits, is in
//! `docs/reference/dynamodb.md`. `get` and `list` read consistently. `apply` is one `TransactWriteItems` with a token
//! of its own, so that a request whose answer was lost is not done twice and does not meet its own write as a conflict.
//!
//! # Isolation
//!
//! A change is seen whole by `get` and by other changes. A `list` is not a snapshot on AWS: of a change that is
//! applied while the query runs, it may see one row new and another one old (*read-committed*; see "Isolation levels"
//! in the developer guide). Whatever is decided by a list is therefore written under conditions on the rows that it was
//! decided by.

mod actions;
mod item;

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ledger::{Change, Key, Millis, Record};
use ports::{Applied, Error, Ledger, Result};

use crate::clients::Clients;
use crate::retry::{Stop, again, answer};
use actions::{Action, Merged, merge};

/// Rows in one answer of a query; the service stops at 1 MB anyway.
const PAGE: usize = 1_000;
/// What DynamoDB takes in one transaction, in bytes.
const MAX_CHANGE_BYTES: usize = 4 << 20;
const APPLY: &str = "apply a change to the ledger";

/// Why DynamoDB cancels a transaction though no condition failed: it is a matter of time.
const PASSING: [&str; 3] = [
    "TransactionConflict",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
];

/// Rows as items of one table.
#[derive(Debug, Clone)]
pub struct DynamoLedger(Clients);

impl DynamoLedger {
    /// The ledger in the table of the clients' installation.
    pub fn new(clients: Clients) -> Self {
        Self(clients)
    }

    fn table(&self) -> &str {
        &self.0.installation().table
    }
}

impl Ledger for DynamoLedger {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let operation = format!("read ledger row {key}");
        let client = self.0.dynamodb().await;
        let get = client.get_item().table_name(self.table());
        let get = get
            .consistent_read(true)
            .set_key(Some(item::key(&operation, key)?));
        let found = answer(self.0.patience(), &operation, || get.clone().send()).await?;
        let record = |item| item::record(&operation, &item);
        found.item.map(record).transpose()
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let Some(mut start) = start(partition, prefix, after)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let page = (limit - found.len()).min(PAGE);
            let (rows, next) = self.page(partition, prefix, start, page).await?;
            found.extend(rows);
            start = next;
            if start.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let (conditions, writes) = change.into_rows(now);
        let actions = match merge(conditions, writes) {
            Merged::Actions(actions) => actions,
            Merged::Never(key) => return Ok(Applied::Conflict(key)),
        };
        if actions.len() > Change::MAX_ROWS {
            let (rows, most) = (actions.len(), Change::MAX_ROWS);
            let cause = format!("it touches {rows} rows; {most} are allowed");
            return Err(Error::corrupt(APPLY, cause));
        }
        if actions.is_empty() {
            return Ok(Applied::Done);
        }
        self.write(&actions).await
    }
}

/// A key as DynamoDB has it.
type Place = HashMap<String, AttributeValue>;

/// Where a query starts: behind which key, if any. `None`: no key with `prefix` is behind `after`.
///
/// DynamoDB takes only a start that the query could have answered.
fn start(partition: &str, prefix: &str, after: Option<&str>) -> Result<Option<Option<Place>>> {
    match after {
        Some(after) if after.starts_with(prefix) => {
            let key = Key {
                partition: partition.to_owned(),
                sort: after.to_owned(),
            };
            Ok(Some(Some(item::key("list ledger rows", &key)?)))
        }
        Some(after) if after > prefix => Ok(None),
        _ => Ok(Some(None)),
    }
}

impl DynamoLedger {
    /// At most `limit` rows behind `start`, and the start of the next page.
    async fn page(
        &self,
        partition: &str,
        prefix: &str,
        start: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<(Key, Record)>, Option<Place>)> {
        let operation = format!("list ledger rows of {partition}");
        let query = self.0.dynamodb().await.query().table_name(self.table());
        let query = query
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", item::text(partition))
            .expression_attribute_values(":prefix", item::text(prefix))
            .set_exclusive_start_key(start)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let page = answer(self.0.patience(), &operation, || query.clone().send()).await?;
        let rows = page.items.unwrap_or_default().into_iter().map(|item| {
            let key = Key {
                partition: partition.to_owned(),
                sort: item::sort(&operation, &item)?,
            };
            let record = item::record(&format!("read ledger row {key}"), &item)?;
            Ok((key, record))
        });
        Ok((rows.collect::<Result<_>>()?, page.last_evaluated_key))
    }

    async fn write(&self, actions: &[Action]) -> Result<Applied> {
        let (mut items, mut bytes) = (Vec::with_capacity(actions.len()), 0);
        for action in actions {
            let (item, size) = action.item(self.table())?;
            items.push(item);
            bytes += size;
        }
        if bytes > MAX_CHANGE_BYTES {
            let cause =
                format!("its rows have {bytes} bytes; DynamoDB takes {MAX_CHANGE_BYTES} at once");
            return Err(Error::corrupt(APPLY, cause));
        }
        match self.transact(items).await {
            Ok(()) => Ok(Applied::Done),
            Err(Stop::Refused(refusal)) => match failed_condition(&refusal, actions) {
                Some(key) => Ok(Applied::Conflict(key.clone())),
                None => Err(Stop::Refused(refusal).into_error(APPLY)),
            },
            Err(stop) => Err(stop.into_error(APPLY)),
        }
    }

    async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> std::result::Result<(), Stop<TransactWriteItemsError>> {
        // One token for all requests of this call: of two that arrive, the second is answered as the first was.
        let token = format!("{:032x}", rand::random::<u128>());
        let request = self.0.dynamodb().await.transact_write_items();
        let request = request
            .set_transact_items(Some(items))
            .client_request_token(token);
        let call = || request.clone().send();
        again(self.0.patience(), APPLY, is_passing, call).await?;
        Ok(())
    }
}

/// Whether a transaction was cancelled by others at work, and by no condition.
fn is_passing(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return false;
    };
    let codes = || canceled.cancellation_reasons().iter();
    let codes = || codes().filter_map(|reason| reason.code());
    !codes().any(|code| code == CONDITION) && codes().any(|code| PASSING.contains(&code))
}

const CONDITION: &str = "ConditionalCheckFailed";

/// The first row whose condition did not hold. Reasons come in the order of the actions.
fn failed_condition<'a>(error: &TransactWriteItemsError, actions: &'a [Action]) -> Option<&'a Key> {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        tracing::debug!(code = error.code(), "a transaction was refused");
        return None;
    };
    let reasons = canceled.cancellation_reasons().iter();
    let mut failed = reasons.zip(actions).filter_map(|(reason, action)| {
        let failed = reason.code() == Some(CONDITION);
        failed.then_some(&action.key)
    });
    failed.next()
}
