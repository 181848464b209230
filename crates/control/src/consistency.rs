//! Whether ledger, artifact store and status branch belong together.
//!
//! A ledger that was lost, or that a backup brought back, knows less than the artifact store and the
//! status branch. Working on with it would build everything again, and write its ignorance over the
//! branch from which people could see what was there. A store that is empty, as where a disk is not
//! mounted, has nothing of what clients are to get.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger::{HeadRow, Key, Phase, Problem, RepositoryRow, Row, TaskState, partition};
use pipeline_spec::{RepositoryName, RequestPath};
use ports::{ArtifactStore, Ledger, Platform, StateRepo};
use runner_api::Pointer;

use crate::load::Loaded;
use crate::render::StatusFile;
use crate::report::is_request;
use crate::{Control, Error, Result};

impl<P: Platform> Control<P> {
    /// Why this ledger must not go on; asked once, before anything else. If nothing is wrong, a pointer
    /// that is missing in the store and known to the ledger is set again; else nothing is written.
    ///
    /// # Errors
    /// A port's trouble. A configuration that cannot be read is none: nothing is planned with it.
    pub async fn check_ledger(&self) -> Result<Vec<Problem>> {
        let (head, version) = self.head_row().await?;
        let noted = self.platform.ledger().get(&Key::status_branch()).await?;
        let is_new = version.is_none() && noted.is_none();
        let mut problems = Vec::new();
        let has_answers = self.has_answers().await?;
        if is_new && has_answers {
            let status = &self.options.status_branch;
            problems.push(Problem {
                subject: "the ledger".to_owned(),
                message: format!("it is empty, and the branch `{status}` has answers: `millrace recover` rebuilds it from them; or, to build everything anew, delete that branch in the state repository first"),
            });
        }
        if let Some(record) = &noted
            && let Row::StatusBranch(left) = &record.row
        {
            problems.extend(self.newer_answer(&left.commit).await?);
        }
        let mut names = self.configured(&head).await?;
        names.extend(self.platform.store().pointers().await?);
        let decided = self.decided().await?;
        let mut missing = Vec::new();
        for name in names {
            match self.check_pointer(&name, &decided).await? {
                Pointed::Well => {}
                Pointed::Missing(pointer) => missing.push(pointer),
                Pointed::Wrong(problem) => problems.push(problem),
            }
        }
        if has_answers || !missing.is_empty() {
            problems.extend(self.empty_store().await?);
        }
        if problems.is_empty() {
            self.set_again(missing).await?;
        }
        Ok(problems)
    }

    /// That a store has nothing, though answers or pointers tell of what was in it: each answer has its
    /// record there.
    async fn empty_store(&self) -> Result<Option<Problem>> {
        if !self.platform.store().held(None, 1).await?.is_empty() {
            return Ok(None);
        }
        let status = &self.options.status_branch;
        Ok(Some(Problem {
            subject: "the artifact store".to_owned(),
            message: format!(
                "it is empty, and what was made is to be in it: is its disk mounted? Mount it, or bring the store back from a copy; or, to build everything anew, put the ledger away and delete the branch `{status}` in the state repository first"
            ),
        }))
    }

    /// Sets pointers that the ledger knows and the store has not.
    async fn set_again(&self, missing: Vec<Pointer>) -> Result<()> {
        for pointer in missing {
            let (name, generation) = (&pointer.repository, pointer.generation);
            let bytes = serde_json::to_vec(&pointer).expect("a pointer has only string keys");
            let store = self.platform.store();
            let set = store.set_pointer(name.as_str(), None, Bytes::from(bytes));
            let _another_set_it = set.await?;
            tracing::warn!(repository = %name, generation, "its pointer was gone from the artifact store; it is set again");
        }
        Ok(())
    }

    /// An answer on the status branch that this ledger cannot have given: the branch was left at `left` by
    /// it, and went on with a later one. What is committed and not noted yet was rendered from rows that
    /// are there.
    async fn newer_answer(&self, left: &str) -> Result<Option<Problem>> {
        let (repo, branch) = (self.platform.state_repo(), &self.options.status_branch);
        let Some(tip) = repo.head(branch).await?.filter(|tip| tip != left) else {
            return Ok(None);
        };
        let changes = match repo.changes(Some(left), &tip).await {
            // As after a force-push: people did that, and the next report mends it.
            Err(ports::Error::Corrupt { .. }) => return Ok(None),
            changes => changes?,
        };
        let mut paths: Vec<String> = changes.into_iter().map(|change| change.path).collect();
        paths.retain(|path| is_request(path));
        repo.prefetch(&tip, &paths).await?;
        let requests = paths
            .iter()
            .filter_map(|path| path.parse::<RequestPath>().ok());
        for path in requests {
            let Some(text) = repo.read(&tip, path.as_str()).await? else {
                continue;
            };
            let Ok(file) = serde_saphyr::from_str::<StatusFile>(&String::from_utf8_lossy(&text))
            else {
                continue;
            };
            if is_newer(&file, self.load(&path).await?.as_ref()) {
                return Ok(Some(Problem {
                    subject: "the ledger".to_owned(),
                    message: format!(
                        "it is older than the branch `{branch}`, which tells of {path} what it does not know: `millrace recover --replace` rebuilds it from there; or, if somebody else wrote that file, take the commit away"
                    ),
                }));
            }
        }
        Ok(None)
    }

