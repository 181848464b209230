//! The page at `/`: in ten seconds, what failed and why, what runs, what is published.
//!
//! It is drawn from the same answers as the API's, works without JavaScript, and loads nothing from
//! elsewhere. `/request/<path>` has one request with all of its tasks, `/task/<id>` has one task with the end of its log, `/log/<id>` the whole log.

pub(crate) mod html;
mod request;
mod task;

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use control::{RequestSummary, Status, StatusFile, StatusTask};
use ledger::{Note, Problem};
use ports::Platform;
use runner_api::TaskRef;

use crate::{Error, State, stuck};
use html::{duration, escape, page, short, word};

pub(crate) use html::script;
pub(crate) use request::request;
pub(crate) use task::{log, task};

/// Requests that are shown with their tasks, of those that failed and of those that are open.
const SHOWN: usize = 20;
/// Requests that are listed in a line each.
const LISTED: usize = 30;
/// Lines of a failure's log on this page; the task's own page has more.
const EXCERPT: usize = 8;

pub(crate) async fn index<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Response, Error> {
    let status = state.control.status().await?;
    let name = name(&state).await;
    let groups = Groups::of(&status);
    let mut body = sums(&status, &groups);
    body.push_str(&alerts(&status));
    if status.requests.is_empty() {
        body.push_str(EMPTY);
    }
    for (id, title, requests) in [
        ("failed", "Failed", &groups.failed),
        ("waiting", "Waits for what failed", &groups.stuck),
        ("running", "In progress", &groups.open),
    ] {
        body.push_str(&heading(id, title, requests));
        for summary in requests.iter().take(SHOWN) {
            let file = state.control.request_status(&summary.path).await?;
            body.push_str(&card(summary, file.as_ref()));
        }
        body.push_str(&rest(requests.len().saturating_sub(SHOWN)));
    }
    body.push_str(&repositories(&status));
    body.push_str(&done(&groups.done, status.more));
    body.push_str(&remarks(&status.warnings));
    let aside = match status.commit.as_str() {
        "" => "nothing is planned yet".to_owned(),
        commit => format!("planned commit <code>{}</code>", short(commit)),
    };
    Ok(page(&name, "", &aside, &body))
}

const EMPTY: &str = "<p>There are no requests yet. Write <code>builds/&lt;year&gt;/&lt;month&gt;/&lt;name&gt;.yaml</code> in a clone of the state repository, look at it with <code>millrace lint</code> and <code>millrace plan</code>, and push it.</p>\n";

/// The distribution's name; until there is one, or in trouble, the program's.
pub(crate) async fn name<P: Platform>(state: &State<P>) -> String {
    let unnamed = || "Millrace".to_owned();
    match state.control.planned_commit().await {
        Ok(commit) if !commit.is_empty() => match state.control.snapshot(&commit).await {
            Ok(snapshot) => snapshot.config.project.name.clone(),
            Err(_) => unnamed(),
        },
        _ => unnamed(),
    }
}

/// An error as a page, for somebody who followed a link.
async fn refusal<P: Platform>(state: &State<P>, error: &Error) -> Response {
    let body = format!("<p class=problem>{}</p>\n", escape(&error.sentence()));
    let mut response = page(&name(state).await, "not there", "", &body);
    *response.status_mut() = match error {
        // A word that names nothing: for a reader it is not there.
        Error::BadRequest(_) => StatusCode::NOT_FOUND,
        error => error.status(),
    };
    response
}

/// Requests by what a person on call wants to know of them.
struct Groups<'a> {
    failed: Vec<&'a RequestSummary>,
    /// Open, and nothing of it goes on by itself.
    stuck: Vec<&'a RequestSummary>,
    open: Vec<&'a RequestSummary>,
    done: Vec<&'a RequestSummary>,
}

impl<'a> Groups<'a> {
    fn of(status: &'a Status) -> Self {
        let mut groups = Self {
            failed: Vec::new(),
            stuck: Vec::new(),
            open: Vec::new(),
            done: Vec::new(),
        };
        let stuck = stuck(&status.requests);
        for request in &status.requests {
            let of = match request.phase.as_str() {
                "failed" | "invalid" => &mut groups.failed,
                _ if stuck.contains(&request.path) => &mut groups.stuck,
                _ if !request.at_rest => &mut groups.open,
                _ => &mut groups.done,
            };
            of.push(request);
        }
        groups
    }
}

fn sums(status: &Status, groups: &Groups<'_>) -> String {
    let count = |state: &str| -> usize {
        let of = |r: &&RequestSummary| r.tasks.get(state).copied().unwrap_or(0);
        groups.open.iter().map(of).sum()
    };
    let waiting = count("ready") + count("blocked");
    let sum = |to: &str, class: &str, n: usize, what: &str| {
        let class = if n == 0 { "dim" } else { class };
        format!("<a href=\"#{to}\"><b class={class}>{n}</b>{what}</a>")
    };
    let plural = |n: usize, one: &'static str, many: &'static str| if n == 1 { one } else { many };
    let (failed, running) = (groups.failed.len(), count("leased"));
    let published = status.repositories.len();
    format!(
        "<nav class=sums>{}{}{}{}</nav>\n",
        sum(
            "failed",
            "failed",
            failed,
            plural(failed, "request failed", "requests failed")
        ),
        sum(
            "running",
            "leased",
            running,
            plural(running, "task runs", "tasks run")
        ),
        sum(
            "running",
            "ready",
            waiting,
            plural(waiting, "task waits", "tasks wait")
        ),
        sum(
            "published",
            "published",
            published,
            plural(published, "repository published", "repositories published")
        ),
    )
}

