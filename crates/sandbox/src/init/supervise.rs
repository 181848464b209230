//! Runs one command in a held workspace and reports how it ended.
//!
//! bwrap puts the command into a pid namespace, whose first process takes all others with it, whatever has forked,
//! daemonised or stopped. The supervisor is the subreaper of all of them: it ends when nothing is left to wait for, so a
//! reported end is the end of every process.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, fchmod, umask};
use nix::sys::statvfs::fstatvfs;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::inside::{self, Links};
use super::{Outcome, Peer, Step, become_id};
use crate::command::BUILD_ID;
use crate::sandbox::remove_trees;
use crate::watch;
use crate::wire::{
    BINDS, Bind, ChildEnd, HOST, Mapping, MountPoint, Owner, ROOT, Reply, Rlimit, Run, SCRATCH,
    WORK,
};

/// How often the workspace's free space is looked at.
const SAMPLE_MILLISECONDS: u16 = 50;
/// Less free than this is full: one more page of most writes would not fit.
const FULL_BYTES: u64 = 64 << 10;

pub(super) fn run(peer: &mut Peer, spec: &Run) -> Outcome<()> {
    umask(Mode::from_bits_truncate(0o022));
    // First of all: whatever this process starts is counted.
    for group in &spec.groups {
        std::fs::write(group, "0")
            .map_err(|error| format!("enter {}: {error}", group.display()))?;
    }
    inside::join(spec.mapping, spec.holder)?;
    // No pid namespace here: bwrap looks its own child up in the /proc of the host, by the host's numbers.
    unshare(CloneFlags::CLONE_NEWNS).step("make the command's own mount namespace")?;
    prctl::set_child_subreaper(true).step("become the parent of orphans")?;
    let host = host_binds(spec)?;
    become_id(0)?;
    let scratch = mounts(spec, &host)?;
    let space = inside::directory(WORK)?;
    limit(spec)?;
    let end = attend(peer, spec, &space);
    // The build user may not remove its scratch directories, only what is in them; the rest ends with the workspace.
    let used: Vec<PathBuf> = scratch
        .into_iter()
        .filter(|path| path.read_dir().is_ok_and(|mut it| it.next().is_some()))
        .collect();
    if !used.is_empty() {
        let _ = remove_trees(&used);
    }
    peer.reply(&Reply::Ended(end?))
}

/// Opened with the caller's own rights: a path that the caller may not read is not shown to a build either.
fn host_binds(spec: &Run) -> Outcome<Vec<OwnedFd>> {
    let root = inside::directory(HOST)?;
    let paths = spec.binds.iter().filter_map(|bind| match bind {
        Bind::Host(path) => Some(path),
        Bind::Inside(..) | Bind::Scratch(_) => None,
    });
    paths
        .map(|path| {
            inside::open(&root, path, OFlag::O_PATH, Links::Confined)
                .map_err(|error| inside::refused(path, error))
        })
        .collect()
}

/// Prepares `/b/N` for every bind, and the mount points in the root. Returns the scratch directories made.
fn mounts(spec: &Run, host: &[OwnedFd]) -> Outcome<Vec<PathBuf>> {
    let root = inside::directory(ROOT)?;
    for point in &spec.mount_points {
        match point {
            MountPoint::Directory(path) => inside::mount_directory(&root, path)?,
            MountPoint::File(path) => inside::mount_file(&root, path)?,
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("millrace"),
        BINDS,
        Some("tmpfs"),
        flags,
        Some("size=1m,mode=0755"),
    )
    .step("mount a tmpfs")?;
    let (mut host, mut scratch) = (host.iter(), Vec::new());
    for (number, bind) in spec.binds.iter().enumerate() {
        let target = PathBuf::from(format!("{BINDS}/{number}"));
        match bind {
            Bind::Host(_) => {
                let source = host
                    .next()
                    .ok_or("bind a path of the host: it was not opened")?;
                mount_point(source, &target)?;
                inside::bind(source, &target)?;
            }
            Bind::Inside(path, owner) => {
                let source = inside::make_directory(&root, path, *owner)?;
                mount_point(&source, &target)?;
                inside::bind(&source, &target)?;
            }
            Bind::Scratch(mode) => {
                let path = PathBuf::from(format!("{SCRATCH}/{}-{number}", std::process::id()));
                std::fs::create_dir(&path).step("make a scratch directory")?;
                let source = inside::open(
                    &inside::directory("/")?,
                    &path,
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY,
                    Links::Refused,
                )
                .step("open a scratch directory")?;
                fchmod(&source, Mode::from_bits_truncate(*mode))
                    .step("set a scratch directory's mode")?;
                mount_point(&source, &target)?;
                inside::bind(&source, &target)?;
                scratch.push(path);
            }
        }
    }
    Ok(scratch)
}

/// An empty file or directory, as the source is one.
fn mount_point(source: &OwnedFd, target: &Path) -> Outcome<()> {
    let made = if inside::magic(source).is_dir() {
        std::fs::create_dir(target)
    } else {
        File::create(target).map(drop)
    };
    made.map_err(|error| format!("make {}: {error}", target.display()))
}

fn limit(spec: &Run) -> Outcome<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).step("forbid core dumps")?;
    for (limit, value) in &spec.rlimits {
        let resource = match limit {
            Rlimit::Data => Resource::RLIMIT_DATA,
            Rlimit::Processes => Resource::RLIMIT_NPROC,
        };
        setrlimit(resource, *value, *value).step("set a resource limit")?;
    }
    Ok(())
}

