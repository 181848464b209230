//! `millrace why`: a task and what it waits for or died of; for a request, all that is not done.

use std::fmt::Write as _;

use control::{StatusFile, TaskDetail};

use crate::Verdict;
use crate::args::SubjectArgs;
use crate::client::Client;
use crate::names::{Subject, find_request};
use crate::render::{Output, clean, priority, short, state_word};
use crate::status::{fault, notes, problems};

/// Tasks of a request that are explained in full; the rest is listed.
const EXPLAINED: usize = 8;

pub(crate) async fn run(args: SubjectArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    match Subject::find(&client, &args.subject).await? {
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
    let gone = file.phase == "removed";
    let rank = |state: &str| match state {
        // Nobody wants them any more.
        "failed" | "canceled" if gone => None,
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
    let mut text = format!(
        "{} {}{} at {}: {}\n",
        output.word(&file.phase, 0),
        file.request,
        priority(file.priority),
        short(&file.commit),
        standing(file, open.len())
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

/// Where a request stands, `open` of whose tasks are not done.
fn standing(file: &StatusFile, open: usize) -> String {
    let total = file.tasks.len();
    match (file.phase.as_str(), open, total) {
        ("invalid", ..) => "its file has mistakes; edit it and push it".to_owned(),
        ("removed" | "reverted", ..) => "its file was removed, so nothing more is done".to_owned(),
        ("open" | "reverting", _, 0) if !file.notes.is_empty() => {
            "it has no task yet; it waits, as said below".to_owned()
        }
        ("open" | "reverting", _, 0) => "its tasks are being planned".to_owned(),
        ("failed" | "canceled", _, 0) => "it has no task; what is wrong stands below".to_owned(),
        (_, _, 0) => "it has no task".to_owned(),
        (_, 0, 1) => "its one task is done".to_owned(),
        (_, 0, n) => format!("all of its {n} tasks are done"),
        (_, _, 1) => "its one task is not done".to_owned(),
        (_, 1, n) => format!("1 of its {n} tasks is not done"),
        (_, open, n) => format!("{open} of its {n} tasks are not done"),
    }
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
        let fault = fault(task);
        let _ = writeln!(text, "  {fault}{}", clean(reason));
    }
    for line in task.failure.iter().flat_map(|failure| &failure.excerpt) {
        let _ = writeln!(text, "    {} {}", output.dim("|"), clean(line));
    }
    // After a recovery, tasks that never ran have numbers as well.
    if task.state == "leased" || task.log.is_some() || !task.attempts.is_empty() {
        let _ = writeln!(text, "  its log: millrace logs {}", task.id.short());
    }
    text
}