/// What concerns everything.
fn alerts(status: &Status) -> String {
    let mut html = String::new();
    if !status.problems.is_empty() {
        html.push_str("<div class=\"card bad\"><b class=problem>The configuration is broken, so nothing new is planned.</b>");
        html.push_str(&said("problem", status.problems.iter().map(of_problem)));
        html.push_str("</div>\n");
    }
    let urgent: Vec<&Problem> = status
        .warnings
        .iter()
        .filter(|w| !is_about_a_file(w))
        .collect();
    if !urgent.is_empty() {
        html.push_str("<div class=\"card wait\">");
        html.push_str(&said("warning", urgent.into_iter().map(of_problem)));
        html.push_str("</div>\n");
    }
    for need in &status.unserved {
        html.push_str(&format!(
            "<div class=\"card bad\"><a href=\"/task/{}\">{}</a> {}</div>\n",
            need.task.id,
            escape(&need.title),
            escape(&need.sentence())
        ));
    }
    for letter in &status.dead_letters {
        html.push_str(&format!(
            "<div class=\"card bad\">given up after {} deliveries: {}: {}</div>\n",
            letter.deliveries,
            escape(&letter.message.name()),
            escape(&letter.error)
        ));
    }
    html
}

/// What `millrace lint` says too, and what stops nothing: out of the way of what is urgent.
fn remarks(warnings: &[Problem]) -> String {
    let of_files: Vec<&Problem> = warnings.iter().filter(|w| is_about_a_file(w)).collect();
    let n = match of_files.len() {
        0 => return String::new(),
        1 => "1 remark on a file".to_owned(),
        n => format!("{n} remarks on files"),
    };
    format!(
        "<h2>Configuration</h2>\n<details id=remarks><summary>{n}</summary>{}</details>\n",
        said("warning", of_files.into_iter().map(of_problem))
    )
}

/// Whether it names a place in a file, `platforms/x.yaml:3:1`, so that `millrace lint` says it too.
pub fn is_about_a_file(warning: &Problem) -> bool {
    let mut parts = warning.subject.rsplitn(3, ':');
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    number() && number()
}

fn of_problem(problem: &Problem) -> (&str, &str) {
    (&problem.subject, &problem.message)
}

fn of_note(note: &Note) -> (&str, &str) {
    (&note.subject, &note.why)
}

fn said<'a>(class: &str, lines: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    lines
        .map(|(subject, text)| {
            format!(
                "<div class={class}><code>{}</code> {}</div>",
                escape(subject),
                escape(text)
            )
        })
        .collect()
}

fn heading(id: &str, title: &str, requests: &[&RequestSummary]) -> String {
    match requests.len() {
        0 => String::new(),
        n => format!("<h2 id={id}>{title} <span class=dim>{n}</span></h2>\n"),
    }
}

fn rest(more: usize) -> String {
    match more {
        0 => String::new(),
        n => format!("<p class=dim>and {n} more: <code>millrace status</code></p>\n"),
    }
}

fn card(summary: &RequestSummary, file: Option<&StatusFile>) -> String {
    let total: usize = summary.tasks.values().sum();
    let done: usize = ["succeeded", "excluded"]
        .iter()
        .filter_map(|state| summary.tasks.get(*state))
        .sum();
    let open = !summary.at_rest;
    let mut html = format!(
        "<div class=\"card {}\"><div class=head><span class=\"state {1}\">{1}</span> <h3><a href=\"/request/{2}\"><code>{2}</code></a>{3}</h3><span class=\"dim right\">{4}</span></div>",
        if open { "run" } else { "bad" },
        summary.phase,
        escape(summary.path.as_str()),
        html::priority(summary.priority),
        if total == 0 {
            String::new()
        } else {
            format!("{done} of {total} tasks done")
        },
    );
    if open && total > 0 {
        html.push_str(&format!(
            "<div class=bar><i style=\"width:{}%\"></i></div>",
            done * 100 / total
        ));
    }
    html.push_str(&said("problem", summary.problems.iter().map(of_problem)));
    html.push_str(&said("dim", summary.notes.iter().map(of_note)));
    let tasks = file.map(|file| &file.tasks[..]).unwrap_or_default();
    let rank = |task: &StatusTask| match task.state.as_str() {
        "failed" => Some(0),
        "leased" => Some(1),
        "ready" => Some(2),
        "blocked" => Some(3),
        "canceled" => Some(4),
        _ => None,
    };
    let mut urgent: Vec<&StatusTask> = tasks.iter().filter(|task| rank(task).is_some()).collect();
    urgent.sort_by_key(|task| rank(task));
    html.push_str(&rows(&urgent, tasks));
    let quiet: Vec<&StatusTask> = tasks
        .iter()
        .filter(|task| matches!(task.state.as_str(), "succeeded" | "excluded"))
        .collect();
    if !quiet.is_empty() {
        let id: String = summary
            .path
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        html.push_str(&format!(
            "<details id=\"{id}\"><summary>{} done</summary>{}</details>",
            quiet.len(),
            rows(&quiet, tasks)
        ));
    }
    html.push_str("</div>\n");
    html
}

