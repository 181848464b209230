//! `millrace logs`: the log of a task, or of the task of a request that one wants to read now.

use std::io::IsTerminal;
use std::time::Duration;

use control::{StatusFile, StatusTask, TaskDetail};

use crate::Verdict;
use crate::args::LogsArgs;
use crate::client::{Client, body};
use crate::failure::{Failure, Kind};
use crate::names::{Subject, find_request, invalid};
use crate::render::{Output, note, state_word};
use server::Sanitizer;

/// How often a growing log is looked at.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: LogsArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let task = match Subject::find(&client, &args.task).await? {
        Subject::Task(id) => id,
        Subject::Request(path) => {
            let file = find_request(&client, &path).await?;
            let chosen = choose(&file)?;
            note(&format!(
                "millrace: the log of {} {} ({})",
                chosen.id.short(),
                chosen.title,
                state_word(&chosen.state)
            ));
            chosen.id.to_string()
        }
    };
    let tame = std::io::stdout().is_terminal() && !args.raw;
    let mut sanitizer = tame.then(Sanitizer::default);
    let mut offset = 0;
    let mut attempt = args.attempt;
    loop {
        let part = read(&client, &task, offset, attempt).await?;
        match &mut sanitizer {
            Some(sanitizer) => output.print(&sanitizer.push(&part.bytes))?,
            None => output.print_bytes(&part.bytes)?,
        }
        offset += part.bytes.len();
        // A running task keeps its attempt; a new attempt starts a new log.
        attempt = attempt.or(Some(part.attempt).filter(|n| *n > 0));
        let open = matches!(part.state.as_str(), "leased" | "ready" | "blocked");
        if part.bytes.is_empty() && (!args.follow || !open) {
            return match offset {
                0 => Err(empty(&client, &task, attempt).await?),
                _ => Ok(Verdict::Well),
            };
        }
        if part.bytes.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A piece of a log.
struct Part {
    bytes: Vec<u8>,
    /// The task's state.
    state: String,
    /// Whose log it is; 0: no attempt was made yet.
    attempt: u32,
}

async fn read(
    client: &Client,
    task: &str,
    offset: usize,
    attempt: Option<u32>,
) -> anyhow::Result<Part> {
    let wanted = attempt.map(|n| format!("&attempt={n}")).unwrap_or_default();
    let path = format!("/api/v1/log/{task}?offset={offset}{wanted}");
    let response = client.get_raw(&path).await?;
    let header = |name: &str| {
        let value = response.headers().get(name);
        let text = value.and_then(|value| value.to_str().ok());
        text.unwrap_or_default().to_owned()
    };
    Ok(Part {
        state: header("millrace-state"),
        attempt: header("millrace-attempt").parse().unwrap_or(0),
        bytes: body(response).await?,
    })
}

/// The task whose log answers the question: the first that failed, or the one that runs.
fn choose(file: &StatusFile) -> anyhow::Result<&StatusTask> {
    let of = |state: &'static str| file.tasks.iter().filter(move |task| task.state == state);
    if let Some(failed) = of("failed").find(|task| task.attempt > 0) {
        return Ok(failed);
    }
    let begun: Vec<&StatusTask> = file.tasks.iter().filter(|task| task.attempt > 0).collect();
    let running: Vec<&StatusTask> = of("leased").collect();
    match (running.as_slice(), begun.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        (_, []) if file.phase == "invalid" => {
            Err(Failure::new(Kind::NotNow, invalid(&file.request)).into())
        }
        (_, []) => Err(Failure::new(
            Kind::NotNow,
            format!(
                "no task of {0} has begun, so there is no log; `millrace why {0}` says what it waits for",
                file.request
            ),
        )
        .into()),
        _ => {
            let mut sentence = format!(
                "{} has several tasks and none failed: give one of them",
                file.request
            );
            for task in begun {
                sentence.push_str(&format!(
                    "\n  {} {:<10} {}",
                    task.id.short(),
                    state_word(&task.state),
                    task.title
                ));
            }
            Err(Failure::new(Kind::Usage, sentence).into())
        }
    }
}

/// Why nothing was printed.
async fn empty(client: &Client, task: &str, attempt: Option<u32>) -> anyhow::Result<anyhow::Error> {
    let detail: TaskDetail = client.get(&format!("/api/v1/task/{task}")).await?;
    let task = &detail.task;
    let attempt = attempt.unwrap_or(task.attempt);
    let ended = task.attempts.iter().find(|ended| ended.attempt == attempt);
    let sentence = match (attempt, ended) {
        (0, _) => format!(
            "{} {} has not begun, so there is no log: {}",
            task.id.short(),
            task.title,
            detail.because.last().map_or("", String::as_str)
        ),
        (n, Some(ended)) => format!("attempt {n} wrote no log: {}", ended.end),
        (n, None) => format!("attempt {n} has written nothing yet"),
    };
    Ok(Failure::new(Kind::NotNow, sentence).into())
}
