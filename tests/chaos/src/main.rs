//! `millrace-chaos`: a whole installation, hurt by a seeded schedule, brought to rest, and judged.
//!
//! Caller: `cargo xtask chaos`, which builds the programs and gives this one namespaces of its own: mounts
//! for a small disk, and processes, so that nothing outlives it. The first process there only reaps.
//!
//! Everything but the builds and tests is real: `millrace up` with SQLite and its directory store, the
//! runner daemon, the composer, the signer, git, HTTP, and kill -9.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it starts programs, writes files and reads the clock"
)]

mod author;
mod database;
mod http;
mod judge;
mod machine;
mod people;
mod programs;
mod progress;
mod public;
mod reaper;
mod rest;
mod schedule;
mod spoil;
mod storm;
mod wishes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use machine::Machine;
use people::{People, publish_sources};
use progress::Progress;
use public::Public;
use schedule::Schedule;
use storm::Storm;

/// Longest storm, in minutes: a week. A schedule is made whole before it begins.
const MOST_MINUTES: f64 = 7.0 * 24.0 * 60.0;
/// Shortest, in minutes: a second.
const LEAST_MINUTES: f64 = 1.0 / 60.0;
/// Lines of each log that are shown with a finding.
const LAST_LINES: usize = 15;

/// Hurts a real installation and judges what is left.
#[derive(Parser)]
struct Args {
    /// How long the storm is.
    #[arg(long, default_value = "5", value_parser = minutes)]
    minutes: f64,
    /// What the schedule is made of.
    #[arg(long)]
    seed: u64,
    /// One line of JSON in the end.
    #[arg(long)]
    json: bool,
    /// Print the schedule and do nothing.
    #[arg(long)]
    schedule: bool,
    /// When all is well, spoil it in every way that a check is for, and require that it is found.
    #[arg(long)]
    prove: bool,
    /// Keep the data directory, whatever comes of it.
    #[arg(long)]
    keep: bool,
    /// A folder for the run; whatever is in it is removed.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if std::process::id() == 1 {
        return reaper::run();
    }
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: seed {}: {error:#}", args.seed);
            ExitCode::from(2)
        }
    }
}

fn minutes(word: &str) -> Result<f64, String> {
    let is_allowed = |minutes: &f64| (LEAST_MINUTES..=MOST_MINUTES).contains(minutes);
    let minutes = word.parse().ok().filter(is_allowed);
    minutes.ok_or_else(|| {
        format!("a storm takes a second (0.017) at least and a week ({MOST_MINUTES}) at most")
    })
}

/// Whether everything holds.
fn run(args: &Args) -> Result<bool> {
    let root = args.folder.join(format!("seed-{}", args.seed));
    let seconds = (args.minutes * 60.0) as u64;
    let sources = root.join("sources");
    let schedule = Schedule::new(args.seed, seconds, &sources.to_string_lossy());
    if args.schedule {
        for (at, deed) in &schedule.deeds {
            println!("{:9.3} {deed:?}", *at as f64 / 1000.0);
        }
        println!("{:?}", schedule::count(&schedule.deeds));
        return Ok(true);
    }
    if root.exists() {
        std::fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
    }
    std::fs::create_dir_all(&root)?;
    publish_sources(&sources, schedule.versions)?;
    let own = std::env::current_exe().context("find this program's own file")?;
    let programs = own.parent().context("a program is in a folder")?;
    let mut machine = Machine::new(&root, programs)?;
    let mut progress = Progress::new(&root.join("deeds.log"), seconds)?;
    let outcome = hurt_and_judge(&mut machine, &schedule, &mut progress);
    progress.done();
    let mut outcome = outcome.inspect_err(|_| {
        keep(&machine).ok();
    })?;
    if args.prove && outcome.findings.is_empty() {
        outcome.findings = spoil::prove(&machine, &schedule.wishes)?;
        outcome.line["proven"] = json!(outcome.findings.is_empty());
    }
    tell(args, &machine, &outcome)?;
    let holds = outcome.findings.is_empty();
    if args.keep || !holds {
        keep(&machine)?;
    }
    Ok(holds)
}

struct Outcome {
    findings: Vec<String>,
    line: serde_json::Value,
}

fn hurt_and_judge(
    machine: &mut Machine,
    schedule: &Schedule,
    progress: &mut Progress,
) -> Result<Outcome> {
    let (mut people, mut public) = (People::default(), Public::default());
    machine.start();
    let mut storm = Storm::new((machine, &mut people), &mut public, progress);
    storm.rage(schedule)?;
    let tally = std::mem::take(&mut storm.tally);
    let rest = rest::wait((machine, &mut people), &schedule.wishes, progress)?;
    public.look(machine);
    let mut findings = std::mem::take(&mut public.findings);
    let settled = match rest {
        Ok(time) => Some(time.as_secs()),
        Err(what) => {
            findings.push(format!("it does not come to rest: it waits for {what}"));
            None
        }
    };
    machine.stop()?;
    let (found, end) = judge::judge(machine, &schedule.wishes);
    findings.extend(found);
    let line = json!({
        "deeds": schedule.deeds.len(), "done": tally.0,
        "requests": end.requests, "tasks": end.tasks, "attempts": end.attempts,
        "flips": public.flips, "published_files": end.published_files,
        "status_commits": end.status_commits, "ends_by_itself": machine.ends.len(),
        "rest_after_seconds": settled,
    });
    Ok(Outcome { findings, line })
}

/// The end, for people or for machines.
fn tell(args: &Args, machine: &Machine, outcome: &Outcome) -> Result<()> {
    let Args { seed, minutes, .. } = args;
    let replay = format!("cargo xtask chaos --minutes {minutes} --seed {seed}");
    let holds = outcome.findings.is_empty();
    if args.json {
        let mut line = outcome.line.clone();
        line["seed"] = json!(seed);
        line["minutes"] = json!(minutes);
        line["findings"] = json!(outcome.findings);
        line["replay"] = json!(replay);
        line["holds"] = json!(holds);
        println!("{line}");
    } else {
        println!("{}", outcome.line);
    }
    if holds {
        eprintln!("chaos: seed {seed}: {minutes} minutes, and everything holds");
        return Ok(());
    }
    for name in ["up", "near", "far"] {
        let path = machine.log_path(name);
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("-- the end of {}", path.display());
        for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
            eprintln!("{line:.400}");
        }
    }
    for end in &machine.ends {
        eprintln!("-- ended by itself: {end}");
    }
    for finding in &outcome.findings {
        eprintln!("chaos: seed {seed}: {finding}");
    }
    eprintln!("replay (the schedule is the same, its meeting with the processes is not): {replay}");
    eprintln!("kept: {}", machine.data().with_file_name("kept").display());
    Ok(())
}

/// The small disk goes with this process, so what is on it is copied beside it.
fn keep(machine: &Machine) -> Result<()> {
    let from = machine.data();
    let to = from.with_file_name("kept");
    let mut copy = std::process::Command::new("cp");
    programs::output(copy.arg("-a").arg(&from).arg(&to)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::Parser as _;

    #[test]
    fn a_storm_has_a_length() {
        let check = |minutes: &str, expect: bool| {
            let minutes = format!("--minutes={minutes}");
            let words = ["millrace-chaos", "--seed=1", "--folder=x", &minutes];
            assert_eq!(Args::try_parse_from(words).is_ok(), expect, "{minutes}");
        };
        for right in ["5", "0.02", "10080"] {
            check(right, true);
        }
        for wrong in ["nan", "inf", "-inf", "0", "-1", "1e300", "0.001", "five"] {
            check(wrong, false);
        }
    }
}
