//! The real `millrace up`, with its runners or without, and a clone of its state repository.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::runner::Runner;

/// Longest time to come up.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Ends its control plane when dropped.
pub(crate) struct Machine {
    up: Child,
    clone: PathBuf,
    url: String,
}

impl Machine {
    /// `millrace init`, the runner's enrolment, `millrace up --no-runners`.
    pub(crate) async fn start(scratch: &Path) -> Result<(Self, Runner)> {
        let machine = Self::up(scratch, &["--no-runners".as_ref()])?;
        let runner = Runner::new(&machine.url)?;
        machine.commit(&[runner.enrolment()])?;
        machine.push()?;
        machine.enrolled(&runner).await?;
        Ok((machine, runner))
    }

    /// `millrace init`, and `millrace up` with its own runners, whose roots are kept in `roots`.
    pub(crate) fn with_runners(scratch: &Path, roots: &Path) -> Result<Self> {
        std::fs::create_dir_all(scratch)?;
        Self::up(scratch, &["--roots".as_ref(), roots.as_os_str()])
    }

    fn up(scratch: &Path, options: &[&OsStr]) -> Result<Self> {
        let data = scratch.join("one");
        said(millrace()?.arg("init").arg(&data))?;
        Self::over(scratch, &data.join("state.git"), options)
    }

    /// `millrace up` over data that is made, and a clone of the state repository at `state`.
    pub(crate) fn over(scratch: &Path, state: &Path, options: &[&OsStr]) -> Result<Self> {
        let (data, clone) = (scratch.join("one"), scratch.join("clone"));
        said(
            git(scratch)
                .arg("clone")
                .arg("--quiet")
                .arg(state)
                .arg(&clone),
        )?;
        let log = std::fs::File::create(scratch.join("up.log"))?;
        let up = millrace()?
            .args(["up", "--listen", "127.0.0.1:0"])
            .args(options)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start millrace up")?;
        let mut machine = Self {
            up,
            clone,
            url: String::new(),
        };
        machine.url = machine.wait(&data.join("running.json"))?;
        Ok(machine)
    }

    fn wait(&mut self, note: &Path) -> Result<String> {
        let start = Instant::now();
        loop {
            if let Ok(bytes) = std::fs::read(note) {
                let note: serde_json::Value = serde_json::from_slice(&bytes)?;
                return Ok(note["url"]
                    .as_str()
                    .context("no url in the note")?
                    .to_owned());
            }
            if let Some(status) = self.up.try_wait()? {
                bail!("millrace up ended: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "millrace up does not come up");
            std::thread::sleep(POLL);
        }
    }

    /// Until the enrolment is planned; the status says which commit is.
    async fn enrolled(&self, runner: &Runner) -> Result<()> {
        let commit = said(git(&self.clone).args(["rev-parse", "HEAD"]))?;
        let start = Instant::now();
        loop {
            let status = runner.get("/api/v1/status").await?;
            if status.to_string().contains(&commit) {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the enrolment is not planned");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where the control plane listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The control plane's process.
    pub(crate) fn pid(&self) -> String {
        self.up.id().to_string()
    }

    /// Commits files in the clone.
    pub(crate) fn commit(&self, files: &[(String, String)]) -> Result<()> {
        for (name, text) in files {
            let path = self.clone.join(name);
            let folder = path.parent().context("a file is in a folder")?;
            std::fs::create_dir_all(folder)?;
            std::fs::write(&path, text).with_context(|| format!("write {name}"))?;
        }
        said(git(&self.clone).args(["add", "--all"]))?;
        said(git(&self.clone).args(["commit", "--quiet", "-m", "wishes"]))?;
        Ok(())
    }

    /// `git push`; answers when it began and when it ended.
    pub(crate) fn push(&self) -> Result<(Instant, Instant)> {
        let start = Instant::now();
        said(git(&self.clone).args(["push", "--quiet"]))?;
        Ok((start, Instant::now()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SIGTERM: its runners end with it. It may have ended by itself, which was said elsewhere.
        let _gone = Command::new("kill").arg(self.pid()).status();
        let _gone = self.up.wait();
    }
}

/// The program beside this one: both are of one profile.
pub(crate) fn millrace() -> Result<Command> {
    let path = std::env::current_exe()?.with_file_name("millrace");
    ensure!(
        path.exists(),
        "{} is not there: run `cargo xtask bench`, which builds it",
        path.display()
    );
    Ok(Command::new(path))
}

/// Git without the machine's configuration.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.org")
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.org");
    command
}

/// Runs to the end and answers its standard output.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A build request for packages `numbers`; each gives one source task at once and needs no network.
pub(crate) fn request(name: &str, numbers: std::ops::Range<usize>) -> (String, String) {
    let mut text = "reason: a measurement\nplatforms: {debian-12: [amd64]}\npackages:\n".to_owned();
    for n in numbers {
        text.push_str(&format!(
            "  - source: {{dsc: \"https://example.org/p{n}_1.dsc\", sha256: \"{n:064x}\"}}\n"
        ));
    }
    (format!("builds/2026/11/{name}.yaml"), text)
}
