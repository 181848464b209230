//! What people ask: status of everything, one request, one task.

use ledger::{Key, Note, Phase, Problem, Row, TaskState, partition};
use pipeline_spec::{RequestPath, Role};
use ports::{Platform, TaskQueue};
use runner_api::{Pointer, TaskRef};
use serde::{Deserialize, Serialize};

use crate::render::{StatusFile, StatusTask, status_file, status_task};
use crate::{Control, Result};

/// The whole picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The newest planned commit; empty: none yet.
    pub commit: String,
    /// Why a newer one could not be planned.
    pub problems: Vec<Problem>,
    /// Requests, newest first.
    pub requests: Vec<RequestSummary>,
    /// Published repositories.
    pub repositories: Vec<RepositoryStatus>,
    /// Work that no enrolled runner can do.
    pub unserved: Vec<RunnerNeed>,
}

/// A request in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSummary {
    /// Its path.
    pub path: RequestPath,
    /// Where it stands.
    pub phase: String,
    /// Its commit.
    pub commit: String,
    /// Whether nothing more will happen by itself.
    pub at_rest: bool,
    /// Tasks by state word.
    pub tasks: std::collections::BTreeMap<String, usize>,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// Why it waits.
    pub notes: Vec<Note>,
}

/// A published repository in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryStatus {
    /// What clients see.
    pub pointer: Pointer,
    /// The path that it is served under.
    pub path: String,
}

/// A task that waits for a runner that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerNeed {
    /// The task.
    pub task: TaskRef,
    /// What it is.
    pub title: String,
    /// The role that is missing.
    pub role: Role,
    /// The architecture that is missing; `None`: any.
    pub arch: Option<String>,
}

/// One task with its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetail {
    /// Its request.
    pub request: RequestPath,
    /// The task.
    pub task: StatusTask,
    /// What it needs, with the state of each.
    pub inputs: Vec<(String, String)>,
    /// Sentences that say why it is where it is.
    pub because: Vec<String>,
}

impl<P: Platform> Control<P> {
    /// Status of everything.
    pub async fn status(&self) -> Result<Status> {
        let (head, _) = self.head_row().await?;
        let mut status = Status {
            commit: head.commit.clone(),
            problems: head.problems.clone(),
            requests: Vec::new(),
            repositories: Vec::new(),
            unserved: Vec::new(),
        };
        let mut order = Vec::new();
        for path in self.indexed(partition::REQUESTS, "").await? {
            let Some(loaded) = self.load(&path).await? else {
                continue;
            };
            let mut tasks = std::collections::BTreeMap::new();
            for row in loaded.tasks.values() {
                *tasks.entry(row.state.word().to_owned()).or_default() += 1;
                if let Some(need) = self.unserved(row).await? {
                    status.unserved.push(need);
                }
            }
            order.push((
                loaded.row.sequence,
                RequestSummary {
                    path,
                    phase: loaded.row.phase.word().to_owned(),
                    commit: loaded.row.commit.clone(),
                    at_rest: loaded.row.phase.is_at_rest()
                        || matches!(loaded.row.phase, Phase::Removed),
                    tasks,
                    problems: loaded.row.problems.clone(),
                    notes: loaded.row.notes.clone(),
                },
            ));
        }
        order.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        status.requests = order.into_iter().map(|(_, summary)| summary).collect();
        if !head.commit.is_empty() {
            let snapshot = self.snapshot(&head.commit).await?;
            for (name, repository) in &snapshot.config.repositories {
                if let Some((pointer, _)) = self.pointer(name.as_str()).await? {
                    let path = repository.layout.path().to_string();
                    status.repositories.push(RepositoryStatus { pointer, path });
                }
            }
        }
        Ok(status)
    }

    /// The status file of one request, as it would be rendered now.
    pub async fn request_status(&self, path: &RequestPath) -> Result<Option<StatusFile>> {
        Ok(self.load(path).await?.map(|loaded| status_file(&loaded)))
    }

