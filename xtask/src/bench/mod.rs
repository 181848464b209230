//! `cargo xtask bench [--json] [NAME…]`: every line of speed and memory, against its limit or its peer.
//!
//! The measuring programs print JSON with all that they saw; [`lines`] makes lines of it. Peers run in the
//! same run over the same input, because a machine's speed is nobody's merit.

mod line;
mod lines;

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::aws::packages::PROFILE;
use crate::sh::{cmd, run, scratch, target, top};
use crate::{bridge, setup};
use line::Line;

/// What can be measured: its word, and how its lines are made.
type Measure = (
    &'static str,
    fn() -> Result<Vec<Value>>,
    fn(&[Value]) -> Result<Vec<Line>>,
);
const MEASURES: [Measure; 10] = [
    ("plan", || control_plane("plan", &[]), lines::plan),
    ("status", || control_plane("status", &[]), lines::status),
    ("recover", || control_plane("recover", &[]), lines::recover),
    ("rpm", rpm, lines::rpm),
    ("deb", deb, lines::deb),
    ("build", build, lines::build),
    ("start", || control_plane("start", &[]), lines::start),
    ("tasks", || control_plane("tasks", &[]), lines::tasks),
    ("forge", || control_plane("forge", &[]), lines::forge),
    ("aws", aws, lines::aws),
];
/// Packages in the repositories that are measured.
const PACKAGES: &str = "10000";

/// What is measured without `millrace` and its runners.
const ALONE: [&str; 3] = ["rpm", "deb", "aws"];

/// Fails when a line is missed.
pub(crate) fn measure(words: &[&str]) -> Result<()> {
    let json = words.contains(&"--json");
    let names: Vec<&str> = words.iter().copied().filter(|w| *w != "--json").collect();
    let is_known = |name: &&str| *name == "ledger" || MEASURES.iter().any(|m| m.0 == *name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known = MEASURES.map(|measure| measure.0).join(", ");
        bail!("nothing is measured by the name {unknown}: there are {known}, and ledger alone");
    }
    setup::run()?;
    if names == ["ledger"] {
        return ledger();
    }
    programs(names.is_empty() || names.iter().any(|name| !ALONE.contains(name)))?;
    let (mut missed, mut all) = (0, 0);
    for (name, measure, lines) in MEASURES {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        if !json {
            println!("== {name}");
        }
        let seen = measure()?;
        for line in lines(&seen).with_context(|| format!("read what {name} measured"))? {
            all += 1;
            missed += usize::from(!line.met());
            match json {
                true => println!("{}", line.json()),
                false => println!("{line}"),
            }
        }
    }
    ensure!(missed == 0, "{missed} of {all} lines are missed");
    Ok(())
}

/// Figures of ledger and queue that no line is about.
fn ledger() -> Result<()> {
    let words = [
        "run",
        "--release",
        "--quiet",
        "-p",
        "platform-local",
        "--example",
        "throughput",
    ];
    run(cmd("cargo", &words).current_dir(top()))
}

/// The programs as they are released; `whole`: those of an installation, too.
fn programs(whole: bool) -> Result<()> {
    let mut build = cmd("cargo", &["build", "--release", "--quiet", "-p", "bench"]);
    if whole {
        // `millrace init` asks the runners' programs for their identities.
        for package in ["millrace", "millrace-runner", "runner-sign", "sandbox"] {
            build.args(["-p", package]);
        }
    }
    run(build.arg("--bins").current_dir(top()))
}

/// Functions as they are packed for AWS, and one that does nothing.
fn aws() -> Result<Vec<Value>> {
    let words = ["build", "--quiet", "--profile", PROFILE, "--package"];
    let mut build = cmd("cargo", &words);
    build.args(["functions", "--bins", "--example", "bare"]);
    run(build.current_dir(top()))?;
    let functions = target().join(PROFILE);
    control_plane("aws", &[&functions.to_string_lossy()])
}

/// On a real disk: on a tmpfs a durable step costs nothing.
fn control_plane(word: &str, args: &[&str]) -> Result<Vec<Value>> {
    let program = target().join("release/millrace-bench");
    let mut command = cmd(program, &[word]);
    values(command.args(args).arg(target().join("bench")))
}

/// Build roots are where the demo has them, so that they are warm.
fn build() -> Result<Vec<Value>> {
    let bridge = bridge::make()?;
    let roots = scratch("roots");
    control_plane(
        "build",
        &[&roots.to_string_lossy(), &bridge.to_string_lossy()],
    )
}

fn rpm() -> Result<Vec<Value>> {
    let directory = scratch("bench-rpm");
    example(
        "repo-rpm",
        "bench",
        &[PACKAGES, &directory.to_string_lossy()],
    )
}

fn deb() -> Result<Vec<Value>> {
    let directory = scratch("bench-deb");
    // A run that was ended left its packages there.
    std::fs::remove_dir_all(&directory).ok();
    let seen = example(
        "repo-deb",
        "repo_deb_bench",
        &["compare", PACKAGES, &directory.to_string_lossy()],
    )?;
    std::fs::remove_dir_all(&directory).ok();
    Ok(seen)
}

fn example(package: &str, name: &str, args: &[&str]) -> Result<Vec<Value>> {
    let words = [
        "run",
        "--release",
        "--quiet",
        "-p",
        package,
        "--example",
        name,
        "--",
    ];
    values(cmd("cargo", &words).args(args).current_dir(top()))
}

/// The JSON that a program prints.
fn values(command: &mut std::process::Command) -> Result<Vec<Value>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let values: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .with_context(|| format!("read what {command:?} prints"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(values)
}
