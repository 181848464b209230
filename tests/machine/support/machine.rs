//! `millrace up` with its runners, in a directory of its own, and the clone that people push from.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything: a root is made from nothing in two minutes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Seconds without a heartbeat after which a lease ends.
const LEASE: &str = "4";
/// Jobs at a time. More than processors: many of them only wait.
const JOBS: &str = "4";

pub(crate) struct Machine {
    root: PathBuf,
    up: Option<Child>,
    /// The same after a restart, so that runners find it again.
    listen: String,
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.join("millrace")
        } else {
            target().join("scratch")
        };
        let root = base.join(name);
        if root.exists() {
            std::fs::remove_dir_all(&root).expect("an old run can be removed");
        }
        std::fs::create_dir_all(&root).expect("a directory");
        let machine = Self {
            root,
            up: None,
            listen: free_address(),
        };
        ok(program("millrace").arg("init").arg(machine.path("one")));
        machine.clone_state();
        machine
    }

    /// Another with the same keys and the same commits, so that the same wish must give the same bytes.
    /// The first has not been started yet.
    pub(crate) fn twin(&self, name: &str) -> Self {
        let twin = Self {
            root: self.root.with_file_name(name),
            up: None,
            listen: free_address(),
        };
        std::fs::remove_dir_all(&twin.root).ok();
        std::fs::create_dir_all(&twin.root).expect("a directory");
        ok(Command::new("cp")
            .arg("-a")
            .args([self.path("one"), twin.path("one")]));
        twin.clone_state();
        twin
    }

    fn clone_state(&self) {
        ok(Command::new("git")
            .args(["clone", "--quiet"])
            .arg(self.path("one/state.git"))
            .arg(self.clone_path()));
    }

    /// Where build roots are, shared by all machines.
    pub(crate) fn roots(&self) -> PathBuf {
        self.root.with_file_name("roots")
    }

    /// A page of the running control plane, without a program in between; `None` when it is not up.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        String::from_utf8(self.get_bytes(path)?).ok()
    }

    /// The same of a file.
    pub(crate) fn get_bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.listen).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.listen);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|some| some == b"\r\n\r\n")?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer);
        head.contains(" 200 ").then_some(body)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The clone of the state repository.
    pub(crate) fn clone_path(&self) -> PathBuf {
        self.path("wc")
    }

    /// Points the platform `bridge-12` at the repository that `cargo xtask bridge` made. To be pushed with
    /// what comes next.
    pub(crate) fn use_bridge(&self) {
        let bridge = target().join("bridge");
        let key = std::fs::read_to_string(bridge.join("keys/bridge-12.asc"));
        let key = key.expect("the bridge is made: run `cargo xtask bridge`, or `cargo xtask test`");
        let platform = self.clone_path().join("platforms/bridge-12.yaml");
        let text = std::fs::read_to_string(platform).expect("the template's platform");
        let url = format!("file://{}", bridge.display());
        let text = text.replace("file:///var/lib/millrace/bridge", &url);
        self.write(&[
            ("platforms/bridge-12.yaml", Some(&text)),
            ("keys/upstream/bridge-12.asc", Some(&key)),
        ]);
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more words on the command line.
    pub(crate) fn start_with(&mut self, words: &[String]) {
        let note = self.path("one/running.json");
        std::fs::remove_file(&note).ok();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("up.log"))
            .expect("a log");
        let child = program("millrace")
            .args(["up", "--lease", LEASE, "--jobs", JOBS])
            .args(["--listen", &self.listen, "--data"])
            .arg(self.path("one"))
            .arg("--roots")
            .arg(self.roots())
            .args(words)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("millrace up starts");
        self.up = Some(child);
        self.wait("the control plane's note", || note.exists());
    }

    /// Ends the control plane without a word. Its runners go on.
    pub(crate) fn kill_control_plane(&mut self) {
        let mut child = self.up.take().expect("it runs");
        child.kill().expect("kill -9");
        child.wait().expect("it is gone");
    }

    /// Ends a runner of this machine without a word: `local-builder` or `local-signer`. Answers whether
    /// there was one.
    pub(crate) fn kill_runner(&self, id: &str) -> bool {
        let Some(pid) = self.runner(id) else {
            return false;
        };
        let status = Command::new("kill").args(["-9", &pid]).status();
        status.expect("kill starts").success()
    }

    /// The process that the keeper noted, if it is this runner still.
    pub(crate) fn runner(&self, id: &str) -> Option<String> {
        let note = self.path(&format!("one/runners/{id}/pid"));
        let pid = std::fs::read_to_string(note).ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(id).then_some(pid)
    }

    /// Waits for what takes seconds.
    pub(crate) fn wait(&self, what: &str, there: impl FnMut() -> bool) {
        self.wait_every(POLL, what, there);
    }

    /// Waits for what may be over in a moment.
    pub(crate) fn wait_closely(&self, what: &str, there: impl FnMut() -> bool) {
        self.wait_every(Duration::from_millis(2), what, there);
    }

    fn wait_every(&self, poll: Duration, what: &str, mut there: impl FnMut() -> bool) {
        let began = Instant::now();
        while !there() {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {what}; see {}",
                self.path("up.log").display()
            );
            std::thread::sleep(poll);
        }
    }

    /// Writes files into the clone; `None` takes one away.
    pub(crate) fn write(&self, files: &[(&str, Option<&str>)]) {
        for (path, text) in files {
            let file = self.clone_path().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            match text {
                Some(text) => std::fs::write(&file, text).expect("a file"),
                None => std::fs::remove_file(&file).expect("it was there"),
            }
        }
    }

    /// Commits all that is in the clone and pushes it; answers the commit.
    pub(crate) fn push_all(&self, message: &str, push: &[&str]) -> String {
        let clone = self.clone_path();
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "-m", message]);
        let words: Vec<&str> = ["push", "--quiet"].iter().chain(push).copied().collect();
        git(&clone, &words);
        git(&clone, &["rev-parse", "HEAD"])
    }

    /// One file, pushed.
    pub(crate) fn push(&self, path: &str, text: &str) -> String {
        self.write(&[(path, Some(text))]);
        self.push_all(path, &[])
    }

    /// `millrace WORD --data … ARGS`.
    pub(crate) fn millrace(&self, args: &[&str]) -> Output {
        let (word, rest) = args.split_first().expect("a word");
        program("millrace")
            .arg(word)
            .arg("--data")
            .arg(self.path("one"))
            .args(rest)
            .output()
            .expect("millrace starts")
    }

    /// Where the published repositories are.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Overwrites one byte in the middle of a stored object, as a thief with the disk would.
    pub(crate) fn tamper(&self, digest: &str) {
        let path = self
            .path("one/data/artifacts/objects")
            .join(&digest[..2])
            .join(&digest[2..]);
        let mut bytes = std::fs::read(&path).expect("the object");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).expect("root may");
        std::fs::write(&path, bytes).expect("root may");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.up {
            Command::new("kill")
                .arg(child.id().to_string())
                .status()
                .ok();
            child.wait().ok();
        }
    }
}

/// An address that nothing listens on at this moment.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    own.ancestors()
        .nth(3)
        .expect("target/debug/deps/test")
        .to_owned()
}

/// One of our programs.
pub(crate) fn program(name: &str) -> Command {
    let path = target().join("debug").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins`, or `cargo xtask test`",
        path.display()
    );
    Command::new(path)
}

/// git as a person; answers what it prints.
pub(crate) fn git(directory: &Path, args: &[&str]) -> String {
    ok(Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-C"])
        .arg(directory)
        .args(args))
}

/// Runs to a good end; answers what it prints.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Everything that a program printed.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
