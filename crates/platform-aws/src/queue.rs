//! Queues in SQS.
//!
//! A [`QueueName`] is three standard queues, one for each priority, and a queue of dead letters behind them:
//! `PREFIX-NAME-urgent`, `-normal`, `-background`, `-dead`; a dot in a name is a hyphen there.
//!
//! * **Order.** A `receive` asks the urgent queues first, then the normal ones, then those of the background, each time
//!   in another order of names. Among tenants of one priority the service shares out turns by `MessageGroupId`, a hash of
//!   the tenant (*fair queues*): it keeps a tenant with many messages in flight behind the others, and promises no
//!   order. A message that is sent while another is received may be overtaken.
//! * **Not before.** A delay of SQS is 15 minutes at most. The message says when it is due; one that comes too early is
//!   sent once more, with what is left of the delay, and then removed: two of it are better than none.
//! * **Waits.** Where nothing is due, all queues are polled at the same time, up to 20 seconds. Polls that are not
//!   needed any more run to their end, and what they get is given back at once. Its count of deliveries is one higher then.
//! * **Many at once.** What is sent or acknowledged together goes in requests of ten, which cost as much as one.
//! * **A queue that is not there** is empty for who receives, and an error for who sends.
//! * **What cannot be read** is left alone, and is told of in the log and in [`SqsQueue::dead`]: a newer program may read it, or the service moves
//!   it to the dead letters after as many deliveries as the queue was made with.

mod batch;
mod envelope;
mod poll;
mod started;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::types::QueueAttributeName;
use ledger::{Message, Millis, QueueName};
use pipeline_spec::Priority;
use ports::{Clock as _, Delivery, Error, Letter, Place, Result, TaskQueue};
use tokio::time::Instant;

use crate::WallClock;
use crate::clients::Clients;
use crate::retry::{Stop, again, answer};
use envelope::Envelope;
use poll::Poll;

/// Longest wait of one request: what SQS allows.
pub(crate) const LONGEST_POLL: Duration = Duration::from_secs(20);
/// Longest delay that a message can be sent with: what SQS allows.
const LONGEST_DELAY_SECONDS: i32 = 900;
/// Longest time that a message can be hidden: what SQS allows.
const LONGEST_HIDING: Duration = Duration::from_secs(12 * 3_600);
/// A queue that was not there is looked for again after this long: Terraform may have made it.
const MISSING: Duration = Duration::from_secs(60);
/// Longest wait of one `receive`.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Highest first.
pub(crate) const PRIORITIES: [Priority; 3] =
    [Priority::Urgent, Priority::Normal, Priority::Background];

/// What adds up to a queue's depth: the counts that SQS has, each about right.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
];

/// What is known of a queue of SQS.
#[derive(Debug)]
enum Known {
    /// Addresses never change.
    At(String),
    /// There was none then.
    Missing(Instant),
}

/// The queues of an installation. Clones share what they know of them.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    clients: Clients,
    /// By name in SQS.
    urls: Arc<Mutex<HashMap<String, Known>>>,
    /// Whose turn it is to be asked first.
    turn: Arc<AtomicUsize>,
}

/// What a queue is called in SQS: for messages of a priority, or for dead letters.
pub(crate) fn sqs_name(prefix: &str, queue: &QueueName, priority: Option<Priority>) -> String {
    let behind = match priority {
        Some(Priority::Urgent) => "urgent",
        Some(Priority::Normal) => "normal",
        Some(Priority::Background) => "background",
        None => "dead",
    };
    format!("{prefix}-{}-{behind}", queue.as_str().replace('.', "-"))
}

