//! Status files: the machine's answer to a request, at the same path on the status branch.
//!
//! With `main` and their records in the artifact store they hold what the ledger knows: refs, attempts
//! and accepted results. They are a rendering of rows and of nothing else, so the same rows give the
//! same bytes.

use ledger::{AttemptRecord, FailedBy, HeadRow, Note, Problem, Stop, TaskRow, TaskState};
use pipeline_spec::{Priority, RequestPath, Sha256Digest};
use runner_api::{Artifact, Facts, Failure, Outcome, ResultManifest, TaskId, TaskRef};
use serde::{Deserialize, Serialize};

use crate::load::Loaded;

/// The file's version.
pub const VERSION: u32 = 1;

/// One status file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFile {
    /// [`VERSION`].
    pub version: u32,
    /// Which request.
    pub request: RequestPath,
    /// The commit on the main branch that it answers.
    pub commit: String,
    /// `open`, `succeeded`, `failed`, `canceled`, `published`, …
    pub phase: String,
    /// Before and after which others its work is done.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// What a person must mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Why things are as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Refs as they were resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<StatusRef>,
    /// Tasks, in the order of their stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<StatusTask>,
    /// Digest of a document in the artifact store with what the tasks are to do, for `millrace recover`.
    /// On the branch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Sha256Digest>,
}

/// The file on the status branch that answers the configuration, at the place of the configuration's
/// first file. It is there while there is something to say.
pub(crate) const CONFIGURATION: &str = "millrace.yaml";

/// What there is to say of the configuration and of files that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationFile {
    /// [`VERSION`].
    pub version: u32,
    /// Why the newest commit cannot be planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What was passed over, or wants a second look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
}

/// `None`: nothing.
pub(crate) fn configuration_file(head: &HeadRow) -> Option<ConfigurationFile> {
    let warnings = warnings(head);
    let silent = head.problems.is_empty() && warnings.is_empty();
    (!silent).then(|| ConfigurationFile {
        version: VERSION,
        problems: head.problems.clone(),
        warnings,
    })
}

/// Everything of a commit that people should know, and that stops nothing.
pub(crate) fn warnings(head: &HeadRow) -> Vec<Problem> {
    head.warnings.iter().chain(&head.notices).cloned().collect()
}

/// A resolved ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRef {
    /// Clone URL.
    pub url: String,
    /// As the request writes it.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// 40 hex digits.
    pub commit: String,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusTask {
    /// Its id.
    pub id: TaskId,
    /// `build tree for debian-12 amd64`.
    pub title: String,
    /// `ready`, `leased`, `succeeded`, …
    pub state: String,
    /// Last attempt, 0 if none.
    pub attempt: u32,
    /// Why it is in this state, where the state alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose fault a failure is: `package` or `infrastructure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The class of a package's failure and the log's last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Who has it, or made the accepted result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// What the runner does right now, as a phrase. Not on the branch: it would get a commit for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Tasks that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<TaskRef>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What it learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The log of the last attempt, as an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Artifact>,
    /// Seconds since 1970 by the runner's clock: the accepted attempt's start and end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<(i64, i64)>,
    /// Why it was planned.
    pub why: String,
    /// When it was planned, milliseconds since 1970.
    pub planned: i64,
    /// Ended attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
}

/// Begins the reason of a task that a runner has and that is to end.
pub(crate) const STOPPING: &str = "stopping: ";
/// Follows it where a newer version of the request does not want the task.
pub(crate) const SUPERSEDED: &str = "superseded by ";

