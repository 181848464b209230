//! The verdict: everything that must hold once all is at rest and stopped.
//!
//! Each check answers sentences about what it found; none stops at the first.

mod history;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use ledger::TaskState;
use serde_json::Value;

use crate::database::Database;
use crate::machine::{ELSEWHERE, Machine};
use crate::programs::{git, said};
use crate::public;
use crate::rest::waiting;
use crate::wishes::{REPOSITORIES, Wishes};
use chaos::workshop::PRETENDED_PANIC;

/// What the end looks like, for the closing line.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) requests: usize,
    pub(crate) tasks: usize,
    pub(crate) attempts: usize,
    pub(crate) status_commits: usize,
    pub(crate) published_files: usize,
}

/// A check: its name and what it found.
type Check = fn(&Machine, &Wishes, &mut End) -> Result<Vec<String>>;
const CHECKS: [(&str, Check); 9] = [
    (MAIN, main_branch),
    (ANSWERS, answers),
    (STATUS, status_branch),
    (RESULTS, history::one_result_each),
    (LEDGER, ledger),
    (OBJECTS, objects),
    (CONTENT, content),
    (VERIFY, verify),
    (LOGS, logs),
];
pub(crate) const MAIN: &str = "main is as people pushed it";
pub(crate) const ANSWERS: &str = "every request has its end on the status branch";
pub(crate) const STATUS: &str = "the status branch is linear and whole";
pub(crate) const RESULTS: &str = "no task was ever answered twice";
pub(crate) const LEDGER: &str = "the ledger is at rest, and its tasks have one result each";
pub(crate) const OBJECTS: &str = "pointers name whole objects";
pub(crate) const CONTENT: &str = "repositories are the sum of their releases";
pub(crate) const VERIFY: &str = "millrace verify is clean";
pub(crate) const LOGS: &str = "no process panicked";

/// Everything that does not hold. The installation is stopped.
pub(crate) fn judge(machine: &Machine, wishes: &Wishes) -> (Vec<String>, End) {
    let (mut findings, mut end) = (Vec::new(), End::default());
    for (name, check) in CHECKS {
        let found = check(machine, wishes, &mut end);
        let found = found.unwrap_or_else(|error| vec![format!("it cannot be told: {error:#}")]);
        findings.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    (findings, end)
}

fn main_branch(machine: &Machine, _: &Wishes, _: &mut End) -> Result<Vec<String>> {
    let pushed = git(&machine.clone_path(), &["rev-parse", "HEAD"])?;
    let there = git(&machine.state(), &["rev-parse", "main"])?;
    let differs = (pushed != there).then(|| format!("people pushed {pushed}, it is {there}"));
    Ok(differs.into_iter().collect())
}

/// The answer to a request, as the status branch has it.
fn answer(machine: &Machine, path: &str) -> Result<Value> {
    let text = git(&machine.state(), &["show", &format!("status:{path}")])?;
    serde_saphyr::from_str(&text).with_context(|| format!("read status:{path}"))
}

fn answers(machine: &Machine, wishes: &Wishes, end: &mut End) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, wanted) in wishes.ends() {
        end.requests += 1;
        let answer = match answer(machine, path) {
            Ok(answer) => answer,
            Err(error) => {
                found.push(format!("{path} has none: {error:#}"));
                continue;
            }
        };
        if answer["phase"] != wanted.phase() {
            let (phase, problems) = (&answer["phase"], &answer["problems"]);
            let wanted = wanted.phase();
            found.push(format!("{path} is {phase}, not {wanted} ({problems})"));
        }
        let commit = answer["commit"].as_str().unwrap_or_default();
        let file = |commit: &str| git(&machine.state(), &["show", &format!("{commit}:{path}")]);
        if file(commit).ok() != file("main").ok() {
            found.push(format!(
                "{path}: the answer is to {commit}, whose file is another"
            ));
        }
    }
    let names = git(
        &machine.state(),
        &["ls-tree", "-r", "--name-only", "status"],
    )?;
    for path in names.lines().filter(|name| name.contains("/2026/")) {
        if wishes.ends().contains_key(path) {
            continue;
        }
        let answer = answer(machine, path)?;
        if !matches!(answer["phase"].as_str(), Some("removed" | "reverted")) {
            let phase = &answer["phase"];
            found.push(format!("{path} is not on main any more, and is {phase}"));
        }
    }
    Ok(found)
}

