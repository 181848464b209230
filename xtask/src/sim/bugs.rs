//! Seeded bugs: they are put into a copy of the product, built, and each must be found by the simulator.
//!
//! The copy lies under the target directory, so that the checkout is not touched. It is built as tests are, with the
//! libraries of others that the checkout's own tests have.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::AS_TESTS_ARE;
use super::patch::{Bug, Build, VARIABLE, in_builds, read_all};
use crate::sh::{cmd, output, target, top, write};

/// What a copy of the workspace has: all members, since fewer would ask for fewer features of others' libraries, and
/// those would have to be built once more.
const PARTS: [&str; 9] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "crates",
    "functions",
    "pipeline-spec",
    "runners",
    "tests",
    "xtask",
];
/// Seeds that the copy without a bug must pass: else a bug proves nothing.
const SOUND: u64 = 200;
/// A run that takes longer hangs. The longest takes a minute or two, and in `cargo xtask ci` others run beside it.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// What came of one bug.
struct Found {
    /// Its line in the report.
    line: String,
    is_found: bool,
}

/// Finds those that one program can have together. Each other has a build of its own, which takes longer than the
/// rest together: `cargo xtask sim --bugs` has them too.
pub(super) fn find_together() -> Result<()> {
    let mut bugs = read_all(&bugs_folder())?;
    bugs.retain(Bug::has_switch);
    find_these(bugs)
}

/// Finds all bugs, or those named. Fails when one is not found within its budget.
pub(super) fn find(names: &[&str]) -> Result<()> {
    let mut bugs = read_all(&bugs_folder())?;
    if let Some(unknown) = names
        .iter()
        .find(|name| bugs.iter().all(|bug| bug.name != **name))
    {
        let known: Vec<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        bail!("no bug is called {unknown}: there are {}", known.join(", "));
    }
    bugs.retain(|bug| names.is_empty() || names.contains(&bug.name.as_str()));
    find_these(bugs)
}

fn find_these(bugs: Vec<Bug>) -> Result<()> {
    let begun = Instant::now();
    let copy = Copy::make()?;
    let builds = in_builds(bugs, &copy.top)?;
    let mut missed = Vec::new();
    for (at, build) in builds.iter().enumerate() {
        let begun = Instant::now();
        let program = copy.build(build)?;
        println!(
            "build {} of {} with {} bugs in it: {:.0} s",
            at + 1,
            builds.len(),
            build.bugs.len(),
            begun.elapsed().as_secs_f64()
        );
        if build.bugs.iter().all(Bug::has_switch) {
            is_sound(&program)?;
        }
        missed.extend(look_for_all(&build.bugs, &program)?);
    }
    println!("{:.0} s in all", begun.elapsed().as_secs_f64());
    ensure!(
        missed.is_empty(),
        "not found, so a checker has a hole:\n{}",
        missed.join("\n")
    );
    Ok(())
}

/// A program of which no bug is asked must find nothing.
fn is_sound(program: &Path) -> Result<()> {
    let ended = simulate(program, "", SOUND)?;
    ensure!(
        ended.is_clean,
        "without any bug the simulator finds this, so that bugs prove nothing:\n{}",
        ended.output
    );
    println!("without a bug: {SOUND} histories, clean");
    Ok(())
}

