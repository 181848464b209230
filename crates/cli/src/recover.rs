//! `millrace recover`: the ledger of a data directory, rebuilt from what cannot be lost with it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use control::{Control, Options, Recovered};
use platform_local::LocalPlatform;
use ports::{Platform, StateRepo as _};
use serde_json::json;
use state_repo::GitStateRepo;

use crate::Verdict;
use crate::args::RecoverArgs;
use crate::failure::{Failure, Kind};
use crate::local::{Layout, private_directory};
use crate::render::{Output, clean, count};
use crate::state::StatePlace;
use crate::up::configuration;

/// Progress is told once for so many answers.
const STEP: usize = 100;

pub(crate) async fn run(args: RecoverArgs, output: &Output) -> anyhow::Result<Verdict> {
    let layout = Layout::new(&args.data)?;
    anyhow::ensure!(layout.is_made(), layout.not_made());
    private_directory(&layout.data())?;
    let place = StatePlace::noted(&layout)?;
    let state_repo = GitStateRepo::new(place.open(&layout)?).holding(&place.branch);
    let mut options = Options {
        branch: place.branch.clone(),
        ..Options::default()
    };
    if let Some(config) = configuration(&state_repo, &place.branch).await {
        options.status_branch = config.project.status_branch.to_string();
    }
    // Nothing is put aside that cannot be rebuilt.
    let head = state_repo.head(&options.status_branch).await;
    head.context("read the state repository: nothing was changed")?;
    let aside = match args.replace {
        true => platform_local::set_aside(&layout.data()).context("put the old ledger aside")?,
        false => None,
    };
    let recovered = match (rebuild(&layout, state_repo, options, output).await, &aside) {
        (Ok(recovered), _) => recovered,
        (Err(error), None) => return Err(error),
        (Err(error), Some(aside)) => return Err(put_back(&layout, aside, error)),
    };
    if output.json {
        output.print_json(&as_json(&recovered, aside.as_ref()))?;
    } else {
        output.print(&text(&recovered, aside.as_ref(), output))?;
    }
    Ok(match recovered.problems.is_empty() {
        true => Verdict::Well,
        false => Verdict::NotWell,
    })
}

async fn rebuild(
    layout: &Layout,
    state_repo: GitStateRepo,
    options: Options,
    output: &Output,
) -> anyhow::Result<Recovered> {
    let data = layout.data();
    let platform = LocalPlatform::open(&data, state_repo).context("open the data directory")?;
    let control = Control::new(platform, options);
    let rebuilt = rebuild_empty(&control, &data, output).await;
    rebuilt.inspect_err(|_| control.platform().leave_as_found())
}

async fn rebuild_empty<P: Platform>(
    control: &Control<P>,
    data: &Path,
    output: &Output,
) -> anyhow::Result<Recovered> {
    if control.is_planned().await? {
        let sentence = format!(
            "a ledger is below {}: nothing was changed; to put it aside and rebuild it, say --replace",
            data.display()
        );
        return Err(Failure::new(Kind::NotNow, sentence).into());
    }
    let live = std::io::stderr().is_terminal() && !output.json;
    let recovered = control.recover(|n, of| tell(live, n, of)).await;
    recovered.context("recover the ledger")
}

/// The old ledger is where it was, when this returns with why there is no new one; or the error says
/// where it is.
fn put_back(layout: &Layout, aside: &Path, error: anyhow::Error) -> anyhow::Error {
    match platform_local::put_back(&layout.data(), aside) {
        Ok(()) => error.context("the old ledger is in its place again"),
        Err(cause) => error.context(format!(
            "the old ledger is in {}, and could not be put back ({cause}); while `millrace up` does not run, move what is in there to {}",
            aside.display(),
            layout.data().display()
        )),
    }
}

fn tell(live: bool, n: usize, of: usize) {
    if !live || !(n.is_multiple_of(STEP) || n == of) {
        return;
    }
    let end = if n == of { "\n" } else { "" };
    // Progress that nobody sees is no reason to stop.
    let _nobody_reads_it = write!(std::io::stderr(), "\r{n} of {of} answers read{end}");
}

fn as_json(recovered: &Recovered, aside: Option<&PathBuf>) -> serde_json::Value {
    json!({
        "requests": recovered.requests,
        "tasks": recovered.tasks,
        "again": recovered.again,
        "repositories": recovered.repositories,
        "finished": recovered.finished,
        "problems": recovered.problems,
        "set_aside": aside,
    })
}

fn text(recovered: &Recovered, aside: Option<&PathBuf>, output: &Output) -> String {
    let mut text = String::new();
    if let Some(aside) = aside {
        let _ = writeln!(text, "the old ledger is in {}", aside.display());
    }
    let _ = writeln!(
        text,
        "recovered {}, {} and {}",
        count(recovered.requests, "request"),
        count(recovered.tasks, "task"),
        match recovered.repositories {
            1 => "1 repository".to_owned(),
            n => format!("{n} repositories"),
        }
    );
    if recovered.again > 0 {
        let tasks = count(recovered.again, "task");
        let _ = writeln!(text, "{tasks} that runners had: to be run again");
    }
    for release in &recovered.finished {
        let _ = writeln!(
            text,
            "{release} was lost half published: it is finished first"
        );
    }
    for problem in &recovered.problems {
        let line = clean(&format!("{}: {}", problem.subject, problem.message));
        let _ = writeln!(text, "{}", output.problem(&line));
    }
    text.push_str("start `millrace up` again\n");
    text
}
