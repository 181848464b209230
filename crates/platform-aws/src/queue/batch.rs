//! Many messages in few requests: SQS takes ten at once for the price of one.
//!
//! An answer tells of each entry by itself. What is refused "for now" is asked for once more, as long as the
//! installation's patience lasts; what is refused for good is an error after the others are done.

use std::collections::BTreeSet;
use std::future::Future;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};
use ports::{Clock as _, Error, Letter, Result};

use super::envelope::Envelope;
use super::{SqsQueue, delay};
use crate::WallClock;
use crate::retry::{answer, is_busy, is_never};

/// Entries of one request: what SQS allows.
pub(crate) const MOST_ENTRIES: usize = 10;
/// Of all bodies of one request, in bytes. SQS allows more today; this is what it has always allowed.
const MOST_BYTES: usize = 256 << 10;
/// Of a removal: the message is gone, or somebody else has it now.
const GONE: &str = "ReceiptHandleIsInvalid";

/// What came of the entries of one request.
struct Answered {
    /// Ids of those that are done.
    done: BTreeSet<String>,
    refused: Vec<BatchResultErrorEntry>,
}

/// A message of one request, to be sent or to be removed.
trait Entry: Clone + Send + Sync {
    fn id(&self) -> &str;

    /// One request.
    fn ask(
        queue: &SqsQueue,
        operation: &str,
        url: &str,
        entries: Vec<Self>,
    ) -> impl Future<Output = Result<Answered>> + Send;
}

impl Entry for SendMessageBatchRequestEntry {
    fn id(&self) -> &str {
        self.id()
    }

    async fn ask(
        queue: &SqsQueue,
        operation: &str,
        url: &str,
        entries: Vec<Self>,
    ) -> Result<Answered> {
        let send = queue.clients.sqs().await.send_message_batch();
        let send = send.queue_url(url).set_entries(Some(entries));
        let patience = queue.clients.patience();
        let sent = answer(patience, operation, || send.clone().send()).await?;
        Ok(Answered {
            done: sent.successful.into_iter().map(|entry| entry.id).collect(),
            refused: sent.failed,
        })
    }
}

impl Entry for DeleteMessageBatchRequestEntry {
    fn id(&self) -> &str {
        self.id()
    }

    async fn ask(
        queue: &SqsQueue,
        operation: &str,
        url: &str,
        entries: Vec<Self>,
    ) -> Result<Answered> {
        let delete = queue.clients.sqs().await.delete_message_batch();
        let delete = delete.queue_url(url).set_entries(Some(entries));
        let patience = queue.clients.patience();
        let deleted = answer(patience, operation, || delete.clone().send()).await?;
        let failed = deleted.failed.into_iter();
        let (gone, refused): (Vec<_>, Vec<_>) = failed.partition(|entry| entry.code == GONE);
        let gone = gone.into_iter().map(|entry| entry.id);
        let done = deleted.successful.into_iter().map(|entry| entry.id);
        Ok(Answered {
            done: done.chain(gone).collect(),
            refused,
        })
    }
}

impl SqsQueue {
    pub(super) async fn put_all(&self, letters: &[Letter]) -> Result<()> {
        let named = letters.iter().map(|letter| {
            let priority = letter.place.share.priority;
            (self.name(&letter.queue, Some(priority)), letter)
        });
        for (name, letters) in by_name(named) {
            let operation = format!("send messages to queue {}", letters[0].queue);
            let envelopes = letters
                .iter()
                .map(|it| Envelope::new(it.message.clone(), it.place.clone()));
            let mut written = Vec::with_capacity(letters.len());
            for envelope in envelopes {
                written.push((envelope.write(&operation)?, envelope));
            }
            for batch in batches(&written, |(body, _)| body.len()) {
                self.put_batch(&operation, &name, batch).await?;
            }
        }
        Ok(())
    }

    async fn put_batch(
        &self,
        operation: &str,
        name: &str,
        batch: &[(String, Envelope)],
    ) -> Result<()> {
        let url = self.url(operation, name).await?;
        let now = WallClock.now();
        let entry = |(id, (body, envelope)): (usize, &(String, Envelope))| {
            SendMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .message_body(body)
                .message_group_id(envelope.group())
                .delay_seconds(delay(envelope.not_before(), now))
                .build()
                .expect("id and body are there")
        };
        let entries = batch.iter().enumerate().map(entry).collect();
        self.until_done(operation, &url, entries).await
    }

