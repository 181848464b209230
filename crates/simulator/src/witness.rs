//! Looks at every write and judges it at once: what must never happen, at no interleaving.

mod files;
mod forge;
mod messages;
mod pace;
mod published;
mod requests;
mod shares;
mod status;
mod tasks;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Change, Decision, Key, Record, Row, Write};
use memory::{MemoryLedger, MemoryPlatform};
use pipeline_spec::{RequestPath, Sha256Digest};
use ports::Platform;
use runner_api::{TaskId, TaskRef};

use status::Story;
pub(crate) use tasks::FORGED;
pub(crate) use turns::Asked;

/// Violations that are kept: the first ones tell, the rest follows from them.
const KEPT: usize = 20;

/// Shared by all adapters of a run.
#[derive(Clone)]
pub(crate) struct Witness {
    memory: MemoryPlatform,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    /// Changes that were applied.
    writes: u64,
    /// Files of accepted results, and the kind of task that made them.
    accepted: BTreeMap<Sha256Digest, &'static str>,
    /// The compose that made a tree.
    composed: BTreeMap<Sha256Digest, TaskRef>,
    /// Smoke tests of a compose, and whether they passed.
    smoked: BTreeMap<TaskRef, BTreeMap<TaskId, bool>>,
    /// Decisions that stand and are not carried out to the end.
    decided: BTreeMap<RequestPath, Decision>,
    /// Commits that a request was at before the present one.
    left: BTreeMap<RequestPath, BTreeSet<String>>,
    /// The write that brought the present version of a request.
    asked: BTreeMap<RequestPath, u64>,
    /// The write since which a task is not wanted.
    dropped: BTreeMap<TaskId, u64>,
    /// Trouble of a task since a person last asked for it.
    troubles: BTreeMap<TaskId, u32>,
    /// What the ledger said of each request, ever.
    stories: BTreeMap<String, Story>,
    messages: messages::Messages,
    shares: shares::Shares,
    turns: turns::Turns,
    allowed: forge::Allowed,
    /// Rows are being written anew: what was there before is lost.
    is_recovering: bool,
}

/// Rows as they were before a write.
pub(crate) type Before = Vec<(Key, Option<Arc<Record>>)>;

impl Witness {
    pub(crate) fn new(memory: &MemoryPlatform) -> Self {
        Self {
            memory: memory.clone(),
            state: Arc::default(),
        }
    }

    /// What must not have happened, and did.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub(crate) fn violated(&self, what: impl Into<String>) {
        let mut state = self.state();
        if state.violations.len() < KEPT {
            state.violations.push(what.into());
        }
    }

    /// The ledger is lost, and rebuilt from now on; or that is over.
    pub(crate) fn loses(&self, is_recovering: bool) {
        let mut state = self.state();
        state.is_recovering = is_recovering;
        if is_recovering {
            // Wishes of later commits than the status branch knows are planned once more.
            state.left.clear();
            state.decided.clear();
            state.troubles.clear();
            // What a person took from the branch before is known to nobody any more.
            state.stories.clear();
            state.messages.lose();
            state.shares.lose();
            state.turns.lose();
            state.allowed.lose();
        }
    }

    fn is_recovering(&self) -> bool {
        self.state().is_recovering
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> &MemoryLedger {
        self.memory.ledger()
    }

    pub(crate) fn before(&self, change: &Change) -> Before {
        let keys = change.writes.iter().map(|write| match write {
            Write::Put(key, _) | Write::Delete(key) => key,
        });
        keys.map(|key| (key.clone(), self.ledger().row(key)))
            .collect()
    }

    pub(crate) fn wrote(&self, before: Before) {
        self.state().writes += 1;
        for (key, old) in before {
            let new = self.ledger().row(&key);
            let old = old.as_ref().map(|record| &record.row);
            match (old, new.as_ref().map(|record| &record.row)) {
                (old, Some(Row::Task(new))) => {
                    let old = match old {
                        Some(Row::Task(old)) => Some(&**old),
                        _ => None,
                    };
                    self.task(old, new);
                    self.claimed(old, new);
                    self.tell(&new.task.request, |story| story.task(new));
                }
                (old, Some(Row::Request(new))) => {
                    let old = match old {
                        Some(Row::Request(old)) => Some(&**old),
                        _ => None,
                    };
                    self.request(old, new);
                    self.wished(old, new);
                    self.tell(&new.path, |story| story.request(new));
                }
                (Some(Row::Ref(_)), _) if !self.is_recovering() => {
                    self.violated(format!("{key} was looked up a second time"));
                }
                (_, Some(Row::Outbox(new))) => {
                    self.ordered(&key, &new.effect);
                    self.claims_as_its_task(&new.effect);
                }
                (Some(Row::Outbox(_)), None) => self.left_the_outbox(&key),
                (old, Some(Row::Budget(new))) => {
                    let old = match old {
                        Some(Row::Budget(old)) => Some(old),
                        _ => None,
                    };
                    self.counted(&key, old, new);
                }
                (_, Some(new @ Row::Watch(_))) => self.watches(new),
                (Some(Row::Task(_) | Row::Request(_)), _) => {
                    self.violated(format!("{key} was deleted"));
                }
                _ => {}
            }
        }
    }
}
