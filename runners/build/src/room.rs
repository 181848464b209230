//! A workspace with the task's limits, log and cancel wish, and blame for how commands end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use runner_agent::{Halt, Job, JobLog};
use runner_api::{Failure, FailureKind, Outcome};
use sandbox::{Command, Ended, Limits, LogSink, RootKey, Workspace};
use sha2::{Digest, Sha256};

/// Bytes of the log's end that an excerpt is cut from.
const TAIL_BYTES: usize = 8 * 1024;
/// Longest line of an excerpt, in characters.
const MAX_LINE_CHARS: usize = 300;

/// What the C library and common tools say where there is no network.
const NO_NETWORK: [&str; 8] = [
    "Temporary failure in name resolution",
    "Temporary failure resolving",
    "Name or service not known",
    "Could not resolve host",
    "unable to resolve host address",
    "Network is unreachable",
    "Network unreachable",
    "bad address '",
];

/// Whose fault it is when a command does not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// A package's, of this kind.
    Package(FailureKind),
    /// Ours, or the network's.
    Us,
}

/// A task's limits in the sandbox's words.
pub fn sandbox_limits(limits: &pipeline_spec::Limits) -> Limits {
    Limits {
        memory_bytes: limits.memory.bytes(),
        processes: limits.processes.into(),
        wall: limits.wall(),
        disk_bytes: limits.disk.bytes(),
        log_bytes: limits.log.bytes(),
    }
}

/// A root's name from everything that decides what is in it.
pub fn key(prefix: &str, parts: &[&str]) -> RootKey {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hex::encode(&hash.finalize()[..16]);
    RootKey::new(format!("{prefix}-{digest}")).expect("a short prefix and hex digits")
}

/// A job's commands in one workspace.
pub struct Room<'a> {
    job: &'a Job,
    workspace: Workspace,
    limits: Limits,
}

impl<'a> Room<'a> {
    /// A room over `workspace`.
    pub fn new(job: &'a Job, workspace: Workspace, limits: Limits) -> Self {
        Self {
            job,
            workspace,
            limits,
        }
    }

    /// The files.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Runs `command`; its output goes to the job's log. `what` reads after "failed to".
    pub async fn run(&self, command: &Command, what: &str, blame: Blame) -> Result<(), Halt> {
        self.run_to(command, what, blame).await.map(drop)
    }

    /// The same, and answers the output's last 8 KiB.
    pub async fn run_to(
        &self,
        command: &Command,
        what: &str,
        blame: Blame,
    ) -> Result<String, Halt> {
        let mut tee = Tee {
            log: self.job.log(),
            tail: Tail::default(),
        };
        let tail = tee.tail.clone();
        let ended = self
            .workspace
            .run(command, &self.limits, &mut tee, self.job.cancelled())
            .await
            .map_err(Halt::infrastructure)?;
        match (ended, blame) {
            (Ended::Exited(0), _) => Ok(tail.text()),
            (Ended::Canceled, _) => Err(Halt::trouble(format!("{what}: the attempt was stopped"))),
            (ended, Blame::Us) => {
                let last = tail.lines(3).join(" / ");
                Err(Halt::trouble(format!("{what}: {ended}: {last}")))
            }
            (ended, Blame::Package(kind)) => {
                Err(package_failure(ended, kind, what, &tail, &self.limits))
            }
        }
    }

    /// How a command ended, without blame; and its output's last 8 KiB.
    pub async fn try_run(&self, command: &Command) -> Result<(Ended, String), Halt> {
        let mut tee = Tee {
            log: self.job.log(),
            tail: Tail::default(),
        };
        let tail = tee.tail.clone();
        let ended = self
            .workspace
            .run(command, &self.limits, &mut tee, self.job.cancelled())
            .await
            .map_err(Halt::infrastructure)?;
        if ended == Ended::Canceled {
            return Err(Halt::trouble("go on: the attempt was stopped"));
        }
        Ok((ended, tail.text()))
    }

