//! What to run, in which kind of room, and the bwrap arguments for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::wire::{BINDS, Bind, HOST, Mapping, MountPoint, Owner, ROOT};

/// The user and group id that builds run as inside.
pub const BUILD_ID: u32 = 1000;
/// Where [`Command::prepare_on_host`] sees the workspace's root.
pub const HOST_ROOT: &str = "/workspace";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What package managers need to install files and run maintainer scripts, and no more.
const INSTALL_RIGHTS: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// Without user namespaces, bwrap must start as root, so it is the root's own setpriv (util-linux) that leaves root for good.
const DROP_ALL: [&str; 9] = [
    "setpriv",
    "--reuid=1000",
    "--regid=1000",
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--bounding-set=-all",
    "--",
];
/// The parts of the host's /etc that its package tools read. Nothing else of /etc is shown, not even to trusted tools: they
/// run scripts of packages that strangers built.
const HOST_ETC: [&str; 24] = [
    "alternatives",
    "apt",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "dnf",
    "dpkg",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "resolv.conf",
    "rpm",
    "ssl",
    "services",
    "yum.repos.d",
];

/// Whether a command can reach the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's network, its loopback included.
    Host,
    /// A namespace with nothing but its own loopback.
    None,
}

/// What root may do in a prepare command. All of it only inside the workspace's user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Install packages: change owners, modes and roots.
    Install,
    /// Also mount file systems, for tools that insist (mmdebstrap in root mode).
    Mount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Root, in the workspace's root.
    Prepare,
    /// Root, with the host's programs, the workspace's root at [`HOST_ROOT`].
    PrepareOnHost,
    /// The build user, in the workspace's root.
    Build,
}

/// One command for [`crate::Workspace::run`]. Its environment is empty but for `PATH`, `HOME` and `LANG=C.UTF-8`; its standard
/// input is `/dev/null`; `/tmp` and `/var/tmp` are fresh and its own.
#[derive(Debug, Clone)]
pub struct Command {
    room: Room,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    current_dir: PathBuf,
    network: Network,
    rights: Rights,
    writable: Vec<PathBuf>,
    host: Vec<(PathBuf, PathBuf, Access)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

impl Command {
    /// A trusted tool from the workspace's own root, as its root user, root writable, with the host's network: `apt-get` in
    /// a Debian root.
    pub fn prepare<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(Room::Prepare, Network::Host, argv)
    }

