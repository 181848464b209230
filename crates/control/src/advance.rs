//! Moving one request on: the tasks that should exist are written, those that should not are stopped.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::try_join_all;
use ledger::{
    Change, Condition, Event, Expect, Key, Note, Phase, Problem, RefRow, RequestSpec, Row, TaskRow,
    TaskState, transition,
};
use pipeline_spec::{BuildRequest, ReleaseRequest, RepositoryName, RequestPath, Source};
use planner::{
    HoldsTurn, Plan, Planned, Progress, ReleaseView, RepositoryView, RequestView, Resolution,
    plan_build, plan_release,
};
use ports::{Applied, ArtifactStore, Ledger, Platform, Resolved};
use runner_api::TaskSpec;

use crate::admit::list;
use crate::away::cannot_be_looked_up;
use crate::load::{Loaded, unexpected};
use crate::scratch::ENDED;
use crate::{Control, MAX_TRIES, Result, contended};

/// Tasks written in one change: each is two rows and may have an effect.
const BATCH: usize = 30;

/// Changes of one request applied side by side.
const WIDTH: usize = 8;

/// Why the tasks of a request whose file is gone are canceled. They go on when the file is back.
const FILE_REMOVED: &str = "the request's file was removed";

/// What a step wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something: look again.
    Wrote,
    /// Nothing: the ledger is as it should be.
    Settled,
    /// Another writer was faster: look again.
    Conflict,
}

impl<P: Platform> Control<P> {
    /// Brings the ledger to what the planner wants of `path`. Safe at any time, any number of times.
    pub async fn advance(&self, path: &RequestPath) -> Result<()> {
        let mut conflicts = 0;
        // Each round makes progress or is a conflict; a request has a handful of stages.
        for _ in 0..MAX_TRIES * 10 {
            let Some(loaded) = self.load(path).await? else {
                return Ok(());
            };
            match self.step(&loaded).await? {
                Step::Settled => return Ok(()),
                Step::Wrote => {}
                Step::Conflict => {
                    conflicts += 1;
                    if conflicts > MAX_TRIES {
                        return Err(contended(&Key::request(path)));
                    }
                }
            }
        }
        Err(contended(&Key::request(path)))
    }

    async fn step(&self, loaded: &Loaded) -> Result<Step> {
        match (&loaded.row.phase, &loaded.row.spec) {
            (Phase::Removed, _) => {
                let reason = match loaded.row.path.is_scratch() {
                    true => ENDED,
                    false => FILE_REMOVED,
                };
                let event = Event::Cancel { reason };
                self.stop_all(loaded, &event).await
            }
            (Phase::Invalid, _) => {
                let event = Event::Supersede {
                    by: &loaded.row.commit,
                };
                self.stop_all(loaded, &event).await
            }
            (Phase::Publishing(_), _) => {
                self.finish_publishing(&loaded.row.path).await?;
                Ok(Step::Settled)
            }
            (Phase::Open, Some(RequestSpec::Build(request))) => {
                self.step_build(loaded, request).await
            }
            (Phase::Open, Some(RequestSpec::Release(request))) => {
                self.step_release(loaded, Some(request)).await
            }
            (Phase::Reverting, _) => self.step_release(loaded, None).await,
            (
                Phase::Open
                | Phase::Succeeded
                | Phase::Failed
                | Phase::Canceled
                | Phase::Published
                | Phase::Reverted,
                _,
            ) => self.close_index(loaded).await,
        }
    }

    async fn step_build(&self, loaded: &Loaded, request: &BuildRequest) -> Result<Step> {
        let snapshot = self.snapshot(&loaded.row.commit).await?;
        let refs = self.resolve_refs(loaded, request).await?;
        let linked = self.load_all(&request.with).await?;
        let linked: Vec<RequestView<'_>> = linked.iter().map(view).collect();
        let plan = plan_build(view(loaded), request, &snapshot.config, &refs, &linked);
        let step = self.write_tasks(loaded, &plan).await?;
        if step != Step::Settled {
            return Ok(step);
        }
        let phase = match plan.progress {
            Progress::Working => Phase::Open,
            Progress::Succeeded => Phase::Succeeded,
            Progress::Failed => Phase::Failed,
            Progress::Canceled => Phase::Canceled,
        };
        self.write_phase(loaded, phase, plan.problems, plan.notes)
            .await
    }