pub(crate) fn status_file(loaded: &Loaded) -> StatusFile {
    let row = &loaded.row;
    // What the request does not want any more is in the history of the branch.
    let mut tasks: Vec<&TaskRow> = loaded.tasks.values().filter(|row| !row.is_past()).collect();
    tasks.sort_by_key(|row| (stage(row), row.spec.title(), row.task.id.clone()));
    StatusFile {
        version: VERSION,
        request: row.path.clone(),
        commit: row.commit.clone(),
        phase: row.phase.word().to_owned(),
        priority: loaded.row.share().priority,
        problems: row.problems.clone(),
        notes: row.notes.clone(),
        refs: loaded
            .refs
            .values()
            .map(|row| StatusRef {
                url: row.url.clone(),
                git_ref: row.git_ref.clone(),
                commit: row.commit.clone(),
                at: row.at,
            })
            .collect(),
        tasks: tasks.into_iter().map(status_task).collect(),
        record: None,
    }
}

fn stage(row: &TaskRow) -> u8 {
    use runner_api::TaskSpec as T;
    match row.spec {
        T::Source(_) => 0,
        T::Build(_) => 1,
        T::Test(_) => 2,
        T::SignPackages(_) => 3,
        T::Compose(_) => 4,
        T::SignMetadata(_) => 5,
        T::Smoke(_) => 6,
    }
}

/// One task as people and machines read it.
pub(crate) fn status_task(row: &TaskRow) -> StatusTask {
    let mut status = StatusTask {
        id: row.task.id.clone(),
        title: row.spec.title(),
        state: row.state.word().to_owned(),
        attempt: row.state.attempt(),
        reason: None,
        fault: None,
        failure: None,
        runner: None,
        step: None,
        waits_for: Vec::new(),
        artifacts: Vec::new(),
        facts: None,
        log: None,
        ran: None,
        why: row.why.clone(),
        planned: row.planned,
        attempts: row.attempts.clone(),
    };
    match &row.state {
        TaskState::Blocked { on, .. } => status.waits_for = on.clone(),
        TaskState::Ready { .. } => {
            status.reason = row
                .attempts
                .last()
                .map(|last| format!("tried before: {}", last.end));
        }
        TaskState::Leased {
            runner, stop, step, ..
        } => {
            status.runner = Some(runner.to_string());
            status.step = step.map(|step| step.phrase().to_owned());
            status.reason = stop.as_ref().map(|stop| match stop {
                Stop::Cancel { reason } => format!("{STOPPING}{reason}"),
                Stop::Supersede { by } => format!("{STOPPING}{SUPERSEDED}{by}"),
            });
        }
        TaskState::Succeeded { result } => accepted(&mut status, result),
        TaskState::Failed { by, result, .. } => {
            if let Some(result) = result {
                accepted(&mut status, result);
            }
            match by {
                FailedBy::Package(failure) => {
                    status.fault = Some("package".to_owned());
                    status.reason = Some(failure.message.clone());
                    status.failure = Some(failure.clone());
                }
                FailedBy::Infrastructure { message } => {
                    status.fault = Some("infrastructure".to_owned());
                    status.reason = Some(gave_up(row, message));
                }
            }
        }
        TaskState::Excluded { reason } | TaskState::Canceled { reason, .. } => {
            status.reason = Some(reason.clone());
        }
        TaskState::Superseded { by, .. } => {
            status.reason = Some(format!("the request was changed by {by}"));
        }
    }
    status
}

/// The history says it as a sentence, the state as a fragment.
fn gave_up(row: &TaskRow, message: &str) -> String {
    let said = row.attempts.last().map_or(message, |last| {
        let end = last.end.as_str();
        end.strip_prefix("infrastructure error: ").unwrap_or(end)
    });
    format!(
        "gave up after attempt {}: {said}; mend the cause, then `millrace retry`",
        row.state.attempt()
    )
}

fn accepted(status: &mut StatusTask, result: &ResultManifest) {
    status.runner = Some(result.runner.to_string());
    status.log = result.log.clone();
    status.ran = Some((result.started, result.finished));
    match &result.outcome {
        Outcome::Succeeded { artifacts, facts } => {
            status.artifacts = artifacts.clone();
            status.facts = Some(facts.clone());
        }
        Outcome::Failed { artifacts, .. } => status.artifacts = artifacts.clone(),
        _ => {}
    }
}