/// A list of `tasks`; `all`: those of their request.
fn rows(tasks: &[&StatusTask], all: &[StatusTask]) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let rows: String = tasks.iter().map(|task| row(task, all)).collect();
    format!("<ul class=tasks>{rows}</ul>")
}

fn row(task: &StatusTask, all: &[StatusTask]) -> String {
    let log = match task.attempt {
        0 => String::new(),
        _ => format!("<a href=\"/log/{}\">log</a>", task.id),
    };
    let mut html = format!(
        "<li><span class=\"state {}\">{}</span><span><a href=\"/task/{}\">{}</a>{}</span><span>{log}</span>",
        task.state,
        word(&task.state),
        task.id,
        escape(&task.title),
        aside(task)
    );
    if let Some(reason) = &task.reason {
        let fault = match task.fault.as_deref() {
            Some("package") => "<b>the package:</b> ",
            Some(_) => "<b>infrastructure:</b> ",
            None => "",
        };
        html.push_str(&format!("<span class=why>{fault}{}</span>", escape(reason)));
    }
    if !task.waits_for.is_empty() {
        let waits_for = escape(&waits_for(task, all).join(", "));
        html.push_str(&format!(
            "<span class=\"why dim\">it waits for: {waits_for}</span>"
        ));
    }
    let excerpt = task.failure.iter().flat_map(|failure| &failure.excerpt);
    let lines: Vec<&str> = excerpt.map(String::as_str).collect();
    if !lines.is_empty() {
        let last = &lines[lines.len().saturating_sub(EXCERPT)..];
        html.push_str(&format!(
            "<pre class=why>{}</pre>",
            escape(&last.join("\n"))
        ));
    }
    html.push_str("</li>");
    html
}

/// What a blocked task waits for, by title; of another request by number.
fn waits_for(task: &StatusTask, all: &[StatusTask]) -> Vec<String> {
    let title = |awaited: &TaskRef| match all.iter().find(|it| it.id == awaited.id) {
        Some(awaited) => awaited.title.clone(),
        None => format!("{} of {}", awaited.id.short(), awaited.request),
    };
    task.waits_for.iter().map(title).collect()
}

/// What it does, where, or how long it took.
fn aside(task: &StatusTask) -> String {
    let mut words = Vec::new();
    words.extend(task.step.clone());
    words.extend(task.runner.as_ref().map(|runner| format!("on {runner}")));
    words.extend(task.ran.map(|(from, to)| duration(to - from)));
    if task.attempt > 1 {
        words.push(format!("attempt {}", task.attempt));
    }
    match words.is_empty() {
        true => String::new(),
        false => format!(" <span class=dim>· {}</span>", escape(&words.join(" · "))),
    }
}

/// A table of what is published; nothing: empty.
pub(crate) fn repositories(status: &Status) -> String {
    if status.repositories.is_empty() {
        return String::new();
    }
    let mut html = "<h2 id=published>Published</h2>\n<table><tr><th>repository<th>served at<th>generation<th>commit</tr>".to_owned();
    for repository in &status.repositories {
        let pointer = &repository.pointer;
        let path = escape(&repository.path);
        html.push_str(&format!(
            "<tr><td>{}<td><a href=\"/repos/{path}\">/repos/{path}</a><td>{}<td><code>{}</code></tr>",
            escape(pointer.repository.as_str()),
            pointer.generation,
            short(&pointer.commit)
        ));
    }
    html.push_str("</table>\n");
    html
}

fn done(requests: &[&RequestSummary], more: bool) -> String {
    if requests.is_empty() {
        return String::new();
    }
    let mut html = "<h2 id=done>Done lately</h2>\n<table>".to_owned();
    for summary in requests.iter().take(LISTED) {
        let total: usize = summary.tasks.values().sum();
        html.push_str(&format!(
            "<tr><td><span class=\"state {0}\">{0}</span><td><a href=\"/request/{1}\"><code>{1}</code></a><td class=dim>{2}</tr>",
            summary.phase,
            escape(summary.path.as_str()),
            if total == 0 { String::new() } else { format!("{total} tasks") }
        ));
    }
    html.push_str("</table>\n");
    if more || requests.len() > LISTED {
        html.push_str("<p class=dim>Older ones are on the branch <code>status</code>.</p>\n");
    }
    html
}