    /// A trusted tool of the host (`/usr` and some of `/etc`, read-only) as the workspace's root user, the workspace's root
    /// writable at [`HOST_ROOT`], with the host's network: `dnf --installroot=/workspace`, `tar -C /workspace`. Nothing else of
    /// the host is there unless it is bound. `/workspace/dev` is a minimal /dev for scriptlets; `/workspace/proc` is not mounted.
    pub fn prepare_on_host<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(Room::PrepareOnHost, Network::Host, argv)
    }

    /// A stranger's code: user [`BUILD_ID`], no capability, no new privileges, no user namespaces, no network, the root read-only
    /// but for what [`Self::writable`] lists. Only this one id exists inside: files of root show as nobody's, and `chown`
    /// fails (fakeroot wants `FAKEROOTDONTTRYCHOWN=1`).
    pub fn build<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(Room::Build, Network::None, argv)
    }

    fn new<S: Into<String>>(
        room: Room,
        network: Network,
        argv: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            room,
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            current_dir: PathBuf::from("/"),
            network,
            rights: Rights::Install,
            writable: Vec::new(),
            host: Vec::new(),
        }
    }

    /// Sets one variable; the last value of a name counts. No secrets: the host's process list shows it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The directory to start in; `/` if not set.
    #[must_use]
    pub fn current_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.current_dir = path.into();
        self
    }

    /// Makes a directory of the workspace writable to a build. It is made, owned by the build user, if it is not there; it
    /// stays for the workspace's later commands. Prepare commands may write everywhere.
    #[must_use]
    pub fn writable(mut self, path: impl Into<PathBuf>) -> Self {
        self.writable.push(path.into());
        self
    }

    /// Shows a file or directory of the host at `inside`, read-only. The caller must be able to read it.
    #[must_use]
    pub fn bind_read_only(mut self, host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.host
            .push((host.into(), inside.into(), Access::ReadOnly));
        self
    }

    /// Shows a directory of the host at `inside`, writable. What is written bypasses the disk limit, and root inside is not
    /// the host's root: the directory must be open to others. For caches of trusted tools.
    #[must_use]
    pub fn bind_read_write(mut self, host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.host
            .push((host.into(), inside.into(), Access::ReadWrite));
        self
    }

    /// Overrides the room's network. A build never gets the host's.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Overrides what root may do in a prepare command.
    #[must_use]
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// The program's name, for messages.
    pub(crate) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    pub(crate) fn who(&self) -> Owner {
        match self.room {
            Room::Prepare | Room::PrepareOnHost => Owner::Root,
            Room::Build => Owner::Build,
        }
    }

    /// What bwrap shall do, for the supervisor.
    pub(crate) fn plan(&self, mapping: Mapping) -> Plan {
        let mut plan = Plan::default();
        if self.room == Room::Build && mapping == Mapping::Direct {
            plan.argv.extend(DROP_ALL.map(str::to_owned));
        }
        plan.argv.extend(self.argv.iter().cloned());
        plan.words([
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--die-with-parent",
        ]);
        plan.words(["--new-session", "--hostname", "millrace", "--clearenv"]);
        if self.room == Room::Build || self.network == Network::None {
            plan.words(["--unshare-net"]);
        }
        self.rights_of(&mut plan, mapping);
        self.environment(&mut plan);
        match self.room {
            Room::Prepare => self.own_root(&mut plan, "--bind"),
            Room::PrepareOnHost => self.host_root(&mut plan),
            Room::Build => self.own_root(&mut plan, "--ro-bind"),
        }
        for (host, inside, access) in &self.host {
            if self.room != Room::PrepareOnHost {
                let point = if host.is_dir() {
                    MountPoint::Directory
                } else {
                    MountPoint::File
                };
                plan.mount_points.push(point(inside.clone()));
            }
            let word = if *access == Access::ReadOnly {
                "--ro-bind"
            } else {
                "--bind"
            };
            plan.bind(word, Bind::Host(host.clone()), inside);
        }
        if self.room == Room::PrepareOnHost {
            // bwrap's own root is a tmpfs that no limit covers.
            plan.words(["--remount-ro", "/"]);
        }
        plan.words(["--chdir"]);
        plan.path(&self.current_dir);
        plan
    }

    fn rights_of(&self, plan: &mut Plan, mapping: Mapping) {
        if self.room == Room::Build && mapping == Mapping::Namespace {
            plan.words([
                "--unshare-user",
                "--disable-userns",
                "--uid",
                "1000",
                "--gid",
                "1000",
            ]);
            return;
        }
        plan.words(["--cap-drop", "ALL"]);
        if self.room == Room::Build {
            // What DROP_ALL needs to drop the rest.
            for right in ["CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"] {
                plan.words(["--cap-add", right]);
            }
            return;
        }
        let mount = (self.rights == Rights::Mount).then_some("CAP_SYS_ADMIN");
        for right in INSTALL_RIGHTS.into_iter().chain(mount) {
            plan.words(["--cap-add", right]);
        }
    }

    fn environment(&self, plan: &mut Plan) {
        let home = if self.room == Room::Build {
            "/build"
        } else {
            "/root"
        };
        for (name, value) in [("PATH", PATH), ("HOME", home), ("LANG", "C.UTF-8")] {
            plan.words(["--setenv", name, value]);
        }
        for (name, value) in &self.env {
            plan.words(["--setenv", name, value]);
        }
    }

    fn own_root(&self, plan: &mut Plan, word: &str) {
        plan.words([word, ROOT, "/"]);
        for path in ["/proc", "/dev", "/tmp", "/var/tmp"] {
            plan.mount_points.push(MountPoint::Directory(path.into()));
        }
        plan.words(["--proc", "/proc", "--dev", "/dev"]);
        plan.scratch("/tmp", 0o1777);
        plan.scratch("/var/tmp", 0o1777);
        plan.scratch("/dev/shm", 0o1777);
        plan.words(["--remount-ro", "/dev"]);
        let resolver = Path::new("/etc/resolv.conf");
        if self.room == Room::Prepare && self.network == Network::Host && resolver.exists() {
            plan.mount_points.push(MountPoint::File(resolver.into()));
            plan.bind("--ro-bind", Bind::Host(resolver.into()), resolver);
        }
        if self.room == Room::Build {
            for path in &self.writable {
                plan.bind("--bind", Bind::Inside(path.clone(), Owner::Build), path);
            }
        }
    }

    fn host_root(&self, plan: &mut Plan) {
        for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let host = Path::new("/").join(name);
            match std::fs::read_link(&host) {
                Ok(target) => {
                    plan.words(["--symlink"]);
                    plan.path(&target);
                    plan.path(&host);
                }
                Err(_) => plan.words([
                    "--ro-bind-try",
                    &format!("{HOST}/{name}"),
                    &format!("/{name}"),
                ]),
            }
        }
        for path in ["/etc", "/var"] {
            plan.words(["--perms", "0755", "--dir", path]);
        }
        for name in HOST_ETC {
            plan.words([
                "--ro-bind-try",
                &format!("{HOST}/etc/{name}"),
                &format!("/etc/{name}"),
            ]);
        }
        plan.words(["--proc", "/proc", "--dev", "/dev"]);
        plan.scratch("/dev/shm", 0o1777);
        plan.words(["--remount-ro", "/dev"]);
        for path in ["/tmp", "/var/tmp"] {
            plan.scratch(path, 0o1777);
        }
        for path in ["/root", "/run", "/var/cache", "/var/lib", "/var/log"] {
            plan.scratch(path, 0o755);
        }
        plan.mount_points.push(MountPoint::Directory("/dev".into()));
        plan.words(["--bind", ROOT, HOST_ROOT, "--dev", "/workspace/dev"]);
    }
}

/// bwrap's arguments and what must be mounted before it starts.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) bwrap: Vec<String>,
    pub(crate) argv: Vec<String>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) mount_points: Vec<MountPoint>,
}

impl Plan {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.bwrap.extend(words.map(str::to_owned));
    }

    fn path(&mut self, path: &Path) {
        self.bwrap
            .push(OsString::from(path).to_string_lossy().into_owned());
    }

    fn bind(&mut self, word: &str, bind: Bind, inside: &Path) {
        let source = format!("{BINDS}/{}", self.binds.len());
        self.binds.push(bind);
        self.words([word, &source]);
        self.path(inside);
    }

    fn scratch(&mut self, inside: &str, mode: u32) {
        self.bind("--bind", Bind::Scratch(mode), Path::new(inside));
    }
}
