//! `cargo xtask fuzz`: strangers' bytes at every parser that reads them.
//!
//! The targets are in tests/fuzz, a workspace of its own, since libFuzzer's instrumentation needs a nightly
//! compiler; what ships is built by the stable one. The corpus beside them is small and is read first;
//! what a run finds new is kept below the target directory, and a crash beside it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::Usage;
use crate::sh::{cmd, output, run, target, top};

const HELP: &str = "\
usage: cargo xtask fuzz [--seconds N] [TARGET...]

  Runs each target (all of them, unless named) for N seconds (60) with libFuzzer and AddressSanitizer:
  no panic, no input that takes longer than 5 s or more than 1 GiB, and what can be rendered and read
  again is the same. The corpus is tests/fuzz/corpus/TARGET; a crash is kept and named. A find becomes a
  test of the crate concerned.

  --list  name the targets
";

/// The fuzzing front end. Pinned: its command line is used.
const CARGO_FUZZ: &str = "0.13.2";
/// Seconds for one target.
const SECONDS: NonZeroU32 = NonZeroU32::new(60).expect("it is not 0");
/// Longest input, in bytes: parsers have their own limits, and long inputs are slow to mutate.
const MAX_BYTES: &str = "-max_len=65536";
/// Longest time for one input, in seconds, and most memory, in MiB.
const LIMITS: [&str; 2] = ["-timeout=5", "-rss_limit_mb=1024"];

pub(crate) fn run_targets(words: &[&str]) -> Result<()> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    if words == ["--list"] {
        targets()?.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let (seconds, wanted) = wanted(words, targets()?)?;
    nightly()?;
    let tool = tool()?;
    let mut crashed = Vec::new();
    for name in wanted {
        println!("== {name}, {seconds} s");
        match fuzz(&tool, &name, &seconds.to_string())? {
            Some(line) => println!("{line}"),
            None => crashed.push(name),
        }
    }
    ensure!(
        crashed.is_empty(),
        "found by {}: the inputs are in {}; make each a test of the crate concerned",
        crashed.join(", "),
        artifacts("").display()
    );
    Ok(())
}

/// For how many seconds which of `all` targets.
fn wanted(words: &[&str], all: Vec<String>) -> Result<(NonZeroU32, Vec<String>), Usage> {
    let (mut seconds, mut named) = (SECONDS, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                // To libFuzzer, 0 is for ever.
                seconds = number.ok_or_else(|| {
                    Usage(format!("--seconds wants a number, 1 at least\n{HELP}"))
                })?;
            }
            flag if flag.starts_with('-') => {
                return Err(Usage(format!("{flag} is no option\n{HELP}")));
            }
            name if !all.iter().any(|it| it == name) => {
                let all = all.join(", ");
                return Err(Usage(format!("there is no target {name}: there are {all}")));
            }
            name => named.push(name.to_owned()),
        }
    }
    Ok((seconds, if named.is_empty() { all } else { named }))
}

fn folder() -> PathBuf {
    top().join("tests/fuzz")
}

fn artifacts(name: &str) -> PathBuf {
    target().join("fuzz/artifacts").join(name)
}

/// The programs of tests/fuzz.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "rs") {
            let name = path.file_stem().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn nightly() -> Result<()> {
    let there = cmd("cargo", &["+nightly", "--version"]).output();
    ensure!(
        there.is_ok_and(|output| output.status.success()),
        "fuzzing needs a nightly compiler, for its instrumentation alone: `rustup toolchain install nightly --profile minimal`"
    );
    Ok(())
}

/// cargo-fuzz, installed below the target directory when it is missing.
fn tool() -> Result<PathBuf> {
    let root = target().join("tools");
    let tool = root.join("bin/cargo-fuzz");
    let version = cmd(&tool, &["--version"]).output();
    let wanted = format!("cargo-fuzz {CARGO_FUZZ}");
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == wanted) {
        return Ok(tool);
    }
    println!("== installing {wanted}, some minutes");
    let package = format!("cargo-fuzz@{CARGO_FUZZ}");
    let mut install = cmd(
        "cargo",
        &["install", "--quiet", "--locked", "--force", "--root"],
    );
    run(install.arg(&root).arg(&package))?;
    Ok(tool)
}

/// The line of figures; `None`: it found something, and said so.
fn fuzz(tool: &PathBuf, name: &str, seconds: &str) -> Result<Option<String>> {
    let found = target().join("fuzz/corpus").join(name);
    let artifacts = artifacts(name);
    for directory in [&found, &artifacts] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create {}", directory.display()))?;
    }
    let triple = output(&mut cmd("rustc", &["+nightly", "--print", "host-tuple"]))?;
    let mut fuzz = cmd(tool, &["fuzz", "run", "--fuzz-dir"]);
    fuzz.arg(folder())
        .args(["--target", &triple, "--target-dir"])
        .arg(target().join("fuzz/build"))
        .arg(name)
        // New inputs go into the first.
        .arg(&found)
        .arg(folder().join("corpus").join(name))
        .args(["--", MAX_BYTES, "-print_final_stats=1"])
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .current_dir(folder())
        .stderr(Stdio::piped());
    let done = fuzz.output().context("start cargo-fuzz")?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        let lines: Vec<&str> = said.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        return Ok(None);
    }
    Ok(Some(figures(name, &said)))
}

/// Of libFuzzer's closing figures, those that say whether it got anywhere.
fn figures(name: &str, said: &str) -> String {
    let stat = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(key));
        line.map_or("?", str::trim).to_owned()
    };
    let covered = said.lines().rev().find_map(|line| {
        let rest = line.split_once("cov: ")?.1;
        rest.split(' ').next()
    });
    format!(
        "{name}: {} inputs, {} a second, {} new in the corpus, {} edges covered, {} MiB at most, nothing found",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
        stat("stat::new_units_added:"),
        covered.unwrap_or("?"),
        stat("stat::peak_rss_mb:"),
    )
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn words_are_looked_at_before_anything_is_built() {
        let says = |words: &[&str], expect: &str| {
            let said = match wanted(words, vec!["deb".to_owned(), "rpm".to_owned()]) {
                Ok((seconds, names)) => format!("{seconds} {}", names.join(" ")),
                Err(usage) => usage.0,
            };
            assert_eq!(said.lines().next().unwrap_or_default(), expect, "{words:?}");
        };
        says(&[], "60 deb rpm");
        says(&["rpm", "--seconds", "5"], "5 rpm");
        for words in [
            &["--seconds", "0"][..],
            &["--seconds", "nan"],
            &["--seconds"],
        ] {
            says(words, "--seconds wants a number, 1 at least");
        }
        says(&["--jobs"], "--jobs is no option");
        says(&["apk"], "there is no target apk: there are deb, rpm");
    }
}
