//! The status branch over all the time, also what people pushed away: whoever read it in between must
//! not have been told two results of one task.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::End;
use crate::machine::Machine;
use crate::programs::{git, git_command};
use crate::wishes::Wishes;

/// For each task that was ever said to have succeeded: one attempt of one runner, one set of artifacts.
pub(super) fn one_result_each(machine: &Machine, _: &Wishes, _: &mut End) -> Result<Vec<String>> {
    let mut results: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut read = |text: &str| {
        // A person's scribbles are no answers.
        let Ok(answer) = serde_saphyr::from_str::<Value>(text) else {
            return;
        };
        for task in answer["tasks"].as_array().into_iter().flatten() {
            if task["state"] == "succeeded" {
                let id = task["id"].as_str().unwrap_or_default().to_owned();
                let what = ["attempt", "runner", "artifacts", "log", "ran"];
                let result: Vec<&Value> = what.iter().map(|field| &task[*field]).collect();
                let result = format!("{} {result:?}", task["title"]);
                results.entry(id).or_default().insert(result);
            }
        }
    };
    each_answer(machine, &mut read)?;
    let doubled = results.into_iter().filter(|(_, results)| results.len() > 1);
    Ok(doubled
        .map(|(id, results)| format!("{id} had {} results: {results:#?}", results.len()))
        .collect())
}

/// Every version of every answer that any tip of the branch has in its history.
fn each_answer(machine: &Machine, read: &mut dyn FnMut(&str)) -> Result<()> {
    let state = machine.state();
    let tips = git(
        &state,
        &[
            "for-each-ref",
            "--format=%(refname)",
            "refs/chaos",
            "refs/heads/status",
        ],
    )?;
    let mut words = vec!["log", "--raw", "--no-abbrev", "--no-renames", "--format="];
    words.extend(tips.lines());
    words.extend(["--", "builds", "releases"]);
    let raw = git(&state, &words)?;
    // `:100644 100644 <old> <new> M\t<path>`
    let blobs: BTreeSet<&str> = raw
        .lines()
        .filter_map(|line| line.split(' ').nth(3))
        .filter(|id| id.bytes().any(|byte| byte != b'0'))
        .collect();
    let mut child = git_command(&state)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start git cat-file")?;
    let mut ask = child.stdin.take().context("a pipe")?;
    let mut answers = BufReader::new(child.stdout.take().context("a pipe")?);
    for blob in blobs {
        writeln!(ask, "{blob}")?;
        let mut head = String::new();
        answers.read_line(&mut head)?;
        let size: usize = head
            .trim()
            .rsplit(' ')
            .next()
            .and_then(|size| size.parse().ok())
            .with_context(|| format!("git cat-file said {head:?}"))?;
        let mut bytes = vec![0; size + 1];
        answers.read_exact(&mut bytes)?;
        read(&String::from_utf8_lossy(&bytes[..size]));
    }
    drop(ask);
    child.wait()?;
    Ok(())
}