    /// `wish`: `None` for a revert.
    async fn step_release(&self, loaded: &Loaded, wish: Option<&ReleaseRequest>) -> Result<Step> {
        let snapshot = self.snapshot(&loaded.row.commit).await?;
        let from = match wish {
            Some(wish) => self.load_all(&wish.from).await?,
            None => Vec::new(),
        };
        let names = self.concerned(loaded, wish).await?;
        let (repositories, held) = self.repositories(loaded, &names).await?;
        let waits = self
            .waits_for_approvals(loaded, wish, (&from, &names))
            .await?;
        if !waits.is_empty() {
            if held > 0 {
                return self.yield_turns(loaded).await;
            }
            let phase = loaded.row.phase.clone();
            return self.write_phase(loaded, phase, Vec::new(), waits).await;
        }
        let from: Vec<RequestView<'_>> = from.iter().map(view).collect();
        let holds_turn = if held == names.len() {
            HoldsTurn::Yes
        } else {
            HoldsTurn::No
        };
        let view = ReleaseView {
            request: view(loaded),
            wish,
            config: &snapshot.config,
            from: &from,
            repositories: &repositories,
            holds_turn,
        };
        let mut release = plan_release(&view);
        for document in std::mem::take(&mut release.documents) {
            let task = document.named_by.as_ref();
            if !task.is_some_and(|id| loaded.tasks.contains_key(id)) {
                let bytes = Bytes::from(document.bytes);
                self.platform.store().put(bytes).await?;
            }
        }
        let step = self.write_tasks(loaded, &release.plan).await?;
        if step != Step::Settled {
            return Ok(step);
        }
        if !release.wants_turn.is_empty() {
            return self
                .take_turns(loaded, &release.wants_turn, release.plan)
                .await;
        }
        let mut plan = release.plan;
        let composes = |planned: &Planned| matches!(planned.spec, TaskSpec::Compose(_));
        if held > 0 && plan.progress == Progress::Working && !plan.tasks.iter().any(composes) {
            return self.yield_turns(loaded).await;
        }
        match (plan.progress, release.decision) {
            (Progress::Succeeded, Some(decision)) => {
                if let Some(problem) = self.incomplete(&decision).await? {
                    plan.problems.push(problem);
                    return self
                        .write_phase(loaded, Phase::Failed, plan.problems, plan.notes)
                        .await;
                }
                self.write_phase(
                    loaded,
                    Phase::Publishing(decision),
                    plan.problems,
                    plan.notes,
                )
                .await
            }
            (Progress::Canceled, _) => {
                self.write_phase(loaded, Phase::Canceled, plan.problems, plan.notes)
                    .await
            }
            (Progress::Failed | Progress::Succeeded, _) => {
                self.write_phase(loaded, Phase::Failed, plan.problems, plan.notes)
                    .await
            }
            (Progress::Working, _) => {
                self.write_phase(loaded, loaded.row.phase.clone(), plan.problems, plan.notes)
                    .await
            }
        }
    }

    /// Requests that are linked. One of the same commit may be admitted a moment later.
    async fn load_all(&self, paths: &[RequestPath]) -> Result<Vec<Loaded>> {
        let mut all = Vec::new();
        for path in paths {
            match self.load(path).await? {
                Some(loaded) => all.push(loaded),
                None => all.push(Loaded::awaited(path)),
            }
        }
        Ok(all)
    }

    /// Refs that are known, and those that can be looked up now; each is written once and for ever.
    async fn resolve_refs(
        &self,
        loaded: &Loaded,
        request: &BuildRequest,
    ) -> Result<BTreeMap<(String, String), Resolution>> {
        let mut refs: BTreeMap<(String, String), Resolution> = loaded
            .refs
            .iter()
            .map(|(key, row)| (key.clone(), Resolution::Commit(row.commit.clone())))
            .collect();
        for package in &request.packages {
            let Source::Git { git, git_ref, .. } = &package.source else {
                continue;
            };
            let key = (git.to_string(), git_ref.to_string());
            if refs.contains_key(&key) {
                continue;
            }
            match self.ask_host(&key).await {
                Ok(Resolved::Commit(commit)) => {
                    let commit = self.record_ref(&loaded.row.path, &key, commit).await?;
                    refs.insert(key, Resolution::Commit(commit));
                }
                Ok(Resolved::Missing(message)) => {
                    refs.insert(key, Resolution::Missing(message));
                }
                // Sweep comes back.
                Err(why) => {
                    let message = cannot_be_looked_up(&key, &why);
                    refs.insert(key, Resolution::Later(message));
                }
            }
        }
        Ok(refs)
    }

    /// Writes what a ref is, or reads what another writer found first.
    async fn record_ref(
        &self,
        path: &RequestPath,
        (url, git_ref): &(String, String),
        commit: String,
    ) -> Result<String> {
        let key = Key::git_ref(path, url, git_ref);
        let row = RefRow {
            url: url.clone(),
            git_ref: git_ref.clone(),
            commit: commit.clone(),
            at: self.now(),
        };
        let mut change = Change::default();
        change.replace(key.clone(), Expect::Absent, Row::Ref(row));
        if self.apply(change).await? == Applied::Done {
            return Ok(commit);
        }
        match self
            .platform
            .ledger()
            .get(&key)
            .await?
            .map(|record| record.row)
        {
            Some(Row::Ref(row)) => Ok(row.commit),
            _ => Err(unexpected(&key)),
        }
    }

