//! `cargo xtask demo`: from a pushed request to installed, signed packages.
//!
//! Two real packages: `tree` for Debian from its own packaging, `figlet` for RPM from upstream's source
//! with a spec of ours. Everything runs as it would for a user: `millrace init`, `millrace up`, git
//! pushes, `millrace watch`, and then dnf and apt in clean roots that know only the published key.

mod clients;
mod cloud;
mod emulated;
mod forges;
mod lost;
mod packages;
mod reviewed;
mod sources;

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use cloud::{on_aws, on_aws_built};
pub(crate) use emulated::emulated;
pub(crate) use forges::on_both_forges;
pub(crate) use packages::packages;

use crate::sh::{bin, build_programs, cmd, output, run, scratch, write};
use crate::{bridge, setup};

/// Seconds that a stage may take before the demo gives up.
const PATIENCE: u32 = 1800;
/// Steps of the whole way.
const STEPS: usize = 9;

pub(crate) fn whole_way() -> Result<()> {
    setup::run()?;
    build_programs()?;
    whole_way_built()
}

/// The same with the programs that are there.
pub(crate) fn whole_way_built() -> Result<()> {
    let bridge = bridge::make()?;
    Demo::new("demo", bridge, STEPS)?.go()
}

struct Demo {
    root: PathBuf,
    bridge: PathBuf,
    began: Instant,
    /// Steps that began, and all of them.
    steps: (Cell<usize>, usize),
    /// Of the folder `root`, which other checkouts of this machine use too.
    _lock: File,
}

/// The control plane while it runs.
struct Up {
    child: Child,
    url: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        // Its number may be another process's by now.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // SIGTERM: runners drain and the sandbox ends what it runs.
        let pid = self.child.id().to_string();
        cmd("kill", &[&pid]).status().ok();
        self.child.wait().ok();
    }
}

/// Locks a folder against other runs, until the answer is dropped. A second run would take away the first one's files.
fn locked(root: &Path) -> Result<File> {
    let path = root.with_extension("lock");
    write(&path, "")?;
    let lock = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another run is in {}: wait for its end", root.display())
        }
        Err(TryLockError::Error(cause)) => {
            Err(cause).with_context(|| format!("lock {}", path.display()))
        }
    }
}

impl Demo {
    fn new(name: &str, bridge: PathBuf, steps: usize) -> Result<Self> {
        let root = scratch(name);
        let lock = locked(&root)?;
        if root.exists() {
            std::fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
        }
        std::fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        Ok(Self {
            root,
            bridge,
            began: Instant::now(),
            steps: (Cell::new(0), steps),
            _lock: lock,
        })
    }

