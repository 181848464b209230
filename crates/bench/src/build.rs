//! Real packages on the real runner, beside bare `dpkg-buildpackage` and `rpmbuild` of the same sources.
//!
//! The packages tell by themselves when the first of their own lines runs, in nanoseconds since 1970; the
//! ledger tells when an attempt was leased and when its result was accepted. So no clock but this
//! machine's is needed, and no log has to be timed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::block_on;
use crate::figures::{millis, percentile};
use crate::machine::{Machine, git, said};

/// Builds and bare runs of each kind; the median counts.
const RUNS: usize = 7;
/// Pushes for the time to the first process.
const PUSHES: usize = 20;
/// Until the machine is idle again: longer than status commits are held back.
const REST: Duration = Duration::from_millis(700);
/// Longest time for one request, roots made from nothing included.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// The lines.
const LIMIT_READY: Duration = Duration::from_millis(500);
const LIMIT_OVERHEAD: Duration = Duration::from_secs(2);
const LIMIT_PROCESS: Duration = Duration::from_millis(150);
/// Stands before the nanoseconds.
const MARK: &str = "millrace-bench-mark ";

pub(crate) fn run(scratch: &tempfile::TempDir, roots: &Path, bridge: &Path) -> Result<Value> {
    block_on(measure(scratch.path(), roots, bridge))
}

async fn measure(scratch: &Path, roots: &Path, bridge: &Path) -> Result<Value> {
    let machine = Machine::with_runners(&scratch.join("machine"), roots)?;
    let (deb, rpm) = (
        source(scratch, "bench-deb", &deb_tree())?,
        source(scratch, "bench-rpm", &rpm_tree())?,
    );
    let bench = Bench {
        machine,
        http: reqwest::Client::builder().no_proxy().build()?,
    };
    bench.use_bridge(bridge)?;
    let ours = [
        bench
            .builds("debian-12: [amd64]", "bench-deb", &deb)
            .await?,
        bench
            .builds("bridge-12: [x86_64]", "bench-rpm", &rpm)
            .await?,
    ];
    let mut starts = Vec::new();
    for n in 0..PUSHES {
        starts.push(bench.push_to_process(n, &rpm).await?);
    }
    // After ours, so that neither disturbs the other.
    let bare = [bare_deb(scratch, &deb)?, bare_rpm(scratch, &rpm)?];
    let slow = percentile(&starts, 95);
    let kinds: Vec<Kind> = ours
        .into_iter()
        .zip(bare)
        .map(|(o, b)| Kind(o, b))
        .collect();
    let holds = kinds.iter().all(Kind::holds) && slow < LIMIT_PROCESS;
    Ok(json!({
        "bench": "build", "runs": RUNS, "pushes": PUSHES,
        "deb": kinds[0].line(), "rpm": kinds[1].line(),
        "limit_root_ready_ms": millis(LIMIT_READY), "limit_overhead_ms": millis(LIMIT_OVERHEAD),
        "push_to_process_p50_ms": millis(percentile(&starts, 50)),
        "push_to_process_p95_ms": millis(slow),
        "limit_push_to_process_p95_ms": millis(LIMIT_PROCESS),
        "holds": holds,
    }))
}

/// Medians of one way to build.
#[derive(Clone, Copy)]
struct Times {
    /// To the package's first own line.
    first_line: Duration,
    /// All of it: with us from the lease to the accepted result.
    whole: Duration,
}

/// Ours, and bare.
struct Kind(Times, Times);

impl Kind {
    /// From the lease to the moment when the bare tool would have been started.
    fn ready(&self) -> Duration {
        self.0.first_line.saturating_sub(self.1.first_line)
    }

    fn overhead(&self) -> Duration {
        self.0.whole.saturating_sub(self.1.whole)
    }

    fn holds(&self) -> bool {
        self.ready() < LIMIT_READY && self.overhead() < LIMIT_OVERHEAD
    }

    fn line(&self) -> Value {
        json!({
            "build_ms": millis(self.0.whole), "bare_ms": millis(self.1.whole),
            "root_ready_ms": millis(self.ready()), "overhead_ms": millis(self.overhead()),
        })
    }
}

