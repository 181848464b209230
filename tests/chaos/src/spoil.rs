//! Proof that the judge can find: a sound installation is spoilt in each way that a check is for, judged,
//! and mended again.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rusqlite::Connection;

use crate::judge::{self, judge};
use crate::machine::Machine;
use crate::programs::{git, git_command, output};
use crate::public;
use crate::wishes::{REPOSITORIES, Wishes};

/// How something is spoilt; what it answers mends it again.
type Spoil = fn(&Machine) -> Result<Mend>;
type Mend = Box<dyn FnOnce() -> Result<()>>;

/// What is done, and the check that must say so.
const SPOILS: [(&str, Spoil, &str); 8] = [
    ("main goes back by a commit", main_goes_back, judge::MAIN),
    ("an answer is overwritten", answer_is_lost, judge::ANSWERS),
    ("the status branch has a merge", merge, judge::STATUS),
    (
        "a task has another result for a while",
        second_result,
        judge::RESULTS,
    ),
    ("a message is left over", message, judge::LEDGER),
    (
        "a published object has another byte",
        flipped_byte,
        judge::OBJECTS,
    ),
    (
        "a signature has another byte",
        flipped_signature,
        judge::VERIFY,
    ),
    ("the control plane panicked", panic, judge::LOGS),
];

/// What was spoilt and not found.
pub(crate) fn prove(machine: &Machine, wishes: &Wishes) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    let mut look = |what: &str, check: &str, wishes: &Wishes| {
        let found = judge(machine, wishes).0;
        if !found.iter().any(|finding| finding.starts_with(check)) {
            missed.push(format!("{what}, and \"{check}\" did not find it"));
        }
    };
    for (what, spoil, check) in SPOILS {
        let mend = spoil(machine).with_context(|| format!("spoil: {what}"))?;
        look(what, check, wishes);
        mend().with_context(|| format!("mend: {what}"))?;
    }
    let mut others = wishes.clone();
    if others.without_a_published_release() {
        look("a release too much", judge::CONTENT, &others);
    }
    let left = judge(machine, wishes).0;
    if !left.is_empty() {
        bail!("what was spoilt is not mended: {left:?}");
    }
    Ok(missed)
}

/// Moves a branch; the mend moves it back.
fn move_branch(machine: &Machine, name: &str, to: &str) -> Result<Mend> {
    let (state, name) = (machine.state(), format!("refs/heads/{name}"));
    let before = git(&state, &["rev-parse", &name])?;
    git(&state, &["update-ref", &name, to])?;
    Ok(Box::new(move || {
        git(&state, &["update-ref", &name, &before]).map(drop)
    }))
}

fn main_goes_back(machine: &Machine) -> Result<Mend> {
    let before = git(&machine.state(), &["rev-parse", "main~1"])?;
    move_branch(machine, "main", &before)
}

/// A commit on the status branch with one file replaced.
fn with_file(machine: &Machine, path: &str, text: &str) -> Result<String> {
    let state = machine.state();
    let (index, file) = (state.join("spoil.index"), state.join("spoil.txt"));
    std::fs::write(&file, text)?;
    let blob = git(&state, &["hash-object", "-w", &file.to_string_lossy()])?;
    let plumb =
        |args: &[&str]| output(git_command(&state).env("GIT_INDEX_FILE", &index).args(args));
    plumb(&["read-tree", "status"])?;
    let info = format!("100644,{blob},{path}");
    plumb(&["update-index", "--add", "--cacheinfo", &info])?;
    let tree = plumb(&["write-tree"])?;
    plumb(&["commit-tree", "-p", "status", "-m", "spoilt", &tree])
}

/// The path of a request of main whose answer has succeeded tasks.
fn some_answer(machine: &Machine) -> Result<(String, String)> {
    let state = machine.state();
    let names = git(&state, &["ls-tree", "-r", "--name-only", "main", "builds"])?;
    for path in names.lines() {
        let text = git(&state, &["show", &format!("status:{path}")]).unwrap_or_default();
        if text.contains("phase: succeeded") && text.contains("runner: ") {
            return Ok((path.to_owned(), text));
        }
    }
    bail!("no build has succeeded: the storm was too short")
}

fn answer_is_lost(machine: &Machine) -> Result<Mend> {
    let (path, _) = some_answer(machine)?;
    let commit = with_file(machine, &path, "A person was here.\n")?;
    move_branch(machine, "status", &commit)
}

fn merge(machine: &Machine) -> Result<Mend> {
    let words = [
        "commit-tree",
        "-p",
        "status",
        "-p",
        "main",
        "-m",
        "x",
        "status^{tree}",
    ];
    let commit = git(&machine.state(), &words)?;
    move_branch(machine, "status", &commit)
}

/// Said once, and pushed away since.
fn second_result(machine: &Machine) -> Result<Mend> {
    let (path, text) = some_answer(machine)?;
    let other = text.replacen("runner: ", "runner: not-", 1);
    let commit = with_file(machine, &path, &other)?;
    let (state, name) = (machine.state(), "refs/chaos/spoilt");
    git(&state, &["update-ref", name, &commit])?;
    Ok(Box::new(move || {
        git(&state, &["update-ref", "-d", name]).map(drop)
    }))
}

fn message(machine: &Machine) -> Result<Mend> {
    let path = machine.data().join("data/millrace.db");
    let change = |sql: &'static str| {
        let path = path.clone();
        move || -> Result<()> { Ok(Connection::open(&path)?.execute_batch(sql)?) }
    };
    change("INSERT INTO messages VALUES (999999999, 'advance', 0, 0, '{}')")()?;
    Ok(Box::new(change(
        "DELETE FROM messages WHERE id = 999999999",
    )))
}

fn flip(path: PathBuf) -> Result<Mend> {
    let whole = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Objects are read-only.
    let replace = move |bytes: &[u8]| -> Result<()> {
        std::fs::remove_file(&path)?;
        Ok(std::fs::write(&path, bytes)?)
    };
    replace(&bytes)?;
    Ok(Box::new(move || replace(&whole)))
}

fn some_pointer(machine: &Machine) -> Result<runner_api::Pointer> {
    for (name, ..) in REPOSITORIES {
        if let Some(pointer) = public::pointer(machine, name)? {
            return Ok(pointer);
        }
    }
    bail!("nothing is published: the storm was too short")
}

fn flipped_byte(machine: &Machine) -> Result<Mend> {
    let tree = public::tree(machine, &some_pointer(machine)?)?;
    let file = tree.files.values().next().context("a file")?;
    flip(public::object_path(machine, &file.sha256.to_string()))
}

fn flipped_signature(machine: &Machine) -> Result<Mend> {
    let pointer = some_pointer(machine)?;
    let file = pointer.signatures.values().next().context("a signature")?;
    flip(public::object_path(machine, &file.sha256.to_string()))
}

fn panic(machine: &Machine) -> Result<Mend> {
    let path = machine.log_path("up");
    let before = std::fs::read(&path)?;
    let text = b"thread 'x' panicked at src/lib.rs:1:1:\nboom\n";
    std::fs::write(&path, [&before[..], text].concat())?;
    Ok(Box::new(move || Ok(std::fs::write(&path, before)?)))
}
