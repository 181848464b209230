//! `millrace plan`: the dry run of a checkout, a branch or a commit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use control::{DryRun, DryRunPackage, DryRunRepository, DryRunRequest, PackageChange};
use serde::Serialize;
use server::{Head, PlanBody};

use crate::Verdict;
use crate::args::PlanArgs;
use crate::checkout::{Checkout, Edits};
use crate::client::Client;
use crate::cost::Costs;
use crate::failure::{Failure, Kind};
use crate::render::{Output, clean, note, short};
use crate::status::{notes, problems};

/// The dry run as the control plane answers it, and what was added here.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    run: &'a DryRun,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'a Costs>,
}

pub(crate) async fn run(args: PlanArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let run = match args.what.as_deref() {
        None => checkout(&client, &PathBuf::from(".")).await?,
        Some(path) if is_directory(path) => checkout(&client, Path::new(path)).await?,
        Some(name) => revision(&client, name).await?,
    };
    let costs = args.cost.then(|| Costs::of(&run, &args.costs));
    if output.json {
        output.print_json(&Answer {
            run: &run,
            cost: costs.as_ref(),
        })?;
    } else {
        let costs = costs.map(|costs| costs.text()).unwrap_or_default();
        output.print(&(text(&run, output) + &costs))?;
    }
    let bad = !run.problems.is_empty() || run.requests.iter().any(|r| !r.problems.is_empty());
    Ok(if bad { Verdict::NotWell } else { Verdict::Well })
}

/// A branch may be called like a folder; a path with `.` or `/` at its beginning is a folder.
fn is_directory(text: &str) -> bool {
    Path::new(text).join("millrace.yaml").exists()
}

async fn checkout(client: &Client, directory: &Path) -> anyhow::Result<DryRun> {
    let Some(checkout) = Checkout::find(directory)? else {
        let sentence = format!(
            "{} is no checkout of a state repository: go to one, or give a branch or a commit",
            directory.display()
        );
        return Err(Failure::new(Kind::NotThere, sentence).into());
    };
    let head: Head = client.get("/api/v1/head").await?;
    let edits = checkout.work_tree(&head.planned)?;
    note(&format!(
        "millrace: the checkout {}, {} on top of planned commit {}",
        checkout.top().display(),
        files(&edits),
        short(&head.planned)
    ));
    send(client, head.planned, edits).await
}

/// The state repository's own branch or commit first: that is what would be merged.
async fn revision(client: &Client, name: &str) -> anyhow::Result<DryRun> {
    if let Some(run) = client.find(&format!("/api/v1/plan/{name}")).await? {
        return Ok(run);
    }
    let head: Head = client.get("/api/v1/head").await?;
    let here = Checkout::find(Path::new("."))?;
    let edits = match &here {
        Some(checkout) => checkout.revision(name, &head.planned)?,
        None => None,
    };
    let Some(edits) = edits else {
        let sentence = match here {
            Some(_) => format!(
                "neither the state repository nor the checkout here has a branch or commit {name}"
            ),
            None => format!(
                "the state repository has no branch or commit {name} (a commit is named by its 40 hex digits, unless you are in a checkout that has it)"
            ),
        };
        return Err(Failure::not_there(sentence).into());
    };
    note(&format!(
        "millrace: {name} of the checkout here, {} on top of planned commit {}",
        files(&edits),
        short(&head.planned)
    ));
    send(client, head.planned, edits).await
}

fn files(edits: &Edits) -> String {
    match edits.len() {
        0 => "no file that differs".to_owned(),
        1 => "1 file that differs".to_owned(),
        n => format!("{n} files that differ"),
    }
}

async fn send(client: &Client, base: String, files: Edits) -> anyhow::Result<DryRun> {
    let body = PlanBody {
        base: Some(base).filter(|base| !base.is_empty()),
        files,
    };
    client.post("/api/v1/plan", &body).await
}

