//! Tasks: the transition table once more, written by somebody else, and what a result must bring.

use ledger::{Ending, Key, Row, Stop, TaskRow, TaskState};
use ports::Platform;
use runner_api::{ArtifactKind, TaskSpec, Tree};

use super::Witness;

/// When a result began that its runner has not signed. No runner says so.
pub(crate) const FORGED: i64 = 1;
/// Attempts in trouble, without a word of a person in between, after which a task must have failed.
const PATIENCE: u32 = 5;

impl Witness {
    pub(super) fn task(&self, old: Option<&TaskRow>, new: &TaskRow) {
        if !self.is_recovering() {
            self.transition(old, new);
            self.trouble(old, new);
            if let Some(old) = old {
                self.is_patient(old, new);
            }
        }
        self.lease(new);
        self.is_signed(new);
        let mut state = self.state();
        let writes = state.writes;
        if !new.is_past() {
            state.dropped.remove(&new.task.id);
        } else if old.is_none_or(|old| !old.is_past()) {
            state.dropped.insert(new.task.id.clone(), writes);
        }
        if let TaskSpec::Smoke(smoke) = &new.spec {
            let of = state.smoked.entry(smoke.compose.clone()).or_default();
            let passed = matches!(new.state, TaskState::Succeeded { .. });
            of.insert(new.task.id.clone(), passed || new.is_past());
        }
    }

    fn is_signed(&self, row: &TaskRow) {
        let result = match &row.state {
            TaskState::Succeeded { result } => Some(result),
            TaskState::Failed { result, .. } => result.as_ref(),
            _ => None,
        };
        if result.is_some_and(|result| result.started == FORGED) {
            let title = row.spec.title();
            self.violated(format!("{title} has a result that its runner never signed"));
        }
    }

    fn transition(&self, old: Option<&TaskRow>, new: &TaskRow) {
        use TaskState::*;
        let title = new.spec.title();
        let was = old.map_or("absent", |old| old.state.word());
        let is = new.state.word();
        let allowed = match (old.map(|old| &old.state), &new.state) {
            (None, Blocked { .. } | Ready { .. } | Excluded { .. }) => true,
            (None, _) => false,
            (Some(Blocked { .. }), Ready { .. } | Canceled { .. } | Superseded { .. }) => true,
            // Offered once more.
            (Some(Ready { attempt: was, .. }), Ready { attempt: is, .. }) => was == is,
            (Some(Ready { .. }), Leased { .. } | Canceled { .. } | Superseded { .. }) => true,
            (Some(Leased { .. }), Blocked { .. }) => false,
            (
                Some(Leased {
                    stop: Some(was), ..
                }),
                Leased { stop: Some(is), .. },
            ) => {
                // What a person canceled may not be wanted either.
                let dropped = matches!((was, is), (Stop::Cancel { .. }, Stop::Supersede { .. }));
                was == is || dropped
            }
            (Some(Leased { stop: Some(_), .. }), Canceled { .. } | Superseded { .. }) => true,
            (Some(Leased { stop: Some(_), .. }), _) => {
                self.violated(format!("{title} was to stop and is {is}"));
                true
            }
            (Some(Leased { .. }), _) => true,
            (Some(Failed { .. } | Canceled { .. }), Blocked { .. } | Ready { .. }) => true,
            (Some(Superseded { .. }), Blocked { .. }) => true,
            // Only what is beside the state changes.
            (Some(old), new) => old == new,
        };
        if !allowed {
            self.violated(format!("{title} went from {was} to {is}"));
        }
        let Some(old) = old else { return };
        if old.spec != new.spec || old.task != new.task {
            self.violated(format!("{title} became another task"));
        }
        if new.state.attempt() < old.state.attempt() && !matches!(new.state, Excluded { .. }) {
            self.violated(format!("{title} went back to an earlier attempt"));
        }
        match (&old.state, &new.state) {
            (
                Ready { attempt, .. },
                Leased {
                    attempt: leased, ..
                },
            ) => {
                if attempt != leased {
                    self.violated(format!(
                        "{title}: attempt {leased} was leased for {attempt}"
                    ));
                }
                self.has_inputs(new);
            }
            (
                Leased {
                    attempt, runner, ..
                },
                Succeeded { result },
            ) => {
                if result.attempt != *attempt || result.runner != *runner {
                    self.violated(format!("{title} took a result of another attempt"));
                }
                self.accept(new);
            }
            _ => {}
        }
    }