fn median(times: &[Times]) -> Times {
    let middle =
        |of: fn(&Times) -> Duration| percentile(&times.iter().map(of).collect::<Vec<_>>(), 50);
    Times {
        first_line: middle(|times| times.first_line),
        whole: middle(|times| times.whole),
    }
}

struct Bench {
    machine: Machine,
    http: reqwest::Client,
}

impl Bench {
    fn use_bridge(&self, bridge: &Path) -> Result<()> {
        let platform = include_str!("../../../state-repo-template/platforms/bridge-12.yaml");
        let url = format!("file://{}", bridge.display());
        let platform = platform.replace("file:///var/lib/millrace/bridge", &url);
        let key = std::fs::read_to_string(bridge.join("keys/bridge-12.asc"))
            .context("read the bridge's key: `cargo xtask bridge` makes it")?;
        self.machine.commit(&[
            ("platforms/bridge-12.yaml".to_owned(), platform),
            ("keys/upstream/bridge-12.asc".to_owned(), key),
        ])
    }

    /// The first makes the roots and is not counted.
    async fn builds(&self, platform: &str, name: &str, source: &Path) -> Result<Times> {
        let mut times = Vec::new();
        for n in 0..=RUNS {
            let path = self.push(&format!("{name}-{n}"), platform, name, source)?.0;
            let status = self.until(&path, "succeeded").await?;
            times.push(self.times_of(&task(&status, "build")?).await?);
        }
        Ok(median(&times[1..]))
    }

    async fn times_of(&self, task: &Value) -> Result<Times> {
        let attempt = task["attempts"].get(0).context("an attempt")?;
        let at = |name: &str| -> Result<Duration> {
            let millis = attempt[name]
                .as_u64()
                .with_context(|| format!("find {name}"))?;
            Ok(Duration::from_millis(millis))
        };
        let leased = at("leased")?;
        let id = task["id"].as_str().context("an id")?;
        let log = self.text(&format!("/api/v1/log/{id}")).await?;
        Ok(Times {
            first_line: mark(&log)?.saturating_sub(leased),
            whole: at("ended")?.saturating_sub(leased),
        })
    }

