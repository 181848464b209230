//! Messages with which SQS starts a function, and those that only wake one.

use ledger::QueueName;
use pipeline_spec::Priority;
use ports::{Clock as _, Delivery, Result};

use super::envelope::Envelope;
use super::{SqsQueue, sqs_name};
use crate::WallClock;
use crate::retry::answer;

/// Behind the prefix: the queue of those who say that the state repository moved. Nobody has a turn there.
const WAKE: &str = "wake-normal";

impl SqsQueue {
    /// A message with body and receipt handle, of the queue that SQS calls `name`, which has started a function
    /// `deliveries` times. A function is started by queues of the control plane alone.
    ///
    /// # Errors
    /// A sentence: why it cannot be worked off now. It has to be left to come back.
    pub fn received(
        name: &str,
        (body, handle): (&str, &str),
        deliveries: u32,
    ) -> std::result::Result<Delivery, String> {
        let own = [
            QueueName::advance(),
            QueueName::report(),
            QueueName::forge(),
        ];
        let mut own = own.into_iter();
        let Some(queue) = own.find(|queue| is_of(name, queue)) else {
            return Err(format!("{name} starts no function"));
        };
        let envelope = Envelope::read(body)?;
        let early = envelope.not_before().saturating_sub(WallClock.now());
        if early > 0 {
            return Err(format!("it is {early} ms too early"));
        }
        let (message, share) = envelope.into_parts();
        Ok(Delivery {
            queue,
            message,
            receipt: format!("{name} {handle}"),
            deliveries,
            share,
        })
    }

    /// Says that the state repository is to be looked at.
    ///
    /// # Errors
    /// As of the service.
    pub async fn wake(&self) -> Result<()> {
        let operation = "send a wake";
        let prefix = &self.clients.installation().queue_prefix;
        let url = self.url(operation, &format!("{prefix}-{WAKE}")).await?;
        let send = self.clients.sqs().await.send_message();
        let send = send.queue_url(url).message_body("look");
        answer(self.clients.patience(), operation, || send.clone().send()).await?;
        Ok(())
    }
}

/// Whether SQS calls one of a queue's three so, whatever the prefix is.
fn is_of(name: &str, queue: &QueueName) -> bool {
    let priorities = [Priority::Urgent, Priority::Normal, Priority::Background];
    let mut names = priorities
        .map(|priority| sqs_name("", queue, Some(priority)))
        .into_iter();
    names.any(|ending| name.ends_with(&ending))
}

#[cfg(test)]
mod tests {
    use ledger::Message;
    use ports::Place;

    use super::*;

    #[test]
    fn what_starts_a_function_is_read_or_says_why_not() {
        let body = Envelope::new(Message::Configuration, Place::at(0));
        let body = body.write("send").unwrap();
        let got = SqsQueue::received("m-report-urgent", (&body, "handle"), 3).unwrap();
        assert_eq!(got.queue, QueueName::report());
        assert_eq!(got.receipt, "m-report-urgent handle");
        assert_eq!((got.message, got.deliveries), (Message::Configuration, 3));
        let check = |name: &str, body: &str, expect: &str| {
            let why = SqsQueue::received(name, (body, "handle"), 1).unwrap_err();
            assert!(why.contains(expect), "{why}");
        };
        check("m-test-amd64-normal", &body, "starts no function");
        check("m-report-normal", "{", "EOF");
        let late = Envelope::new(Message::Configuration, Place::at(i64::MAX));
        let late = late.write("send").unwrap();
        check("m-advance-normal", &late, "too early");
    }
}
