//! `millrace status`: everything in short, or one request with its tasks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use control::{RequestSummary, Status, StatusFile, StatusTask};
use ledger::{Note, Problem};
use pipeline_spec::RequestPath;

use crate::Verdict;
use crate::args::StatusArgs;
use crate::client::Client;
use crate::names::{find_request, request_path};
use crate::render::{Output, clean, count, priority, short, state_word};

/// Failed requests whose first failure is shown.
const EXPLAINED: usize = 20;
/// Longest such sentence, in characters.
const MAX_SENTENCE: usize = 200;
type Failures = BTreeMap<RequestPath, String>;
/// Width of a phase or state word.
const WORD: usize = 10;

pub(crate) async fn run(args: StatusArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let Some(request) = &args.request else {
        let status: Status = client.get("/api/v1/status").await?;
        if output.json {
            output.print_json(&status)?;
        } else {
            let failures = failures(&client, &status).await?;
            output.print(&everything(&status, &failures, output))?;
        }
        return Ok(Verdict::Well);
    };
    let file = find_request(&client, &request_path(&client, request).await?).await?;
    if output.json {
        output.print_json(&file)?;
    } else {
        output.print(&one(&file, output))?;
    }
    Ok(Verdict::of_phase(&file.phase))
}

/// Request → the first sentence of its first failed task, of those that failed.
async fn failures(client: &Client, status: &Status) -> anyhow::Result<Failures> {
    let mut failures = Failures::new();
    let failed = status.requests.iter().filter(|r| r.phase == "failed");
    for request in failed.take(EXPLAINED) {
        let url = format!("/api/v1/request/{}", request.path);
        let Some(file) = client.find::<StatusFile>(&url).await? else {
            continue;
        };
        let Some(task) = file.tasks.iter().find(|task| task.state == "failed") else {
            continue;
        };
        let reason = task.reason.as_deref().unwrap_or_default();
        let line = clean(reason.lines().next().unwrap_or_default());
        let line = shortened(&line);
        let line = format!("{}: {}{line}", task.title, fault(task));
        failures.insert(request.path.clone(), line);
    }
    Ok(failures)
}

/// At most [`MAX_SENTENCE`] characters; a cut is shown.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_SENTENCE) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

fn everything(status: &Status, failures: &Failures, output: &Output) -> String {
    let mut text = match status.commit.as_str() {
        "" => "no commit has been planned yet: push to the state repository\n".to_owned(),
        commit => format!("planned commit {}\n", short(commit)),
    };
    text.push_str(&broken(status, output));
    text.push_str(&warnings(&status.warnings));
    for need in &status.unserved {
        let line = format!(
            "{} ({}): {}",
            need.title,
            need.task.id.short(),
            need.sentence()
        );
        let _ = writeln!(text, "{}", output.problem(&line));
    }
    for letter in &status.dead_letters {
        let line = format!(
            "given up after {} deliveries: {}: {}; see the control plane's log",
            letter.deliveries,
            letter.message.name(),
            letter.error
        );
        let _ = writeln!(text, "{}", output.problem(&clean(&line)));
    }
    for request in &status.requests {
        text.push_str(&summary(request, output));
        if let Some(line) = failures.get(&request.path) {
            let _ = writeln!(text, "    {}", output.problem(line));
        }
        if matches!(&*request.phase, "failed" | "invalid") {
            let _ = writeln!(text, "    see `millrace why {}`", request.path);
        }
    }
    if status.more {
        text.push_str(
            "older requests at rest are not listed: `millrace status PATH`, or the branch status\n",
        );
    }
    for repository in &status.repositories {
        let pointer = &repository.pointer;
        let _ = writeln!(
            text,
            "repository {} generation {} commit {} at /repos/{}",
            pointer.repository,
            pointer.generation,
            short(&pointer.commit),
            repository.path
        );
    }
    text
}

