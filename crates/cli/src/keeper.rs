//! Runners as children of `millrace up`.
//!
//! A runner outlives a control plane that is killed, and goes on with its build. The next control plane
//! adopts it when it would start the very same command, and ends it otherwise (another address).

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_spec::Config;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::args::UpArgs;
use crate::init::BUILDER;
use crate::local::{Layout, private_directory, sibling};

/// When neither the command line nor the enrolment says.
const DEFAULT_JOBS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");
/// First pause before an ended runner is started again; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long a runner has to drain.
const GRACE: Duration = Duration::from_secs(10);
/// How often an adopted runner is looked at: it is nobody's child, so nothing tells of its end.
const LOOK: Duration = Duration::from_secs(1);

/// Jobs at a time of the runner that builds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jobs(NonZeroU32);

impl Jobs {
    /// As told, or else as the runner is enrolled.
    pub(crate) fn of(told: Option<NonZeroU32>, config: Option<&Config>) -> Self {
        let enrolled = config.and_then(|config| {
            let id = BUILDER.parse().ok()?;
            config.runners.get(&id).map(|runner| runner.capacity)
        });
        Self(told.or(enrolled).unwrap_or(DEFAULT_JOBS))
    }
}

/// Keeps one runner process running.
pub(crate) struct Keeper {
    id: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    note: PathBuf,
}

/// A runner's process.
enum Process {
    Own(Child),
    /// Started by a control plane that was killed.
    Adopted(Pid),
}

impl Keeper {
    pub(crate) fn new(
        layout: &Layout,
        (id, program): (&'static str, &str),
        (address, jobs): (std::net::SocketAddr, Jobs),
        up: &UpArgs,
    ) -> anyhow::Result<Self> {
        let work = layout.runner(id);
        let scratch = up
            .scratch
            .as_ref()
            .map_or_else(|| work.join("scratch"), |dir| dir.join(id));
        for directory in [&work, &scratch] {
            private_directory(directory)?;
        }
        let note = work.join("pid");
        let mut args: Vec<OsString> = vec!["run".into()];
        args.extend(["--control".into(), format!("http://{address}").into()]);
        args.extend(["--runner".into(), id.into()]);
        args.extend(["--key".into(), layout.identity(id).into_os_string()]);
        args.extend(["--work".into(), work.into_os_string()]);
        args.extend(["--scratch".into(), scratch.into_os_string()]);
        if program == "millrace-signer" {
            args.extend(["--keys".into(), layout.signing_keys().into_os_string()]);
        } else {
            args.extend(["--capacity".into(), jobs.0.to_string().into()]);
            if let Some(roots) = &up.roots {
                args.extend(["--sandbox".into(), roots.clone().into_os_string()]);
            }
        }
        Ok(Self {
            id,
            program: sibling(program)?,
            args,
            note,
        })
    }

    /// Until `stop` is told: then the runner drains and ends.
    pub(crate) async fn run(self, stop: Arc<Notify>) {
        let mut pause = PAUSE;
        loop {
            let stopped = stop.notified();
            tokio::pin!(stopped);
            stopped.as_mut().enable();
            let started = tokio::time::Instant::now();
            match self.open().await {
                Ok(mut process) => tokio::select! {
                    () = process.ended() => {
                        tracing::warn!(runner = self.id, "the runner ended; it is started again");
                    }
                    () = &mut stopped => {
                        process.terminate().await;
                        return;
                    }
                },
                // A disk that is full now may not be in a moment.
                Err(error) => {
                    tracing::error!(runner = self.id, error = %format!("{error:#}"), "cannot be started; it is tried again");
                }
            }
            if started.elapsed() > MAX_PAUSE {
                pause = PAUSE;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
                () = &mut stopped => return,
            }
        }
    }

    async fn open(&self) -> anyhow::Result<Process> {
        if let Some((pid, same)) = self.left_over() {
            let mut process = Process::Adopted(pid);
            if same {
                tracing::info!(runner = self.id, %pid, "goes on with the runner that is there");
                return Ok(process);
            }
            process.terminate().await;
        }
        let child = Command::new(&self.program)
            .args(&self.args)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        let pid = child.id().unwrap_or_default().to_string();
        std::fs::write(&self.note, pid)
            .with_context(|| format!("write {}", self.note.display()))?;
        Ok(Process::Own(child))
    }

    /// The noted process, if it is a runner of this name; and whether it has the command line that we
    /// would give. A process id alone proves nothing: it may be another program's by now.
    fn left_over(&self) -> Option<(Pid, bool)> {
        let pid: i32 = std::fs::read_to_string(&self.note)
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let args: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let program = args
            .first()
            .map(|arg| Path::new(std::str::from_utf8(arg).unwrap_or_default()));
        let ours = program.and_then(Path::file_name) == self.program.file_name()
            && args
                .windows(2)
                .any(|pair| pair[0] == b"--runner" && pair[1] == self.id.as_bytes());
        let key = self.args.iter().skip_while(|arg| *arg != "--key").nth(1);
        let mine = key.is_some_and(|key| args.contains(&key.as_encoded_bytes()));
        let same = self
            .args
            .iter()
            .all(|arg| args.contains(&arg.as_encoded_bytes()));
        (ours && mine).then_some((Pid::from_raw(pid), same))
    }
}

impl Process {
    fn pid(&self) -> Option<Pid> {
        match self {
            Self::Own(child) => child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .map(Pid::from_raw),
            Self::Adopted(pid) => Some(*pid),
        }
    }

    async fn ended(&mut self) {
        match self {
            Self::Own(child) => {
                child.wait().await.ok();
            }
            Self::Adopted(pid) => {
                while kill(*pid, None).is_ok() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Asks to drain, then to stop at once, then does not ask.
    async fn terminate(&mut self) {
        for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGKILL] {
            if let Some(pid) = self.pid() {
                kill(pid, signal).ok();
            }
            if tokio::time::timeout(GRACE, self.ended()).await.is_ok() {
                return;
            }
        }
    }
}
