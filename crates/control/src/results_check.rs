//! How the work of a commit goes, as people read it beside the commit and beside its pull request.
//!
//! Pure: what the rows say goes in, a check comes out. What failed is first. A `let _` here is a write into a `String`,
//! which cannot fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ledger::{Phase, PullRow, Took};
use pipeline_spec::RequestPath;
use ports::{Action, Check, CheckState};
use runner_api::{TaskId, TaskSpec};

use crate::compared::Compared;
use crate::durations::took;
use crate::jobs::Series;
use crate::load::Loaded;
use crate::markdown::{code, prose, verbatim};
use crate::render::{StatusFile, StatusTask, status_file};

/// The check's name.
pub(crate) const NAME: &str = "build and release";
/// Begins the names of the checks of single architectures.
pub(crate) const ARCH_PREFIX: &str = "build ";
/// Builds and tests from which on each architecture has a check of its own: with fewer the columns of the one table
/// say as much, and each check is to be written.
const MANY_TASKS: usize = 20;
/// Architectures that have a column, or a check of their own.
const MAX_ARCHS: usize = 8;
/// Requests in the table, and tasks that are shown with their logs.
const MAX_LINES: usize = 50;
/// Failed tasks that are shown with the last lines of their logs.
const MAX_EXCERPTS: usize = 10;

pub(crate) const RETRY: Action = Action {
    name: "retry",
    label: "Retry what failed",
    what: "Another attempt at each failed task",
};
pub(crate) const CANCEL: Action = Action {
    name: "cancel",
    label: "Cancel",
    what: "Stops all that is not done",
};

/// A request that a commit brought.
pub(crate) struct Brought {
    /// Whose it is now.
    pub(crate) standing: Standing,
    /// As the status branch has it.
    pub(crate) status: StatusFile,
    /// The architectures of its builds and their tests.
    archs: BTreeMap<TaskId, String>,
    /// How long its finished tasks took.
    pub(crate) took: Vec<(Series, Took)>,
}

/// The page of a pull request.
pub(crate) struct Page<'a> {
    pub(crate) pull: &'a PullRow,
    /// How what runs stands to what was reviewed there; `None`: nobody has reviewed it.
    pub(crate) compared: Option<Compared>,
}

/// Whether the request is still as the commit wished it.
pub(crate) enum Standing {
    /// It is.
    Own(Phase),
    /// A later commit wishes it otherwise.
    ChangedBy(String),
}

impl Brought {
    pub(crate) fn new(standing: Standing, loaded: &Loaded) -> Self {
        let archs = loaded.tasks.values().filter_map(|row| match &row.spec {
            TaskSpec::Build(build) => Some((row.task.id.clone(), build.arch.to_string())),
            TaskSpec::Test(test) => Some((row.task.id.clone(), test.arch.to_string())),
            _ => None,
        });
        Self {
            standing,
            status: status_file(loaded),
            archs: archs.collect(),
            took: loaded.tasks.values().filter_map(took).collect(),
        }
    }

    fn is_at_rest(&self) -> bool {
        match &self.standing {
            Standing::Own(phase) => phase.is_at_rest(),
            Standing::ChangedBy(_) => true,
        }
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.standing, Standing::Own(Phase::Failed | Phase::Invalid))
    }

    fn is_stopped(&self) -> bool {
        matches!(self.standing, Standing::Own(Phase::Canceled))
    }

    /// Tasks that count: done, and all.
    fn counts(&self) -> (usize, usize) {
        counts(self.status.tasks.iter())
    }

    /// Builds and tests of an architecture.
    fn on<'a>(&'a self, arch: &'a str) -> impl Iterator<Item = &'a StatusTask> + Clone {
        let tasks = self.status.tasks.iter();
        tasks.filter(move |task| self.archs.get(&task.id).is_some_and(|of| of == arch))
    }

    /// Tasks that failed.
    pub(crate) fn failures(&self) -> usize {
        self.failed().count()
    }

    fn failed(&self) -> impl Iterator<Item = &StatusTask> {
        self.status
            .tasks
            .iter()
            .filter(|task| task.state == "failed")
    }
}

/// Tasks that count: done, and all.
fn counts<'a>(tasks: impl Iterator<Item = &'a StatusTask> + Clone) -> (usize, usize) {
    let wanted = tasks.filter(|task| !matches!(task.state.as_str(), "superseded" | "excluded"));
    let done = wanted.clone().filter(|task| task.state == "succeeded");
    (done.count(), wanted.count())
}

