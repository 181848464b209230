//! `millrace why`: a task and what it waits for or died of; for a request, all that is not done.

use std::fmt::Write as _;

use control::{StatusFile, TaskDetail};

use crate::Verdict;
use crate::args::SubjectArgs;
use crate::client::Client;
use crate::names::{Subject, find_request};
use crate::render::{Output, clean, short, state_word};
use crate::status::{notes, problems};

/// Tasks of a request that are explained in full; the rest is listed.
const EXPLAINED: usize = 8;

pub(crate) async fn run(args: SubjectArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    match Subject::read(&args.subject) {
        Subject::Request(path) => {
            let file = find_request(&client, &path).await?;
            request(&client, &file, output).await
        }
        Subject::Task(id) => {
            let detail: TaskDetail = client.get(&format!("/api/v1/task/{id}")).await?;
            if output.json {
                output.print_json(&detail)?;
            } else {
                output.print(&task(&detail, output))?;
            }
            Ok(Verdict::Well)
        }
    }
}

async fn request(client: &Client, file: &StatusFile, output: &Output) -> anyhow::Result<Verdict> {
    let rank = |state: &str| match state {
        "failed" => Some(0),
        "leased" => Some(1),
        "ready" => Some(2),
        "blocked" => Some(3),
        "canceled" => Some(4),
        // Done, or of no interest any more.
        _ => None,
    };
    let mut open: Vec<_> = file
        .tasks
        .iter()
        .filter_map(|task| Some((rank(&task.state)?, task)))
        .collect();
    open.sort_by_key(|(rank, _)| *rank);
    let mut details = Vec::new();
    for (_, task) in open.iter().take(EXPLAINED) {
        let path = format!("/api/v1/task/{}", task.id);
        details.extend(client.find::<TaskDetail>(&path).await?);
    }
    if output.json {
        output.print_json(&details)?;
        return Ok(Verdict::of_phase(&file.phase));
    }
    let total = file.tasks.len();
    let mut text = format!(
        "{} {} at {}: {}\n",
        output.word(&file.phase, 0),
        file.request,
        short(&file.commit),
        match open.len() {
            0 => format!("all of its {total} tasks are done"),
            n => format!("{n} of its {total} tasks are not done"),
        }
    );
    text.push_str(&problems(&file.problems, "  ", output));
    text.push_str(&notes(&file.notes, "  ", output));
    for detail in &details {
        text.push_str(&task(detail, output));
    }
    for (_, task) in open.iter().skip(EXPLAINED) {
        text.push_str(&crate::status::row(task, output));
    }
    output.print(&text)?;
    Ok(Verdict::of_phase(&file.phase))
}

fn task(detail: &TaskDetail, output: &Output) -> String {
    let task = &detail.task;
    let mut text = format!(
        "{} {} {}\n  of {}\n",
        task.id,
        output.word(state_word(&task.state), 0),
        task.title,
        detail.request
    );
    for because in &detail.because {
        let _ = writeln!(text, "  because {}", clean(because));
    }
    for (title, state) in &detail.inputs {
        let _ = writeln!(
            text,
            "  needs   {} {title}",
            output.word(state_word(state), 10)
        );
    }
    for attempt in &task.attempts {
        let _ = writeln!(
            text,
            "  attempt {} on {}: {}",
            attempt.attempt,
            attempt.runner,
            clean(&attempt.end)
        );
    }
    if let Some(reason) = &task.reason {
        let fault = task.fault.as_deref();
        let fault = fault.map(|f| format!("[{f}] ")).unwrap_or_default();
        let _ = writeln!(text, "  {fault}{}", clean(reason));
    }
    for line in task.failure.iter().flat_map(|failure| &failure.excerpt) {
        let _ = writeln!(text, "    {} {}", output.dim("|"), clean(line));
    }
    if task.attempt > 0 {
        let _ = writeln!(text, "  its log: millrace logs {}", task.id.short());
    }
    text
}
