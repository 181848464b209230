//! How the work of a commit goes, as people read it beside the commit and beside its pull request.
//!
//! Pure: what the rows say goes in, a check comes out. What failed is first. A `let _` here is a write into a `String`,
//! which cannot fail.

use std::fmt::Write as _;

use ledger::Phase;
use pipeline_spec::RequestPath;
use ports::{Action, Check, CheckState};

use crate::markdown::{code, prose, verbatim};
use crate::render::{StatusFile, StatusTask};

/// The check's name.
const NAME: &str = "build and release";
/// Requests in the table, and tasks that are shown with their logs.
const MAX_LINES: usize = 50;
/// Failed tasks that are shown with the last lines of their logs.
const MAX_EXCERPTS: usize = 10;

const RETRY: Action = Action {
    name: "retry",
    label: "Retry what failed",
    what: "Another attempt at each failed task",
};
const CANCEL: Action = Action {
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
}

/// Whether the request is still as the commit wished it.
pub(crate) enum Standing {
    /// It is.
    Own(Phase),
    /// A later commit wishes it otherwise.
    ChangedBy(String),
}

impl Brought {
    fn is_at_rest(&self) -> bool {
        match &self.standing {
            Standing::Own(phase) => phase.is_at_rest(),
            Standing::ChangedBy(_) => true,
        }
    }

    fn is_bad(&self) -> bool {
        matches!(self.standing, Standing::Own(Phase::Failed | Phase::Invalid))
    }

    fn is_stopped(&self) -> bool {
        matches!(self.standing, Standing::Own(Phase::Canceled))
    }

    /// Tasks that count: done, and all.
    fn counts(&self) -> (usize, usize) {
        let wanted = self.status.tasks.iter();
        let wanted =
            wanted.filter(|task| !matches!(task.state.as_str(), "superseded" | "excluded"));
        let done = wanted.clone().filter(|task| task.state == "succeeded");
        (done.count(), wanted.count())
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

/// `pull`: the number and the head of the pull request whose page it is for; else it is for the commit's.
pub(crate) fn results_check<'a>(
    commit: &str,
    pull: Option<(u64, &str)>,
    brought: impl Iterator<Item = (&'a RequestPath, &'a Brought)>,
    public_url: Option<&str>,
) -> Check {
    let mut brought: Vec<(&RequestPath, &Brought)> = brought.collect();
    // Failures first, then what is under way, then by path.
    brought.sort_by_key(|(path, it)| (!it.is_bad(), it.is_at_rest(), *path));
    let at_rest = brought.iter().all(|(_, it)| it.is_at_rest());
    let bad = brought.iter().any(|(_, it)| it.is_bad());
    let stopped = brought.iter().any(|(_, it)| it.is_stopped());
    let state = match (at_rest, bad, stopped) {
        (false, _, _) => CheckState::Running,
        (true, true, _) => CheckState::Failed,
        (true, false, true) => CheckState::Neutral,
        (true, false, false) => CheckState::Passed,
    };
    let mut text = String::new();
    if let Some((number, _)) = pull {
        let commit = &commit[..commit.len().min(12)];
        let _ = writeln!(
            text,
            "What #{number} brought was planned with `{commit}`.\n"
        );
    }
    text.push_str(&failures(&brought, public_url));
    table(&mut text, &brought, public_url);
    waiting(&mut text, &brought);
    let mut actions = Vec::new();
    if bad {
        actions.push(RETRY);
    }
    if !at_rest {
        actions.push(CANCEL);
    }
    Check {
        name: NAME.to_owned(),
        commit: pull.map_or(commit, |(_, head)| head).to_owned(),
        pull: pull.map(|(number, _)| number),
        state,
        title: title(&brought, state),
        summary: text,
        annotations: Vec::new(),
        actions,
        details: public_url.map(|url| format!("{url}/")),
        digest: String::new(),
    }
}

fn title(brought: &[(&RequestPath, &Brought)], state: CheckState) -> String {
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
        CheckState::Waiting | CheckState::Running => "Under way".to_owned(),
    };
    if all > 0 {
        let _ = write!(title, ": {done} of {all} tasks done");
    }
    title
}

/// Each failed task with the lines that show why; of the others only which they are.
fn failures(brought: &[(&RequestPath, &Brought)], public_url: Option<&str>) -> String {
    let mut text = String::new();
    let failed: Vec<(&RequestPath, &StatusTask)> = brought
        .iter()
        .flat_map(|(path, it)| it.failed().map(move |task| (*path, task)))
        .collect();
    for (path, it) in brought.iter().filter(|(_, it)| it.is_bad()) {
        for problem in it.status.problems.iter().take(MAX_LINES) {
            let subject = match problem.subject.starts_with(path.as_str()) {
                true => code(&problem.subject),
                false => format!("{} {}", code(path.as_str()), code(&problem.subject)),
            };
            let _ = writeln!(text, "* ❌ {subject}: {}", prose(&problem.message));
        }
    }
    for (i, (_, task)) in failed.iter().enumerate().take(MAX_LINES) {
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
    text
}

fn table(text: &mut String, brought: &[(&RequestPath, &Brought)], public_url: Option<&str>) {
    if brought.is_empty() {
        text.push_str("No request differs from what was planned before.\n");
        return;
    }
    text.push_str("| request | | tasks done |\n|---|---|--:|\n");
    for (path, it) in brought.iter().take(MAX_LINES) {
        let shown = code(path.as_str());
        let shown = match public_url {
            Some(url) => format!("[{shown}]({url}/request/{path})"),
            None => shown,
        };
        let counts = match it.counts() {
            (_, 0) => String::new(),
            (done, all) => format!("{done} of {all}"),
        };
        let _ = writeln!(text, "| {shown} | {} | {counts} |", word(it));
    }
    if brought.len() > MAX_LINES {
        let _ = writeln!(text, "\nand {} more", brought.len() - MAX_LINES);
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
fn waiting(text: &mut String, brought: &[(&RequestPath, &Brought)]) {
    let open = brought.iter().filter(|(_, it)| !it.is_at_rest());
    let notes = open.flat_map(|(_, it)| &it.status.notes);
    let notes: Vec<String> = notes
        .map(|note| format!("* {}: {}", code(&note.subject), prose(&note.why)))
        .collect();
    if notes.is_empty() {
        return;
    }
    text.push_str("\n#### Why it waits\n\n");
    for note in notes.iter().take(MAX_LINES) {
        let _ = writeln!(text, "{note}");
    }
}
