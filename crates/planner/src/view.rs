//! What the planner sees, and what it answers.

use std::collections::BTreeMap;

use ledger::{Contribution, Note, Phase, Problem, RequestRow, TaskRow, TaskState, Tasks};
use pipeline_spec::Weight;
use runner_api::{Pointer, TaskId, TaskRef, TaskSpec};

/// A request with its tasks: the one that is planned, or one that it builds on.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Its row.
    pub row: &'a RequestRow,
    /// Its tasks by id.
    pub tasks: &'a Tasks,
}

/// A ref of a request, looked up once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// 40 hex digits.
    Commit(String),
    /// Not there: a sentence for people.
    Missing(String),
    /// It cannot be known now, and is asked for again: a sentence for people.
    Later(String),
}

/// A published repository.
#[derive(Debug, Clone, Default)]
pub struct RepositoryView {
    /// What clients see; `None`: nothing yet.
    pub pointer: Option<Pointer>,
    /// All releases in it.
    pub contributions: Vec<Contribution>,
}

/// A task that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its place; a hash of the rest.
    pub task: TaskRef,
    /// What is to be done.
    pub spec: TaskSpec,
    /// Why.
    pub why: String,
    /// `Some`: it never runs, because the package says so in this line.
    pub excluded: Option<String>,
    /// Slots of a runner that it takes. Like [`Planned::why`] no part of what is to be done.
    pub weight: Weight,
}

/// How far a request is, judged by the tasks that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something runs, waits for a runner, or waits for another request.
    Working,
    /// All done.
    Succeeded,
    /// Nothing more will happen, and something failed.
    Failed,
    /// Nothing more will happen, nothing failed, and a person stopped the rest.
    Canceled,
}

/// The planner's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All tasks that should exist now, those that exist already included.
    pub tasks: Vec<Planned>,
    /// Existing blocked tasks whose inputs are all there.
    pub unblock: Vec<TaskId>,
    /// Existing blocked tasks that are never to run, since a person canceled what they need, and why.
    pub give_up: Vec<(TaskId, String)>,
    /// Tasks that were given up, and what they need is wanted again.
    pub revive: Vec<TaskId>,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// Why the rest is not planned, or waits.
    pub notes: Vec<Note>,
    /// Where the request stands.
    pub progress: Progress,
}

impl Plan {
    pub(crate) fn empty() -> Self {
        Self {
            tasks: Vec::new(),
            unblock: Vec::new(),
            give_up: Vec::new(),
            revive: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            progress: Progress::Working,
        }
    }

    pub(crate) fn want(
        &mut self,
        request: &pipeline_spec::RequestPath,
        spec: TaskSpec,
        why: String,
    ) -> TaskRef {
        let task = TaskRef {
            request: request.clone(),
            id: TaskId::of(request, &spec),
        };
        self.tasks.push(Planned {
            task: task.clone(),
            spec,
            why,
            excluded: None,
            weight: Weight::ONE,
        });
        task
    }

    pub(crate) fn note(&mut self, subject: impl ToString, why: impl Into<String>) {
        self.notes.push(Note {
            subject: subject.to_string(),
            why: why.into(),
        });
    }

    pub(crate) fn problem(&mut self, subject: impl ToString, message: impl Into<String>) {
        self.problems.push(Problem {
            subject: subject.to_string(),
            message: message.into(),
        });
    }
}