/// `page`: of the pull request that it is for; else it is for the commit's.
pub(crate) fn results_check<'a>(
    commit: &str,
    page: Option<&Page<'_>>,
    brought: impl Iterator<Item = (&'a RequestPath, &'a Brought)>,
    public_url: Option<&str>,
) -> Check {
    let brought = in_order(brought);
    let state = state(&brought);
    let at_rest = state.is_done();
    let bad = brought.iter().any(|(_, it)| it.is_bad());
    let mut text = String::new();
    if let Some(page) = page {
        planned(&mut text, commit, page);
    }
    text.push_str(&failures(&brought, public_url));
    table(&mut text, &brought, public_url);
    waiting(&mut text, &brought);
    let mut actions = Vec::new();
    if bad {
        actions.push(RETRY);
    }
    // What waits for something else has no task that could be canceled.
    if !at_rest && brought.iter().any(|(_, it)| it.counts().1 > 0) {
        actions.push(CANCEL);
    }
    Check {
        name: NAME.to_owned(),
        commit: page.map_or(commit, |page| &page.pull.head).to_owned(),
        pull: page.map(|page| page.pull.number),
        state,
        title: title(&brought, state),
        summary: text,
        annotations: Vec::new(),
        actions,
        details: public_url.map(|url| match brought.as_slice() {
            [(path, _)] => format!("{url}/request/{path}"),
            _ => format!("{url}/"),
        }),
        digest: String::new(),
    }
}

/// Failures first, then what is under way, then by path.
pub(crate) fn in_order<'a>(
    brought: impl Iterator<Item = (&'a RequestPath, &'a Brought)>,
) -> Vec<(&'a RequestPath, &'a Brought)> {
    let mut brought: Vec<_> = brought.collect();
    brought.sort_by_key(|(path, it)| (!it.is_bad(), it.is_at_rest(), *path));
    brought
}

pub(crate) fn state(brought: &[(&RequestPath, &Brought)]) -> CheckState {
    let at_rest = brought.iter().all(|(_, it)| it.is_at_rest());
    let bad = brought.iter().any(|(_, it)| it.is_bad());
    let stopped = brought.iter().any(|(_, it)| it.is_stopped());
    match (at_rest, bad, stopped) {
        (false, _, _) => CheckState::Running,
        (true, true, _) => CheckState::Failed,
        (true, false, true) => CheckState::Neutral,
        (true, false, false) => CheckState::Passed,
    }
}

/// From which commit, and whether as it was shown before the merge.
fn planned(text: &mut String, commit: &str, page: &Page<'_>) {
    let short = |commit: &str| code(&commit[..commit.len().min(12)]);
    let _ = write!(text, "Merged, and planned from commit {}", short(commit));
    let Some(compared) = &page.compared else {
        text.push_str(". No plan of it was shown before the merge.\n\n");
        return;
    };
    let plan = code(&compared.digest);
    let _ = match compared.differences.is_empty() {
        true => writeln!(
            text,
            ". What runs is what plan {plan} showed before the merge."
        ),
        false => writeln!(
            text,
            ". Plan {plan}, shown before the merge, said otherwise:"
        ),
    };
    text.push('\n');
    for (path, why) in compared.differences.iter().take(MAX_LINES) {
        let _ = writeln!(text, "* {}: {why}", code(path.as_str()));
    }
    if let Some(more) = compared.differences.len().checked_sub(MAX_LINES)
        && more > 0
    {
        let _ = writeln!(text, "* and {more} more");
    }
    if !compared.differences.is_empty() {
        text.push('\n');
    }
    if let Some(head) = &compared.other_head {
        let (was, is) = (short(head), short(&page.pull.head));
        let _ = writeln!(
            text,
            "**The last push came after that plan**, which was of {was}; {is} is merged.\n"
        );
    }
    if compared.left_out > 0 {
        let n = compared.left_out;
        let _ = writeln!(text, "{n} requests were too many to be compared.\n");
    }
}

pub(crate) fn title(brought: &[(&RequestPath, &Brought)], state: CheckState) -> String {
    if brought.is_empty() {
        return "Nothing to build or release".to_owned();
    }
    let sum = |counts: (usize, usize), (_, it): &(&RequestPath, &Brought)| {
        let (done, all) = it.counts();
        (counts.0 + done, counts.1 + all)
    };
    let (done, all) = brought.iter().fold((0, 0), sum);
    let failed: usize = brought.iter().map(|(_, it)| it.failed().count()).sum();
    let invalid = brought.iter().filter(|(_, it)| it.is_bad()).count();
    let mut title = match state {
        CheckState::Passed => "Done".to_owned(),
        CheckState::Neutral => "Canceled".to_owned(),
        CheckState::Failed if failed == 0 => format!("{invalid} cannot be done as it is"),
        CheckState::Failed => format!("{failed} failed"),
        CheckState::Waiting | CheckState::Running if failed > 0 => {
            format!("{failed} failed so far")
        }
        CheckState::Waiting | CheckState::Running if all == 0 => "Waiting".to_owned(),
        CheckState::Waiting | CheckState::Running => "Under way".to_owned(),
    };
    if all > 0 {
        let _ = write!(title, ": {done} of {all} tasks done");
    }
    title
}

