//! What people see on a forge.

use super::Forge;
use super::world::Run;

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
