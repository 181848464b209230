//! What `millrace watch` draws.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use control::{RequestSummary, RunnerNeed, Status, StatusFile};

use crate::render::{Output, clean, state_word};
use crate::status::{broken, notes, problems, row};

/// A terminal's size when it does not tell.
const SIZE: (usize, usize) = (80, 24);
/// Width of the bar.
const BAR: usize = 20;

pub(crate) struct View<'a> {
    output: &'a Output,
    /// Lines drawn last time.
    lines: usize,
    /// Subject → what was printed of it last, for the view without a terminal.
    seen: BTreeMap<String, String>,
    begin: Begin,
    has_told: bool,
}

/// With what the view without a terminal begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With everything as it is: somebody asked for it by name.
    All,
    /// With what is open: of the rest only what changes is told.
    Open,
}

impl<'a> View<'a> {
    pub(crate) fn new(output: &'a Output, begin: Begin) -> Self {
        Self {
            output,
            lines: 0,
            seen: BTreeMap::new(),
            begin,
            has_told: false,
        }
    }

    /// Whether anything was written.
    pub(crate) fn has_told(&self) -> bool {
        self.has_told
    }

    /// Something else was written below the table: it is not drawn over.
    pub(crate) fn begin_anew(&mut self) {
        self.lines = 0;
    }

    pub(crate) fn show(
        &mut self,
        status: &Status,
        requests: &[&RequestSummary],
        files: &[StatusFile],
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        if !self.output.live {
            return self.tell(status, requests, files, elapsed);
        }
        let table = table(status, requests, files, elapsed, self.output);
        let (width, height) = size();
        let table = fit(&table, width, height);
        let back = match self.lines {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\u{1b}[J"),
        };
        self.lines = table.lines().count();
        self.has_told = true;
        self.output.print(&format!("{back}{table}"))
    }

    /// A line for each change.
    fn tell(
        &mut self,
        status: &Status,
        requests: &[&RequestSummary],
        files: &[StatusFile],
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        let plain = Output {
            json: false,
            color: false,
            live: false,
        };
        let configuration = broken(status, &plain);
        let known = self.seen.get("configuration").map_or("", String::as_str);
        if configuration != known {
            if self.output.json {
                let line = serde_json::json!({"seconds": elapsed.as_secs(), "state": "broken", "what": configuration.trim_end()});
                let _ = writeln!(text, "{line}");
            } else {
                text.push_str(&configuration);
            }
            self.seen.insert("configuration".to_owned(), configuration);
        }
        if std::mem::replace(&mut self.begin, Begin::All) == Begin::Open {
            for done in changes(requests, files).into_iter().filter(|it| it.is_over) {
                let said = done.said.iter().map(|said| done.key(said));
                self.seen.extend(said.map(|key| (key, String::new())));
                self.seen.insert(done.subject.clone(), done.now());
            }
        }
        for change in unserved(status, requests).chain(changes(requests, files)) {
            let now = change.now();
            let same = self.seen.get(&change.subject) == Some(&now);
            let is_new = |said: &&String| {
                let key = change.key(said);
                self.seen.insert(key, String::new()).is_none()
            };
            let said: Vec<String> = change.said.iter().filter(is_new).cloned().collect();
            if same && said.is_empty() {
                continue;
            }
            self.seen.insert(change.subject.clone(), now);
            let change = Change { said, ..change };
            let _ = writeln!(text, "{}", change.line(elapsed.as_secs(), self.output));
        }
        if text.is_empty() {
            return Ok(());
        }
        self.has_told = true;
        self.output.print(&text)
    }
}

/// A task or request as it is now.
struct Change {
    subject: String,
    state: String,
    /// What its runner does; empty: not known.
    step: String,
    what: String,
    /// Problems and reasons to wait, a line each.
    said: Vec<String>,
    /// Nothing of it goes on by itself.
    is_over: bool,
}

impl Change {
    /// What is told once.
    fn now(&self) -> String {
        format!("{} {}", self.state, self.step)
    }

    fn key(&self, said: &str) -> String {
        format!("{}: {said}", self.subject)
    }

    fn line(&self, seconds: u64, output: &Output) -> String {
        let Self {
            state,
            step,
            what,
            said,
            ..
        } = self;
        if output.json {
            let mut line = serde_json::json!({"seconds": seconds, "state": state, "what": what});
            if !step.is_empty() {
                line["step"] = step.as_str().into();
            }
            if !said.is_empty() {
                line["said"] = said.as_slice().into();
            }
            return line.to_string();
        }
        let state = output.word(state_word(state), 10);
        let step = match step.as_str() {
            "" => String::new(),
            step => output.dim(&format!(": {step}")),
        };
        let said: String = said
            .iter()
            .map(|line| format!("\n          {line}"))
            .collect();
        format!("{seconds:>5} s  {state} {what}{step}{said}")
    }
}

/// Work that waits for a runner that is not there: without a word it would be waited for in vain.
fn unserved<'a>(
    status: &'a Status,
    requests: &'a [&RequestSummary],
) -> impl Iterator<Item = Change> + 'a {
    let here = |need: &&RunnerNeed| requests.iter().any(|r| r.path == need.task.request);
    status.unserved.iter().filter(here).map(|need| Change {
        subject: format!("unserved {}", need.task.id),
        state: "waiting".to_owned(),
        step: String::new(),
        what: format!(
            "{} {}: {}",
            need.task.id.short(),
            need.title,
            need.sentence()
        ),
        said: Vec::new(),
        is_over: false,
    })
}