/// Each bug on one thread, as many at a time as there are processors. Lines of those that were not found.
fn look_for_all(bugs: &[Bug], program: &Path) -> Result<Vec<String>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = look_for(bug, program)?;
            println!("{}", found.line);
            if !found.is_found {
                let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
                missed.push(found.line);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a thread that watched a run panicked"),
            }
        }
        Ok(())
    })?;
    Ok(missed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn look_for(bug: &Bug, program: &Path) -> Result<Found> {
    let begun = Instant::now();
    let ended = simulate(program, &bug.name, bug.budget)?;
    let took = begun.elapsed().as_secs_f64();
    let words = ended
        .output
        .lines()
        .filter_map(|line| line.trim().strip_prefix("VIOLATION "));
    let words: Vec<&str> = words.collect();
    let is_it = |word: &&&str| bug.says.iter().any(|says| word.contains(says));
    let word = words.iter().find(is_it);
    let name = &bug.name;
    let line = match (ended.seed, word) {
        (Some(seed), Some(word)) => {
            format!("{name}: found at seed {seed} after {seed} histories, {took:.1} s: {word}")
        }
        (Some(seed), None) => format!(
            "{name}: NOT FOUND as {:?}; at seed {seed} it says {words:?} ({took:.1} s)",
            bug.says
        ),
        (None, _) if ended.is_clean => format!(
            "{name}: NOT FOUND in {} histories, {took:.1} s: {}",
            bug.budget, bug.what
        ),
        (None, _) => format!(
            "{name}: NOT FOUND, it was ended after {took:.0} s, or ended with:\n{}",
            ended.output
        ),
    };
    Ok(Found {
        line,
        is_found: word.is_some(),
    })
}

/// How a run ended.
struct Ended {
    is_clean: bool,
    /// The first seed that failed.
    seed: Option<u64>,
    output: String,
}

/// `bug`: the one that is asked for, or nothing.
fn simulate(program: &Path, bug: &str, seeds: u64) -> Result<Ended> {
    let seeds = seeds.to_string();
    let words = [
        "--from", "1", "--seeds", &seeds, "--most", "1", "--jobs", "1",
    ];
    let mut command = cmd(program, &words);
    command.env(VARIABLE, bug);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = program.display();
    let child = command.spawn().with_context(|| format!("start {name}"))?;
    let watchdog = Watchdog::over(child.id());
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))?;
    drop(watchdog);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("seed ")?.strip_suffix(':')?.parse().ok());
    Ok(Ended {
        is_clean: output.status.success(),
        seed,
        output: text,
    })
}

/// Ends a process that hangs.
struct Watchdog(std::sync::mpsc::Sender<()>);

impl Watchdog {
    fn over(pid: u32) -> Self {
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let waited = ended.recv_timeout(PATIENCE);
            if matches!(waited, Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
                let _ended_already = cmd("kill", &["-9", &pid.to_string()]).status();
            }
        });
        Self(sender)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _nobody_waits = self.0.send(());
    }
}

/// The workspace, copied.
struct Copy {
    top: PathBuf,
}

impl Copy {
    /// With the time of now: what an earlier run built with a bug in it is built again.
    fn make() -> Result<Self> {
        let copy = Self {
            top: folder().join("checkout"),
        };
        if copy.top.exists() {
            std::fs::remove_dir_all(&copy.top)
                .with_context(|| format!("remove {}", copy.top.display()))?;
        }
        std::fs::create_dir_all(&copy.top)
            .with_context(|| format!("create {}", copy.top.display()))?;
        for part in PARTS {
            output(cmd("cp", &["-r"]).args([top().join(part), copy.top.join(part)]))?;
        }
        Ok(copy)
    }

    /// The program with these bugs. What is made on the way lies with the checkout's own, whose libraries of others are
    /// the same; programs lie apart.
    fn build(&self, build: &Build) -> Result<PathBuf> {
        let mut sound = Vec::new();
        for (path, text) in &build.files {
            let path = self.top.join(path);
            let before = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            write(&path, text)?;
            sound.push((path, before));
        }
        let programs = folder().join("programs");
        let mut command = cmd("cargo", &["build", "--quiet", "--offline"]);
        command.args(AS_TESTS_ARE).current_dir(&self.top);
        command.env("CARGO_BUILD_BUILD_DIR", target());
        let built =
            output(command.arg("--target-dir").arg(&programs)).context("build the copy with bugs");
        for (path, text) in &sound {
            write(path, text)?;
        }
        built.map(|_| programs.join("debug").join("simulate"))
    }
}

/// Where bugs are written down.
fn bugs_folder() -> PathBuf {
    top().join("crates/simulator/bugs")
}

/// All that looking for bugs makes.
fn folder() -> PathBuf {
    target().join("bugs")
}