/// Starts bwrap and waits for its end or for the caller's.
fn attend(peer: &Peer, spec: &Run, space: &OwnedFd) -> Outcome<ChildEnd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().step("block SIGCHLD")?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .step("watch for SIGCHLD")?;
    let (mut status, status_end) = std::io::pipe().step("make a pipe")?;
    let child = start(spec, status_end)?;
    let (child, disk_was_full) = wait(peer, child, &signals, space)?;
    let mut report = String::new();
    status
        .read_to_string(&mut report)
        .step("read bwrap's report")?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).step("read the child's usage")?;
    let code = match (child.code(), child.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    Ok(ChildEnd {
        started: report.contains("\"exit-code\"") || child.signal().is_some(),
        code,
        disk_was_full,
        largest_process: u64::try_from(usage.max_rss())
            .unwrap_or_default()
            .saturating_mul(1024),
    })
}

fn start(spec: &Run, status: std::io::PipeWriter) -> Outcome<Child> {
    if spec.who == Owner::Build && spec.mapping == Mapping::Namespace {
        become_id(BUILD_ID)?;
        prctl::set_no_new_privs().step("forbid new privileges")?;
    }
    fcntl(&status, FcntlArg::F_SETFD(FdFlag::empty())).step("pass a pipe on")?;
    // Standard error is the log that the caller reads; both streams of the command go there.
    let log = || {
        std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map(Stdio::from)
            .step("share the log")
    };
    let child = Command::new("bwrap")
        .args(&spec.bwrap)
        .args(["--json-status-fd", &status.as_raw_fd().to_string(), "--"])
        .args(&spec.argv)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .spawn();
    child.map_err(|error| format!("start bwrap (Debian package bubblewrap): {error}"))
}

fn wait(
    peer: &Peer,
    mut child: Child,
    signals: &SignalFd,
    space: &OwnedFd,
) -> Outcome<(std::process::ExitStatus, bool)> {
    let mut disk_was_full = false;
    let mut caller_is_there = true;
    loop {
        let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if caller_is_there {
            watched.push(PollFd::new(peer.input.get_ref().as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut watched, PollTimeout::from(SAMPLE_MILLISECONDS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("wait for the command: {error}")),
        }
        let caller_spoke = watched.get(1).and_then(PollFd::any).unwrap_or(false);
        disk_was_full |= full(space)?;
        while signals.read_signal().step("read a signal")?.is_some() {}
        if let Some(status) = child.try_wait().step("wait for bwrap")? {
            end_the_rest(signals)?;
            return Ok((status, disk_was_full));
        }
        // The caller says nothing after its request: the pipe is readable when it has closed its end.
        if caller_spoke {
            caller_is_there = false;
            child.kill().step("kill the command")?;
        }
    }
}

/// Kills and waits until there is nobody left. The first process of the command's pid namespace is an orphan of bwrap's, and
/// waiting for it waits for all processes in that namespace.
fn end_the_rest(signals: &SignalFd) -> Outcome<()> {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => continue,
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(format!("wait for the command's processes: {error}")),
        }
        for (pid, _) in watch::descendants(std::process::id()) {
            // One that is gone already is what is wanted.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        let mut watched = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        // A time limit, because a signal may have been read already for a child that is only now waited for.
        let _ = poll(&mut watched, PollTimeout::from(SAMPLE_MILLISECONDS));
        while signals.read_signal().step("read a signal")?.is_some() {}
    }
}

fn full(space: &OwnedFd) -> Outcome<bool> {
    let state = fstatvfs(space).step("look at the free space")?;
    Ok(
        state.blocks_available() * state.fragment_size() < FULL_BYTES
            || state.files_available() == 0,
    )
}
