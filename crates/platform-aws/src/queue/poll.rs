//! Asking SQS for messages.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{Message as Raw, MessageSystemAttributeName};
use ledger::QueueName;
use pipeline_spec::Priority;
use ports::{Clock as _, Delivery, Result};
use tokio::sync::mpsc;

use super::envelope::Envelope;
use super::{PRIORITIES, SqsQueue};
use crate::WallClock;
use crate::retry::answer;

/// Messages in one answer: what SQS allows.
const MOST_PER_ANSWER: usize = 10;

/// One caller's question.
#[derive(Clone)]
pub(super) struct Poll {
    pub(super) queue: SqsQueue,
    /// Messages that the caller takes, at least 1.
    pub(super) limit: usize,
    /// Seconds for which they are hidden from others.
    pub(super) hide: i32,
}

/// What came of one of the queues.
struct Came {
    priority: Priority,
    deliveries: Result<Vec<Delivery>>,
}

impl Poll {
    /// What is due now, one priority after the other. Of queues that cannot be asked it is an error only if the others
    /// have nothing.
    pub(super) async fn look(&self, queues: &[QueueName]) -> Result<Vec<Delivery>> {
        let (mut got, mut failed) = (Vec::new(), None);
        for priority in PRIORITIES {
            for queue in queues {
                if got.len() < self.limit {
                    match self.all_of(queue, priority, self.limit - got.len()).await {
                        Ok(more) => got.extend(more),
                        Err(error) => failed = Some(error),
                    }
                }
            }
        }
        decide(got, failed)
    }

