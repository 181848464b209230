//! The installation: `millrace up` with the runners that it keeps, two runners elsewhere, and the disk
//! that it lives on.
//!
//! What dies is started again, as a service manager would; everything else the installation must do
//! by itself.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::author::POLICY;
use crate::programs::{git, output};
use crate::schedule::{LEASE_SECONDS, Who};

/// Runners that are not started by `millrace up`: name, architectures, jobs at a time.
pub(crate) const ELSEWHERE: [(&str, &[&str], &str); 2] = [
    ("near", &["x86_64", "amd64"], "3"),
    ("far", &["arm64"], "4"),
];
/// Jobs at a time of the runner that `millrace up` keeps.
const JOBS: &str = "4";
/// Size of the disk of the data directory.
const DISK: &str = "size=384m";
/// What a service manager waits before it starts something again.
const RESTART: Duration = Duration::from_millis(500);
/// Longest time for the control plane to stop when it is asked to.
const STOP: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(20);

/// A process that is kept.
#[derive(Debug, Default)]
struct Kept {
    child: Option<Child>,
    /// When it is to be started.
    due: Option<Instant>,
}

pub(crate) struct Machine {
    root: PathBuf,
    address: SocketAddr,
    control: Kept,
    elsewhere: [Kept; 2],
    /// Ends that nobody asked for.
    pub(crate) ends: Vec<String>,
    filler: Option<PathBuf>,
    /// The database is gone, and nobody has recovered it yet.
    is_lost: bool,
}

