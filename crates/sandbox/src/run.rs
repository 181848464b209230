//! One command from start to end: its output, its limits, and what its end means.

use std::future::Future;
use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cgroup::{Controller, Group};
use crate::command::Command;
use crate::error::Error;
use crate::helper::Helper;
use crate::limits::Limits;
use crate::watch;
use crate::wire::{ChildEnd, Reply, Request, Rlimit, Run};
use crate::workspace::Workspace;

const CHUNK_BYTES: usize = 64 << 10;
/// Enough of the output's end to find a tool's last words in it.
const TAIL_BYTES: usize = 4 << 10;
/// How often control groups or processes are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// After so many refused forks a command is not slowed down but out of control.
const RUNAWAY_FORKS: u64 = 1_000;
/// How long the kernel may take to end a killed command; then everything of ours is killed too.
const GRACE: Duration = Duration::from_secs(20);
/// A year: what is added to a clock has an end.
const LONGEST_WALL: Duration = Duration::from_secs(365 * 24 * 3600);
/// What the C library says, in the locale that we set. Believed in the output's end only: a test suite may say it in passing.
const NO_SPACE: &[&[u8]] = &[b"No space left on device"];
/// What programs say when an allocation is refused. Believed only where resource limits, not control groups, refuse it.
const NO_MEMORY: &[&[u8]] = &[
    b"Cannot allocate memory",
    b"out of memory",
    b"memory exhausted",
    b"bad_alloc",
    b"MemoryError",
];
/// As above, of the number of processes.
const NO_FORK: &[&[u8]] = &[b"Resource temporarily unavailable"];

/// How a command ended. All but `Exited(0)` mean that it did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(i32),
    /// By a signal of its own; a shell's 128 + n counts as that signal.
    Killed(i32),
    /// It ran longer than [`Limits::wall`].
    TimedOut,
    /// It printed more than [`Limits::log_bytes`].
    LogLimit,
    /// It used more than [`Limits::memory_bytes`].
    OutOfMemory,
    /// It failed and the workspace's disk was full.
    DiskFull,
    /// It failed after it had [`Limits::processes`] at one time, or went on forking.
    ProcessLimit,
    /// The caller's token was canceled.
    Canceled,
}

impl Ended {
    /// Whether the command did its work.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Ended {
    /// For people: "exit code 2", "was stopped: the disk of the workspace is full".
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exit code {code}"),
            Self::Killed(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(out, "killed by {name}"),
                Err(_) => write!(out, "killed by signal {signal}"),
            },
            Self::TimedOut => out.write_str("stopped: it ran longer than allowed"),
            Self::LogLimit => out.write_str("stopped: it printed more than allowed"),
            Self::OutOfMemory => out.write_str("stopped: it used more memory than allowed"),
            Self::DiskFull => out.write_str("failed: the disk of its workspace is full"),
            Self::ProcessLimit => out.write_str("failed: it started more processes than allowed"),
            Self::Canceled => out.write_str("canceled"),
        }
    }
}

/// Takes output as it comes. A slow sink slows the command down; nothing is dropped.
pub trait LogSink: Send {
    /// At most 64 KiB, cut anywhere.
    fn write(&mut self, chunk: &[u8]) -> impl Future<Output = ()> + Send;
}

impl LogSink for Vec<u8> {
    async fn write(&mut self, chunk: &[u8]) {
        self.extend_from_slice(chunk);
    }
}

impl LogSink for mpsc::Sender<Vec<u8>> {
    /// A receiver that is gone does not stop the command.
    async fn write(&mut self, chunk: &[u8]) {
        let _ = self.send(chunk.to_vec()).await;
    }
}

/// Why we ended a command that had not ended itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Wall,
    Log,
    Memory,
    Forks,
    Cancel,
}

impl Workspace {
    /// Runs a command to its end. When this returns, also early or with an error, nothing of it is running. When the returned
    /// future is dropped, the command is killed.
    ///
    /// # Errors
    /// [`Error::Setup`] when the command could not be started; no error is the command's own fault.
    pub async fn run(
        &self,
        command: &Command,
        limits: &Limits,
        log: &mut impl LogSink,
        cancel: &CancellationToken,
    ) -> Result<Ended, Error> {
        let inner = &self.sandbox.inner;
        let name = self.sandbox.next_name();
        // Of this workspace, whatever the caller passes: the tmpfs has one size.
        let limits = Limits {
            disk_bytes: self.disk_bytes,
            ..*limits
        };
        let group = Group::create(&inner.hierarchies, &name, &limits)
            .map_err(Error::io("make the control group", &name))?;
        let (reader, writer) = std::io::pipe().map_err(Error::io("make", "a pipe for the log"))?;
        let request = Request::Run(Box::new(self.request(command, &limits, &group)));
        let helper =
            Helper::start(&inner.helper, request, Stdio::from(OwnedFd::from(writer))).await?;
        let mut running = Running::new(helper, reader, group, limits, self.watched())?;
        running.attend(log, cancel).await;
        running.finish(command).await
    }

