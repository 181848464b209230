//! `millrace cancel` and `millrace retry`.

use server::{Canceled, CommandBody, Retried};

use crate::Verdict;
use crate::args::{CancelArgs, SubjectArgs};
use crate::client::Client;
use crate::names::Subject;
use crate::render::Output;

pub(crate) async fn cancel(args: CancelArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let body = CommandBody {
        subject: Subject::read(&args.subject).into_name(),
        reason: args.reason,
    };
    let done: Canceled = client.post("/api/v1/cancel", &body).await?;
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
    let body = CommandBody {
        subject: Subject::read(&args.subject).into_name(),
        reason: String::new(),
    };
    let done: Retried = client.post("/api/v1/retry", &body).await?;
    if output.json {
        output.print_json(&done)?;
    } else {
        output.print(&again(done.retried, &body.subject))?;
    }
    Ok(Verdict::Well)
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