    /// Repositories of the planned configuration, or before that of the present one. A configuration that
    /// cannot be read has none.
    async fn configured(&self, head: &HeadRow) -> Result<BTreeSet<RepositoryName>> {
        let repo = self.platform.state_repo();
        let commit = match head.commit.is_empty() {
            false => Some(head.commit.clone()),
            true => repo.head(&self.options.branch).await?,
        };
        let Some(commit) = commit else {
            return Ok(BTreeSet::new());
        };
        match self.snapshot(&commit).await {
            Ok(snapshot) => Ok(snapshot.config.repositories.keys().cloned().collect()),
            Err(Error::Config { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether the status branch tells of requests.
    async fn has_answers(&self) -> Result<bool> {
        let repo = self.platform.state_repo();
        let Some(tip) = repo.head(&self.options.status_branch).await? else {
            return Ok(false);
        };
        let paths = repo.list(&tip, "").await?;
        Ok(paths.iter().any(|path| path.parse::<RequestPath>().is_ok()))
    }

    /// Pointers that open requests have decided to set.
    async fn decided(&self) -> Result<Vec<Pointer>> {
        let mut decided = Vec::new();
        let open: BTreeSet<RequestPath> = self
            .indexed(partition::OPEN, "releases/")
            .await?
            .into_iter()
            .collect();
        for path in open {
            if let Some(loaded) = self.load(&path).await?
                && let Phase::Publishing(decision) = loaded.row.phase
            {
                decided.extend(decision.flips.into_iter().map(|flip| flip.pointer));
            }
        }
        Ok(decided)
    }

    async fn check_pointer(&self, name: &RepositoryName, decided: &[Pointer]) -> Result<Pointed> {
        let record = self.platform.ledger().get(&Key::repository(name)).await?;
        let known = match record.map(|record| record.row) {
            Some(Row::Repository(RepositoryRow { pointer })) => Some(pointer),
            _ => None,
        };
        let public = self
            .pointer(name.as_str())
            .await?
            .map(|(pointer, _)| pointer);
        let of = |pointer: &Option<Pointer>| pointer.as_ref().map_or(0, |it| it.generation);
        let (known_at, public_at) = (of(&known), of(&public));
        let problem = |message: String| {
            Ok(Pointed::Wrong(Problem {
                subject: name.to_string(),
                message,
            }))
        };
        match (known, public) {
            (known, public) if known == public => Ok(Pointed::Well),
            (Some(known), None) => Ok(Pointed::Missing(known)),
            (_, Some(public)) if decided.contains(&public) => Ok(Pointed::Well),
            (_, Some(_)) if public_at > known_at => problem(format!(
                "clients see generation {public_at}, and the ledger knows {known_at}: it is older than what was published; bring the newest ledger back, or rebuild it with `millrace recover`"
            )),
            _ => problem(format!(
                "clients see generation {public_at}, and the ledger published {known_at}: the artifact store is older than the ledger; bring the newest store back"
            )),
        }
    }
}

/// What the store has of a pointer, held against the ledger.
enum Pointed {
    /// The same, or one that is decided.
    Well,
    /// Nothing; the ledger has this.
    Missing(Pointer),
    Wrong(Problem),
}

/// Whether a status file tells of a request, a task or an attempt that the ledger does not have, or has not
/// seen the end of.
fn is_newer(file: &StatusFile, known: Option<&Loaded>) -> bool {
    let Some(known) = known else {
        return true;
    };
    file.tasks.iter().any(|told| {
        let row = known.tasks.get(&told.id);
        row.is_none_or(|row| {
            let attempt = row.state.attempt();
            let has_ended = matches!(told.state.as_str(), "succeeded" | "failed");
            match row.state {
                // By its source: it counts no attempts.
                TaskState::Excluded { .. } => false,
                TaskState::Leased { .. } if told.attempt == attempt => has_ended,
                _ => told.attempt > attempt,
            }
        })
    })
}
