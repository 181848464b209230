//! How often the machine tries: a task is not offered again at once, and after trouble it waits, longer
//! each time.

use ledger::{Ending, Millis, TaskRow, TaskState};

use super::Witness;

/// Between two offers of a task that nobody took.
const OFFERS: Millis = 60_000;
/// After the first trouble in a row; doubled with each further one.
const WAIT: Millis = 5_000;
/// Never longer than this.
const LONGEST: Millis = 600_000;

impl Witness {
    pub(super) fn is_patient(&self, old: &TaskRow, new: &TaskRow) {
        let TaskState::Ready { not_before, .. } = &new.state else {
            return;
        };
        let title = || new.spec.title();
        match &old.state {
            TaskState::Ready {
                not_before: before, ..
            } if before != not_before && not_before - before < OFFERS => self.violated(format!(
                "{} was offered again after {} ms",
                title(),
                not_before - before
            )),
            TaskState::Leased { .. } => {
                let last = new.attempts.last();
                let Some(last) = last.filter(|last| last.ending == Ending::Trouble) else {
                    return;
                };
                let count = self.state().troubles.get(&new.task.id).copied();
                let doublings = count.unwrap_or(1).saturating_sub(1).min(16);
                let least = (WAIT << doublings).min(LONGEST);
                let wait = not_before - last.ended;
                if wait < least {
                    self.violated(format!(
                        "{} waits {wait} ms after trouble, at least {least} are due",
                        title()
                    ));
                }
            }
            _ => {}
        }
    }
}