    fn step(&self, text: &str) {
        let (n, of) = (self.steps.0.get() + 1, self.steps.1);
        self.steps.0.set(n);
        println!(
            "\n== {n} of {of}, after {} s: {text}",
            self.began.elapsed().as_secs()
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn go(&self) -> Result<()> {
        self.step("a new distribution: millrace init, millrace up");
        run(Command::new(bin("millrace"))
            .arg("init")
            .arg(self.path("one"))
            .args(["--name", "demo"]))?;
        let up = self.up()?;
        self.step("sources to build: Debian's tree, and figlet with a spec of our own");
        let (tree, tree_version) = self.tree_source()?;
        let figlet = self.figlet_source()?;
        self.step("a build request is pushed; build roots are made, some minutes the first time");
        self.clone_state()?;
        self.configure()?;
        self.push(
            "builds/2026/11/first.yaml",
            &build_request(&tree, &figlet),
            "Build tree and figlet",
        )?;
        self.millrace(&["lint", &self.path("my-distribution").to_string_lossy()])?;
        self.step("in the middle of a build the machine dies and its ledger is deleted: recover");
        let up = self.lose_the_ledger(up, "builds/2026/11/first.yaml")?;
        self.watch("builds/2026/11/first.yaml")?;
        self.step("a release request is pushed: sign, compose, smoke-test, publish");
        self.push(
            "releases/2026/11/first.yaml",
            RELEASE,
            "Release tree and figlet",
        )?;
        self.watch("releases/2026/11/first.yaml")?;
        self.with_data("status", &[])?;
        self.step("every published byte is held against its commit: millrace verify");
        self.with_data("verify", &[])?;
        self.step("the real apt installs tree in a clean root that knows only the published key");
        println!("{}", self.apt_installs(&up.url, &tree_version)?);
        self.step("the real dnf installs figlet in a clean root that knows only the published key");
        let (figlet, word) = self.dnf_installs(&up.url)?;
        println!("{word}");
        self.step("millrace up is stopped");
        drop(up);
        self.summary(&tree_version, &figlet);
        Ok(())
    }

    fn summary(&self, tree: &str, figlet: &str) {
        let clone = self.path("my-distribution");
        println!(
            "\ndemo: both programs are built, tested, signed, published and installed, in {} s",
            self.began.elapsed().as_secs()
        );
        println!("  tree {tree}: a .deb, installed by apt with our key alone");
        println!("  {figlet}: an RPM, installed by dnf with gpgcheck and repo_gpgcheck");
        println!("\nWhat was asked for:  {}", clone.display());
        println!(
            "What came of it:     git -C {0} fetch; git -C {0} log -p origin/status",
            clone.display()
        );
        println!(
            "Serve it again:      {} up --data {}",
            bin("millrace").display(),
            self.path("one").display()
        );
        println!("Remove all of it:    rm -rf {}", self.root.display());
    }

    fn up(&self) -> Result<Up> {
        let data = self.path("one");
        let log = File::create(self.path("up.log")).context("create up.log")?;
        let child = Command::new(bin("millrace"))
            .args(["up", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start millrace up")?;
        let mut up = Up {
            child,
            url: String::new(),
        };
        let began = Instant::now();
        loop {
            if let Ok(text) = std::fs::read(data.join("running.json")) {
                let note: serde_json::Value = serde_json::from_slice(&text)?;
                up.url = note["url"].as_str().unwrap_or_default().to_owned();
                println!("up at {}/", up.url);
                return Ok(up);
            }
            ensure!(
                began.elapsed() < Duration::from_secs(30) && up.child.try_wait()?.is_none(),
                "millrace up did not start; see {}",
                self.path("up.log").display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn millrace(&self, args: &[&str]) -> Result<()> {
        run(&mut cmd(bin("millrace"), args))
    }

    fn with_data(&self, word: &str, args: &[&str]) -> Result<()> {
        run(Command::new(bin("millrace"))
            .arg(word)
            .arg("--data")
            .arg(self.path("one"))
            .args(args))
    }

    fn watch(&self, request: &str) -> Result<()> {
        self.with_data("watch", &["--timeout", &PATIENCE.to_string(), request])
            .with_context(|| {
                format!(
                    "{request} did not succeed; the control plane's log is {}",
                    self.path("up.log").display()
                )
            })
    }

    fn clone_state(&self) -> Result<()> {
        let (from, to) = (self.path("one/state.git"), self.path("my-distribution"));
        output(cmd("git", &["clone", "--quiet"]).arg(from).arg(to)).map(drop)
    }

    /// What differs on this machine: where the bridge is, and its key.
    fn configure(&self) -> Result<()> {
        let state = self.path("my-distribution");
        let platform = state.join("platforms/bridge-12.yaml");
        let text = std::fs::read_to_string(&platform).context("read the bridge's platform")?;
        let url = format!("file://{}", self.bridge.display());
        write(
            &platform,
            &text.replace("file:///var/lib/millrace/bridge", &url),
        )?;
        let key = std::fs::read_to_string(self.bridge.join("keys/bridge-12.asc"))
            .context("read the bridge's key")?;
        write(&state.join("keys/upstream/bridge-12.asc"), &key)
    }

    fn push(&self, path: &str, text: &str, message: &str) -> Result<()> {
        let state = self.path("my-distribution");
        write(&state.join(path), text)?;
        println!("{text}");
        self.commit(message)
    }

    /// What was written to the clone, and pushes it.
    fn commit(&self, message: &str) -> Result<()> {
        let state = self.path("my-distribution");
        self.git(&state, &["add", "--all"])?;
        self.git(&state, &["commit", "--quiet", "-m", message])?;
        self.git(&state, &["push", "--quiet"])
    }

    fn git(&self, directory: &Path, args: &[&str]) -> Result<()> {
        let mut git = cmd(
            "git",
            &[
                "-c",
                "user.name=Maintainer",
                "-c",
                "user.email=maintainer@localhost",
            ],
        );
        output(git.arg("-C").arg(directory).args(args)).map(drop)
    }
}

fn build_request(tree: &str, figlet: &str) -> String {
    format!(
        "reason: the first packages\n\
         platforms:\n  debian-12: [amd64]\n  bridge-12: [x86_64]\n\
         packages:\n  - source: {{git: \"{tree}\", ref: main}}\n    on: [debian-12]\n\
         \x20 - source: {{git: \"{figlet}\", ref: main}}\n    on: [bridge-12]\n"
    )
}

const RELEASE: &str = "\
from: [builds/2026/11/first.yaml]
to: [debian-12, bridge-12]
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_does_not_take_the_files_of_the_first() {
        let root = crate::sh::target().join(format!("locked-{}", std::process::id()));
        let first = locked(&root).expect("nobody is there");
        let error = locked(&root).expect_err("somebody is there");
        assert!(
            error.to_string().starts_with("another run is in "),
            "{error}"
        );
        drop(first);
        locked(&root).expect("nobody is there any more");
        std::fs::remove_file(root.with_extension("lock")).expect("it was made");
    }
}
