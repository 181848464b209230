//! The page at `/`: what runs, what failed, what is published. One file, no scripts from elsewhere.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Html;
use control::{RequestSummary, Status, StatusFile, StatusTask};
use ports::Platform;

use crate::published::escape;
use crate::{Error, State};

/// Requests shown with their tasks; older ones are in git.
const SHOWN: usize = 30;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--ok:#1a7f37;--bad:#cf222e;--run:#0969da;--wait:#9a6700}
body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-top:1px solid var(--line);vertical-align:top}
code{font-size:.9em}.succeeded,.published{color:var(--ok)}.failed,.invalid{color:var(--bad)}
.leased,.open,.publishing{color:var(--run)}.ready,.blocked,.reverting{color:var(--wait)}
.note{opacity:.75;font-size:.9em}.problem{color:var(--bad);font-size:.9em}";

pub(crate) async fn index<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
) -> Result<Html<String>, Error> {
    let status = state.control.status().await?;
    let mut body = head(&status);
    for summary in status.requests.iter().take(SHOWN) {
        let file = state.control.request_status(&summary.path).await?;
        body.push_str(&request(summary, file.as_ref()));
    }
    Ok(Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content=3><title>Millrace</title><style>{STYLE}</style><h1>Millrace</h1>{body}</html>"
    )))
}

fn head(status: &Status) -> String {
    let mut html = match status.commit.as_str() {
        "" => "<p>No commit has been planned yet: push to the state repository.</p>".to_owned(),
        commit => format!(
            "<p>planned commit <code>{}</code></p>",
            escape(&commit[..12.min(commit.len())])
        ),
    };
    for problem in &status.problems {
        html.push_str(&line("problem", &problem.subject, &problem.message));
    }
    for need in &status.unserved {
        html.push_str(&line("problem", &need.title, &need.sentence()));
    }
    if !status.repositories.is_empty() {
        html.push_str(
            "<h2>Published repositories</h2><table><tr><th>repository<th>generation<th>commit</tr>",
        );
        for repository in &status.repositories {
            let pointer = &repository.pointer;
            html.push_str(&format!(
                "<tr><td><a href=\"/repos/{}\">{}</a><td>{}<td><code>{}</code></tr>",
                escape(&repository.path),
                escape(pointer.repository.as_str()),
                pointer.generation,
                escape(&pointer.commit[..12.min(pointer.commit.len())])
            ));
        }
        html.push_str("</table>");
    }
    html
}

fn request(summary: &RequestSummary, file: Option<&StatusFile>) -> String {
    let mut html = format!(
        "<h2><span class={0}>{0}</span> <code>{1}</code></h2>",
        summary.phase,
        escape(summary.path.as_str())
    );
    for problem in &summary.problems {
        html.push_str(&line("problem", &problem.subject, &problem.message));
    }
    for note in &summary.notes {
        html.push_str(&line("note", &note.subject, &note.why));
    }
    let tasks = file.map(|file| &file.tasks[..]).unwrap_or_default();
    if tasks.is_empty() {
        return html;
    }
    html.push_str("<table><tr><th>state<th>task<th>runner<th>time<th></tr>");
    for task in tasks {
        html.push_str(&row(task));
    }
    html.push_str("</table>");
    html
}

fn row(task: &StatusTask) -> String {
    let seconds = task
        .ran
        .map(|(from, to)| format!("{} s", to - from))
        .unwrap_or_default();
    let reason = task.reason.as_deref().unwrap_or_default();
    format!(
        "<tr><td class={0}>{0}<td>{1}<div class=note>{2}</div><td>{3}<td>{4}<td><a href=\"/api/v1/log/{5}\">log</a></tr>",
        task.state,
        escape(&task.title),
        escape(reason),
        escape(task.runner.as_deref().unwrap_or_default()),
        seconds,
        task.id
    )
}

fn line(class: &str, subject: &str, text: &str) -> String {
    format!(
        "<div class={class}><b>{}</b> {}</div>",
        escape(subject),
        escape(text)
    )
}
