//! `millrace status`, `why`, `cancel`, `retry`.

use control::{Status, StatusFile, TaskDetail};
use server::{Canceled, CommandBody, Retried};

use crate::Verdict;
use crate::args::{CancelArgs, StatusArgs, SubjectArgs};
use crate::client::{Answered, Client};
use crate::render::{Output, clean};

pub(crate) async fn status(args: StatusArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    if let Some(path) = &args.request {
        return match client
            .get::<StatusFile>(&format!("/api/v1/request/{path}"))
            .await?
        {
            Answered::Yes(file) => {
                if output.json {
                    output.print_json(&file)?;
                } else {
                    print_request(&file, output);
                }
                let bad = matches!(file.phase.as_str(), "failed" | "invalid");
                Ok(if bad { Verdict::NotWell } else { Verdict::Well })
            }
            Answered::No(why) => refuse(&why),
        };
    }
    match client.get::<Status>("/api/v1/status").await? {
        Answered::Yes(status) => {
            if output.json {
                output.print_json(&status)?;
            } else {
                print_status(&status, output);
            }
            Ok(Verdict::Well)
        }
        Answered::No(why) => refuse(&why),
    }
}

fn print_status(status: &Status, output: &Output) {
    match status.commit.as_str() {
        "" => println!("no commit has been planned yet"),
        commit => println!("planned commit {}", &commit[..12.min(commit.len())]),
    }
    for problem in &status.problems {
        println!(
            "{}",
            output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
        );
    }
    for need in &status.unserved {
        println!(
            "{}",
            output.problem(&format!(
                "{} ({}): {}",
                need.title,
                need.task.id.short(),
                need.sentence()
            ))
        );
    }
    for request in &status.requests {
        let tasks: Vec<String> = request
            .tasks
            .iter()
            .map(|(state, n)| format!("{n} {state}"))
            .collect();
        println!(
            "{:<12} {}  {}",
            output.word(&request.phase),
            request.path,
            output.dim(&tasks.join(", "))
        );
        for problem in &request.problems {
            println!(
                "    {}",
                output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
            );
        }
        for note in &request.notes {
            println!(
                "    {}",
                output.dim(&clean(&format!("{}: {}", note.subject, note.why)))
            );
        }
    }
    for repository in &status.repositories {
        let pointer = &repository.pointer;
        println!(
            "repository {} generation {} commit {} at /repos/{}",
            pointer.repository,
            pointer.generation,
            &pointer.commit[..12.min(pointer.commit.len())],
            repository.path
        );
    }
}

fn print_request(file: &StatusFile, output: &Output) {
    println!(
        "{} {} at {}",
        output.word(&file.phase),
        file.request,
        &file.commit[..12.min(file.commit.len())]
    );
    for problem in &file.problems {
        println!(
            "  {}",
            output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
        );
    }
    for note in &file.notes {
        println!(
            "  {}",
            output.dim(&clean(&format!("{}: {}", note.subject, note.why)))
        );
    }
    for task in &file.tasks {
        println!(
            "  {} {:<10} {}",
            task.id.short(),
            output.word(&task.state),
            task.title
        );
        if let Some(reason) = &task.reason {
            let fault = task
                .fault
                .as_deref()
                .map(|fault| format!("[{fault}] "))
                .unwrap_or_default();
            println!("      {fault}{}", clean(reason));
        }
        for line in task.failure.iter().flat_map(|failure| &failure.excerpt) {
            println!("      {} {}", output.dim("|"), clean(line));
        }
    }
}

pub(crate) async fn why(args: SubjectArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    match client
        .get::<TaskDetail>(&format!("/api/v1/task/{}", args.subject))
        .await?
    {
        Answered::Yes(detail) => {
            if output.json {
                output.print_json(&detail)?;
                return Ok(Verdict::Well);
            }
            println!(
                "{} {} {}",
                detail.task.id,
                output.word(&detail.task.state),
                detail.task.title
            );
            println!("  of {}", detail.request);
            for because in &detail.because {
                println!("  because {}", clean(because));
            }
            for (title, state) in &detail.inputs {
                println!("  needs   {:<10} {title}", output.word(state));
            }
            for attempt in &detail.task.attempts {
                println!(
                    "  attempt {} on {}: {}",
                    attempt.attempt,
                    attempt.runner,
                    clean(&attempt.end)
                );
            }
            if let Some(reason) = &detail.task.reason {
                println!("  {}", clean(reason));
            }
            Ok(Verdict::Well)
        }
        Answered::No(why) => refuse(&why),
    }
}

pub(crate) async fn cancel(args: CancelArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let body = CommandBody {
        subject: args.subject,
        reason: args.reason,
    };
    match client.post::<Canceled>("/api/v1/cancel", &body).await? {
        Answered::Yes(done) if output.json => output.print_json(&done).map(|()| Verdict::Well),
        Answered::Yes(done) => {
            println!("{} task(s) stop", done.canceled);
            Ok(Verdict::Well)
        }
        Answered::No(why) => refuse(&why),
    }
}

pub(crate) async fn retry(args: SubjectArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let body = CommandBody {
        subject: args.subject,
        reason: String::new(),
    };
    match client.post::<Retried>("/api/v1/retry", &body).await? {
        Answered::Yes(done) if output.json => output.print_json(&done).map(|()| Verdict::Well),
        Answered::Yes(done) => {
            println!("{} task(s) go again", done.retried);
            Ok(Verdict::Well)
        }
        Answered::No(why) => refuse(&why),
    }
}

pub(crate) fn refuse(why: &str) -> anyhow::Result<Verdict> {
    eprintln!("millrace: {}", clean(why));
    Ok(Verdict::NotWell)
}