    /// Of names and receipt handles.
    pub(super) async fn remove_all(
        &self,
        operation: &str,
        receipts: Vec<(String, &str)>,
    ) -> Result<()> {
        for (name, handles) in by_name(receipts.into_iter()) {
            for batch in batches(&handles, |handle| handle.len()) {
                self.remove_batch(operation, &name, batch).await?;
            }
        }
        Ok(())
    }

    async fn remove_batch(&self, operation: &str, name: &str, batch: &[&str]) -> Result<()> {
        let url = self.url(operation, name).await?;
        let entry = |(id, handle): (usize, &&str)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(*handle)
                .build()
                .expect("id and handle are there")
        };
        let entries = batch.iter().enumerate().map(entry).collect();
        self.until_done(operation, &url, entries).await
    }

    /// Asks until no entry is left that may be done later.
    ///
    /// # Errors
    /// The first entry that was refused for good, once the others are done; or those that stayed too long.
    async fn until_done<E: Entry>(
        &self,
        operation: &str,
        url: &str,
        mut entries: Vec<E>,
    ) -> Result<()> {
        let patience = self.clients.patience();
        let (mut number, mut refused) = (1, None);
        loop {
            let answered = E::ask(self, operation, url, entries.clone()).await?;
            // An entry that the answer does not name is not known to be done.
            entries.retain(|entry| !answered.done.contains(entry.id()));
            for refusal in &answered.refused {
                if let Some(error) = for_good(operation, refusal) {
                    entries.retain(|entry| entry.id() != refusal.id);
                    refused.get_or_insert(error);
                }
            }
            if entries.is_empty() {
                return refused.map_or(Ok(()), Err);
            }
            if number >= patience.attempts {
                let (left, why) = (entries.len(), answered.refused.first());
                let cause = format!("{number} times: {left} of a batch are left: {why:?}");
                return Err(Error::transient(operation, cause));
            }
            number += 1;
            let most = patience.wait_before(number);
            tokio::time::sleep(most.mul_f64(rand::random())).await;
        }
    }
}

/// What goes to one queue, in its order; queues in the order in which they are first named.
fn by_name<T>(named: impl Iterator<Item = (String, T)>) -> Vec<(String, Vec<T>)> {
    let mut queues: Vec<(String, Vec<T>)> = Vec::new();
    for (name, it) in named {
        match queues.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(it),
            None => queues.push((name, vec![it])),
        }
    }
    queues
}

/// Cut to what one request may have. A body that is too large by itself is alone, and SQS says so.
fn batches<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut cut, mut begin, mut size) = (Vec::new(), 0, 0);
    for (at, it) in all.iter().enumerate() {
        let more = bytes(it);
        if at > begin && (at - begin == MOST_ENTRIES || size + more > MOST_BYTES) {
            cut.push(&all[begin..at]);
            (begin, size) = (at, 0);
        }
        size += more;
    }
    if begin < all.len() {
        cut.push(&all[begin..]);
    }
    cut
}

/// As an error, if time does not change it. Missing rights can be mended outside.
fn for_good(operation: &str, refusal: &BatchResultErrorEntry) -> Option<Error> {
    let code = refusal.code.as_str();
    if !refusal.sender_fault || is_busy(code) {
        return None;
    }
    let cause = format!("{code}: {}", refusal.message.as_deref().unwrap_or_default());
    Some(if is_never(code) {
        Error::corrupt(operation, cause)
    } else {
        Error::transient(operation, cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_one_request_may_have() {
        let check = |sizes: &[usize], expect: &[usize]| {
            let cut = batches(sizes, |size| *size);
            let lengths: Vec<_> = cut.iter().map(|batch| batch.len()).collect();
            assert_eq!(lengths, expect, "{sizes:?}");
            assert_eq!(cut.concat(), sizes, "none is lost");
        };
        check(&[], &[]);
        check(&[1; 10], &[10]);
        check(&[1; 21], &[10, 10, 1]);
        let half = MOST_BYTES / 2;
        check(&[half, half, 1], &[2, 1]);
        check(&[MOST_BYTES + 1, 1, 1], &[1, 2]);
    }

    #[test]
    fn queues_keep_their_order() {
        let named = [("b", 1), ("a", 2), ("b", 3)].map(|(name, it)| (name.to_owned(), it));
        let sorted = by_name(named.into_iter());
        assert_eq!(
            sorted,
            [("b".to_owned(), vec![1, 3]), ("a".to_owned(), vec![2])]
        );
    }
}
