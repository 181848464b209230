//! The artifact store after pruning: what anybody may ask for is there, and nothing else that is old.
//!
//! What is needed is written down here field by field, on purpose: the product collects it in another way.

use std::collections::BTreeMap;

use control::StatusFile;
use ledger::{Millis, Row, TaskRow, TaskState};
use pipeline_spec::Sha256Digest;
use ports::{ArtifactStore, Platform, StateRepo};
use runner_api::{Artifact, ArtifactKind, Outcome, Placed, Publication, TaskSpec, Tree, TreeFile};

use super::Witness;
use crate::run::block;

const REPOSITORIES: [&str; 3] = ["base", "extra", "debian"];

/// Files that are needed, and for what.
#[derive(Default)]
struct Needed(BTreeMap<Sha256Digest, String>);

impl Needed {
    fn file(&mut self, digest: Sha256Digest, why: &str) {
        self.0.entry(digest).or_insert_with(|| why.to_owned());
    }

    fn artifact(&mut self, artifact: &Artifact, why: &str) {
        self.file(artifact.sha256, &format!("{} of {why}", artifact.name));
    }

    fn placed(&mut self, placed: &[Placed], why: &str) {
        for it in placed {
            self.artifact(&it.artifact, why);
            it.files.iter().for_each(|file| self.artifact(file, why));
        }
    }
}

impl Witness {
    /// Pruned of all that is older than `than`.
    pub(crate) fn files_are_right(&self, than: Millis) {
        let mut needed = Needed::default();
        self.ledger().visit(|_, record| match &record.row {
            Row::Task(task) => self.of_task(task, &mut needed),
            Row::Contribution(row) => {
                needed.placed(&row.packages, &format!("what {} published", row.release));
            }
            _ => {}
        });
        for name in REPOSITORIES {
            self.of_repository(name, &mut needed);
        }
        self.of_status(&mut needed);
        let held = block(self.memory.store().held(None, usize::MAX)).expect("memory");
        for held in &held {
            if needed.0.remove(&held.digest).is_none() && held.put < than {
                let digest = held.digest;
                self.violated(format!("nothing names {digest}, and it was not pruned"));
            }
        }
        for (digest, why) in needed.0 {
            self.violated(format!("{why} ({digest}) was pruned"));
        }
    }

    fn of_task(&self, task: &TaskRow, needed: &mut Needed) {
        let why = task.spec.title();
        if let TaskSpec::Compose(compose) = &task.spec {
            needed.file(compose.content, &format!("the content of {why}"));
        }
        let (TaskState::Succeeded { result }
        | TaskState::Failed {
            result: Some(result),
            ..
        }) = &task.state
        else {
            return;
        };
        let files = match &result.outcome {
            Outcome::Succeeded { artifacts, .. } | Outcome::Failed { artifacts, .. } => artifacts,
            _ => return,
        };
        for artifact in files.iter().chain(&result.log) {
            needed.artifact(artifact, &why);
            if artifact.kind == ArtifactKind::Tree {
                self.of_tree(&artifact.sha256, &why, needed);
            }
        }
    }

    fn of_tree(&self, tree: &Sha256Digest, why: &str, needed: &mut Needed) {
        needed.file(*tree, &format!("the tree of {why}"));
        if let Some(bytes) = self.memory.store().bytes(tree) {
            let tree: Tree = serde_json::from_slice(&bytes).expect("a tree");
            of_files(tree.files.iter(), why, needed);
        }
    }

    /// What clients see, and have seen.
    fn of_repository(&self, name: &str, needed: &mut Needed) {
        let Some(pointer) = self.public(name) else {
            return;
        };
        self.of_tree(&pointer.tree, name, needed);
        of_files(pointer.signatures.iter(), name, needed);
        let mut next = Some(pointer.publication);
        while let Some(digest) = next.take() {
            needed.file(digest, &format!("a publication of {name}"));
            let Some(bytes) = self.memory.store().bytes(&digest) else {
                return;
            };
            let publication: Publication = serde_json::from_slice(&bytes).expect("a publication");
            for (name, published) in &publication.repositories {
                self.of_tree(&published.tree, name.as_str(), needed);
                of_files(published.signatures.iter(), name.as_str(), needed);
                needed.placed(&published.packages, name.as_str());
            }
            let mut published = publication.repositories.iter();
            let own = published.find(|(it, _)| it.as_str() == name);
            next = own.and_then(|(_, published)| published.previous);
        }
    }

    /// What `millrace recover` will read.
    fn of_status(&self, needed: &mut Needed) {
        let repo = self.memory.state_repo();
        let Some(tip) = block(repo.head("status")).expect("memory") else {
            return;
        };
        for path in block(repo.list(&tip, "")).expect("memory") {
            let bytes = block(repo.read(&tip, &path)).expect("memory");
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            let Ok(file) = serde_saphyr::from_str::<StatusFile>(&text) else {
                continue;
            };
            if let Some(record) = file.record {
                needed.file(record, &format!("the record of {path}"));
            }
        }
    }
}

fn of_files<'a>(
    files: impl Iterator<Item = (&'a String, &'a TreeFile)>,
    why: &str,
    needed: &mut Needed,
) {
    for (path, file) in files {
        needed.file(file.sha256, &format!("{path} of {why}"));
    }
}