    fn request(&self, command: &Command, limits: &Limits, group: &Group) -> Run {
        let plan = command.plan(self.sandbox.mapping());
        let watched = self.watched();
        let mut rlimits = Vec::new();
        if watched.contains(&Controller::Memory) {
            // A backstop between two looks of the watcher, which is the one that ends the command.
            rlimits.push((Rlimit::Data, limits.memory_bytes.saturating_mul(2)));
        }
        if watched.contains(&Controller::Pids) {
            rlimits.push((Rlimit::Processes, limits.processes));
        }
        Run {
            mapping: self.sandbox.mapping(),
            holder: self.holder(),
            groups: group.procs(),
            who: command.who(),
            binds: plan.binds,
            mount_points: plan.mount_points,
            rlimits,
            bwrap: plan.bwrap,
            argv: plan.argv,
        }
    }

    /// The limits that no control group holds.
    fn watched(&self) -> Vec<Controller> {
        let held = |controller: &Controller| {
            self.sandbox
                .inner
                .hierarchies
                .iter()
                .any(|it| it.controller == *controller)
        };
        [Controller::Memory, Controller::Pids]
            .into_iter()
            .filter(|controller| !held(controller))
            .collect()
    }
}

struct Running {
    helper: Helper,
    log: pipe::Receiver,
    group: Group,
    limits: Limits,
    watched: Vec<Controller>,
    log_bytes: u64,
    tail: Vec<u8>,
    saw_full_house: bool,
    stop: Option<Stop>,
}

impl Running {
    fn new(
        helper: Helper,
        log: PipeReader,
        group: Group,
        limits: Limits,
        watched: Vec<Controller>,
    ) -> Result<Self, Error> {
        let log = pipe::Receiver::from_owned_fd(log.into())
            .map_err(Error::io("read", "the log's pipe"))?;
        Ok(Self {
            helper,
            log,
            group,
            limits,
            watched,
            log_bytes: 0,
            tail: Vec::new(),
            saw_full_house: false,
            stop: None,
        })
    }