impl SqsQueue {
    /// The queues of the clients' installation.
    pub fn new(clients: Clients) -> Self {
        Self {
            clients,
            urls: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Dead letters of a queue: those that were delivered too often, and those that nobody could read.
    ///
    /// # Errors
    /// As of the service.
    pub async fn dead(&self, queue: &QueueName) -> Result<u64> {
        let operation = format!("read the depth of the dead letters of queue {queue}");
        self.count(&operation, &self.name(queue, None)).await
    }

    fn name(&self, queue: &QueueName, priority: Option<Priority>) -> String {
        sqs_name(&self.clients.installation().queue_prefix, queue, priority)
    }

    /// Whether a queue is there. A runner may have a role and an architecture that none is for.
    ///
    /// # Errors
    /// As of the service.
    pub async fn exists(&self, queue: &QueueName) -> Result<bool> {
        let operation = format!("look for queue {queue}");
        let name = self.name(queue, Some(Priority::Normal));
        Ok(self.find(&operation, &name).await?.is_some())
    }

    /// The address of a queue of SQS.
    async fn url(&self, operation: &str, name: &str) -> Result<String> {
        let found = self.find(operation, name).await?;
        found.ok_or_else(|| {
            let cause = format!("there is no queue {name} in SQS: make it with Terraform");
            Error::transient(operation, cause)
        })
    }

    /// The same; `None`: there is no such queue, or there was none a moment ago.
    async fn find(&self, operation: &str, name: &str) -> Result<Option<String>> {
        let known = || self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        match known().get(name) {
            Some(Known::At(url)) => return Ok(Some(url.clone())),
            Some(Known::Missing(since)) if since.elapsed() < MISSING => return Ok(None),
            _ => {}
        }
        let get = self.clients.sqs().await.get_queue_url().queue_name(name);
        let call = || get.clone().send();
        let url = match again(self.clients.patience(), operation, |_| false, call).await {
            Ok(answer) => Some(answer.queue_url.ok_or_else(|| {
                let cause = format!("SQS knows queue {name} and gives no address");
                Error::transient(operation, cause)
            })?),
            Err(Stop::Refused(GetQueueUrlError::QueueDoesNotExist(_))) => None,
            Err(stop) => return Err(stop.into_error(operation)),
        };
        let found = url
            .clone()
            .map_or_else(|| Known::Missing(Instant::now()), Known::At);
        known().insert(name.to_owned(), found);
        Ok(url)
    }

    async fn count(&self, operation: &str, name: &str) -> Result<u64> {
        let get = self.clients.sqs().await.get_queue_attributes();
        let get = get
            .queue_url(self.url(operation, name).await?)
            .set_attribute_names(Some(COUNTS.to_vec()));
        let found = answer(self.clients.patience(), operation, || get.clone().send()).await?;
        let found = found.attributes.unwrap_or_default();
        let counts = found.values().map(|count| count.parse::<u64>());
        counts
            .sum::<std::result::Result<u64, _>>()
            .map_err(|cause| Error::corrupt(operation, cause))
    }

    async fn put(&self, operation: &str, name: &str, envelope: &Envelope) -> Result<()> {
        let body = envelope.write(operation)?;
        let send = self.clients.sqs().await.send_message();
        let send = send
            .queue_url(self.url(operation, name).await?)
            .message_body(body)
            .message_group_id(envelope.group())
            .delay_seconds(delay(envelope.not_before(), WallClock.now()));
        answer(self.clients.patience(), operation, || send.clone().send()).await?;
        Ok(())
    }

    async fn remove(&self, operation: &str, name: &str, handle: &str) -> Result<()> {
        let delete = self.clients.sqs().await.delete_message();
        let delete = delete
            .queue_url(self.url(operation, name).await?)
            .receipt_handle(handle);
        let call = || delete.clone().send();
        match again(self.clients.patience(), operation, |_| false, call).await {
            // The message is gone, or somebody else has it now.
            Ok(_) | Err(Stop::Refused(DeleteMessageError::ReceiptHandleIsInvalid(_))) => Ok(()),
            Err(stop) => Err(stop.into_error(operation)),
        }
    }
}

/// Until `due`, in whole seconds and not too early.
fn delay(due: Millis, now: Millis) -> i32 {
    let millis = due.saturating_sub(now).max(0);
    let seconds = i32::try_from(millis.saturating_add(999) / 1_000).unwrap_or(i32::MAX);
    seconds.min(LONGEST_DELAY_SECONDS)
}

impl TaskQueue for SqsQueue {
    async fn send(&self, queue: &QueueName, message: &Message, place: &Place) -> Result<()> {
        let operation = format!("send a message to queue {queue}");
        let name = self.name(queue, Some(place.share.priority));
        let envelope = Envelope::new(message.clone(), place.clone());
        self.put(&operation, &name, &envelope).await
    }

    /// Ten to a queue in one request.
    async fn send_all(&self, letters: &[Letter]) -> Result<()> {
        self.put_all(letters).await
    }

    /// Waits up to a second longer than it was asked for, since SQS waits for whole seconds.
    async fn receive(
        &self,
        queues: &[QueueName],
        limit: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        if limit == 0 || queues.is_empty() {
            return Ok(Vec::new());
        }
        let end = Instant::now() + wait.min(MAX_WAIT);
        let mut queues = queues.to_vec();
        queues.sort_unstable();
        queues.dedup();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % queues.len();
        queues.rotate_left(turn);
        let poll = Poll {
            queue: self.clone(),
            limit,
            hide: whole_seconds(visibility.min(LONGEST_HIDING)),
        };
        let mut got = poll.look(&queues).await?;
        while got.is_empty() && Instant::now() < end {
            let left = end - Instant::now();
            got = poll.wait(&queues, left.min(LONGEST_POLL)).await?;
        }
        Ok(got)
    }

    async fn acknowledge(&self, receipt: &str) -> Result<()> {
        let operation = "acknowledge a message";
        let (name, handle) = parts(operation, receipt)?;
        self.remove(operation, name, handle).await
    }

    /// Ten of a queue in one request.
    async fn acknowledge_all(&self, receipts: &[&str]) -> Result<()> {
        let operation = "acknowledge messages";
        let mut named = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let (name, handle) = parts(operation, receipt)?;
            named.push((name.to_owned(), handle));
        }
        self.remove_all(operation, named).await
    }

    /// About: SQS counts within a minute or so.
    async fn depth(&self, queue: &QueueName) -> Result<u64> {
        let operation = format!("read the depth of queue {queue}");
        let mut depth = 0;
        for priority in PRIORITIES {
            let name = self.name(queue, Some(priority));
            depth += self.count(&operation, &name).await?;
        }
        Ok(depth)
    }
}

/// A receipt's queue of SQS, and its handle there.
fn parts<'a>(operation: &str, receipt: &'a str) -> Result<(&'a str, &'a str)> {
    let parts = receipt.split_once(' ');
    parts.ok_or_else(|| Error::corrupt(operation, format!("{receipt:?} is no receipt")))
}

/// At least as long.
fn whole_seconds(time: Duration) -> i32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_seconds_and_never_early() {
        for (due, expect) in [
            (0, 0),
            (10_000, 0),
            (10_001, 1),
            (11_000, 1),
            (11_001, 2),
            (910_000, 900),
            (911_000, 900),
            (Millis::MAX, 900),
        ] {
            assert_eq!(delay(due, 10_000), expect, "due {due}");
        }
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }

    #[test]
    fn names_fit_sqs() {
        let longest = QueueName::work(pipeline_spec::Role::BuildRpm, None);
        let name = sqs_name(&"p".repeat(40), &longest, Some(Priority::Background));
        assert!(name.len() <= 80, "{name}");
        let dead = sqs_name("millrace", &QueueName::advance(), None);
        assert_eq!(dead, "millrace-advance-dead");
    }
}