fn text(run: &DryRun, output: &Output) -> String {
    let mut text = problems(&run.problems, "", output);
    for need in &run.needs {
        let line = output.problem(&clean(&need.sentence()));
        let _ = writeln!(text, "{line}");
    }
    text.push_str(&notes(&run.notes, "", output));
    if run.requests.is_empty() && run.problems.is_empty() {
        text.push_str("nothing to build or release: no request differs from what is planned\n");
    }
    for request in &run.requests {
        text.push_str(&one(request, output));
    }
    if let Some(forecast) = &run.forecast {
        let phrase = forecast.phrase();
        let _ = writeln!(text, "{phrase}; what waits in the queues is not in it");
    }
    if !run.digest.is_empty() {
        let line = format!("plan {}", clean(&run.digest));
        let _ = writeln!(text, "{}", output.dim(&line));
    }
    text
}

fn one(request: &DryRunRequest, output: &Output) -> String {
    let priority = crate::render::priority(request.priority);
    let mut text = format!("{} {}{priority}\n", request.change, request.path);
    text.push_str(&problems(&request.problems, "  ", output));
    for (name, commit) in &request.plan.refs {
        let line = format!("{name} is {}", short(commit));
        let _ = writeln!(text, "  {}", output.dim(&clean(&line)));
    }
    if !request.order.is_empty() {
        let stages: Vec<String> = request.order.iter().map(|it| it.join(", ")).collect();
        let line = format!("build order: {}", stages.join(", then "));
        let _ = writeln!(text, "  {}", clean(&line));
    }
    for task in &request.tasks {
        let state = output.word(crate::render::state_word(&task.state), 10);
        let _ = writeln!(text, "  {state} {}", task.title);
        let _ = writeln!(text, "             {}", output.dim(&clean(&task.why)));
    }
    for repository in &request.repositories {
        text.push_str(&changes(repository, output));
    }
    text.push_str(&notes(&request.notes, "  ", output));
    text
}

/// What clients of a repository would see change.
fn changes(repository: &DryRunRepository, output: &Output) -> String {
    let mut text = format!(
        "  repository {}, signed with {}",
        repository.name, repository.key
    );
    if !repository.smoke.is_empty() {
        let _ = write!(text, ", tried on {}", repository.smoke.join(", "));
    }
    text.push('\n');
    for package in &repository.packages {
        let line = format!("    {}", clean(&one_package(package)));
        let line = match package.change {
            PackageChange::Removed | PackageChange::Downgraded | PackageChange::Hidden => {
                output.problem(&line)
            }
            PackageChange::Added | PackageChange::Upgraded => line,
        };
        let _ = writeln!(text, "{line}");
    }
    for awaited in &repository.awaited {
        let line = clean(&format!("+ {awaited}, once it is built"));
        let _ = writeln!(text, "    {}", output.dim(&line));
    }
    if repository.packages.is_empty() && repository.awaited.is_empty() {
        let _ = writeln!(text, "    {}", output.dim("nothing changes"));
    }
    text
}

/// `+ hello amd64 2.12.3-1`, or what else becomes of it.
fn one_package(package: &DryRunPackage) -> String {
    let version = |version: &Option<String>| version.clone().unwrap_or_default();
    let (from, to) = (version(&package.from), version(&package.to));
    let (sign, what) = match package.change {
        PackageChange::Added => ("+", to),
        PackageChange::Removed => ("-", from),
        PackageChange::Upgraded => ("↑", format!("{from} → {to}")),
        PackageChange::Downgraded => (
            "↓",
            format!("{from} → {to}, which is older: clients that have {from} keep it"),
        ),
        PackageChange::Hidden => (
            "·",
            format!("{to} is older than {from}, which stays: clients do not see it"),
        ),
    };
    format!("{sign} {} {} {what}", package.name, package.arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_as_clients_see_them_change() {
        let check = |change: PackageChange, from: &str, to: &str, expect: &str| {
            let version = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let package = DryRunPackage {
                name: "hello".to_owned(),
                arch: "amd64".to_owned(),
                from: version(from),
                to: version(to),
                change,
            };
            assert_eq!(one_package(&package), expect);
        };
        check(PackageChange::Added, "", "2", "+ hello amd64 2");
        check(PackageChange::Removed, "2", "", "- hello amd64 2");
        check(PackageChange::Upgraded, "1", "2", "↑ hello amd64 1 → 2");
        check(
            PackageChange::Downgraded,
            "2",
            "1",
            "↓ hello amd64 2 → 1, which is older: clients that have 2 keep it",
        );
        check(
            PackageChange::Hidden,
            "2",
            "1",
            "· hello amd64 1 is older than 2, which stays: clients do not see it",
        );
    }
}