/// Each failed task with the lines that show why; of the others only which they are.
pub(crate) fn failures(brought: &[(&RequestPath, &Brought)], public_url: Option<&str>) -> String {
    let mut text = String::new();
    for (path, it) in brought.iter().filter(|(_, it)| it.is_bad()) {
        for problem in it.status.problems.iter().take(MAX_LINES) {
            let subject = match problem.subject.starts_with(path.as_str()) {
                true => code(&problem.subject),
                false => format!("{} {}", shown(path), code(&problem.subject)),
            };
            let _ = writeln!(text, "* ❌ {subject}: {}", prose(&problem.message));
        }
    }
    let failed = brought.iter().flat_map(|(_, it)| it.failed());
    failed_tasks(&mut text, &failed.collect::<Vec<_>>(), public_url);
    text
}

/// Tasks with the last lines of their logs.
fn failed_tasks(text: &mut String, failed: &[&StatusTask], public_url: Option<&str>) {
    for (i, task) in failed.iter().enumerate().take(MAX_LINES) {
        let reason = task.reason.as_deref().unwrap_or("it failed");
        let log = public_url.map(|url| format!(" ([log]({url}/log/{}))", task.id));
        let _ = writeln!(
            text,
            "* ❌ **{}**: {}{}",
            prose(&task.title),
            prose(reason),
            log.unwrap_or_default()
        );
        let excerpt = task.failure.iter().flat_map(|failure| &failure.excerpt);
        let excerpt: Vec<&str> = excerpt.map(String::as_str).collect();
        if i < MAX_EXCERPTS && !excerpt.is_empty() {
            let _ = writeln!(text, "\n{}", verbatim(&excerpt));
        }
    }
    if failed.len() > MAX_LINES {
        let _ = writeln!(text, "* and {} more", failed.len() - MAX_LINES);
    }
    if !text.is_empty() {
        text.push('\n');
    }
}

pub(crate) fn table(
    text: &mut String,
    brought: &[(&RequestPath, &Brought)],
    public_url: Option<&str>,
) {
    if brought.is_empty() {
        text.push_str("No request differs from what was planned before.\n");
        return;
    }
    let archs = several(brought.iter().map(|(_, it)| *it));
    let _ = writeln!(
        text,
        "| request | | tasks done |{}\n|---|---|--:|{}",
        archs
            .iter()
            .map(|arch| format!(" {} |", prose(arch)))
            .collect::<String>(),
        "--:|".repeat(archs.len())
    );
    for (path, it) in brought.iter().take(MAX_LINES) {
        let shown = shown(path);
        let shown = match public_url {
            Some(url) => format!("[{shown}]({url}/request/{path})"),
            None => shown,
        };
        let counts = match it.counts() {
            (_, 0) => String::new(),
            (done, all) => format!("{done} of {all}"),
        };
        let columns: String = archs.iter().map(|arch| column(it, arch)).collect();
        let _ = writeln!(text, "| {shown} | {} | {counts} |{columns}", word(it));
    }
    if brought.len() > MAX_LINES {
        let _ = writeln!(text, "\nand {} more", brought.len() - MAX_LINES);
    }
}

/// A request by the name that people gave it.
pub(crate) fn shown(path: &RequestPath) -> String {
    code(path.scratch_of().as_ref().unwrap_or(path).as_str())
}

/// Builds and tests of one architecture: how many are done, or how many failed.
fn column(it: &Brought, arch: &str) -> String {
    let failed = it.on(arch).filter(|task| task.state == "failed").count();
    match (failed, counts(it.on(arch))) {
        (0, (_, 0)) => " |".to_owned(),
        (0, (done, all)) if done == all => format!(" ✅ {all} |"),
        (0, (done, all)) => format!(" {done} of {all} |"),
        (failed, _) => format!(" ❌ {failed} failed |"),
    }
}