    /// From the end of `git push` to the first line of a process that the package's spec started.
    async fn push_to_process(&self, n: usize, source: &Path) -> Result<Duration> {
        tokio::time::sleep(REST).await;
        let name = format!("start-{n}");
        let (path, pushed) = self.push(&name, "bridge-12: [x86_64]", "bench-rpm", source)?;
        let status = self.until(&path, "succeeded").await?;
        let id = task(&status, "source")?["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let log = self.text(&format!("/api/v1/log/{id}")).await?;
        Ok(mark(&log)?.saturating_sub(pushed))
    }

    /// Answers the request's path and when the push had ended.
    fn push(
        &self,
        request: &str,
        platform: &str,
        name: &str,
        source: &Path,
    ) -> Result<(String, Duration)> {
        let text = format!(
            "reason: a measurement\nplatforms: {{{platform}}}\npackages:\n  - source: {{git: \"file://{}\", ref: main}}\n    name: {name}\n",
            source.display()
        );
        let path = format!("builds/2026/11/{request}.yaml");
        self.machine.commit(&[(path.clone(), text)])?;
        tokio::task::block_in_place(|| self.machine.push())?;
        Ok((path, now()?))
    }

    async fn until(&self, path: &str, phase: &str) -> Result<Value> {
        let start = Instant::now();
        loop {
            if let Ok(text) = self.text(&format!("/api/v1/request/{path}")).await {
                let status: Value = serde_json::from_str(&text)?;
                if status["phase"] == phase {
                    return Ok(status);
                }
                let over = matches!(status["phase"].as_str(), Some("failed" | "invalid"));
                ensure!(!over, "{path} went wrong: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "{path} does not end");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn text(&self, path: &str) -> Result<String> {
        let reply = self
            .http
            .get(format!("{}{path}", self.machine.url()))
            .send()
            .await?;
        Ok(reply.error_for_status()?.text().await?)
    }
}

fn task(status: &Value, title: &str) -> Result<Value> {
    let tasks = status["tasks"].as_array().context("tasks")?;
    let found = tasks
        .iter()
        .find(|task| task["title"].as_str().is_some_and(|t| t.starts_with(title)));
    found
        .cloned()
        .with_context(|| format!("no {title} task in {status}"))
}

/// The first mark of a log.
fn mark(log: &str) -> Result<Duration> {
    let found = log.lines().find_map(|line| line.split_once(MARK));
    let (_, rest) = found.with_context(|| format!("no mark in the log:\n{log}"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(Duration::from_nanos(
        digits.parse().context("read the mark")?,
    ))
}

fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

type Tree = Vec<(&'static str, String)>;

fn deb_tree() -> Tree {
    vec![
        ("debian/changelog", "bench-deb (1.0) bookworm; urgency=low\n\n  * First.\n\n -- Ann <ann@example.org>  Sun, 01 Nov 2026 12:00:00 +0000\n".to_owned()),
        ("debian/control", "Source: bench-deb\nMaintainer: Ann <ann@example.org>\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\nPackage: bench-deb\nArchitecture: any\nDescription: a measurement\n Nothing else.\n".to_owned()),
        ("debian/source/format", "3.0 (native)\n".to_owned()),
        ("debian/rules", format!("#!/usr/bin/make -f\n$(info {MARK}$(shell date +%s%N))\n%:\n\tdh $@\n")),
    ]
}

fn rpm_tree() -> Tree {
    let mark = format!("%(echo {MARK}$(date +%s%N) >&2)");
    let spec = format!(
        "{mark}\nName: bench-rpm\nVersion: 1.0\nRelease: 1\nSummary: a measurement\nLicense: MIT\nBuildArch: noarch\n\n%description\nNothing else.\n\n%install\nmkdir -p %{{buildroot}}/usr/share/bench-rpm\n\n%files\n/usr/share/bench-rpm\n"
    );
    vec![("bench-rpm.spec", spec)]
}

/// A git repository of the tree; answers its directory.
fn source(scratch: &Path, name: &str, tree: &Tree) -> Result<PathBuf> {
    let directory = scratch.join("sources").join(name);
    for (path, text) in tree {
        let file = directory.join(path);
        std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        std::fs::write(&file, text)?;
    }
    for words in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "-m", "first"],
    ] {
        said(git(&directory).args(words))?;
    }
    Ok(directory)
}

fn bare_deb(scratch: &Path, source: &Path) -> Result<Times> {
    bare(scratch, |directory| {
        copy(source, &directory.join("source"))?;
        let mut build = Command::new("dpkg-buildpackage");
        build
            .args(["-us", "-uc", "-b", "-rfakeroot"])
            .current_dir(directory.join("source"));
        Ok(build)
    })
}

fn bare_rpm(scratch: &Path, source: &Path) -> Result<Times> {
    bare(scratch, |directory| {
        let mut build = Command::new("rpmbuild");
        // Debian's own shell for scripts is none that rpm's macros know.
        build
            .args([
                "-bb",
                "--nodeps",
                "--define",
                "_buildshell /bin/bash",
                "--define",
            ])
            .arg(format!("_topdir {}", directory.display()))
            .arg(source.join("bench-rpm.spec"));
        Ok(build)
    })
}

/// Runs what `prepare` makes in new directories.
fn bare(scratch: &Path, prepare: impl Fn(&Path) -> Result<Command>) -> Result<Times> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let directory = tempfile::tempdir_in(scratch)?;
        let mut command = prepare(directory.path())?;
        let (began, start) = (now()?, Instant::now());
        let output = command
            .output()
            .with_context(|| format!("start {command:?}; `cargo xtask setup` installs it"))?;
        let whole = start.elapsed();
        let log = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{command:?}: {}\n{log}", output.status);
        }
        times.push(Times {
            first_line: mark(&log)?.saturating_sub(began),
            whole,
        });
    }
    Ok(median(&times))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    said(Command::new("cp").arg("-r").arg(from).arg(to)).map(drop)
}