    /// The repositories `names`, and how many turns of them the release has.
    pub(crate) async fn repositories(
        &self,
        loaded: &Loaded,
        names: &BTreeSet<RepositoryName>,
    ) -> Result<(BTreeMap<RepositoryName, RepositoryView>, usize)> {
        let mut repositories = BTreeMap::new();
        let mut held = 0;
        for name in names {
            let (repository, holder) = self.repository(name).await?;
            held += usize::from(holder.as_ref() == Some(&loaded.row.path));
            repositories.insert(name.clone(), repository);
        }
        Ok((repositories, held))
    }

    async fn repository(
        &self,
        name: &RepositoryName,
    ) -> Result<(RepositoryView, Option<RequestPath>)> {
        let mut view = RepositoryView::default();
        let mut holder = None;
        for (key, record) in self.all_rows(&Key::repository_partition(name), "").await? {
            match record.row {
                Row::Repository(row) => view.pointer = Some(row.pointer),
                Row::Contribution(row) => view.contributions.push(row),
                Row::Index { request } => holder = Some(request),
                _ => return Err(unexpected(&key)),
            }
        }
        Ok((view, holder))
    }

    /// Writes what differs between the plan's tasks and the ledger's.
    async fn write_tasks(&self, loaded: &Loaded, plan: &Plan) -> Result<Step> {
        let now = self.now();
        let mut changes = self.reshare(loaded, plan);
        if !changes.is_empty() {
            return self.write_batches(loaded, &changes).await;
        }
        let wanted: BTreeSet<_> = plan.tasks.iter().map(|planned| &planned.task.id).collect();
        let by = &loaded.row.commit;
        let unwanted = |row: &&TaskRow| !row.is_past() && !wanted.contains(&row.task.id);
        for row in loaded.tasks.values().filter(unwanted) {
            changes.extend(self.change(loaded, row, &Event::Supersede { by }));
        }
        for planned in &plan.tasks {
            match loaded.tasks.get(&planned.task.id) {
                None => changes.push(insert(loaded, planned, now)),
                Some(row) if is_revived(row, loaded) => {
                    changes.extend(self.change(loaded, row, &Event::Revive));
                }
                Some(_) => {}
            }
        }
        for (id, reason) in &plan.give_up {
            let event = Event::Cancel { reason };
            changes.extend(self.change(loaded, &loaded.tasks[id], &event));
        }
        for id in &plan.revive {
            changes.extend(self.change(loaded, &loaded.tasks[id], &Event::Revive));
        }
        for id in &plan.unblock {
            changes.extend(self.change(loaded, &loaded.tasks[id], &Event::Unblock));
        }
        if changes.is_empty() {
            return Ok(Step::Settled);
        }
        self.write_batches(loaded, &changes).await
    }

    /// What waits takes the place that the request has now.
    fn reshare(&self, loaded: &Loaded, plan: &Plan) -> Vec<Change> {
        let share = loaded.row.share();
        let known = plan.tasks.iter().filter_map(|planned| {
            let row = loaded.tasks.get(&planned.task.id)?;
            Some((row, planned.weight))
        });
        known
            .filter(|(row, weight)| row.share != share || row.weight != *weight)
            .filter_map(|(row, weight)| {
                let share = &share;
                self.change(loaded, row, &Event::Share { share, weight })
            })
            .collect()
    }

    fn change(&self, loaded: &Loaded, row: &TaskRow, event: &Event<'_>) -> Option<Change> {
        let version = loaded.versions[&row.task.id];
        transition(row, version, event, self.now()).ok()
    }

    /// A change that stops an open task; nothing for one that is closed or stopping.
    fn stop(&self, loaded: &Loaded, row: &TaskRow, event: &Event<'_>) -> Option<Change> {
        if row.state.is_closed() {
            None
        } else {
            self.change(loaded, row, event)
        }
    }

    /// Stops what is open; once nothing is, the request is at rest.
    async fn stop_all(&self, loaded: &Loaded, event: &Event<'_>) -> Result<Step> {
        let rows = loaded.tasks.values();
        let changes: Vec<Change> = rows
            .filter_map(|row| self.stop(loaded, row, event))
            .collect();
        if !changes.is_empty() {
            return self.write_batches(loaded, &changes).await;
        }
        if loaded.tasks.values().all(|row| row.state.is_closed()) {
            return self.close_index(loaded).await;
        }
        Ok(Step::Settled)
    }

