//! `millrace plan`: the dry run.

use anyhow::Context;
use control::{DryRun, Status};

use crate::Verdict;
use crate::args::PlanArgs;
use crate::client::{Answered, Client};
use crate::render::{Output, clean};
use crate::show::refuse;

pub(crate) async fn run(args: PlanArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let commit = match args.commit {
        Some(commit) => commit,
        None => match client.get::<Status>("/api/v1/status").await? {
            Answered::Yes(status) if !status.commit.is_empty() => status.commit,
            Answered::Yes(_) => return refuse("no commit has been planned yet: name one"),
            Answered::No(why) => return refuse(&why),
        },
    };
    match client
        .get::<DryRun>(&format!("/api/v1/plan/{commit}"))
        .await
        .context("plan")?
    {
        Answered::Yes(run) => {
            if output.json {
                output.print_json(&run)?;
            } else {
                print(&run, output);
            }
            let bad =
                !run.problems.is_empty() || run.requests.iter().any(|r| !r.problems.is_empty());
            Ok(if bad { Verdict::NotWell } else { Verdict::Well })
        }
        Answered::No(why) => refuse(&why),
    }
}

fn print(run: &DryRun, output: &Output) {
    for problem in &run.problems {
        println!(
            "{}",
            output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
        );
    }
    if run.requests.is_empty() && run.problems.is_empty() {
        println!("nothing to do: no request differs from what is planned");
    }
    for request in &run.requests {
        println!("{} {}", request.change, request.path);
        for problem in &request.problems {
            println!(
                "  {}",
                output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
            );
        }
        for task in &request.tasks {
            println!("  {:<10} {}", output.word(&task.state), task.title);
            println!("             {}", output.dim(&clean(&task.why)));
        }
        for note in &request.notes {
            println!(
                "  {}",
                output.dim(&clean(&format!("{}: {}", note.subject, note.why)))
            );
        }
    }
}