/// Rows of the planned request and of those it builds on.
pub(crate) struct Known<'a> {
    own: &'a Tasks,
    others: BTreeMap<&'a pipeline_spec::RequestPath, &'a Tasks>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(own: &'a Tasks, others: &[RequestView<'a>]) -> Self {
        let others = others
            .iter()
            .map(|view| (&view.row.path, view.tasks))
            .collect();
        Self { own, others }
    }

    pub(crate) fn get(&self, task: &TaskRef) -> Option<&'a TaskRow> {
        match self.others.get(&task.request) {
            Some(tasks) => tasks.get(&task.id),
            None => self.own.get(&task.id),
        }
    }

    /// Whether a blocked task can never run unless a person steps in: an input has failed, or waits in vain itself.
    pub(crate) fn waits_in_vain(&self, row: &TaskRow) -> Option<&'a TaskRow> {
        let mut queue: Vec<TaskRef> = row.spec.inputs().into_iter().cloned().collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(input) = queue.pop() {
            if !seen.insert(input.clone()) {
                continue;
            }
            let Some(row) = self.get(&input) else {
                continue;
            };
            match &row.state {
                TaskState::Failed { .. } | TaskState::Canceled { .. } => return Some(row),
                TaskState::Blocked { .. } => queue.extend(row.spec.inputs().into_iter().cloned()),
                _ => {}
            }
        }
        None
    }

    pub(crate) fn inputs_done(&self, row: &TaskRow) -> bool {
        row.spec
            .inputs()
            .into_iter()
            .all(|input| self.get(input).is_some_and(TaskRow::is_done))
    }
}

/// Fills in `unblock` and `progress`, and notes for what waits in vain.
pub(crate) fn conclude(
    plan: &mut Plan,
    known: &Known<'_>,
    waiting: Waiting,
    advisory: impl Fn(&TaskSpec) -> bool,
) {
    let mut working = waiting == Waiting::Yes;
    let (mut failed, mut canceled) = (!plan.problems.is_empty(), false);
    for planned in std::mem::take(&mut plan.tasks) {
        let row = known.get(&planned.task);
        match row.map(|row| (row, &row.state)) {
            None => working |= planned.excluded.is_none(),
            // Wanted again: the caller revives it.
            Some((row, _)) if row.is_past() => working = true,
            Some((_, TaskState::Ready { .. } | TaskState::Leased { .. })) => working = true,
            Some((row, TaskState::Blocked { .. })) => match known.waits_in_vain(row) {
                Some(cause) => {
                    let stopped = matches!(cause.state, TaskState::Canceled { .. });
                    let advisory = advisory(&row.spec);
                    canceled |= stopped && !advisory;
                    failed |= !stopped && !advisory;
                    give_up(plan, row, cause);
                }
                None => {
                    working = true;
                    if known.inputs_done(row) {
                        plan.unblock.push(row.task.id.clone());
                    }
                }
            },
            Some((_, TaskState::Succeeded { .. } | TaskState::Excluded { .. })) => {}
            Some((row, TaskState::Canceled { reason, .. }))
                if reason.starts_with(NOT_RUN) && known.waits_in_vain(row).is_none() =>
            {
                working = true;
                plan.revive.push(row.task.id.clone());
            }
            Some((row, state)) => {
                let stopped = matches!(state, TaskState::Canceled { .. });
                if advisory(&row.spec) {
                    let why = format!("{}; the policy takes tests as advice", state.word());
                    plan.note(row.spec.title(), why);
                } else {
                    canceled |= stopped;
                    failed |= !stopped;
                }
            }
        }
        plan.tasks.push(planned);
    }
    plan.progress = match (working, failed, canceled) {
        (true, ..) => Progress::Working,
        (false, true, _) => Progress::Failed,
        (false, false, true) => Progress::Canceled,
        (false, false, false) => Progress::Succeeded,
    };
}

/// The beginning of the reason of every task that is canceled because of another one.
const NOT_RUN: &str = "not run: ";

/// What waits for a failure may go on when a person retries that. What waits for what a person stopped
/// is stopped too.
fn give_up(plan: &mut Plan, row: &TaskRow, cause: &TaskRow) {
    let (cause, word) = (cause.spec.title(), cause.state.word());
    if word == "canceled" {
        let why = format!("{NOT_RUN}{cause} was canceled");
        plan.give_up.push((row.task.id.clone(), why));
    } else {
        plan.note(row.spec.title(), format!("waits for {cause}, which {word}"));
    }
}

/// Whether the plan is incomplete for a reason that will pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Yes,
    No,
}

/// Whether a request that is built upon is ready to be.
pub fn is_built(view: &RequestView<'_>) -> bool {
    view.row.phase == Phase::Succeeded
}