    /// Up to `limit` of one queue.
    async fn all_of(
        &self,
        queue: &QueueName,
        priority: Priority,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        let mut got = Vec::new();
        while got.len() < limit {
            let most = (limit - got.len()).min(MOST_PER_ANSWER);
            let asked = self.ask(queue, priority, most, Duration::ZERO).await;
            match asked {
                Ok((0, _)) => break,
                Ok((_, more)) => got.extend(more),
                // What is in hands is delivered.
                Err(_) if !got.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    /// What comes first in `time`, of all queues. When several have something at once, the highest priority is kept and
    /// the rest given back.
    pub(super) async fn wait(&self, queues: &[QueueName], time: Duration) -> Result<Vec<Delivery>> {
        let (sender, mut receiver) = mpsc::channel(queues.len() * PRIORITIES.len());
        for priority in PRIORITIES {
            for queue in queues {
                let (poll, queue, sender) = (self.clone(), queue.clone(), sender.clone());
                tokio::spawn(async move { poll.long(queue, priority, time, sender).await });
            }
        }
        drop(sender);
        let (mut all, mut failed) = (Vec::new(), None);
        while let Some(Came {
            priority,
            deliveries,
        }) = receiver.recv().await
        {
            match deliveries {
                Ok(deliveries) if deliveries.is_empty() => {}
                Ok(deliveries) => {
                    all.push((priority, deliveries));
                    // Others that are there already are still received.
                    receiver.close();
                }
                Err(error) => failed = Some(error),
            }
        }
        let rank = |priority| PRIORITIES.iter().position(|it| *it == priority);
        all.sort_by_key(|(priority, _)| rank(*priority));
        let mut got: Vec<_> = all.into_iter().flat_map(|(_, came)| came).collect();
        let rest = got.split_off(got.len().min(self.limit));
        self.give_back(rest).await;
        decide(got, failed)
    }

    /// Never dropped while the request is under way: a message that comes to nobody is hidden for long.
    async fn long(
        self,
        queue: QueueName,
        priority: Priority,
        time: Duration,
        to: mpsc::Sender<Came>,
    ) {
        let most = self.limit.min(MOST_PER_ANSWER);
        let asked = self.ask(&queue, priority, most, time).await;
        let came = Came {
            priority,
            deliveries: asked.map(|(_, deliveries)| deliveries),
        };
        if let Err(mpsc::error::SendError(came)) = to.send(came).await
            && let Ok(deliveries) = came.deliveries
        {
            self.give_back(deliveries).await;
        }
    }

    /// One request: how many messages came, and those that can be delivered.
    async fn ask(
        &self,
        queue: &QueueName,
        priority: Priority,
        most: usize,
        wait: Duration,
    ) -> Result<(usize, Vec<Delivery>)> {
        let operation = format!("receive messages of queue {queue}");
        let name = self.queue.name(queue, Some(priority));
        let Some(url) = self.queue.find(&operation, &name).await? else {
            // As long as an empty one, so that nobody asks without a pause.
            tokio::time::sleep(wait).await;
            return Ok((0, Vec::new()));
        };
        let request = self.queue.clients.sqs().await.receive_message();
        let request = request
            .queue_url(url)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .max_number_of_messages(i32::try_from(most).unwrap_or(i32::MAX))
            .visibility_timeout(self.hide)
            .wait_time_seconds(super::whole_seconds(wait));
        let patience = self.queue.clients.patience();
        // SQS may answer at the end of the wait.
        let attempt = patience.attempt() + wait;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
        let timeouts = aws_sdk_sqs::config::Builder::new().timeout_config(timeouts.build());
        let poll = || {
            let request = request.clone().customize();
            request.config_override(timeouts.clone()).send()
        };
        let came = answer(patience, &operation, poll).await?;
        let came = came.messages.unwrap_or_default();
        let (count, mut deliveries) = (came.len(), Vec::new());
        for raw in came {
            deliveries.extend(self.open(queue, &name, raw).await);
        }
        Ok((count, deliveries))
    }

    /// A message that can be delivered, if it is one.
    async fn open(&self, queue: &QueueName, name: &str, raw: Raw) -> Option<Delivery> {
        let body = raw.body.as_deref().unwrap_or_default();
        let envelope = match Envelope::read(body) {
            Ok(envelope) => envelope,
            Err(cause) => {
                let id = raw.message_id.as_deref().unwrap_or_default();
                tracing::error!(%queue, id, cause, "a message cannot be read; it is left to newer programs or to the dead letters");
                return None;
            }
        };
        let handle = raw.receipt_handle.as_deref().unwrap_or_default();
        if envelope.not_before() > WallClock.now() {
            self.send_back(queue, name, &envelope, handle).await;
            return None;
        }
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let count = raw.attributes.as_ref().and_then(|all| all.get(&count));
        let (message, share) = envelope.into_parts();
        Some(Delivery {
            queue: queue.clone(),
            message,
            receipt: format!("{name} {handle}"),
            deliveries: count.and_then(|count| count.parse().ok()).unwrap_or(1),
            share,
        })
    }

    /// For what is left of its delay. If that fails, it comes back when its hiding ends, and is looked at again.
    async fn send_back(&self, queue: &QueueName, name: &str, envelope: &Envelope, handle: &str) {
        let operation = format!("send a message of queue {queue} back for later");
        let sent = self.queue.put(&operation, name, envelope).await;
        let done = match sent {
            Ok(()) => self.queue.remove(&operation, name, handle).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a message will come back early");
        }
    }

    /// To others, at once. If that fails, they come back when their hiding ends.
    async fn give_back(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let Some((name, handle)) = delivery.receipt.split_once(' ') else {
                continue;
            };
            let operation = format!("give back a message of queue {}", delivery.queue);
            if let Err(error) = self.show(&operation, name, handle).await {
                tracing::warn!(%error, "a message stays hidden for a while");
            }
        }
    }

    async fn show(&self, operation: &str, name: &str, handle: &str) -> Result<()> {
        let change = self.queue.clients.sqs().await.change_message_visibility();
        let change = change
            .queue_url(self.queue.url(operation, name).await?)
            .receipt_handle(handle)
            .visibility_timeout(0);
        let patience = self.queue.clients.patience();
        answer(patience, operation, || change.clone().send()).await?;
        Ok(())
    }
}

/// What is in hands is delivered, whatever else went wrong.
fn decide(got: Vec<Delivery>, failed: Option<ports::Error>) -> Result<Vec<Delivery>> {
    match failed {
        Some(error) if got.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(%error, "a queue cannot be asked");
            Ok(got)
        }
        None => Ok(got),
    }
}
