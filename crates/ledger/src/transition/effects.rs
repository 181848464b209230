//! What follows from a task's new state alone: its lease index, its messages.

use crate::{
    Change, Effect, Expect, Key, LeaseRow, Message, Millis, QueueName, Row, TaskRow, TaskState,
};

/// Writes the row, its lease index and the effects that follow from the new state alone.
pub(super) fn change_to(row: &TaskRow, version: u64, next: TaskRow, now: Millis) -> Change {
    let task = row.task.clone();
    let mut change = Change::default();
    match (&row.state, &next.state) {
        (
            _,
            TaskState::Leased {
                attempt, expires, ..
            },
        ) => {
            let lease = LeaseRow {
                task: task.clone(),
                attempt: *attempt,
                expires: *expires,
            };
            change.put(Key::lease(&task.id), Row::Lease(lease));
        }
        (TaskState::Leased { .. }, _) => change.delete(Key::lease(&task.id)),
        _ => {}
    }
    if let TaskState::Ready {
        attempt,
        not_before,
    } = next.state
    {
        change.effects.push(next.offered(attempt, not_before));
    }
    let heartbeat = matches!(
        (&row.state, &next.state),
        (TaskState::Leased { stop: was, .. }, TaskState::Leased { stop: is, .. }) if was == is
    );
    if !heartbeat {
        let request = task.request.clone();
        if next.state.is_closed() {
            change.effect(
                QueueName::advance(),
                Message::Advance {
                    request: request.clone(),
                },
                now,
            );
        }
        change.report(&request, now);
    }
    change.replace(
        Key::task(&task),
        Expect::Version(version),
        Row::Task(Box::new(next)),
    );
    change
}

impl TaskRow {
    /// The message to runners, in its place in the queue.
    fn offered(&self, attempt: u32, not_before: Millis) -> Effect {
        Effect {
            queue: QueueName::work(self.spec.role(), self.spec.arch()),
            message: Message::Attempt {
                task: self.task.clone(),
                attempt,
            },
            not_before,
            share: self.share.clone(),
        }
    }

    /// The change that brings this new row into the ledger, with the effects of its state.
    pub fn insert(&self) -> Change {
        let mut change = Change::default();
        if let TaskState::Ready {
            attempt,
            not_before,
        } = self.state
        {
            change.effects.push(self.offered(attempt, not_before));
        }
        let request = self.task.request.clone();
        change.put(Key::task_id(&self.task.id), Row::Index { request });
        change.replace(
            Key::task(&self.task),
            Expect::Absent,
            Row::Task(Box::new(self.clone())),
        );
        change
    }
}