/// What stops nothing. What `millrace lint` says too is only counted.
fn warnings(warnings: &[Problem]) -> String {
    let (of_files, others): (Vec<&Problem>, Vec<&Problem>) =
        warnings.iter().partition(|w| server::is_about_a_file(w));
    let mut text = String::new();
    for warning in others {
        let line = clean(&format!("{}: {}", warning.subject, warning.message));
        let _ = writeln!(text, "warning: {line}");
    }
    if !of_files.is_empty() {
        let _ = writeln!(
            text,
            "{} on files: `millrace lint --notes` in a checkout shows them",
            count(of_files.len(), "remark")
        );
    }
    text
}

/// What keeps the newest commit from being planned.
pub(crate) fn broken(status: &Status, output: &Output) -> String {
    if status.problems.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{}\n",
        output.problem("the configuration is broken, so nothing new is planned:")
    );
    text.push_str(&problems(&status.problems, "  ", output));
    text
}

fn summary(request: &RequestSummary, output: &Output) -> String {
    let tasks: Vec<String> = request
        .tasks
        .iter()
        .map(|(state, n)| format!("{n} {}", state_word(state)))
        .collect();
    let mut text = format!(
        "{} {}{}  {}\n",
        output.word(&request.phase, WORD),
        request.path,
        priority(request.priority),
        output.dim(&tasks.join(", "))
    );
    text.push_str(&problems(&request.problems, "    ", output));
    text.push_str(&notes(&request.notes, "    ", output));
    text
}

fn one(file: &StatusFile, output: &Output) -> String {
    let mut text = format!(
        "{} {}{} at {}\n",
        output.word(&file.phase, 0),
        file.request,
        priority(file.priority),
        short(&file.commit)
    );
    text.push_str(&problems(&file.problems, "  ", output));
    text.push_str(&notes(&file.notes, "  ", output));
    for task in &file.tasks {
        text.push_str(&row(task, output));
        if let Some(reason) = &task.reason {
            let fault = fault(task);
            let _ = writeln!(text, "      {fault}{}", clean(reason));
        }
        for line in task.failure.iter().flat_map(|failure| &failure.excerpt) {
            let _ = writeln!(text, "      {} {}", output.dim("|"), clean(line));
        }
    }
    text
}

/// `[package: build-dependencies] `: whose fault a failure is, and its class; empty: it is none.
/// docs/how-to/read-a-failed-build.md goes by it.
pub(crate) fn fault(task: &StatusTask) -> String {
    let Some(fault) = &task.fault else {
        return String::new();
    };
    let kind = task.failure.as_ref().map(|failure| &failure.kind);
    let kind = kind.and_then(|kind| serde_json::to_value(kind).ok());
    match kind.as_ref().and_then(|kind| kind.as_str()) {
        Some(kind) => format!("[{fault}: {kind}] "),
        None => format!("[{fault}] "),
    }
}

/// A task in a line: `3f9a0c1e2b4d running    build tree for debian-12 amd64: making a clean root`.
pub(crate) fn row(task: &StatusTask, output: &Output) -> String {
    let step = task.step.as_deref();
    let step = step.map(|step| format!(": {step}")).unwrap_or_default();
    format!(
        "  {} {} {}{}\n",
        task.id.short(),
        output.word(state_word(&task.state), WORD),
        task.title,
        output.dim(&step)
    )
}

pub(crate) fn problems(problems: &[Problem], indent: &str, output: &Output) -> String {
    lines(
        problems.iter().map(|p| (&p.subject, &p.message)),
        indent,
        &|text| output.problem(text),
    )
}

pub(crate) fn notes(notes: &[Note], indent: &str, output: &Output) -> String {
    lines(
        notes.iter().map(|n| (&n.subject, &n.why)),
        indent,
        &|text| output.dim(text),
    )
}

fn lines<'a>(
    said: impl Iterator<Item = (&'a String, &'a String)>,
    indent: &str,
    paint: &dyn Fn(&str) -> String,
) -> String {
    let mut text = String::new();
    for (subject, sentence) in said {
        let line = paint(&clean(&format!("{subject}: {sentence}")));
        let _ = writeln!(text, "{indent}{line}");
    }
    text
}