fn changes(requests: &[&RequestSummary], files: &[StatusFile]) -> Vec<Change> {
    let mut changes = Vec::new();
    for file in files {
        let is_at_rest = |r: &&RequestSummary| r.path == file.request && r.at_rest;
        let is_over = requests.iter().any(is_at_rest);
        for task in &file.tasks {
            let is_done = matches!(
                task.state.as_str(),
                "succeeded" | "excluded" | "superseded" | "canceled"
            );
            let reason = task.reason.as_deref().map(clean);
            let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
            changes.push(Change {
                subject: task.id.to_string(),
                state: task.state.clone(),
                step: task.step.clone().unwrap_or_default(),
                what: format!("{} {}{reason}", task.id.short(), task.title),
                said: Vec::new(),
                is_over: is_over || is_done,
            });
        }
    }
    for request in requests {
        let problems = request.problems.iter().map(|p| (&p.subject, &p.message));
        let notes = request.notes.iter().map(|n| (&n.subject, &n.why));
        let said = problems.chain(notes);
        changes.push(Change {
            subject: request.path.to_string(),
            state: request.phase.clone(),
            step: String::new(),
            what: request.path.to_string(),
            said: said
                .map(|(subject, sentence)| clean(&format!("{subject}: {sentence}")))
                .collect(),
            is_over: request.at_rest,
        });
    }
    changes
}

fn table(
    status: &Status,
    requests: &[&RequestSummary],
    files: &[StatusFile],
    elapsed: Duration,
    output: &Output,
) -> String {
    let mut text = broken(status, output);
    for request in requests {
        let wanted = |state: &&String| !matches!(state.as_str(), "superseded" | "canceled");
        let total: usize = request
            .tasks
            .iter()
            .filter(|(state, _)| wanted(state))
            .map(|(_, n)| n)
            .sum();
        let done: usize = ["succeeded", "excluded"]
            .iter()
            .filter_map(|state| request.tasks.get(*state))
            .sum();
        let filled = (done * BAR).checked_div(total).unwrap_or(0);
        let _ = writeln!(
            text,
            "{} {}  [{}{}] {done}/{total}  {} s",
            output.word(&request.phase, 10),
            request.path,
            "#".repeat(filled),
            ".".repeat(BAR - filled),
            elapsed.as_secs()
        );
        text.push_str(&problems(&request.problems, "  ", output));
        text.push_str(&notes(&request.notes, "  ", output));
        let file = files.iter().find(|file| file.request == request.path);
        for task in file.iter().flat_map(|file| &file.tasks) {
            text.push_str(&row(task, output));
            if let Some(need) = status.unserved.iter().find(|need| need.task.id == task.id) {
                let _ = writeln!(text, "      {}", output.problem(&need.sentence()));
            }
            if let Some(reason) = task.reason.as_deref().filter(|_| task.state == "failed") {
                let reason = clean(reason).replace('\n', " ");
                let _ = writeln!(text, "      {}", output.problem(&reason));
            }
        }
    }
    text
}

fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or(SIZE, |(width, height)| {
        (usize::from(width.0), usize::from(height.0))
    })
}

/// Cuts lines and their number to the terminal: a wrapped or scrolled line cannot be drawn over.
fn fit(table: &str, width: usize, height: usize) -> String {
    let room = height.saturating_sub(1).max(1);
    let total = table.lines().count();
    let kept = if total > room { room - 1 } else { total };
    let mut text = String::new();
    for line in table.lines().take(kept) {
        text.push_str(&cut(line, width));
        text.push('\n');
    }
    if kept < total {
        let _ = writeln!(text, "… and {} more lines", total - kept);
    }
    text
}

/// The first `width` visible characters of a line; its colours stay whole.
fn cut(line: &str, width: usize) -> String {
    let mut shown = String::new();
    let (mut left, mut escape) = (width, false);
    for c in line.chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (true, 'm') => escape = false,
            (true, _) => {}
            (false, _) if left == 0 => continue,
            (false, _) => left -= 1,
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{cut, fit};

    #[test]
    fn a_line_is_cut_and_its_colours_end() {
        let check = |line: &str, expect: &str| assert_eq!(cut(line, 4), expect);
        check("abc", "abc");
        check("abcdef", "abcd");
        check("\u{1b}[31mabcdef\u{1b}[0m", "\u{1b}[31mabcd\u{1b}[0m");
        check("äöüßx", "äöüß");
    }

    #[test]
    fn a_long_table_keeps_the_screen() {
        assert_eq!(fit("1\n2\n3\n", 9, 4), "1\n2\n3\n");
        assert_eq!(fit("1\n2\n3\n4\n", 9, 4), "1\n2\n… and 2 more lines\n");
    }
}
