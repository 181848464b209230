//! A place where real dnf, rpm and rpmbuild meet the bridge. Everything in it goes away with it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bridge::{Outcome, Request, Resolve};
use tempfile::TempDir;

/// The uid that builds run as.
const BUILDER: &str = "1000";

/// Where the bridge is kept between test runs, for the tests of all crates: `target/bridge`.
pub(crate) fn shared() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target
        .expect("cargo's directory for tests is below target")
        .join("bridge")
}

/// A request for the bridge in `out` as most callers make it.
pub(crate) fn request(out: PathBuf) -> Request {
    let jobs = NonZeroUsize::new(2).unwrap();
    Request {
        out,
        key: None,
        jobs,
        include: Vec::new(),
        resolve: Resolve::Once,
    }
}

/// The shared bridge, made if it is not there.
pub(crate) fn bridge() -> PathBuf {
    let out = shared();
    let made: Outcome = bridge::make(&request(out.clone()), &|line| eprintln!("{line}"))
        .unwrap_or_else(|error| panic!("{}", error.told()));
    assert!(made.bridge().packages > 200, "{made:?}");
    out
}

/// What a program answered.
pub(crate) struct Answer {
    pub(crate) ok: bool,
    /// Both streams.
    pub(crate) text: String,
}

impl Answer {
    /// The text of an answer that must be good.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.ok, "{}", self.text);
        self.text
    }

    /// The text of an answer that must be bad.
    #[track_caller]
    pub(crate) fn bad(self) -> String {
        assert!(!self.ok, "{}", self.text);
        self.text
    }
}

/// Runs a program of `debian`; a missing one fails the test and says what to install.
pub(crate) fn run(debian: &str, command: &mut Command) -> Answer {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; apt-get install {debian}"));
    let text = [output.stdout, output.stderr].concat();
    Answer {
        ok: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// A root, and a dnf that works on it.
pub(crate) struct Lab {
    directory: TempDir,
    bridge: PathBuf,
}

impl Lab {
    /// An empty root. On tmpfs if there is one: installing writes 450 MB.
    pub(crate) fn new() -> Self {
        let uid = run("coreutils", Command::new("id").arg("-u")).good();
        assert_eq!(
            uid.trim(),
            "0",
            "dnf --installroot needs root: run the tests as root"
        );
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let directory = tempfile::Builder::new()
            .prefix("bridge-test-")
            .tempdir_in(parent)
            .unwrap();
        let lab = Self {
            directory,
            bridge: bridge(),
        };
        std::fs::create_dir_all(lab.root()).unwrap();
        std::fs::create_dir_all(lab.path("home")).unwrap();
        std::fs::write(
            lab.path("home/.rpmmacros"),
            "%_dbpath /usr/lib/sysimage/rpm\n",
        )
        .unwrap();
        let bridge = lab.bridge.display();
        let conf = format!(
            "[main]\ngpgcheck=1\nrepo_gpgcheck=1\nassumeyes=1\nbest=1\ninstall_weak_deps=0\ntsflags=nodocs\n\
             reposdir=/dev/null\nvarsdir=/dev/null\ncachedir=/var/cache/dnf\nlogdir=/var/log\n\
             [bridge-12]\nname=bridge-12\nbaseurl=file://{bridge}/x86_64\ngpgkey=file://{bridge}/keys/bridge-12.asc\n"
        );
        std::fs::write(lab.path("dnf.conf"), conf).unwrap();
        lab
    }

    /// With the packages of a build root.
    pub(crate) fn with_buildroot() -> Self {
        let lab = Self::new();
        lab.dnf(&["install", "bridge-base"]).good();
        let description = std::fs::read_to_string(lab.bridge.join("bridge.yaml")).unwrap();
        let list = |name: &str| -> Vec<String> {
            let line = description
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name}: [")));
            let line = line
                .expect("bridge.yaml has the list")
                .trim_end_matches(']');
            line.split(", ").map(str::to_owned).collect()
        };
        assert_eq!(list("first"), ["bridge-base"]);
        let packages = list("buildroot");
        let mut arguments = vec!["install"];
        arguments.extend(packages.iter().map(String::as_str));
        lab.dnf(&arguments).good();
        std::fs::create_dir_all(lab.root().join("build")).unwrap();
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// dnf on the root, with both signature checks on.
    pub(crate) fn dnf(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new("dnf");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        command.env("HOME", self.path("home"));
        command
            .arg("--config")
            .arg(self.path("dnf.conf"))
            .arg("--installroot")
            .arg(self.root());
        command.args([
            "--releasever",
            "12",
            "--disableplugin=*",
            "--enableplugin=builddep,repoclosure",
        ]);
        run("dnf dnf-plugins-core", command.args(arguments))
    }

    /// A shell as root, inside the root.
    pub(crate) fn inside(&self, script: &str) -> Answer {
        let mut command = Command::new("chroot");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("HOME", "/root");
        run(
            "coreutils",
            command.arg(self.root()).args(["bash", "-c", script]),
        )
    }

    /// A shell as an unprivileged user on a read-only root without network, in /build.
    pub(crate) fn build(&self, script: &str) -> Answer {
        let build = self.root().join("build");
        run(
            "coreutils",
            Command::new("chown").args(["-R", BUILDER]).arg(&build),
        )
        .good();
        // Whoever builds must reach the root.
        run(
            "coreutils",
            Command::new("chmod").arg("755").arg(self.directory.path()),
        )
        .good();
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            BUILDER,
            "--regid",
            BUILDER,
            "--clear-groups",
            "--no-new-privs",
            "bwrap",
        ]);
        command.args(
            "--unshare-all --unshare-user --disable-userns --uid 1000 --gid 1000 --die-with-parent"
                .split(' '),
        );
        command.args(
            "--new-session --clearenv --setenv HOME /build --setenv PATH /usr/bin:/usr/sbin"
                .split(' '),
        );
        command
            .arg("--ro-bind")
            .arg(self.root())
            .arg("/")
            .arg("--bind")
            .arg(build)
            .arg("/build");
        command.args(
            "--proc /proc --dev /dev --perms 1777 --tmpfs /tmp --perms 1777 --tmpfs /var/tmp"
                .split(' '),
        );
        run(
            "bubblewrap util-linux",
            command.args(["--chdir", "/build", "--", "bash", "-c", script]),
        )
    }
}
