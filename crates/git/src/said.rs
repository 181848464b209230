//! What a server says beside the pack that it sends. `gix` tells it as progress alone.

use std::sync::{Arc, Mutex, PoisonError};

use gix::progress::{Id, MessageLevel, Step, StepShared, UNKNOWN, Unit};
use gix::{Count, NestedProgress, Progress};

use crate::error::printable;

/// Keeps the first failure, and nothing else. Its clones hear the same.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Option<String>>>);

impl Said {
    /// Why the server could not send all, in its own words.
    pub(crate) fn failure(&self) -> Option<String> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }
}

impl Progress for Said {
    fn message(&self, level: MessageLevel, message: String) {
        if matches!(level, MessageLevel::Failure) {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.get_or_insert_with(|| printable(&message));
        }
    }

    fn init(&mut self, _max: Option<Step>, _unit: Option<Unit>) {}

    fn set_name(&mut self, _name: String) {}

    fn name(&self) -> Option<String> {
        None
    }

    fn id(&self) -> Id {
        UNKNOWN
    }
}

impl NestedProgress for Said {
    type SubProgress = Self;

    fn add_child(&mut self, _name: impl Into<String>) -> Self {
        self.clone()
    }

    fn add_child_with_id(&mut self, _name: impl Into<String>, _id: Id) -> Self {
        self.clone()
    }
}

impl Count for Said {
    fn set(&self, _step: Step) {}

    fn step(&self) -> Step {
        0
    }

    fn inc_by(&self, _step: Step) {}

    fn counter(&self) -> StepShared {
        StepShared::default()
    }
}
