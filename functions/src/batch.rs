//! Messages that a function was started with, and which of them come back.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use ledger::Message;
use pipeline_spec::RequestPath;
use platform_aws::SqsQueue;
use ports::Delivery;

use crate::Plane;

/// The messages of one start.
#[derive(Debug, Default)]
pub struct Batch {
    /// Messages of the ledger, by their ids in SQS.
    deliveries: BTreeMap<String, Delivery>,
    /// Words that something has happened somewhere: what they say is not read.
    wakes: BTreeSet<String>,
    /// What nobody here can read. It comes back, and ends among the dead letters.
    failed: BTreeSet<String>,
}

impl Batch {
    /// Sorts what came. Messages of a queue whose name ends with `wake` are wakes.
    pub fn of(event: SqsEvent) -> Self {
        let mut batch = Self::default();
        for record in event.records {
            let id = record.message_id.clone().unwrap_or_default();
            if is_wake(&record) {
                batch.wakes.insert(id);
                continue;
            }
            match delivery(&record) {
                Ok(delivery) => _ = batch.deliveries.insert(id, delivery),
                Err(why) => {
                    tracing::error!(%id, %why, "a message cannot be read");
                    batch.failed.insert(id);
                }
            }
        }
        batch
    }

    /// Whether the state repository is to be looked at.
    pub fn has_wakes(&self) -> bool {
        !self.wakes.is_empty()
    }

    /// What was done for the wakes did not work.
    pub fn fail_wakes(&mut self, error: &control::Error) {
        tracing::warn!(%error, "failed to look at the state repository");
        self.failed.append(&mut self.wakes);
    }

    /// All messages of the ledger.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.values().cloned().collect()
    }

    /// Each request that is to be looked at, once, with its messages.
    pub fn requests(&self) -> BTreeMap<RequestPath, Vec<String>> {
        let mut requests: BTreeMap<RequestPath, Vec<String>> = BTreeMap::new();
        for (id, delivery) in &self.deliveries {
            if let Message::Advance { request } = &delivery.message {
                requests
                    .entry(request.clone())
                    .or_default()
                    .push(id.clone());
            }
        }
        requests
    }

    /// What was done for messages did not work: they come back, or have come often enough.
    pub async fn fail(&mut self, plane: &Plane, ids: &[String], error: &control::Error) {
        tracing::warn!(%error, messages = ids.len(), "failed");
        for id in ids {
            let Some(delivery) = self.deliveries.get(id) else {
                continue;
            };
            match plane.give_up(delivery, error).await {
                Ok(true) => {}
                Ok(false) | Err(_) => _ = self.failed.insert(id.clone()),
            }
        }
    }

    /// All messages of the ledger come back.
    pub fn fail_deliveries(&mut self) {
        self.failed.extend(self.deliveries.keys().cloned());
    }

    /// What SQS is answered: the others are removed.
    pub fn answer(self) -> SqsBatchResponse {
        let mut answer = SqsBatchResponse::default();
        for id in self.failed {
            answer.add_failure(id);
        }
        answer
    }
}

fn name(record: &SqsMessage) -> &str {
    let arn = record.event_source_arn.as_deref().unwrap_or_default();
    arn.rsplit(':').next().unwrap_or_default()
}

fn is_wake(record: &SqsMessage) -> bool {
    name(record).ends_with("-wake-normal")
}

fn delivery(record: &SqsMessage) -> Result<Delivery, String> {
    let body = record.body.as_deref().unwrap_or_default();
    let handle = record.receipt_handle.as_deref().unwrap_or_default();
    let count = record.attributes.get("ApproximateReceiveCount");
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(1);
    SqsQueue::received(name(record), (body, handle), count)
}
