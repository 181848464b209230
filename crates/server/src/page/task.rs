//! One task: why it is where it is, and the end of its log; and the whole log as text.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use control::TaskDetail;
use ports::Platform;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::html::{duration, escape, page, word};
use super::{name, refusal};
use crate::api::{detail, last_or};
use crate::logs::{Begin, unread};
use crate::terminal::Sanitizer;
use crate::{Error, State};

/// The end of a log that is shown, in bytes.
const TAIL: u64 = 32 * 1024;

/// Which attempt's log.
#[derive(Deserialize)]
pub(crate) struct Which {
    attempt: Option<u32>,
}

pub(crate) async fn task<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(id): Path<String>,
) -> Response {
    match show(&state, &id).await {
        Ok(page) => page,
        Err(error) => refusal(&state, &error).await,
    }
}

async fn show<P: Platform>(state: &State<P>, id: &str) -> Result<Response, Error> {
    let detail = detail(state, id).await?;
    let task = &detail.task;
    let mut body = format!(
        "<h2><span class=\"state {}\">{}</span> {}</h2>\n",
        task.state,
        word(&task.state),
        escape(&task.title)
    );
    body.push_str(&facts(&detail));
    if let Some(reason) = &task.reason {
        let card = if task.state == "failed" {
            "bad"
        } else {
            "wait"
        };
        let fault = task.fault.as_deref().unwrap_or_default();
        let lines = task.failure.iter().flat_map(|failure| &failure.excerpt);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        let excerpt = match lines.is_empty() {
            true => String::new(),
            false => format!("<pre>{}</pre>", escape(&lines.join("\n"))),
        };
        body.push_str(&format!(
            "<div class=\"card {card}\"><b>{}</b> {}{excerpt}</div>\n",
            escape(fault),
            escape(reason)
        ));
    }
    body.push_str(&attempts(&detail));
    if task.attempt > 0 {
        let (bytes, cut) = tail(state, &detail).await?;
        body.push_str(&format!(
            "<h2>Log of attempt {} <a href=\"/log/{}\">all of it</a></h2>\n<pre>{}{}</pre>\n",
            task.attempt,
            task.id,
            if cut { "…\n" } else { "" },
            escape(&Sanitizer::default().push(&bytes))
        ));
    }
    let aside = format!("task <code>{}</code>", task.id);
    Ok(page(&name(state).await, &task.title, &aside, &body))
}

/// The end of the last attempt's log, from the beginning of a line, and whether there is more before.
async fn tail<P: Platform>(
    state: &State<P>,
    detail: &TaskDetail,
) -> Result<(Vec<u8>, bool), Error> {
    let task = &detail.task;
    let log = state.log(detail, task.attempt, Begin::Last(TAIL)).await?;
    let Some(log) = log else {
        return Ok((Vec::new(), false));
    };
    let cut = log.offset > 0;
    let piece = log.piece().await;
    let mut bytes = piece.map_err(|error| unread(&task.id, &error))?;
    if cut && let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        bytes.drain(..=end);
    }
    Ok((bytes, cut))
}

fn facts(detail: &TaskDetail) -> String {
    let task = &detail.task;
    let mut rows = vec![(
        "request",
        format!(
            "<a href=\"/request/{0}\"><code>{0}</code></a>",
            escape(detail.request.as_str())
        ),
    )];
    rows.extend(detail.because.iter().map(|why| ("because", escape(why))));
    rows.extend(task.step.iter().map(|step| ("does now", escape(step))));
    rows.extend(task.runner.iter().map(|runner| ("runner", escape(runner))));
    rows.extend(task.ran.map(|(from, to)| ("took", duration(to - from))));
    rows.extend(detail.inputs.iter().map(|(title, state)| {
        let input = format!(
            "{} <span class={state}>{}</span>",
            escape(title),
            word(state)
        );
        ("needs", input)
    }));
    let rows: String = rows
        .into_iter()
        .map(|(name, html)| format!("<dt>{name}<dd>{html}"))
        .collect();
    format!("<dl>{rows}</dl>\n")
}

fn attempts(detail: &TaskDetail) -> String {
    let task = &detail.task;
    // A single one that failed is what stands above.
    if task.attempts.is_empty() || task.attempts.len() == 1 && task.state == "failed" {
        return String::new();
    }
    let rows: String = task
        .attempts
        .iter()
        .map(|attempt| {
            format!(
                "<tr><td><a href=\"/log/{}?attempt={n}\">attempt {n}</a><td>{}<td>{}</tr>",
                task.id,
                escape(&attempt.end),
                escape(attempt.runner.as_str()),
                n = attempt.attempt,
            )
        })
        .collect();
    format!("<h2>Ended attempts</h2>\n<table class=attempts>{rows}</table>\n")
}

/// The whole log, as plain text that no browser takes for a page.
pub(crate) async fn log<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Error> {
    let detail = detail(&state, &id).await?;
    let attempt = last_or(which.attempt, &detail)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    if let Some(link) = state.log_elsewhere(&detail, attempt).await? {
        return Ok(Redirect::temporary(&link).into_response());
    }
    let Some(log) = state.log(&detail, attempt, Begin::At(0)).await? else {
        return Ok((kind, format!("{}\n", state.nothing_yet())).into_response());
    };
    Ok((kind, Body::from_stream(ReaderStream::new(log.body))).into_response())
}