    /// Runs `command` and answers all that it printed, without logging it: for queries of at most 16 MiB.
    pub async fn query(&self, command: &Command, what: &str, blame: Blame) -> Result<String, Halt> {
        let mut all = Vec::new();
        let limits = Limits {
            log_bytes: 16 * 1024 * 1024,
            ..self.limits
        };
        let ended = self
            .workspace
            .run(command, &limits, &mut all, self.job.cancelled())
            .await
            .map_err(Halt::infrastructure)?;
        let text = String::from_utf8_lossy(&all).into_owned();
        if ended.success() {
            return Ok(text);
        }
        self.job.log().append(text.as_bytes());
        let tail = Tail::default();
        tail.push(text.as_bytes());
        match blame {
            Blame::Us => Err(Halt::trouble(format!(
                "{what}: {ended}: {}",
                tail.lines(3).join(" / ")
            ))),
            Blame::Package(kind) => Err(package_failure(ended, kind, what, &tail, &limits)),
        }
    }

    /// Ends the workspace and waits until its mounts are gone.
    pub async fn close(self) {
        if let Err(error) = self.workspace.close().await {
            self.job
                .log()
                .line(format!("the workspace did not end cleanly: {error}"));
        }
    }

    /// Copies a file of the workspace out of it.
    pub async fn copy_out(&self, path: &str, target: &Path) -> Result<u64, Halt> {
        self.workspace
            .copy_out(path, target, self.limits.disk_bytes)
            .await
            .map_err(Halt::infrastructure)
    }
}

fn package_failure(
    ended: Ended,
    kind: FailureKind,
    what: &str,
    tail: &Tail,
    limits: &Limits,
) -> Halt {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let (kind, cause, limit) = match ended {
        Ended::TimedOut => (
            FailureKind::TimedOut,
            format!("it ran longer than {} s", limits.wall.as_secs()),
            if limits.wall.as_secs() < 3600 {
                "minutes"
            } else {
                "hours"
            },
        ),
        Ended::OutOfMemory => (
            FailureKind::OutOfMemory,
            format!(
                "it wanted more than {} MiB of memory",
                mib(limits.memory_bytes)
            ),
            "memory",
        ),
        Ended::DiskFull => (
            FailureKind::DiskFull,
            format!("it wrote more than {} MiB", mib(limits.disk_bytes)),
            "disk",
        ),
        Ended::LogLimit => (
            FailureKind::LogLimit,
            format!("it printed more than {} MiB", mib(limits.log_bytes)),
            "log",
        ),
        Ended::ProcessLimit => (
            kind,
            format!("it started more than {} processes", limits.processes),
            "processes",
        ),
        other => return plain_failure(other, kind, what, tail),
    };
    let message = format!(
        "failed to {what}: {cause}; raise `limits: {{{limit}: …}}` in millrace.yaml if the package needs it"
    );
    failure(kind, message, tail)
}

/// The command ended by itself.
fn plain_failure(ended: Ended, kind: FailureKind, what: &str, tail: &Tail) -> Halt {
    let lines = tail.lines(Failure::MAX_EXCERPT);
    let network = lines
        .iter()
        .rev()
        .find(|line| NO_NETWORK.iter().any(|words| line.contains(words)));
    let message = match network {
        Some(line) => format!(
            "failed to {what}: {ended}; it tried the network, which builds do not have ({}); put what it fetches into the source or into a build dependency",
            line.trim()
        ),
        None => format!("failed to {what}: {ended}; the log's end shows why"),
    };
    failure(kind, message, tail)
}

fn failure(kind: FailureKind, message: String, tail: &Tail) -> Halt {
    Outcome::Failed {
        failure: Failure {
            kind,
            message,
            excerpt: tail.lines(Failure::MAX_EXCERPT),
        },
        artifacts: Vec::new(),
    }
    .into()
}

/// The end of an output.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn push(&self, chunk: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(chunk);
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
    }

    fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).into_owned()
    }

    fn lines(&self, most: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<String> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                line.chars()
                    .filter(|c| !c.is_control() || *c == '\t')
                    .take(MAX_LINE_CHARS)
                    .collect()
            })
            .collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

/// Log and tail at once.
struct Tee {
    log: JobLog,
    tail: Tail,
}

impl LogSink for Tee {
    async fn write(&mut self, chunk: &[u8]) {
        self.log.append(chunk);
        self.tail.push(chunk);
    }
}