    fn has_inputs(&self, row: &TaskRow) {
        for input in row.spec.inputs() {
            let found = self.ledger().row(&Key::task(input));
            let done = matches!(found.as_ref().map(|record| &record.row), Some(Row::Task(row))
                if matches!(row.state, TaskState::Succeeded { .. }));
            if !done {
                let title = row.spec.title();
                self.violated(format!("{title} runs before {input} has succeeded"));
            }
        }
    }

    /// A lease is in the index, whole, as long as it lasts and no longer.
    fn lease(&self, row: &TaskRow) {
        let found = self.ledger().row(&Key::lease(&row.task.id));
        let found = found.as_ref().map(|record| &record.row);
        let fits = match (&row.state, found) {
            (
                TaskState::Leased {
                    attempt, expires, ..
                },
                Some(Row::Lease(lease)),
            ) => lease.attempt == *attempt && lease.expires == *expires,
            (TaskState::Leased { .. }, _) => false,
            (_, found) => found.is_none(),
        };
        if !fits {
            let (title, is) = (row.spec.title(), row.state.word());
            self.violated(format!(
                "{title} is {is}, and the index of leases says otherwise"
            ));
        }
    }

    fn trouble(&self, old: Option<&TaskRow>, new: &TaskRow) {
        let Some(old) = old else { return };
        let mut state = self.state();
        if old.state.is_closed() && !new.state.is_closed() {
            state.troubles.remove(&new.task.id);
        }
        let ended = matches!(old.state, TaskState::Leased { .. })
            && !matches!(new.state, TaskState::Leased { .. });
        let last = new.attempts.last().map(|record| record.ending);
        if !ended || last != Some(Ending::Trouble) {
            return;
        }
        let count = state.troubles.entry(new.task.id.clone()).or_default();
        *count += 1;
        let count = *count;
        drop(state);
        if count >= PATIENCE && !new.state.is_closed() {
            let title = new.spec.title();
            self.violated(format!(
                "{title} goes on after {count} attempts in a row with trouble"
            ));
        }
    }

    /// All that an accepted result names is in the store, whole.
    fn accept(&self, row: &TaskRow) {
        let kind = kind(&row.spec);
        let store = self.memory.store();
        for artifact in row.artifacts() {
            let size = store.bytes(&artifact.sha256).map(|it| it.len() as u64);
            if size != Some(artifact.size) {
                let (title, name) = (row.spec.title(), &artifact.name);
                self.violated(format!(
                    "{title} took a result with {name}, which is not in the store"
                ));
            }
            let mut state = self.state();
            state.accepted.insert(artifact.sha256, kind);
            if artifact.kind == ArtifactKind::Tree {
                state.composed.insert(artifact.sha256, row.task.clone());
                let tree = store.bytes(&artifact.sha256).unwrap_or_default();
                let tree: Tree = serde_json::from_slice(&tree).unwrap_or_default();
                for file in tree.files.into_values() {
                    state.accepted.entry(file.sha256).or_insert(kind);
                }
            }
        }
    }
}

fn kind(spec: &TaskSpec) -> &'static str {
    match spec {
        TaskSpec::Source(_) => "source",
        TaskSpec::Build(_) => "build",
        TaskSpec::Test(_) => "test",
        TaskSpec::SignPackages(_) => "sign-packages",
        TaskSpec::Compose(_) => "compose",
        TaskSpec::SignMetadata(_) => "sign-metadata",
        TaskSpec::Smoke(_) => "smoke",
    }
}
