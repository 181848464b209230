//! What people see in the end, to be held against a twin that had no faults.

use std::fmt::Write as _;

use ledger::Row;
use ports::{ArtifactStore, Platform};
use runner_api::{Pointer, Tree};

use crate::run::{Run, block};

impl Run {
    /// Requests of the newest commit and how they ended, and what each repository holds.
    pub(crate) fn story(&self) -> String {
        let mut text = String::new();
        self.memory.ledger().visit(|_, record| {
            if let Row::Request(row) = &record.row
                && self.tree().contains_key(row.path.as_str())
            {
                let _ = writeln!(text, "{} is {}", row.path, row.phase.word());
                for problem in &row.problems {
                    let _ = writeln!(text, "  {}: {}", problem.subject, problem.message);
                }
            }
        });
        for name in ["base", "extra", "debian"] {
            let _ = writeln!(text, "{name}: {}", self.packages(name).join(" "));
        }
        text
    }

    /// The same with the tasks that are wanted.
    pub(crate) fn whole_story(&self) -> String {
        let mut tasks = Vec::new();
        self.memory.ledger().visit(|_, record| {
            if let Row::Task(row) = &record.row
                && !row.is_past()
            {
                let (title, state) = (row.spec.title(), row.state.word());
                tasks.push(format!("{}: {title} is {state}", row.task.request));
            }
        });
        tasks.sort();
        format!("{}{}\n", self.story(), tasks.join("\n"))
    }

    fn packages(&self, repository: &str) -> Vec<String> {
        let store = self.memory.store();
        let Some(pointer) = block(store.pointer(repository)).expect("memory") else {
            return Vec::new();
        };
        let pointer: Pointer = serde_json::from_slice(&pointer).expect("a pointer");
        let tree = block(store.get(&pointer.tree, u64::MAX)).expect("memory");
        let tree: Tree = serde_json::from_slice(&tree.expect("it is there")).expect("a tree");
        let paths = tree.files.into_keys();
        paths
            .filter_map(|path| path.strip_prefix("Packages/").map(str::to_owned))
            .collect()
    }

    /// Holds the end against the twin's.
    pub(crate) fn compare(&mut self, twin: &Self) {
        let (mine, other) = (self.story(), twin.story());
        if mine != other {
            self.note(format!("without faults:\n{other}"));
            self.witness.violated(format!(
                "it ended as\n{mine}\nand without faults as\n{other}"
            ));
        }
        for violation in twin.violations() {
            self.witness.violated(format!("the twin: {violation}"));
        }
    }
}
