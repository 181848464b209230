//! What people should know of a commit as a whole: what in it nobody reads, what it leaves published
//! without a description, what was rewritten.
//!
//! Nothing of this stops a request from being planned. Notices of paths are kept from commit to commit
//! until the path changes, so that planning reads the difference and never the whole tree.

use std::collections::BTreeSet;

use ledger::{HeadRow, Note, Problem, limits};
use pipeline_spec::{Config, Layout, PathKind, RepositoryName, Severity, check_place, classify};
use ports::{ChangeKind, PathChange, Platform, StateRepo};

use crate::admit::Tip;
use crate::config::Snapshot;
use crate::{Control, Result};

impl<P: Platform> Control<P> {
    /// The notices of `tip`: the old ones whose path did not change, and new ones.
    pub(crate) async fn notices(
        &self,
        head: &HeadRow,
        tip: &Tip,
        config: &Config,
        changes: &[PathChange],
    ) -> Result<Vec<Problem>> {
        let mut notices = Vec::new();
        let changed: BTreeSet<&str> = changes.iter().map(|change| &*change.path).collect();
        for old in &head.notices {
            let stands = if tip.linear {
                !changed.contains(&*old.subject)
            } else {
                // Every path that is there is among the changes.
                is_repository(&old.subject) && !changed.contains(&*old.subject)
            };
            if stands {
                notices.push(old.clone());
            }
        }
        notices.extend(changes.iter().filter_map(unread));
        for name in self
            .removed_repositories(head, tip, config, changes)
            .await?
        {
            if let Some(notice) = self.off_air(&name, short(&tip.commit)).await? {
                notices.push(notice);
            }
        }
        let touches = changes.iter().any(|change| is_repository(&change.path));
        if touches
            && !head.commit.is_empty()
            && let Ok(old) = self.snapshot(&head.commit).await
        {
            notices.extend(self.moved_repositories(&old.config, config).await?);
        }
        notices.sort_by(|a, b| a.subject.cmp(&b.subject));
        notices.dedup_by(|a, b| a.subject == b.subject);
        notices.truncate(limits::NOTICES_KEPT);
        Ok(notices)
    }

    /// Repositories that had a file where the ledger stands, and have none at `tip`.
    async fn removed_repositories(
        &self,
        head: &HeadRow,
        tip: &Tip,
        config: &Config,
        changes: &[PathChange],
    ) -> Result<Vec<RepositoryName>> {
        if tip.linear {
            let removed = changes.iter().filter(|change| is_gone(change));
            return Ok(removed
                .filter_map(|change| repository(&change.path))
                .collect());
        }
        if head.commit.is_empty() {
            return Ok(Vec::new());
        }
        // After a force-push the old commit may be gone from git too.
        let Ok(old) = self.snapshot(&head.commit).await else {
            return Ok(Vec::new());
        };
        let names = old.config.repositories.keys();
        Ok(names
            .filter(|name| !config.repositories.contains_key(*name))
            .cloned()
            .collect())
    }

    /// What follows for clients of published repositories whose address or suite is another one now.
    pub(crate) async fn moved_repositories(
        &self,
        old: &Config,
        new: &Config,
    ) -> Result<Vec<Problem>> {
        let mut moved = Vec::new();
        for (name, is) in &new.repositories {
            let Some(was) = old.repositories.get(name) else {
                continue;
            };
            let Some(what) = moved_from(&was.layout, &is.layout) else {
                continue;
            };
            if self.pointer(name.as_str()).await?.is_some() {
                moved.push(Problem {
                    subject: format!("repositories/{name}.yaml"),
                    message: format!("{what}; it is published, so change its clients' configuration, or write the old value again"),
                });
            }
        }
        Ok(moved)
    }

    /// What follows for clients when the file of a repository is gone. `None`: it was never published.
    pub(crate) async fn off_air(&self, name: &RepositoryName, by: &str) -> Result<Option<Problem>> {
        let Some((pointer, _)) = self.pointer(name.as_str()).await? else {
            return Ok(None);
        };
        Ok(Some(Problem {
            subject: format!("repositories/{name}.yaml"),
            message: format!(
                "removed by {by}: clients get 404 from the repository {name}, which is published (generation {}); nothing of it is deleted, and bringing the file back serves it again",
                pointer.generation
            ),
        }))
    }

    /// Warnings of `tip` that stand until the next commit.
    pub(crate) async fn warnings(
        &self,
        head: &HeadRow,
        tip: &Tip,
        snapshot: &Snapshot,
    ) -> Result<Vec<Problem>> {
        let mut warnings: Vec<Problem> = snapshot
            .warnings
            .iter()
            .filter(|found| found.severity == Severity::Warning)
            .map(|found| Problem {
                subject: format!("{}:{}:{}", found.path, found.line, found.column),
                message: format!("{}; {}", found.message, found.help),
            })
            .collect();
        warnings.extend(self.other_branch(&snapshot.config));
        let repo = self.platform.state_repo();
        let known = !head.commit.is_empty();
        if known && !tip.linear && !repo.is_ancestor(&head.commit, &tip.commit).await? {
            warnings.push(Problem {
                subject: format!("branch {}", self.options.branch),
                message: format!(
                    "its history was rewritten: {} was planned last and is not in the history of {}; every request was compared: what differs is planned anew, what is gone is canceled or reverted",
                    head.commit, tip.commit
                ),
            });
        }
        Ok(warnings)
    }

