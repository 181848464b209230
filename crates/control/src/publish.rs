//! Publishing: a decision is rolled forward, whatever happens in between.
//!
//! The decision stands in the ledger before the first pointer moves. Each pointer is moved under the
//! condition that it is the one that was composed upon, so a repeated run does nothing twice.

use bytes::Bytes;
use futures_util::future::try_join_all;
use ledger::{
    Change, Contribution, Decision, Expect, Flip, Key, Message, Phase, Problem, QueueName,
    RepositoryRow, RequestRow, Row,
};
use pipeline_spec::RequestPath;
use ports::{Applied, ArtifactStore, Platform};
use runner_api::{Pointer, Tree};

use crate::admit::list;
use crate::load::Loaded;
use crate::{Control, Error, FILES_AT_A_TIME, Result};

/// Largest document of the control plane's own that is read, in bytes.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 256 * 1024 * 1024;

impl<P: Platform> Control<P> {
    /// If `path` is a release in the middle of its flips, finishes them.
    pub(crate) async fn finish_publishing(&self, path: &RequestPath) -> Result<()> {
        let Some(loaded) = self.load(path).await? else {
            return Ok(());
        };
        let Phase::Publishing(decision) = &loaded.row.phase else {
            return Ok(());
        };
        if let Some(problem) = self.incomplete(decision).await? {
            return self.give_up_publishing(&loaded, decision, problem).await;
        }
        for flip in &decision.flips {
            self.flip(&flip.pointer).await?;
        }
        let mut row = loaded.row.clone();
        row.phase = if decision.reverts {
            Phase::Reverted
        } else {
            Phase::Published
        };
        if self.settle(&loaded, row, &decision.flips).await? == Applied::Done {
            tracing::info!(request = %path, repositories = decision.flips.len(), "published");
            self.wake_waiters(path).await?;
        }
        Ok(())
    }

    /// Files of a decision vanished from the store before its last flip: what is public stays, nothing
    /// incomplete becomes public, and the request ends with a problem that says which is which.
    async fn give_up_publishing(
        &self,
        loaded: &Loaded,
        decision: &Decision,
        mut problem: Problem,
    ) -> Result<()> {
        let mut public = Vec::new();
        for flip in &decision.flips {
            let present = self.pointer(flip.pointer.repository.as_str()).await?;
            if present.is_some_and(|(present, _)| present == flip.pointer) {
                public.push(flip.clone());
            }
        }
        if !public.is_empty() {
            let names: Vec<&str> = public
                .iter()
                .map(|flip| flip.pointer.repository.as_str())
                .collect();
            problem.message.push_str(&format!(
                "; {} had been published before it vanished, the others had not",
                names.join(", ")
            ));
        }
        let path = &loaded.row.path;
        tracing::error!(request = %path, repository = %problem.subject, problem = %problem.message, "files of a decided release are gone");
        let mut row = loaded.row.clone();
        row.phase = Phase::Failed;
        row.problems = vec![problem];
        if self.settle(loaded, row, &public).await? == Applied::Done {
            self.wake_waiters(path).await?;
        }
        Ok(())
    }

    /// Ends a decision: `row` is how the request ends, `flips` are those that were made. A conflict
    /// means that another run was faster.
    async fn settle(&self, loaded: &Loaded, row: RequestRow, flips: &[Flip]) -> Result<Applied> {
        let path = row.path.clone();
        let mut change = Change::default();
        contribute(flips, &row, &mut change);
        change.delete(Key::open(&path));
        list(&mut change, &row);
        self.give_back_turns(loaded, &mut change).await?;
        change.replace(
            Key::request(&path),
            Expect::Version(loaded.version),
            Row::Request(Box::new(row)),
        );
        let report = Message::Report { request: path };
        change.effect(QueueName::report(), report, self.now());
        self.apply(change).await
    }

    /// A pointer names complete objects only: looks at every file that the present tree does not have.
    /// Asked before the decision, so that a missing file fails a release while nothing of it is public.
    pub(crate) async fn incomplete(&self, decision: &Decision) -> Result<Option<Problem>> {
        for flip in &decision.flips {
            if let Some(message) = self.missing(flip).await? {
                return Ok(Some(Problem {
                    subject: flip.pointer.repository.to_string(),
                    message,
                }));
            }
        }
        Ok(None)
    }

