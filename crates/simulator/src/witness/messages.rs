//! Messages: none goes out that no change stands behind, none is lost between the outbox and its queue,
//! and a request's report is acknowledged only when the status branch says it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Effect, Key, Message, QueueName, Share};
use pipeline_spec::RequestPath;
use ports::Delivery;

use super::{State, Witness};

/// What is known of messages on their way.
#[derive(Default)]
pub(super) struct Messages {
    /// Rows of the outbox, and whether the message was sent since the row was written.
    outbox: BTreeMap<Key, (Effect, bool)>,
    /// Messages that an outbox row ever had.
    ordered: BTreeSet<String>,
    /// Reports in somebody's hands, by receipt: how far the request's story was, and how often it had been sent.
    reports: BTreeMap<String, (RequestPath, u64, u64)>,
    /// How often each report was sent.
    sent: BTreeMap<RequestPath, u64>,
}

impl Messages {
    /// The disk with outbox and queues is lost. Who has sent a message before may send it again.
    pub(super) fn lose(&mut self) {
        self.outbox.clear();
        self.forget_reports();
    }

    /// Of reports that are under way nothing can be said.
    pub(super) fn forget_reports(&mut self) {
        self.reports.clear();
    }
}

fn name(queue: &QueueName, message: &Message) -> String {
    format!("{queue}: {}", message.name())
}

impl Witness {
    pub(super) fn ordered(&self, key: &Key, effect: &Effect) {
        let mut state = self.state();
        let messages = &mut state.messages;
        let name = name(&effect.queue, &effect.message);
        messages.ordered.insert(name);
        messages.outbox.insert(key.clone(), (effect.clone(), false));
    }

    pub(super) fn left_the_outbox(&self, key: &Key) {
        let left = self.state().messages.outbox.remove(key);
        if let Some((effect, false)) = left {
            let name = name(&effect.queue, &effect.message);
            self.violated(format!("{name} left the outbox and was not sent"));
        }
    }

    pub(crate) fn sent(&self, queue: &QueueName, message: &Message, share: &Share) {
        self.sent_with(queue, message, share);
        if let Message::Report { request } = message {
            *self
                .state()
                .messages
                .sent
                .entry(request.clone())
                .or_default() += 1;
        }
        // Of a waiter that is woken nothing depends: the sweep looks at it.
        if matches!(message, Message::Advance { .. }) && *queue == QueueName::advance() {
            self.mark(queue, message);
            return;
        }
        if !self.mark(queue, message) {
            let name = name(queue, message);
            self.violated(format!("{name} was sent, and no change stands behind it"));
        }
    }

    /// Whether the message was ever in the outbox.
    fn mark(&self, queue: &QueueName, message: &Message) -> bool {
        let mut state = self.state();
        let messages = &mut state.messages;
        for (effect, is_sent) in messages.outbox.values_mut() {
            *is_sent |= effect.queue == *queue && effect.message == *message;
        }
        messages.ordered.contains(&name(queue, message))
    }

    pub(crate) fn received(&self, deliveries: &[Delivery]) {
        self.looks(deliveries);
        let mut state = self.state();
        for delivery in deliveries {
            let Message::Report { request } = &delivery.message else {
                continue;
            };
            let State {
                stories, messages, ..
            } = &mut *state;
            if let Some(story) = stories.get(request.as_str()) {
                let sent = messages.sent.get(request).copied().unwrap_or(0);
                let hand = (request.clone(), story.states(), sent);
                messages.reports.insert(delivery.receipt.clone(), hand);
            }
        }
    }

    pub(crate) fn acknowledged(&self, receipt: &str) {
        self.left_its_queue(receipt);
        self.looked(receipt);
        let mut state = self.state();
        let Some((path, known, sent)) = state.messages.reports.remove(receipt) else {
            return;
        };
        let Some(story) = state.stories.get(path.as_str()) else {
            return;
        };
        // Where pushes are counted, what is put off is sent again, and is judged then.
        let now = state.messages.sent.get(&path).copied().unwrap_or(0);
        let is_put_off = state.allowed.pushes.is_some() && now > sent;
        let is_told = story.reported() >= known || is_put_off;
        drop(state);
        let message = Message::Report {
            request: path.clone(),
        };
        let letter = Key::dead_letter(&QueueName::report(), &message);
        if !is_told && self.ledger().row(&letter).is_none() {
            self.violated(format!(
                "the report of {path} was acknowledged, and the status branch does not say it"
            ));
        }
    }
}