    fn other_branch(&self, config: &Config) -> Option<Problem> {
        let (written, used) = (
            config.project.default_branch.to_string(),
            &self.options.branch,
        );
        (written != *used).then(|| Problem {
            subject: "millrace.yaml".to_owned(),
            message: format!(
                "`default_branch` is {written}, and this control plane plans {used}: start it with `--branch {written}`, or write `default_branch: {used}`"
            ),
        })
    }
}

/// What clients notice when one layout follows another.
fn moved_from(was: &Layout, is: &Layout) -> Option<String> {
    if was.path() != is.path() {
        let (was, is) = (was.path(), is.path());
        return Some(format!(
            "its address was {was} and is {is}: clients of the old one get 404"
        ));
    }
    match (was, is) {
        (Layout::Deb { suite: was, .. }, Layout::Deb { suite: is, .. }) if was != is => {
            Some(format!(
                "its suite was {was} and is {is}: the next release publishes it under that name alone"
            ))
        }
        _ => None,
    }
}

/// Why nobody reads what a change brought, when it looks as if somebody should.
pub(crate) fn unread(change: &PathChange) -> Option<Problem> {
    match change.kind {
        ChangeKind::Removed => None,
        // A link in the place of a request is answered as one.
        ChangeKind::NotAFile if change.path.parse::<pipeline_spec::RequestPath>().is_ok() => None,
        ChangeKind::NotAFile => is_ours(&change.path).then(|| not_a_file(&change.path)),
        ChangeKind::Added | ChangeKind::Modified => {
            let found = check_place(&change.path)?;
            Some(Problem {
                subject: change.path.clone(),
                message: format!("{}; {}", found.message, found.help),
            })
        }
    }
}

/// What people should know of a change to the configuration: it builds nothing, and gives somebody power or changes what is
/// built later.
pub(crate) fn configured(change: &PathChange) -> Option<Note> {
    let is_new = change.kind == ChangeKind::Added;
    let why = match (classify(&change.path), is_gone(change)) {
        (PathKind::Runner(_), true) => "this runner gets no more work",
        (PathKind::Runner(_), false) if is_new => {
            "a new runner: it gets work, and what it hands in is believed"
        }
        (PathKind::Runner(_), false) => "a runner's key or what it may do is another one",
        (PathKind::KeyFile(_), _) if change.path.starts_with("keys/people/") => {
            "a key of a person who may approve is another one, or new, or gone"
        }
        (PathKind::Key(_) | PathKind::KeyFile(_), _) => {
            "keys that packages are signed or checked with are others, or new, or gone"
        }
        (PathKind::Policy, _) => {
            "the rules of what may be released, and of who approves that and the configuration, are others"
        }
        (PathKind::Project, _) => "the project's own settings are others",
        (PathKind::Platform(_) | PathKind::Flavor(_), true) => {
            "nothing can be built for it any more"
        }
        (PathKind::Platform(_) | PathKind::Flavor(_), false) if is_new => return None,
        (PathKind::Platform(_) | PathKind::Flavor(_), false) => "later builds are made with this",
        (PathKind::Repository(_), true) => "nothing can be released to it any more",
        (PathKind::Repository(_), false) if is_new => return None,
        (PathKind::Repository(_), false) => "later releases are made with this",
        _ => return None,
    };
    Some(Note {
        subject: change.path.clone(),
        why: why.to_owned(),
    })
}

/// The answer to a link, and to a name that is shown with its control characters and broken bytes as `\\…`.
pub(crate) fn not_a_file(path: &str) -> Problem {
    let message = match path.contains('\\') {
        true => {
            "its name has control characters, or is no UTF-8, and nothing here reads it; rename it"
        }
        false => {
            "it is a link or a submodule, which nothing here follows; put a regular file in its place"
        }
    };
    Problem {
        subject: path.to_owned(),
        message: message.to_owned(),
    }
}

/// A path of the language, or one of its folders.
fn is_ours(path: &str) -> bool {
    let other = |path: &str| matches!(classify(path), PathKind::Other | PathKind::Reserved);
    !other(path) || !other(&format!("{path}/x.yaml"))
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn is_gone(change: &PathChange) -> bool {
    matches!(change.kind, ChangeKind::Removed | ChangeKind::NotAFile)
}

fn is_repository(path: &str) -> bool {
    repository(path).is_some()
}

/// The repository that a path describes.
pub(crate) fn repository(path: &str) -> Option<RepositoryName> {
    match classify(path) {
        PathKind::Repository(name) => Some(name),
        _ => None,
    }
}