/// Architectures of builds, if there are several; not if they are so many that nobody reads a table of them.
fn several<'a>(brought: impl Iterator<Item = &'a Brought>) -> Vec<&'a str> {
    let archs = brought.flat_map(|it| it.archs.values());
    let archs: BTreeSet<&str> = archs.map(String::as_str).collect();
    match archs.len() {
        2..=MAX_ARCHS => archs.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A check for each architecture where that helps: there are several, and many builds and tests. `known`: those that
/// have one already, which is led to its end.
///
/// What they say under way changes with failures and at each quarter of the work alone: a handful of writes each,
/// however many tasks there are.
pub(crate) fn arch_checks(
    commit: &str,
    brought: &BTreeMap<RequestPath, Brought>,
    (known, public_url): (&[&str], Option<&str>),
) -> Vec<(String, Check)> {
    let all: usize = brought.values().map(|it| it.archs.len()).sum();
    let mut archs: BTreeSet<&str> = known.iter().copied().collect();
    if all > MANY_TASKS {
        archs.extend(several(brought.values()));
    }
    let check = |arch: &str| {
        (
            arch.to_owned(),
            arch_check(commit, brought, (arch, public_url)),
        )
    };
    archs.into_iter().map(check).collect()
}

fn arch_check(
    commit: &str,
    brought: &BTreeMap<RequestPath, Brought>,
    (arch, public_url): (&str, Option<&str>),
) -> Check {
    let builds = brought.values().filter(|it| it.on(arch).next().is_some());
    let at_rest = builds.clone().all(Brought::is_at_rest);
    let own = builds
        .clone()
        .filter(|it| matches!(it.standing, Standing::Own(_)));
    let tasks: Vec<&StatusTask> = own.flat_map(|it| it.on(arch)).collect();
    let failed: Vec<&StatusTask> = tasks
        .iter()
        .copied()
        .filter(|it| it.state == "failed")
        .collect();
    let (done, all) = counts(tasks.iter().copied());
    let state = match (at_rest, failed.is_empty(), done == all) {
        (false, _, _) => CheckState::Running,
        (true, false, _) => CheckState::Failed,
        (true, true, true) => CheckState::Passed,
        (true, true, false) => CheckState::Neutral,
    };
    let quarters = [
        "begun",
        "a quarter done",
        "half done",
        "three quarters done",
        "nearly done",
    ];
    let how = match at_rest {
        true => format!("{done} of {all} builds and tests done"),
        false => quarters[done * 4 / all.max(1)].to_owned(),
    };
    let title = match (failed.len(), at_rest) {
        (0, _) => how,
        (n, true) => format!("{n} failed: {how}"),
        (n, false) => format!("{n} failed so far: {how}"),
    };
    let mut summary = String::new();
    failed_tasks(&mut summary, &failed, public_url);
    if summary.is_empty() {
        summary = "Nothing failed.\n".to_owned();
    }
    Check {
        name: format!("{ARCH_PREFIX}{arch}"),
        commit: commit.to_owned(),
        pull: None,
        state,
        title,
        summary,
        annotations: Vec::new(),
        actions: Vec::new(),
        details: public_url.map(|url| format!("{url}/")),
        digest: String::new(),
    }
}

fn word(it: &Brought) -> String {
    match &it.standing {
        Standing::Own(Phase::Open) => "⏳ under way".to_owned(),
        Standing::Own(Phase::Publishing(_)) => "⏳ publishing".to_owned(),
        Standing::Own(Phase::Reverting) => "⏳ reverting".to_owned(),
        Standing::Own(Phase::Failed) => "❌ failed".to_owned(),
        Standing::Own(Phase::Invalid) => "❌ invalid".to_owned(),
        Standing::Own(Phase::Canceled) => "✋ canceled".to_owned(),
        Standing::Own(phase) => format!("✅ {}", phase.word()),
        Standing::ChangedBy(commit) => {
            format!("↪ changed by `{}`", &commit[..commit.len().min(12)])
        }
    }
}

/// Why what is not done waits.
pub(crate) fn waiting(text: &mut String, brought: &[(&RequestPath, &Brought)]) {
    let open = brought.iter().filter(|(_, it)| !it.is_at_rest());
    let notes = open.flat_map(|(_, it)| &it.status.notes);
    let notes: Vec<String> = notes
        .map(|note| format!("* {}: {}", code(&note.subject), prose(&note.why)))
        .collect();
    if notes.is_empty() {
        return;
    }
    text.push_str("\n#### What is not done yet, and why\n\n");
    for note in notes.iter().take(MAX_LINES) {
        let _ = writeln!(text, "{note}");
    }
}
