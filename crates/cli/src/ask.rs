//! `millrace cancel` and `millrace retry`.

use control::StatusFile;
use server::{Canceled, CommandBody, Retried};

use crate::Verdict;
use crate::args::{CancelArgs, SubjectArgs};
use crate::client::Client;
use crate::failure::{Failure, Kind, kind_of};
use crate::names::{Subject, find_request, invalid};
use crate::render::Output;

pub(crate) async fn cancel(args: CancelArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let (subject, request) = subject(&client, &args.subject).await?;
    let body = CommandBody {
        subject: subject.name().to_owned(),
        reason: args.reason,
    };
    let done: Canceled = match client.post("/api/v1/cancel", &body).await {
        Ok(done) => done,
        Err(error) => return Err(better(error, request.as_ref().and_then(stopping))),
    };
    if output.json {
        output.print_json(&done)?;
    } else {
        output.print(&match done.canceled {
            1 => "1 task stops\n".to_owned(),
            n => format!("{n} tasks stop\n"),
        })?;
    }
    Ok(Verdict::Well)
}

pub(crate) async fn retry(args: SubjectArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let (subject, request) = subject(&client, &args.subject).await?;
    let body = CommandBody {
        subject: subject.name().to_owned(),
        reason: String::new(),
    };
    let done: Retried = match client.post("/api/v1/retry", &body).await {
        Ok(done) => done,
        Err(error) => {
            let request = request.filter(|file| file.phase == "invalid");
            return Err(better(error, request.map(|file| invalid(&file.request))));
        }
    };
    if output.json {
        output.print_json(&done)?;
    } else {
        output.print(&again(done.retried, &body.subject))?;
    }
    Ok(Verdict::Well)
}

/// What is meant, and the request as it is before anything is asked of it.
async fn subject(client: &Client, text: &str) -> anyhow::Result<(Subject, Option<StatusFile>)> {
    let subject = Subject::find(client, text).await?;
    let request = match &subject {
        Subject::Request(path) => Some(find_request(client, path).await?),
        Subject::Task(_) => None,
    };
    Ok((subject, request))
}

/// A refusal in the words that fit, where there are some.
fn better(error: anyhow::Error, sentence: Option<String>) -> anyhow::Error {
    match sentence {
        Some(sentence) if kind_of(&error) == Kind::NotNow => {
            Failure::new(Kind::NotNow, sentence).into()
        }
        _ => error,
    }
}

/// When all that is open of a request was told to stop already.
fn stopping(file: &StatusFile) -> Option<String> {
    let stops = |task: &&control::StatusTask| {
        task.state == "leased"
            && task
                .reason
                .as_deref()
                .is_some_and(|it| it.starts_with("stopping"))
    };
    let path = &file.request;
    match file.tasks.iter().filter(stops).count() {
        0 => None,
        1 => Some(format!(
            "{path} is stopping already: 1 task ends when its runner hears of it"
        )),
        n => Some(format!(
            "{path} is stopping already: {n} tasks end when their runners hear of it"
        )),
    }
}

fn again(tasks: usize, subject: &str) -> String {
    match tasks {
        0 => format!(
            "no task of {subject} had failed: the request itself is planned anew, and refs that were missing are looked up again\n"
        ),
        1 => "1 task goes again\n".to_owned(),
        n => format!("{n} tasks go again\n"),
    }
}
