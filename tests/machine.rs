//! One machine, whole and real: `millrace up` with its processes, killed, lied to and reverted.
//!
//! The packages are tiny, everything else is as in production: mmdebstrap, dpkg-buildpackage in the
//! sandbox, rpgp, and apt as the judge. Scenarios share one machine because its root takes longest.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and reads their files"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(600);

struct Machine {
    root: PathBuf,
    up: Option<Child>,
    /// The same after a restart, so that runners find it again.
    listen: String,
}

impl Machine {
    fn new(name: &str) -> Self {
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
        machine.ok(program("millrace").arg("init").arg(machine.path("one")));
        machine.ok(Command::new("git")
            .args(["clone", "--quiet"])
            .arg(machine.path("one/state.git"))
            .arg(machine.path("wc")));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn ok(&self, command: &mut Command) -> String {
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{command:?}\n{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn start(&mut self) {
        let note = self.path("one/running.json");
        std::fs::remove_file(&note).ok();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("up.log"))
            .expect("a log");
        let child = program("millrace")
            .args(["up", "--lease", "4", "--listen", &self.listen, "--data"])
            .arg(self.path("one"))
            .arg("--roots")
            .arg(self.root.with_file_name("roots"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("millrace up starts");
        self.up = Some(child);
        self.wait("the control plane's note", || note.exists());
    }

    /// Ends the control plane without a word. Its runners go on.
    fn kill_control_plane(&mut self) {
        let mut child = self.up.take().expect("it runs");
        child.kill().expect("kill -9");
        child.wait().expect("it is gone");
    }

    fn wait(&self, what: &str, mut there: impl FnMut() -> bool) {
        let began = Instant::now();
        while !there() {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {what}; see {}",
                self.path("up.log").display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn git(&self, directory: &Path, args: &[&str]) -> String {
        self.ok(Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-C"])
            .arg(directory)
            .args(args))
    }

    fn push(&self, path: &str, text: &str) {
        let file = self.path("wc").join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(&file, text).expect("a file");
        let wc = self.path("wc");
        self.git(&wc, &["add", "--all"]);
        self.git(&wc, &["commit", "--quiet", "-m", path]);
        self.git(&wc, &["push", "--quiet"]);
    }

    fn millrace(&self, args: &[&str]) -> Output {
        let (word, rest) = args.split_first().expect("a word");
        program("millrace")
            .arg(word)
            .arg("--data")
            .arg(self.path("one"))
            .args(rest)
            .output()
            .expect("millrace starts")
    }

    /// Waits until the request is at rest; answers its phase.
    fn settle(&self, request: &str) -> String {
        let output = self.millrace(&[
            "watch",
            "--json",
            "--timeout",
            &PATIENCE.as_secs().to_string(),
            request,
        ]);
        let status = self.status(request);
        let phase = status["phase"].as_str().unwrap_or_default().to_owned();
        assert!(
            ["succeeded", "published", "failed", "reverted", "invalid"].contains(&phase.as_str()),
            "{request} is {phase}: {}",
            said(&output)
        );
        phase
    }

    fn status(&self, request: &str) -> serde_json::Value {
        let output = self.millrace(&["status", "--json", request]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn task(&self, request: &str, title: &str) -> serde_json::Value {
        let status = self.status(request);
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        tasks
            .into_iter()
            .find(|task| task["title"].as_str().is_some_and(|t| t.starts_with(title)))
            .unwrap_or_default()
    }

    /// A git repository with version `version` of a tiny package; answers its URL.
    fn package(&self, version: &str, rules: &str) -> String {
        let directory = self.path(&format!("tiny-{version}"));
        std::fs::create_dir_all(directory.join("debian/source")).expect("a directory");
        let write =
            |path: &str, text: &str| std::fs::write(directory.join(path), text).expect("a file");
        write(
            "debian/changelog",
            &format!(
                "tiny ({version}) bookworm; urgency=low\n\n  * x\n\n -- T <t@localhost>  Sun, 01 Nov 2026 12:00:00 +0000\n"
            ),
        );
        write(
            "debian/control",
            "Source: tiny\nMaintainer: T <t@localhost>\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\nPackage: tiny\nArchitecture: any\nDescription: tiny\n tiny\n",
        );
        write("debian/source/format", "3.0 (native)\n");
        write(
            "debian/rules",
            &format!(
                "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_install:\n\t{rules}\n\tmkdir -p debian/tiny/usr/share/tiny\n\techo {version} > debian/tiny/usr/share/tiny/version\n"
            ),
        );
        self.git(&directory, &["init", "--quiet", "--initial-branch=main"]);
        self.git(&directory, &["add", "--all"]);
        self.git(&directory, &["commit", "--quiet", "-m", "x"]);
        format!("file://{}", directory.display())
    }

    fn build_request(&self, url: &str) -> String {
        format!(
            "reason: test\nplatforms: {{debian-12: [amd64]}}\npackages:\n  - source: {{git: \"{url}\", ref: main}}\n    name: tiny\n"
        )
    }

    fn url(&self) -> String {
        let note: serde_json::Value = serde_json::from_slice(
            &std::fs::read(self.path("one/running.json")).expect("the note"),
        )
        .expect("JSON");
        note["url"].as_str().expect("a URL").to_owned()
    }

    /// What real apt, trusting only the published key, would install. `None`: it refuses or has nothing.
    fn apt_candidate(&self) -> Option<String> {
        let directory = self.path("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(directory.join(part)).expect("a directory");
        }
        let key = self.path("wc/keys/main.asc");
        let line = format!(
            "deb [signed-by={}] {}/repos/debian/12 bookworm main\n",
            key.display(),
            self.url()
        );
        std::fs::write(directory.join("sources.list"), line).expect("a file");
        std::fs::write(directory.join("status"), "").expect("a file");
        let option = |name: &str, path: &str| format!("{name}={}", directory.join(path).display());
        let apt = |program: &str, words: &[&str]| {
            Command::new(program)
                .args([
                    "-o",
                    "Dir::Etc::SourceParts=/dev/null",
                    "-o",
                    "APT::Sandbox::User=root",
                    "-o",
                    "APT::Update::Error-Mode=any",
                ])
                .args([
                    "-o",
                    &option("Dir::Etc::SourceList", "sources.list"),
                    "-o",
                    &option("Dir::State::Lists", "lists"),
                ])
                .args([
                    "-o",
                    &option("Dir::Cache", "cache"),
                    "-o",
                    &option("Dir::State::Status", "status"),
                ])
                .args(words)
                .output()
                .expect("apt starts")
        };
        if !apt("apt-get", &["update"]).status.success() {
            return None;
        }
        let policy = apt("apt-cache", &["policy", "tiny"]);
        let text = String::from_utf8_lossy(&policy.stdout).into_owned();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("Candidate:"))?;
        Some(
            line.trim_start()
                .trim_start_matches("Candidate:")
                .trim()
                .to_owned(),
        )
    }

    fn object(&self, digest: &str) -> PathBuf {
        self.path("one/data/artifacts/objects")
            .join(&digest[..2])
            .join(&digest[2..])
    }

    /// Overwrites one byte in the middle of a stored object, as a thief with the disk would.
    fn tamper(&self, digest: &str) {
        let path = self.object(digest);
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
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn target() -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    own.ancestors()
        .nth(3)
        .expect("target/debug/deps/test")
        .to_owned()
}

fn program(name: &str) -> Command {
    let path = target().join("debug").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins`, or `cargo xtask test`",
        path.display()
    );
    Command::new(path)
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn artifact<'a>(task: &'a serde_json::Value, ending: &str) -> &'a str {
    let artifacts = task["artifacts"].as_array().expect("artifacts");
    let found = artifacts
        .iter()
        .find(|a| a["name"].as_str().is_some_and(|n| n.ends_with(ending)));
    found
        .and_then(|a| a["sha256"].as_str())
        .expect("the artifact")
}

/// Processes of a runner's build, by a word on their command line.
fn pids(word: &str) -> Vec<String> {
    let output = Command::new("pgrep")
        .args(["-f", word])
        .output()
        .expect("pgrep starts");
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_machine_that_is_killed_lied_to_and_reverted() {
    let mut machine = Machine::new("machine");
    machine.start();

    // A request with a mistake is answered with its place, and harms nothing.
    machine.push(
        "builds/2026/11/bad.yaml",
        "reason: x\nplatforms: {debian-21: [amd64]}\npackages: []\n",
    );
    assert_eq!(machine.settle("builds/2026/11/bad.yaml"), "invalid");
    let problem = machine.status("builds/2026/11/bad.yaml")["problems"][0].to_string();
    assert!(problem.contains("builds/2026/11/bad.yaml:"), "{problem}");

    // kill -9 of the control plane in the middle of a build: the build ends all the same, once.
    let slow = machine.package("1.0", "sleep 8");
    machine.push("builds/2026/11/one.yaml", &machine.build_request(&slow));
    machine.wait("the build", || {
        machine.task("builds/2026/11/one.yaml", "build")["state"] == "leased"
    });
    machine.kill_control_plane();
    machine.start();
    assert_eq!(
        machine.settle("builds/2026/11/one.yaml"),
        "succeeded",
        "{}",
        machine.status("builds/2026/11/one.yaml")
    );

    // A release, and apt installs from it.
    machine.push(
        "releases/2026/11/one.yaml",
        "from: [builds/2026/11/one.yaml]\nto: [debian-12]\n",
    );
    assert_eq!(
        machine.settle("releases/2026/11/one.yaml"),
        "published",
        "{}",
        machine.status("releases/2026/11/one.yaml")
    );
    assert_eq!(machine.apt_candidate().as_deref(), Some("1.0"));

    // kill -9 of the runner in the middle of a build: another attempt makes it.
    let second = machine.package("2.0", "sleep 6");
    machine.push("builds/2026/11/two.yaml", &machine.build_request(&second));
    machine.wait("the build", || {
        machine.task("builds/2026/11/two.yaml", "build")["state"] == "leased"
    });
    let data = machine.path("one").display().to_string();
    for pid in pids(&format!("millrace-runner run .*{data}")) {
        Command::new("kill")
            .args(["-9", &pid])
            .status()
            .expect("kill starts");
    }
    assert_eq!(
        machine.settle("builds/2026/11/two.yaml"),
        "succeeded",
        "{}",
        machine.status("builds/2026/11/two.yaml")
    );
    let build = machine.task("builds/2026/11/two.yaml", "build");
    assert!(build["attempt"].as_u64() >= Some(2), "{build}");

    // A release that replaces, and its revert: the old package is back.
    machine.push(
        "releases/2026/11/two.yaml",
        "from: [builds/2026/11/two.yaml]\nto: [debian-12]\n",
    );
    assert_eq!(machine.settle("releases/2026/11/two.yaml"), "published");
    assert_eq!(machine.apt_candidate().as_deref(), Some("2.0"));
    let wc = machine.path("wc");
    machine.git(&wc, &["revert", "--no-edit", "HEAD"]);
    machine.git(&wc, &["push", "--quiet"]);
    machine.wait("the revert", || {
        machine.status("releases/2026/11/two.yaml")["phase"] == "reverted"
    });
    assert_eq!(machine.apt_candidate().as_deref(), Some("1.0"));
    let verified = machine.millrace(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));

    // A package that was changed between build and release: nothing is published.
    let deb = machine.task("builds/2026/11/two.yaml", "build");
    machine.tamper(artifact(&deb, "tiny_2.0_amd64.deb"));
    machine.push(
        "releases/2026/11/three.yaml",
        "from: [builds/2026/11/two.yaml]\nto: [debian-12]\n",
    );
    machine.wait("trouble", || {
        let status = machine.status("releases/2026/11/three.yaml").to_string();
        status.contains("tampered")
            || status.contains("damaged")
            || status.contains("digest")
            || status.contains("SHA-256")
    });
    assert_eq!(machine.apt_candidate().as_deref(), Some("1.0"));

    // An edited byte in what is published: verify names the file.
    let first = machine.task("builds/2026/11/one.yaml", "build");
    machine.tamper(artifact(&first, "tiny_1.0_amd64.deb"));
    let verified = machine.millrace(&["verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    assert!(
        said(&verified).contains("tiny_1.0_amd64.deb"),
        "{}",
        said(&verified)
    );
}