    /// Writes changes of tasks, as long as the request is the one they were made for.
    async fn write_batches(&self, loaded: &Loaded, changes: &[Change]) -> Result<Step> {
        let mut batches = Vec::new();
        for batch in changes.chunks(BATCH) {
            let mut change = Change::default();
            change.conditions.push(unchanged(loaded));
            for part in batch {
                change.merge(part.clone());
            }
            let mut reported = Change::default();
            reported.report(&loaded.row.path, self.now());
            change.merge(reported);
            batches.push(change);
        }
        // No batch needs another one, and each waits for the disk: a ledger syncs several at once.
        while !batches.is_empty() {
            let some = batches.drain(..batches.len().min(WIDTH));
            let applied = try_join_all(some.map(|change| self.apply(change))).await?;
            if applied.iter().any(|done| *done != Applied::Done) {
                return Ok(Step::Conflict);
            }
        }
        Ok(Step::Wrote)
    }

    /// Writes phase, problems and notes if they differ. At rest, turns go back and waiters are woken.
    pub(crate) async fn write_phase(
        &self,
        loaded: &Loaded,
        phase: Phase,
        problems: Vec<Problem>,
        mut notes: Vec<Note>,
    ) -> Result<Step> {
        let path = &loaded.row.path;
        if !phase.is_at_rest() {
            notes.extend(self.unserved_notes(loaded).await?);
        }
        let mut row = loaded.row.clone();
        row.phase = phase;
        row.problems = problems;
        row.notes = notes;
        if row == loaded.row {
            return Ok(Step::Settled);
        }
        let mut change = Change::default();
        if row.phase.is_at_rest() {
            change.delete(Key::open(path));
            self.give_back_turns(loaded, &mut change).await?;
        }
        let at_rest = row.phase.is_at_rest();
        list(&mut change, &row);
        change.replace(
            Key::request(path),
            Expect::Version(loaded.version),
            Row::Request(Box::new(row)),
        );
        change.report(path, self.now());
        if let Applied::Conflict(_) = self.apply(change).await? {
            return Ok(Step::Conflict);
        }
        if at_rest {
            self.wake_waiters(path).await?;
        }
        Ok(Step::Wrote)
    }

    /// Wakes what builds on `path`, and releases that may wait for its turns.
    pub(crate) async fn wake_waiters(&self, path: &RequestPath) -> Result<()> {
        let mut waiters: BTreeSet<RequestPath> = self
            .indexed(&Key::waiters_partition(path), "")
            .await?
            .into_iter()
            .collect();
        if path.kind() == pipeline_spec::RequestKind::Release {
            waiters.extend(self.indexed(ledger::partition::OPEN, "releases/").await?);
        }
        for waiter in waiters.iter().filter(|waiter| *waiter != path) {
            self.wake(waiter).await?;
        }
        Ok(())
    }

    /// A request at rest is not swept any more.
    async fn close_index(&self, loaded: &Loaded) -> Result<Step> {
        let open = Key::open(&loaded.row.path);
        if self.platform.ledger().get(&open).await?.is_none() {
            return Ok(Step::Settled);
        }
        let mut change = Change::default();
        change.conditions.push(unchanged(loaded));
        change.delete(open);
        if let Applied::Conflict(_) = self.apply(change).await? {
            return Ok(Step::Conflict);
        }
        self.wake_waiters(&loaded.row.path).await?;
        Ok(Step::Settled)
    }
}

/// The request is still the one that was loaded.
pub(crate) fn unchanged(loaded: &Loaded) -> Condition {
    Condition {
        key: Key::request(&loaded.row.path),
        expect: Expect::Version(loaded.version),
    }
}

fn view(loaded: &Loaded) -> RequestView<'_> {
    RequestView {
        row: &loaded.row,
        tasks: &loaded.tasks,
    }
}

/// A person's cancel stands; a cancel by the removal of a file that is back does not.
fn is_revived(row: &TaskRow, loaded: &Loaded) -> bool {
    let by_removal = matches!(&row.state, TaskState::Canceled { reason, .. } if [FILE_REMOVED, ENDED].contains(&&**reason));
    row.is_past() || (by_removal && loaded.row.phase == Phase::Open)
}

fn insert(loaded: &Loaded, planned: &Planned, now: ledger::Millis) -> Change {
    let mut row = TaskRow::planned(
        planned.task.clone(),
        planned.spec.clone(),
        planned.why.clone(),
        now,
    );
    row.share = loaded.row.share();
    row.weight = planned.weight;
    if let Some(reason) = &planned.excluded {
        row.state = TaskState::Excluded {
            reason: reason.clone(),
        };
    }
    row.insert()
}
