//! What people ask: status of everything, one request, one task.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{DeadLetterRow, Key, Note, Problem, Row, Stop, TaskRow, TaskState, partition};
use pipeline_spec::{Config, Priority, RequestPath, Role};
use ports::{Ledger, Platform, TaskQueue};
use runner_api::{Pointer, Step, TaskRef};
use serde::{Deserialize, Serialize};

use crate::dead::is_transient;
use crate::load::Loaded;
use crate::render::{StatusFile, StatusTask, status_file, status_task, warnings};
use crate::{Control, Result};

/// Requests at rest that status shows beside the open ones.
const SHOWN: usize = 50;
/// Of those that wait for a person, more.
const FAILED_SHOWN: usize = 100;

/// The whole picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The newest planned commit; empty: none yet.
    pub commit: String,
    /// Why a newer one could not be planned.
    pub problems: Vec<Problem>,
    /// What was passed over in the configuration, or wants a second look.
    #[serde(default)]
    pub warnings: Vec<Problem>,
    /// Requests, newest first: all that are open, the newest that failed, and the newest of the rest.
    /// One whose file was removed is not here once it is at rest.
    pub requests: Vec<RequestSummary>,
    /// Whether there are more, all of them at rest. They are found by their paths.
    #[serde(default)]
    pub more: bool,
    /// Published repositories.
    pub repositories: Vec<RepositoryStatus>,
    /// Work that no enrolled runner can do.
    pub unserved: Vec<RunnerNeed>,
    /// Messages that were given up.
    #[serde(default)]
    pub dead_letters: Vec<DeadLetterRow>,
}