    /// Until the log ends: the last process that could write to it is gone then.
    async fn attend(&mut self, sink: &mut impl LogSink, cancel: &CancellationToken) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = Instant::now() + self.limits.wall.min(LONGEST_WALL);
        loop {
            tokio::select! {
                // In this order: a command that prints without end is still stopped by the clock and by the caller.
                biased;
                () = cancel.cancelled(), if self.stop.is_none() => self.stop(Stop::Cancel, &mut end),
                () = sleep_until(end) => match self.stop {
                    None => self.stop(Stop::Wall, &mut end),
                    Some(_) => return,
                },
                _ = look.tick(), if self.stop.is_none() => {
                    if let Some(stop) = self.look() {
                        self.stop(stop, &mut end);
                    }
                }
                read = self.log.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return,
                    // Nobody wants what is still in the pipe.
                    Ok(_) if matches!(self.stop, Some(Stop::Log | Stop::Cancel)) => {}
                    Ok(size) => self.pass(&chunk[..size], sink, cancel, &mut end).await,
                },
            }
        }
    }

    /// Hands a chunk to the sink; a sink that hangs holds up neither the clock nor the caller's wish.
    async fn pass(
        &mut self,
        chunk: &[u8],
        sink: &mut impl LogSink,
        cancel: &CancellationToken,
        end: &mut Instant,
    ) {
        let allowed = self.take(chunk);
        tokio::select! {
            biased;
            () = cancel.cancelled(), if self.stop.is_none() => self.stop(Stop::Cancel, end),
            () = sleep_until(*end) => if self.stop.is_none() { self.stop(Stop::Wall, end) },
            () = sink.write(&chunk[..allowed]) => {
                if allowed < chunk.len() && self.stop.is_none() {
                    self.stop(Stop::Log, end);
                }
            }
        }
    }

    fn stop(&mut self, why: Stop, end: &mut Instant) {
        self.stop = Some(why);
        self.helper.input = None;
        *end = Instant::now() + GRACE;
    }

    /// Counts a chunk; returns how much of it is within the limit.
    fn take(&mut self, chunk: &[u8]) -> usize {
        let left = self.limits.log_bytes - self.log_bytes;
        let allowed = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.log_bytes += allowed as u64;
        self.tail.extend_from_slice(&chunk[..allowed]);
        let keep_from = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..keep_from);
        allowed
    }

    fn look(&mut self) -> Option<Stop> {
        let refused = self.group.refused();
        if refused.forks >= RUNAWAY_FORKS {
            return Some(Stop::Forks);
        }
        // What is left of the command may wait for the killed part for ever.
        if refused.oom_kills > 0 {
            return Some(Stop::Memory);
        }
        if self.watched.is_empty() {
            return None;
        }
        let usage = watch::usage(self.helper.child.id()?, self.limits.memory_bytes);
        self.saw_full_house |= usage.processes >= self.limits.processes;
        let too_much =
            self.watched.contains(&Controller::Memory) && usage.bytes > self.limits.memory_bytes;
        too_much.then_some(Stop::Memory)
    }

    /// Reads the supervisor's report and gives the end its name.
    async fn finish(mut self, command: &Command) -> Result<Ended, Error> {
        let refused = self.group.refused();
        let reply = timeout(GRACE, self.helper.line("supervise a command")).await;
        self.helper.input = None;
        self.group.kill();
        if timeout(GRACE, self.helper.child.wait()).await.is_err() {
            self.helper
                .child
                .kill()
                .await
                .map_err(Error::io("kill", "millrace-sandbox-init"))?;
        }
        let end = match reply {
            Ok(Ok(Reply::Ended(end))) if end.started || self.stop.is_some() => end,
            // The kernel chose the supervisor: it is in the command's memory group.
            _ if self.stop.is_some() || refused.oom_kills > 0 => ChildEnd {
                started: true,
                code: 128 + nix::libc::SIGKILL,
                disk_was_full: false,
                largest_process: 0,
            },
            Ok(Ok(Reply::Ended(_))) => {
                let reason = String::from_utf8_lossy(&self.tail).trim().to_owned();
                return Err(Error::Setup {
                    program: command.program().into(),
                    reason,
                });
            }
            Ok(Ok(Reply::Failed(reason))) => {
                return Err(Error::Setup {
                    program: command.program().into(),
                    reason,
                });
            }
            Ok(Ok(other)) => {
                return Err(Error::Helper {
                    step: "supervise a command",
                    reason: format!("it said {other:?}"),
                });
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(Error::Helper {
                    step: "supervise a command",
                    reason: "the helper does not answer".into(),
                });
            }
        };
        Ok(self.name(&end, refused))
    }

    fn name(&self, end: &ChildEnd, refused: crate::cgroup::Refused) -> Ended {
        let refused_unseen = self.watched.contains(&Controller::Pids) && says(&self.tail, NO_FORK);
        let forks = refused.forks > 0 || self.saw_full_house || refused_unseen;
        match self.stop {
            Some(Stop::Cancel) => return Ended::Canceled,
            Some(Stop::Log) => return Ended::LogLimit,
            Some(Stop::Memory) => return Ended::OutOfMemory,
            Some(Stop::Forks) => return Ended::ProcessLimit,
            Some(Stop::Wall) if forks => return Ended::ProcessLimit,
            Some(Stop::Wall) => return Ended::TimedOut,
            None => {}
        }
        let starved = self.watched.contains(&Controller::Memory)
            && (says(&self.tail, NO_MEMORY) || end.largest_process >= self.limits.memory_bytes);
        match end.code {
            // Also when the command did not notice: a part of it is missing.
            _ if refused.oom_kills > 0 => Ended::OutOfMemory,
            0 => Ended::Exited(0),
            _ if starved => Ended::OutOfMemory,
            _ if end.disk_was_full || says(&self.tail, NO_SPACE) => Ended::DiskFull,
            _ if forks => Ended::ProcessLimit,
            code @ 129..=192 => Ended::Killed(code - 128),
            code => Ended::Exited(code),
        }
    }
}

fn says(text: &[u8], words: &[&[u8]]) -> bool {
    words
        .iter()
        .any(|words| text.windows(words.len()).any(|window| window == *words))
}