    /// One task and why it is where it is.
    pub async fn explain(&self, task: &TaskRef) -> Result<Option<TaskDetail>> {
        let Some((row, _)) = self.task_row(task).await? else {
            return Ok(None);
        };
        let mut because = vec![row.why.clone()];
        let mut inputs = Vec::new();
        for input in row.spec.inputs() {
            if let Some((input, _)) = self.task_row(input).await? {
                inputs.push((input.spec.title(), input.state.word().to_owned()));
            }
        }
        match &row.state {
            TaskState::Blocked { .. } => {
                let missing: Vec<&str> = inputs
                    .iter()
                    .filter(|(_, state)| state != "succeeded")
                    .map(|(title, _)| title.as_str())
                    .collect();
                because.push(format!("it waits for: {}", missing.join(", ")));
            }
            TaskState::Ready { not_before, .. } => {
                let left = not_before - self.now();
                if left > 0 {
                    because.push(format!("it is tried again in {} s", left / 1000 + 1));
                } else if let Some(need) = self.unserved(&row).await? {
                    because.push(need.sentence());
                } else {
                    let queue = ledger::QueueName::work(row.spec.role(), row.spec.arch());
                    let depth = self.platform.queue().depth(&queue).await?;
                    because.push(format!(
                        "it waits for a free runner; {depth} wait in queue {queue}"
                    ));
                }
            }
            TaskState::Leased {
                runner, attempt, ..
            } => {
                because.push(format!("runner {runner} works on attempt {attempt}"));
            }
            _ => {}
        }
        Ok(Some(TaskDetail {
            request: task.request.clone(),
            task: status_task(&row),
            inputs,
            because,
        }))
    }

    /// Whether a ready task waits for a runner that is not enrolled.
    async fn unserved(&self, row: &ledger::TaskRow) -> Result<Option<RunnerNeed>> {
        if !matches!(row.state, TaskState::Ready { .. }) {
            return Ok(None);
        }
        let (head, _) = self.head_row().await?;
        let snapshot = self.snapshot(&head.commit).await?;
        let (role, arch) = (row.spec.role(), row.spec.arch());
        let served = snapshot.config.runners.values().any(|runner| match arch {
            Some(arch) => runner.serves(role, arch),
            None => runner.roles.contains(&role),
        });
        Ok((!served).then(|| RunnerNeed {
            task: row.task.clone(),
            title: row.spec.title(),
            role,
            arch: arch.map(ToString::to_string),
        }))
    }

    /// The newest planned commit; empty: none yet.
    pub async fn planned_commit(&self) -> Result<String> {
        Ok(self.head_row().await?.0.commit)
    }

    /// Whether `runner` holds the lease of this attempt.
    pub async fn holds(
        &self,
        runner: &pipeline_spec::RunnerId,
        task: &TaskRef,
        attempt: u32,
    ) -> Result<bool> {
        let row = self.task_row(task).await?;
        Ok(row.is_some_and(|(row, _)| {
            matches!(&row.state, TaskState::Leased { attempt: held, runner: holder, .. }
                if *held == attempt && holder == runner)
        }))
    }

    /// Keys under which nothing of a request is left to do, for tests and sweeps.
    pub async fn open_requests(&self) -> Result<Vec<RequestPath>> {
        self.indexed(partition::OPEN, "").await
    }

    /// The request's row exists and is at rest.
    pub async fn is_at_rest(&self, path: &RequestPath) -> Result<bool> {
        let record = ports::Ledger::get(self.platform.ledger(), &Key::request(path)).await?;
        Ok(matches!(record.map(|r| r.row), Some(Row::Request(row)) if row.phase.is_at_rest()))
    }
}

impl RunnerNeed {
    /// For people.
    pub fn sentence(&self) -> String {
        let arch = self
            .arch
            .as_deref()
            .map(|arch| format!(" for {arch}"))
            .unwrap_or_default();
        format!(
            "no enrolled runner has the role {}{arch}: enrol one in runners/, or take the architecture out of the request",
            self.role
        )
    }
}
