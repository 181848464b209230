//! After the storm: nothing is hurt any more, nothing is started again that runs, and everything must
//! end by itself. What a person has to mend is mended by a person.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::database::Database;
use crate::http;
use crate::machine::Machine;
use crate::people::People;
use crate::programs::git;
use crate::progress::Progress;
use crate::wishes::{End, Wishes};
use anyhow::Result;

/// Longest time until all is at rest. A message that a killed process had claimed comes back after two
/// minutes, an attempt that failed four times by the machine's fault begins anew within 80 s.
const PATIENCE: Duration = Duration::from_secs(420);
const LOOK: Duration = Duration::from_millis(500);
/// How long it must stay so.
const STAYS: Duration = Duration::from_secs(3);

/// Answers how long it took, or what is not at rest.
pub(crate) fn wait(
    (machine, people): (&mut Machine, &mut People),
    wishes: &Wishes,
    progress: &mut Progress,
) -> Result<std::result::Result<Duration, String>> {
    let began = Instant::now();
    let mut since: Option<Instant> = None;
    loop {
        machine.look()?;
        people.push(machine);
        let restless = restless(machine, people, wishes);
        match (&restless, since) {
            (None, Some(since)) if since.elapsed() > STAYS => {
                return Ok(Ok(began.elapsed()));
            }
            (None, None) => since = Some(Instant::now()),
            (None, Some(_)) => {}
            (Some(what), _) => {
                since = None;
                progress.rest(began.elapsed(), what);
                if began.elapsed() > PATIENCE {
                    return Ok(Err(what.clone()));
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// What is not at rest yet. On the way people ask again for what the machine gave up.
fn restless(machine: &Machine, people: &People, wishes: &Wishes) -> Option<String> {
    if people.unpushed {
        return Some("the last push".to_owned());
    }
    let Some((200, head)) = http::get(machine.address(), "/api/v1/head") else {
        return Some("the control plane's answer".to_owned());
    };
    if head["tip"] != head["planned"] {
        return Some("the newest commit to be planned".to_owned());
    }
    let tip = git(&machine.clone_path(), &["rev-parse", "HEAD"]).unwrap_or_default();
    if head["tip"] != tip.as_str() {
        return Some("the newest commit to be seen".to_owned());
    }
    match restless_rows(machine, people, wishes) {
        Ok(what) => what,
        Err(error) => Some(format!("the database: {error:#}")),
    }
}

fn restless_rows(machine: &Machine, people: &People, wishes: &Wishes) -> Result<Option<String>> {
    let database = Database::open(machine)?;
    let ends = wishes.ends();
    let mut what = None;
    for (path, phase) in database.requests()? {
        if given_up(ends.get(path.as_str()).copied(), phase) {
            people.ask(machine, "retry", &path)?;
            what = Some(format!("{path}, which is {phase} and was asked for again"));
        }
    }
    if what.is_some() {
        return Ok(what);
    }
    Ok(database.left(&waiting(wishes))?.into_iter().next())
}

/// Whether a person has to ask again: it failed by the machine's fault, or a person stopped it.
fn given_up(end: Option<End>, phase: &str) -> bool {
    match end {
        // A broken package that somebody canceled has not failed yet.
        Some(End::Failed) => phase == "canceled",
        _ => matches!(phase, "failed" | "canceled"),
    }
}

/// Requests that stay open.
pub(crate) fn waiting(wishes: &Wishes) -> BTreeSet<String> {
    let ends = wishes.ends().into_iter();
    let waits = ends.filter(|(_, end)| *end == End::Waits);
    waits.map(|(path, _)| path.to_owned()).collect()
}