    async fn missing(&self, flip: &Flip) -> Result<Option<String>> {
        let pointer = &flip.pointer;
        let store = self.platform.store();
        let name = pointer.repository.as_str();
        let present = self.pointer(name).await?.map(|(present, _)| present);
        if let Some(present) = &present
            && present != pointer
            && present.generation + 1 != pointer.generation
        {
            return Ok(Some(format!(
                "clients see its generation {}, and this release was composed upon generation {}: somebody else published there; look at who did, then retry",
                present.generation,
                pointer.generation - 1
            )));
        }
        if store.size(&pointer.tree).await?.is_none() {
            return Ok(Some(format!(
                "its tree ({}) is not in the artifact store: bring it back, then retry",
                pointer.tree
            )));
        }
        let tree = self.tree(pointer).await?;
        let present = self.present_tree(name).await?;
        let new = tree
            .files
            .iter()
            .filter(|(path, file)| present.files.get(*path) != Some(file));
        let wanted: Vec<_> = new.chain(&pointer.signatures).collect();
        for some in wanted.chunks(FILES_AT_A_TIME) {
            let sizes = some.iter().map(|(_, file)| store.size(&file.sha256));
            for ((path, file), size) in some.iter().zip(try_join_all(sizes).await?) {
                if size != Some(file.size) {
                    return Ok(Some(format!(
                        "{path} ({}) is not in the artifact store as it was made: bring it back, then retry",
                        file.sha256
                    )));
                }
            }
        }
        Ok(None)
    }

    /// The tree that a pointer names.
    pub async fn tree(&self, pointer: &Pointer) -> Result<Tree> {
        let operation = || format!("read the tree {} of {}", pointer.tree, pointer.repository);
        let bytes = self
            .platform
            .store()
            .get(&pointer.tree, MAX_DOCUMENT_BYTES)
            .await?;
        let bytes =
            bytes.ok_or_else(|| Error::Inconsistent(format!("{}: it is gone", operation())))?;
        let tree: Tree = serde_json::from_slice(&bytes)
            .map_err(|cause| ports::Error::corrupt(operation(), cause))?;
        Ok(tree)
    }

    /// What clients see of a repository. Of a tree that is gone nothing is taken for granted.
    pub(crate) async fn present_tree(&self, repository: &str) -> Result<Tree> {
        match self.pointer(repository).await? {
            Some((pointer, _)) if self.platform.store().size(&pointer.tree).await?.is_some() => {
                self.tree(&pointer).await
            }
            _ => Ok(Tree::default()),
        }
    }

    /// The pointer of a published repository, with its bytes as stored.
    pub async fn pointer(&self, repository: &str) -> Result<Option<(Pointer, Bytes)>> {
        let Some(bytes) = self.platform.store().pointer(repository).await? else {
            return Ok(None);
        };
        let pointer = serde_json::from_slice(&bytes).map_err(|cause| {
            let operation = format!(
                "read the pointer of {repository} in the artifact store, which is damaged or something else; \
                 move it away, and the next start sets one that the ledger knows again"
            );
            ports::Error::corrupt(operation, cause)
        })?;
        Ok(Some((pointer, bytes)))
    }

    async fn flip(&self, new: &Pointer) -> Result<()> {
        let name = new.repository.as_str();
        let bytes = Bytes::from(serde_json::to_vec(new).expect("a pointer has only string keys"));
        let present = self.pointer(name).await?;
        if let Some((present, _)) = &present {
            if present == new {
                return Ok(());
            }
            if present.generation + 1 != new.generation {
                return Err(Error::Inconsistent(format!(
                    "flip {name} to generation {}: it is at {}",
                    new.generation, present.generation
                )));
            }
        }
        let expected = present.as_ref().map(|(_, bytes)| &bytes[..]);
        if self
            .platform
            .store()
            .set_pointer(name, expected, bytes)
            .await?
        {
            return Ok(());
        }
        // Another run of this decision flips the same pointer: the next look tells.
        match self.pointer(name).await? {
            Some((present, _)) if present == *new => Ok(()),
            _ => Err(Error::Contended(format!("pointer {name}"))),
        }
    }
}

/// What the flips change in the ledger.
fn contribute(flips: &[Flip], row: &RequestRow, change: &mut Change) {
    for flip in flips {
        let name = &flip.pointer.repository;
        let repository = RepositoryRow {
            pointer: flip.pointer.clone(),
        };
        change.put(Key::repository(name), Row::Repository(repository));
        let key = Key::contribution(name, &row.path);
        if flip.packages.is_empty() {
            change.delete(key);
        } else {
            let contribution = Contribution {
                release: row.path.clone(),
                repository: name.clone(),
                sequence: row.sequence,
                packages: flip.packages.clone(),
            };
            change.put(key, Row::Contribution(contribution));
        }
    }
}
