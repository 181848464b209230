//! Looks at every write and judges it at once: what must never happen, at no interleaving.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Change, Key, Phase, Record, Row, TaskRow, TaskState, Write};
use memory::{MemoryLedger, MemoryPlatform};
use pipeline_spec::{Format, Sha256Digest};
use ports::{ArtifactStore, Ledger, Platform, StateRepo};
use runner_api::{Pointer, TaskSpec, Tree};

/// Shared by all adapters of a run.
#[derive(Clone)]
pub(crate) struct Witness {
    memory: MemoryPlatform,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    /// Files of accepted results, and the kind of task that made them.
    accepted: BTreeMap<Sha256Digest, &'static str>,
}

/// Rows as they were before a write.
pub(crate) type Before = Vec<(Key, Option<Record>)>;

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
        self.state().violations.push(what.into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn before(&self, ledger: &MemoryLedger, change: &Change) -> Before {
        let mut before = Vec::new();
        for write in &change.writes {
            let (Write::Put(key, _) | Write::Delete(key)) = write;
            let old = ledger.get(key).await.expect("memory");
            before.push((key.clone(), old));
        }
        before
    }

    pub(crate) async fn wrote(&self, ledger: &MemoryLedger, before: Before) {
        for (key, old) in before {
            let new = ledger.get(&key).await.expect("memory");
            let old = old.map(|record| record.row);
            match (old, new.map(|record| record.row)) {
                (old, Some(Row::Task(new))) => {
                    let old = match old {
                        Some(Row::Task(old)) => Some(old),
                        _ => None,
                    };
                    self.task(ledger, old.as_deref(), &new).await;
                }
                (Some(Row::Task(_)), None) => self.violated(format!("{key} was deleted")),
                (Some(Row::Request(old)), Some(Row::Request(new))) => {
                    self.request(&old.phase, &new.phase, &key);
                }
                _ => {}
            }
        }
    }

    async fn task(&self, ledger: &MemoryLedger, old: Option<&TaskRow>, new: &TaskRow) {
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
                for input in new.spec.inputs() {
                    let row = ledger.get(&Key::task(input)).await.expect("memory");
                    let done = matches!(row.map(|record| record.row), Some(Row::Task(row))
                        if matches!(row.state, Succeeded { .. }));
                    if !done {
                        self.violated(format!("{title} runs before {input} has succeeded"));
                    }
                }
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
                let kind = kind(&new.spec);
                let mut state = self.state();
                for artifact in new.artifacts() {
                    state.accepted.insert(artifact.sha256, kind);
                }
            }
            _ => {}
        }
    }

    fn request(&self, old: &Phase, new: &Phase, key: &Key) {
        let Phase::Publishing(decision) = old else {
            return;
        };
        let fits = match new {
            Phase::Publishing(next) => next == decision,
            Phase::Published => !decision.reverts,
            Phase::Reverted => decision.reverts,
            _ => false,
        };
        if !fits {
            self.violated(format!("{key} left its flips for {}", new.word()));
        }
    }

    /// A pointer was set: all that it names must be there, signed, and made by accepted results.
    pub(crate) async fn flipped(&self, name: &str, before: Option<&[u8]>, new: &[u8]) {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Pointer>(bytes).expect("a pointer");
        let before = before.map_or(0, |bytes| parse(bytes).generation);
        let pointer = parse(new);
        if pointer.generation != before + 1 {
            self.violated(format!(
                "{name} went from generation {before} to {}",
                pointer.generation
            ));
        }
        if pointer.signatures.is_empty() {
            self.violated(format!("{name} was published without a signature"));
        }
        let store = self.memory.store();
        let Some(tree) = store.get(&pointer.tree, u64::MAX).await.expect("memory") else {
            return self.violated(format!("{name} was published without its tree"));
        };
        let tree: Tree = serde_json::from_slice(&tree).expect("a tree");
        for (path, file) in tree.files.iter().chain(&pointer.signatures) {
            let size = store.size(&file.sha256).await.expect("memory");
            if size != Some(file.size) {
                self.violated(format!("{name} was published without {path}"));
            }
            let state = self.state();
            let made_by = state.accepted.get(&file.sha256).copied();
            drop(state);
            let fits = match (path.starts_with("Packages/"), format(name)) {
                (false, _) => true,
                (true, Format::Rpm) => made_by == Some("sign-packages"),
                (true, Format::Deb) => matches!(made_by, Some("build" | "source")),
            };
            if !fits {
                self.violated(format!(
                    "{name} was published with {path}, made by {made_by:?}"
                ));
            }
        }
    }

    /// Of the status branch: one line of commits.
    pub(crate) async fn committed(&self, branch: &str, parent: Option<&str>, commit: &str) {
        if branch != "status" {
            self.violated(format!("the machine wrote to {branch}"));
        }
        let info = self.memory.state_repo().info(commit).await.expect("memory");
        if info.parents.iter().map(String::as_str).ne(parent) {
            self.violated(format!("{commit} has other parents than {parent:?}"));
        }
    }
}

fn format(repository: &str) -> Format {
    if repository == "debian" {
        Format::Deb
    } else {
        Format::Rpm
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