/// A request in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSummary {
    /// Its path.
    pub path: RequestPath,
    /// Where it stands.
    pub phase: String,
    /// Before and after which others its work is done.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Its commit.
    pub commit: String,
    /// Whether nothing more will happen by itself.
    pub at_rest: bool,
    /// Tasks by state word, without those that a newer version of the request does not want.
    pub tasks: BTreeMap<String, usize>,
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
    /// Status of everything that is open or failed, and of what is new.
    pub async fn status(&self) -> Result<Status> {
        let (head, _) = self.head_row().await?;
        let mut status = Status {
            commit: head.commit.clone(),
            problems: head.problems.clone(),
            warnings: warnings(&head),
            requests: Vec::new(),
            more: false,
            repositories: Vec::new(),
            unserved: Vec::new(),
            dead_letters: self.dead_letters().await?,
        };
        if head.commit.is_empty() {
            return Ok(status);
        }
        let snapshot = self.snapshot(&head.commit).await?;
        let (paths, more) = self.shown().await?;
        status.more = more;
        let mut order = Vec::new();
        for path in paths {
            let loaded = match self.load(&path).await {
                Ok(Some(loaded)) => loaded,
                Ok(None) => continue,
                Err(error) if is_transient(&error) => return Err(error),
                // One that cannot be read does not hide the others.
                Err(error) => {
                    status.problems.push(Problem {
                        subject: path.to_string(),
                        message: format!("its rows in the ledger cannot be read: {error}"),
                    });
                    continue;
                }
            };
            let needs = loaded.tasks.values();
            status
                .unserved
                .extend(needs.filter_map(|row| unserved(row, &snapshot.config)));
            order.push((loaded.row.sequence, summary(&loaded)));
        }
        order.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        status.requests = order.into_iter().map(|(_, summary)| summary).collect();
        for (name, repository) in &snapshot.config.repositories {
            if let Some((pointer, _)) = self.pointer(name.as_str()).await? {
                let path = repository.layout.path().to_string();
                status.repositories.push(RepositoryStatus { pointer, path });
            }
        }
        Ok(status)
    }

    /// Requests that status shows, and whether there are more.
    async fn shown(&self) -> Result<(BTreeSet<RequestPath>, bool)> {
        let mut paths: BTreeSet<RequestPath> = BTreeSet::new();
        let open = self.indexed(partition::OPEN, "").await?.into_iter();
        // The page of its pull request shows a scratch build.
        paths.extend(open.filter(|path| !path.is_scratch()));
        let mut more = false;
        for (partition, most) in [
            (partition::FAILED, FAILED_SHOWN),
            (partition::RECENT, SHOWN),
        ] {
            let rows = self.platform.ledger();
            let rows = rows.list(partition, "", None, most + 1).await?;
            more |= rows.len() > most;
            paths.extend(
                rows.into_iter()
                    .take(most)
                    .filter_map(|(_, record)| match record.row {
                        Row::Index { request } => Some(request),
                        _ => None,
                    }),
            );
        }
        Ok((paths, more))
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
                } else if let Some(need) = self.need(&row).await? {
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
                runner,
                attempt,
                step,
                stop,
                ..
            } => {
                let step = step.unwrap_or(Step::Working).phrase();
                because.push(format!("runner {runner} is at attempt {attempt}: {step}"));
                match stop {
                    Some(Stop::Cancel { reason }) => {
                        because.push(format!("it is stopping: {reason}"));
                    }
                    Some(Stop::Supersede { by }) => {
                        because.push(format!("it is stopping: {by} wants another build"));
                    }
                    None => {}
                }
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

    /// For the status of a request: each kind of runner that its ready tasks wait for in vain.
    pub(crate) async fn unserved_notes(&self, loaded: &Loaded) -> Result<Vec<Note>> {
        let (head, _) = self.head_row().await?;
        if head.commit.is_empty() {
            return Ok(Vec::new());
        }
        let config = &self.snapshot(&head.commit).await?.config;
        let mut kinds: BTreeMap<String, (RunnerNeed, usize)> = BTreeMap::new();
        for need in loaded
            .tasks
            .values()
            .filter_map(|row| unserved(row, config))
        {
            let kind = match &need.arch {
                Some(arch) => format!("{} on {arch}", need.role),
                None => need.role.to_string(),
            };
            kinds.entry(kind).or_insert((need, 0)).1 += 1;
        }
        let note = |(subject, (need, n)): (String, (RunnerNeed, usize))| {
            let wait = if n == 1 {
                "1 task waits"
            } else {
                &format!("{n} tasks wait")
            };
            Note {
                subject,
                why: format!("{wait}: {}", need.sentence()),
            }
        };
        Ok(kinds.into_iter().map(note).collect())
    }

    async fn need(&self, row: &TaskRow) -> Result<Option<RunnerNeed>> {
        let (head, _) = self.head_row().await?;
        let snapshot = self.snapshot(&head.commit).await?;
        Ok(unserved(row, &snapshot.config))
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

fn summary(loaded: &Loaded) -> RequestSummary {
    let row = &loaded.row;
    let mut tasks = BTreeMap::new();
    for row in loaded.tasks.values().filter(|row| !row.is_past()) {
        *tasks.entry(row.state.word().to_owned()).or_default() += 1;
    }
    RequestSummary {
        path: row.path.clone(),
        phase: row.phase.word().to_owned(),
        priority: row.share().priority,
        commit: row.commit.clone(),
        at_rest: row.phase.is_at_rest(),
        tasks,
        problems: row.problems.clone(),
        notes: row.notes.clone(),
    }
}

/// Whether a ready task waits for a runner that is not enrolled.
fn unserved(row: &TaskRow, config: &Config) -> Option<RunnerNeed> {
    if !matches!(row.state, TaskState::Ready { .. }) {
        return None;
    }
    let (role, arch) = (row.spec.role(), row.spec.arch());
    let served = config.runners.values().any(|runner| match arch {
        Some(arch) => runner.serves(role, arch),
        None => runner.roles.contains(&role),
    });
    (!served).then(|| RunnerNeed {
        task: row.task.clone(),
        title: row.spec.title(),
        role,
        arch: arch.map(ToString::to_string),
    })
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