impl Machine {
    /// `millrace init` in `root`, with a configuration of its own, on a disk of its own.
    pub(crate) fn new(root: &Path, programs: &Path) -> Result<Self> {
        let machine = Self {
            root: root.to_owned(),
            address: free_address()?,
            control: Kept::default(),
            elsewhere: Default::default(),
            ends: Vec::new(),
            filler: None,
            is_lost: false,
        };
        machine.install(programs)?;
        let data = machine.data();
        std::fs::create_dir_all(&data)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("chaos"), &data, Some("tmpfs"), flags, Some(DISK))
            .with_context(|| format!("mount a tmpfs at {}", data.display()))?;
        output(machine.program("millrace").arg("init").arg(&data))?;
        git(root, &["clone", "--quiet", "one/state.git", "clone"])?;
        machine.configure()?;
        Ok(machine)
    }

    /// The programs in a folder of their own: `millrace` starts those that lie beside it, and finds the
    /// pretended runner under the real one's name. Links, so that a build meanwhile changes nothing.
    fn install(&self, programs: &Path) -> Result<()> {
        let bin = self.root.join("bin");
        std::fs::create_dir_all(&bin)?;
        for (from, to) in [
            ("millrace", "millrace"),
            ("millrace-signer", "millrace-signer"),
            ("millrace-chaos-runner", "millrace-runner"),
        ] {
            let (from, to) = (programs.join(from), bin.join(to));
            std::fs::hard_link(&from, &to)
                .or_else(|_| std::fs::copy(&from, &to).map(drop))
                .with_context(|| format!("copy {}", from.display()))?;
        }
        Ok(())
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.root.join("bin").join(name))
    }

    /// Two platforms, three repositories, the runners elsewhere.
    fn configure(&self) -> Result<()> {
        let clone = self.clone_path();
        for folder in ["platforms", "repositories", "examples"] {
            std::fs::remove_dir_all(clone.join(folder)).ok();
        }
        let key = std::fs::read_to_string(clone.join("keys/main.asc"))?;
        let el = "format: rpm\narchitectures: [x86_64]\nbuildroot: [bash]\nrepos:\n  - name: el\n    url: https://example.org/el/$arch/\n    keys: [keys/upstream/el.asc]\n";
        let deb = "format: deb\narchitectures: [amd64, arm64]\narchives:\n  - url: host\n    suites: [bookworm]\n    components: [main]\n";
        let rpms = |path: &str, keep: &str| {
            format!(
                "format: rpm\nplatform: el\narchitectures: [x86_64]\nkey: main\npath: {path}\nkeep: {keep}\n"
            )
        };
        let archive = "format: deb\nplatform: deb\narchitectures: [amd64, arm64]\nkey: main\npath: archive\nsuite: stable\ncomponents: [main]\nkeep: 1\n";
        let mut files = vec![
            ("keys/upstream/el.asc".to_owned(), key),
            ("platforms/el.yaml".to_owned(), el.to_owned()),
            ("platforms/deb.yaml".to_owned(), deb.to_owned()),
            ("repositories/base.yaml".to_owned(), rpms("base", "all")),
            ("repositories/extra.yaml".to_owned(), rpms("extra", "2")),
            ("repositories/archive.yaml".to_owned(), archive.to_owned()),
            ("policy.yaml".to_owned(), POLICY.to_owned()),
        ];
        for (id, architectures, capacity) in ELSEWHERE {
            let mut enroll = self.program("millrace-runner");
            enroll.args(["enroll", "--id", id, "--capacity", capacity, "--key"]);
            enroll.arg(self.root.join(format!("{id}.identity")));
            enroll.args(architectures.iter().flat_map(|arch| ["--arch", arch]));
            let text = output(&mut enroll)? + "\n";
            files.push((format!("runners/{id}.yaml"), text));
        }
        for (path, text) in files {
            let path = clone.join(path);
            std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            std::fs::write(path, text)?;
        }
        git(&clone, &["add", "--all"])?;
        git(&clone, &["commit", "--quiet", "-m", "Pretended platforms"])?;
        git(&clone, &["push", "--quiet"]).map(drop)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("one")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.data().join("state.git")
    }

    pub(crate) fn clone_path(&self) -> PathBuf {
        self.root.join("clone")
    }

    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self) -> Result<String> {
        let path = self.data().join("secrets/admin.token");
        Ok(std::fs::read_to_string(path)?.trim().to_owned())
    }

    /// `millrace WORD --data … ARGS`.
    pub(crate) fn millrace(&self, word: &str, args: &[&str]) -> Command {
        let mut command = self.program("millrace");
        command.arg(word).arg("--data").arg(self.data()).args(args);
        command
    }

    fn log(&self, name: &str) -> Result<File> {
        let path = self.log_path(name);
        let opened = File::options().create(true).append(true).open(&path);
        opened.with_context(|| format!("open {}", path.display()))
    }

    /// Has everything started by the next look.
    pub(crate) fn start(&mut self) {
        let now = Instant::now();
        self.control.due = Some(now);
        for kept in &mut self.elsewhere {
            kept.due = Some(now);
        }
    }

    /// Starts what is due, and what ended by itself.
    pub(crate) fn look(&mut self) -> Result<()> {
        if let Some(end) = self.control.ended()? {
            self.ends.push(format!("millrace up: {end}"));
            self.control.due = Some(Instant::now() + RESTART);
        }
        if self.control.is_due() {
            if self.is_lost && !self.recover()? {
                // The disk may be full. A person tries again.
                self.control.due = Some(Instant::now() + RESTART);
            } else {
                self.is_lost = false;
                self.control.child = Some(self.up()?);
            }
        }
        for index in 0..ELSEWHERE.len() {
            let kept = &mut self.elsewhere[index];
            if kept.ended()?.is_some() {
                kept.due = Some(Instant::now() + RESTART);
            }
            if kept.is_due() {
                self.elsewhere[index].child = Some(self.runner(index)?);
            }
        }
        Ok(())
    }

    fn up(&self) -> Result<Child> {
        let lease = LEASE_SECONDS.to_string();
        let mut up = self.millrace("up", &["--lease", &lease, "--jobs", JOBS]);
        up.args(["--listen", &self.address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log("up")?);
        up.spawn().context("start millrace up")
    }

    fn runner(&self, index: usize) -> Result<Child> {
        let (id, ..) = ELSEWHERE[index];
        let mut run = self.program("millrace-runner");
        run.args(["run", "--control", &format!("http://{}", self.address)])
            .args(["--runner", id, "--drain-seconds", "2", "--key"])
            .arg(self.root.join(format!("{id}.identity")))
            .arg("--work")
            .arg(self.root.join("runners").join(id))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log(id)?);
        run.spawn().with_context(|| format!("start {id}"))
    }

    /// The control plane's process, if it runs.
    pub(crate) fn control_pid(&self) -> Option<Pid> {
        self.control.pid()
    }

    /// A runner's process, if it runs.
    pub(crate) fn runner_pid(&self, who: Who) -> Option<Pid> {
        let id = match who {
            Who::Elsewhere(index) => return self.elsewhere[index].pid(),
            Who::Builder => "local-builder",
            Who::Signer => "local-signer",
        };
        let note = self.data().join("runners").join(id).join("pid");
        let pid: i32 = std::fs::read_to_string(note).ok()?.trim().parse().ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let is_it = String::from_utf8_lossy(&line).contains(id);
        is_it.then_some(Pid::from_raw(pid))
    }

    /// kill -9 of the control plane; its runners go on.
    pub(crate) fn kill_control(&mut self, down: Duration) -> Result<()> {
        self.control.end(Signal::SIGKILL, STOP)?;
        self.control.due = Some(Instant::now() + down);
        Ok(())
    }

    /// kill -9 of the control plane, and ledger and queues are gone. Before it is started again, a person
    /// recovers them.
    pub(crate) fn lose_ledger(&mut self, down: Duration) -> Result<()> {
        self.kill_control(down)?;
        for end in ["", "-wal", "-shm"] {
            let path = self.data().join(format!("data/millrace.db{end}"));
            match std::fs::remove_file(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => {
                    return Err(cause).with_context(|| format!("remove {}", path.display()));
                }
                _ => {}
            }
        }
        self.is_lost = true;
        Ok(())
    }

    /// Whether it is done.
    fn recover(&self) -> Result<bool> {
        let mut recover = self.millrace("recover", &[]);
        recover
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log("up")?);
        let status = recover.status().context("start millrace recover")?;
        Ok(status.success())
    }

    /// SIGTERM, as before an update. Its runners drain.
    pub(crate) fn stop_control(&mut self, down: Duration) -> Result<()> {
        self.control.end(Signal::SIGTERM, STOP)?;
        self.control.due = Some(Instant::now() + down);
        Ok(())
    }

    /// A signal that ends a runner. One elsewhere is started again after a while.
    pub(crate) fn end_runner(&mut self, who: Who, signal: Signal, down: Duration) -> Result<()> {
        if let Who::Elsewhere(index) = who {
            let kept = &mut self.elsewhere[index];
            kept.end(signal, STOP)?;
            kept.due = Some(Instant::now() + down);
        } else if let Some(pid) = self.runner_pid(who) {
            kill(pid, signal).ok();
        }
        Ok(())
    }

    /// kill -9 of every process.
    pub(crate) fn kill_all(&mut self, down: Duration) -> Result<()> {
        for who in [Who::Builder, Who::Signer] {
            self.end_runner(who, Signal::SIGKILL, down)?;
        }
        self.kill_control(down)?;
        // Started by the keeper in between.
        for who in [
            Who::Builder,
            Who::Signer,
            Who::Elsewhere(0),
            Who::Elsewhere(1),
        ] {
            self.end_runner(who, Signal::SIGKILL, down)?;
        }
        Ok(())
    }

    /// Stops everything in order, and nothing starts again.
    pub(crate) fn stop(&mut self) -> Result<()> {
        for kept in &mut self.elsewhere {
            kept.end(Signal::SIGTERM, STOP)?;
            kept.due = None;
        }
        self.control.end(Signal::SIGTERM, STOP)?;
        self.control.due = None;
        Ok(())
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill_disk(&mut self) -> Result<()> {
        let path = self.data().join("filler");
        File::options().create(true).append(true).open(&path)?;
        self.filler = Some(path);
        self.keep_disk_full();
        Ok(())
    }

    /// Takes what somebody has freed meanwhile, while the disk is to be full.
    pub(crate) fn keep_disk_full(&self) {
        let Some(path) = &self.filler else { return };
        let Ok(mut file) = File::options().append(true).open(path) else {
            return;
        };
        for size in [1 << 20, 4096, 1] {
            let block = vec![0_u8; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    pub(crate) fn free_disk(&mut self) {
        if let Some(path) = self.filler.take() {
            std::fs::remove_file(path).ok();
        }
    }
}

impl Kept {
    fn pid(&self) -> Option<Pid> {
        let id = self.child.as_ref()?.id();
        i32::try_from(id).ok().map(Pid::from_raw)
    }

    /// How it ended by itself.
    fn ended(&mut self) -> Result<Option<String>> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let ended = child.try_wait().context("look at a process")?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended.map(|status| status.to_string()))
    }

    fn is_due(&mut self) -> bool {
        let due = self.child.is_none() && self.due.is_some_and(|due| due <= Instant::now());
        if due {
            self.due = None;
        }
        due
    }

    /// Ends it, and waits for that. One that is stopped is woken: a stopped process hears no SIGTERM.
    fn end(&mut self, signal: Signal, patience: Duration) -> Result<()> {
        let (Some(pid), Some(mut child)) = (self.pid(), self.child.take()) else {
            return Ok(());
        };
        kill(pid, signal).ok();
        kill(pid, Signal::SIGCONT).ok();
        let began = Instant::now();
        while child.try_wait()?.is_none() {
            if began.elapsed() > patience {
                child.kill().ok();
                child.wait().ok();
                bail!(
                    "{pid} did not end within {} s of {signal}",
                    patience.as_secs()
                );
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

/// An address that nothing listens on at this moment.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    let address = listener.local_addr()?;
    ensure!(address.port() != 0, "no free port");
    Ok(address)
}