fn status_branch(machine: &Machine, _: &Wishes, end: &mut End) -> Result<Vec<String>> {
    let state = machine.state();
    let count = |args: &[&str]| -> Result<usize> {
        let words = [&["rev-list", "--count"], args].concat();
        git(&state, &words)?.parse().context("read a count")
    };
    end.status_commits = count(&["status"])?;
    let mut found = Vec::new();
    let merges = count(&["--min-parents=2", "status"])?;
    if merges > 0 {
        found.push(format!("it has {merges} merges"));
    }
    let roots = count(&["--max-parents=0", "status"])?;
    if roots != 1 {
        found.push(format!("it has {roots} beginnings"));
    }
    if let Err(error) = git(
        &state,
        &["fsck", "--full", "--no-dangling", "--no-progress"],
    ) {
        found.push(format!("git fsck: {error:#}"));
    }
    Ok(found)
}

fn ledger(machine: &Machine, wishes: &Wishes, end: &mut End) -> Result<Vec<String>> {
    let database = Database::open(machine)?;
    let mut found: Vec<String> = database.check()?.into_iter().collect();
    found.extend(database.left(&waiting(wishes))?);
    for task in database.tasks()? {
        end.tasks += 1;
        end.attempts += task.attempts.len();
        let title = format!("{} ({})", task.task, task.spec.title());
        let accepted: Vec<_> = task
            .attempts
            .iter()
            .filter(|attempt| attempt.end == "succeeded")
            .collect();
        let result = match &task.state {
            TaskState::Succeeded { result } => Some(result),
            _ => None,
        };
        match (accepted.as_slice(), result) {
            ([], None) => {}
            ([one], Some(result))
                if one.attempt == result.attempt && one.runner == result.runner => {}
            (all, result) => found.push(format!(
                "{title} has {} accepted attempts, and {} result",
                all.len(),
                if result.is_some() { "a" } else { "no" }
            )),
        }
        let mut numbers: Vec<u32> = task.attempts.iter().map(|it| it.attempt).collect();
        numbers.dedup();
        if numbers.len() != task.attempts.len() || !numbers.is_sorted() {
            found.push(format!("{title} has attempts {numbers:?}"));
        }
    }
    Ok(found)
}

fn objects(machine: &Machine, _: &Wishes, end: &mut End) -> Result<Vec<String>> {
    let mut public = public::Public::default();
    public.look(machine);
    let mut found = public.findings;
    for (name, ..) in REPOSITORIES {
        if let Some(pointer) = public::pointer(machine, name)? {
            end.published_files += public::tree(machine, &pointer)?.files.len();
        }
    }
    found.extend(public::damaged_objects(machine)?);
    Ok(found)
}

fn content(machine: &Machine, wishes: &Wishes, _: &mut End) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, ..) in REPOSITORIES {
        let wanted = wishes.content(name);
        let there = match public::pointer(machine, name)? {
            Some(pointer) => public::packages(machine, &pointer)?,
            None => BTreeSet::new(),
        };
        let lacking = wanted
            .difference(&there)
            .map(|file| format!("{name} lacks {file}"));
        let more = there
            .difference(&wanted)
            .map(|file| format!("{name} has {file} too much"));
        found.extend(lacking.chain(more));
    }
    Ok(found)
}

fn verify(machine: &Machine, _: &Wishes, _: &mut End) -> Result<Vec<String>> {
    let mut published = false;
    for (name, ..) in REPOSITORIES {
        published |= public::pointer(machine, name)?.is_some();
    }
    if !published {
        return Ok(Vec::new());
    }
    let output = machine.millrace("verify", &[]).output()?;
    let findings = (!output.status.success()).then(|| said(&output));
    Ok(findings.into_iter().collect())
}

fn logs(machine: &Machine, _: &Wishes, _: &mut End) -> Result<Vec<String>> {
    let mut found = BTreeMap::new();
    for name in ["up"].into_iter().chain(ELSEWHERE.map(|(id, ..)| id)) {
        let text = std::fs::read(machine.log_path(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for (line, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
            if line.contains("panicked at") && !next.contains(PRETENDED_PANIC) {
                found.insert((*line).to_owned(), format!("{name}: {line} {next}"));
            }
        }
    }
    Ok(found.into_values().collect())
}
