//! What people see on a forge.

use super::world::Run;
use super::{Forge, Kind};

/// What a person sees of a check on a pull request's page, on either forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// It is green.
    pub is_good: bool,
    /// It is red.
    pub is_bad: bool,
    /// Its one line.
    pub title: String,
    /// All else: on GitHub the remarks on lines first, on Gitea all comments.
    pub text: String,
}

/// A check as people see it on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCheck {
    /// Unique in the forge.
    pub id: u64,
    /// As in the list of checks.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure` and so on, once it is completed.
    pub conclusion: Option<String>,
    /// The headline of its page.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// Each as it was given, in their order.
    pub annotations: Vec<serde_json::Value>,
    /// What its maker calls it.
    pub external_id: String,
    /// The page with more.
    pub details_url: String,
    /// Buttons.
    pub actions: Vec<SeenAction>,
}

/// A button of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAction {
    /// What it says.
    pub label: String,
    /// What it says it does.
    pub description: String,
    /// What the forge sends back.
    pub identifier: String,
}

/// A commit status as people see it on Gitea.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenStatus {
    /// What it is about.
    pub context: String,
    /// `pending`, `success`, `failure`, `error` or `warning`.
    pub state: String,
    /// One line.
    pub description: String,
    /// The page with more.
    pub target_url: String,
}

/// A comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenComment {
    /// Unique in the forge.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Markdown.
    pub body: String,
}

impl Forge {
    /// What is seen of the check `name` on a pull request's page, if all of it is there.
    pub fn page(&self, pull: u64, name: &str) -> Option<Page> {
        let sha = self.head_of(pull);
        if self.kind == Kind::GitHub {
            let found = self.checks(&sha).into_iter().find(|it| it.name == name)?;
            let conclusion = found.conclusion.as_deref();
            let annotations = found.annotations.iter().map(|it| format!("{it}\n"));
            return Some(Page {
                is_good: conclusion == Some("success"),
                is_bad: conclusion == Some("failure"),
                title: found.title,
                text: annotations.collect::<String>() + &found.summary,
            });
        }
        let statuses = self.statuses(&sha);
        let found = statuses.into_iter().find(|it| it.context == name)?;
        // Written after the status.
        let comments = self.comments(pull);
        let text: String = comments.into_iter().map(|it| it.body).collect();
        (!text.is_empty()).then(|| Page {
            is_good: found.state == "success",
            is_bad: found.state == "failure",
            title: found.description,
            text,
        })
    }

    /// The newest check of each name at a commit, in the order of their making (GitHub).
    pub fn checks(&self, sha: &str) -> Vec<SeenCheck> {
        let world = self.world();
        world.latest_runs(sha).into_iter().map(seen).collect()
    }

    /// All checks at a commit, those too that another of the same name hides (GitHub).
    pub fn all_checks(&self, sha: &str) -> Vec<SeenCheck> {
        let world = self.world();
        let runs = world.runs.iter().filter(|run| run.sha == sha);
        runs.map(seen).collect()
    }

    /// The newest status of each context at a commit (Gitea).
    pub fn statuses(&self, sha: &str) -> Vec<SeenStatus> {
        let mut latest: Vec<SeenStatus> = Vec::new();
        for status in self.world().statuses.iter().filter(|s| s.sha == sha) {
            latest.retain(|older| older.context != status.context);
            latest.push(SeenStatus {
                context: status.context.clone(),
                state: status.state.clone(),
                description: status.description.clone(),
                target_url: status.target_url.clone(),
            });
        }
        latest
    }

    /// How many statuses were ever written at a commit (Gitea).
    pub fn status_count(&self, sha: &str) -> usize {
        let world = self.world();
        world.statuses.iter().filter(|s| s.sha == sha).count()
    }

    /// The comments of a pull request, oldest first.
    pub fn comments(&self, number: u64) -> Vec<SeenComment> {
        let world = self.world();
        let comments = world.comments.iter().filter(|c| c.pull == number);
        comments
            .map(|comment| SeenComment {
                id: comment.id,
                author: comment.author.clone(),
                body: comment.body.clone(),
            })
            .collect()
    }
}

fn seen(run: &Run) -> SeenCheck {
    let text = |value: &serde_json::Value, name| value[name].as_str().unwrap_or("").to_owned();
    SeenCheck {
        id: run.id,
        name: run.name.clone(),
        status: run.status.clone(),
        conclusion: run.conclusion.clone(),
        title: run.title.clone().unwrap_or_default(),
        summary: run.summary.clone().unwrap_or_default(),
        annotations: run.annotations.clone(),
        external_id: run.external_id.clone(),
        details_url: run.details_url.clone(),
        actions: run
            .actions
            .iter()
            .map(|action| SeenAction {
                label: text(action, "label"),
                description: text(action, "description"),
                identifier: text(action, "identifier"),
            })
            .collect(),
    }
}
