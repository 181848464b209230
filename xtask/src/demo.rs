//! `cargo xtask demo`: from a pushed request to installed, signed packages.
//!
//! Two real packages: `tree` for Debian from its own packaging, `figlet` for RPM from upstream's source
//! with a spec of ours. Everything runs as it would for a user: `millrace init`, `millrace up`, git
//! pushes, `millrace watch`, and then dnf and apt in clean roots that know only the published key.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::setup;
use crate::sh::{bin, build_programs, cmd, output, run, scratch, target, write};

/// How long a stage may take before the demo gives up.
const PATIENCE: &str = "900";
/// The version that tells our build of `tree` from Debian's.
const SUFFIX: &str = "+millrace1";

pub(crate) fn whole_way() -> Result<()> {
    setup::run()?;
    build_programs()?;
    let bridge = bridge()?;
    let demo = Demo::new("demo", bridge)?;
    demo.go()
}

/// One tiny package for arm64 on this machine, through qemu-user.
pub(crate) fn emulated() -> Result<()> {
    setup::run()?;
    setup::emulation()?;
    build_programs()?;
    let demo = Demo::new("emulated", PathBuf::new())?;
    step("a new distribution whose runner emulates arm64");
    run(Command::new(bin("millrace"))
        .arg("init")
        .arg(demo.path("one"))
        .args(["--name", "emulated", "--emulated", "arm64"]))?;
    let up = demo.up()?;
    let tiny = demo.tiny_source()?;
    demo.clone_state()?;
    step("a build request for arm64, pushed");
    let request = format!(
        "reason: an emulated architecture\nplatforms: {{debian-12: [arm64]}}\npackages:\n  - source: {{git: \"{tiny}\", ref: main}}\n    name: tiny\n"
    );
    demo.push("builds/2026/11/tiny.yaml", &request, "Build tiny for arm64")?;
    demo.watch("builds/2026/11/tiny.yaml")?;
    demo.with_data("status", &["builds/2026/11/tiny.yaml"])?;
    drop(up);
    println!(
        "e2e: an arm64 package was built and tested on {}",
        std::env::consts::ARCH
    );
    Ok(())
}

/// Makes the RPM repository out of Debian packages; at once if it is there.
pub(crate) fn bridge() -> Result<PathBuf> {
    let out = target().join("bridge");
    println!(
        "== the bridge: an RPM repository out of Debian packages, in {}",
        out.display()
    );
    run(Command::new(bin("millrace-bridge"))
        .args(["make", "--out"])
        .arg(&out))?;
    Ok(out)
}

struct Demo {
    root: PathBuf,
    bridge: PathBuf,
}

/// The control plane while it runs.
struct Up {
    child: Child,
    url: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        // SIGTERM: runners drain and the sandbox ends what it runs.
        let pid = self.child.id().to_string();
        cmd("kill", &[&pid]).status().ok();
        self.child.wait().ok();
    }
}

impl Demo {
    fn new(name: &str, bridge: PathBuf) -> Result<Self> {
        let root = scratch(name);
        if root.exists() {
            std::fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
        }
        std::fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        Ok(Self { root, bridge })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn go(&self) -> Result<()> {
        let started = Instant::now();
        step("a new distribution: millrace init");
        run(Command::new(bin("millrace"))
            .arg("init")
            .arg(self.path("one"))
            .args(["--name", "demo"]))?;
        let up = self.up()?;
        step("the sources: Debian's tree, and figlet with our own spec");
        let (tree, tree_version) = self.tree_source()?;
        let figlet = self.figlet_source()?;
        step("a build request, pushed");
        self.clone_state()?;
        self.configure()?;
        self.push(
            "builds/2026/11/first.yaml",
            &build_request(&tree, &figlet),
            "Build tree and figlet",
        )?;
        self.millrace(&["lint", &self.path("my-distribution").to_string_lossy()])?;
        self.watch("builds/2026/11/first.yaml")?;
        step("a release request, pushed");
        self.push(
            "releases/2026/11/first.yaml",
            RELEASE,
            "Release tree and figlet",
        )?;
        self.watch("releases/2026/11/first.yaml")?;
        self.with_data("status", &[])?;
        step("every published byte against its commit: millrace verify");
        self.with_data("verify", &[])?;
        step("the real apt, in a clean root, with the published key");
        let apt = self.apt_installs(&up.url, &tree_version)?;
        step("the real dnf, in a clean root, with the published key");
        let dnf = self.dnf_installs(&up.url)?;
        drop(up);
        println!("\n{dnf}\n");
        println!("apt installed tree {tree_version}: {apt}");
        println!("dnf installed figlet: it wrote the word above");
        println!(
            "demo: done in {} s; the state repository is {}",
            started.elapsed().as_secs(),
            self.path("one/state.git").display()
        );
        Ok(())
    }

    fn up(&self) -> Result<Up> {
        let data = self.path("one");
        let log = std::fs::File::create(self.path("up.log")).context("create up.log")?;
        let child = Command::new(bin("millrace"))
            .args(["up", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start millrace up")?;
        let mut up = Up {
            child,
            url: String::new(),
        };
        let began = Instant::now();
        loop {
            if let Ok(text) = std::fs::read(data.join("running.json")) {
                let note: serde_json::Value = serde_json::from_slice(&text)?;
                up.url = note["url"].as_str().unwrap_or_default().to_owned();
                println!("up at {}/", up.url);
                return Ok(up);
            }
            ensure!(
                began.elapsed() < Duration::from_secs(30) && up.child.try_wait()?.is_none(),
                "millrace up did not start; see {}",
                self.path("up.log").display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn millrace(&self, args: &[&str]) -> Result<()> {
        run(&mut cmd(bin("millrace"), args))
    }

    fn with_data(&self, word: &str, args: &[&str]) -> Result<()> {
        run(Command::new(bin("millrace"))
            .arg(word)
            .arg("--data")
            .arg(self.path("one"))
            .args(args))
    }

    fn watch(&self, request: &str) -> Result<()> {
        self.with_data("watch", &["--timeout", PATIENCE, request])
            .with_context(|| {
                format!(
                    "{request} did not succeed; the control plane's log is {}",
                    self.path("up.log").display()
                )
            })
    }

    fn clone_state(&self) -> Result<()> {
        let (from, to) = (self.path("one/state.git"), self.path("my-distribution"));
        output(cmd("git", &["clone", "--quiet"]).arg(from).arg(to)).map(drop)
    }

    /// What differs on this machine: where the bridge is, and its key.
    fn configure(&self) -> Result<()> {
        let state = self.path("my-distribution");
        let platform = state.join("platforms/bridge-12.yaml");
        let text = std::fs::read_to_string(&platform).context("read the bridge's platform")?;
        let url = format!("file://{}", self.bridge.display());
        write(
            &platform,
            &text.replace("file:///var/lib/millrace/bridge", &url),
        )?;
        let key = std::fs::read_to_string(self.bridge.join("keys/bridge-12.asc"))
            .context("read the bridge's key")?;
        write(&state.join("keys/upstream/bridge-12.asc"), &key)
    }

    fn push(&self, path: &str, text: &str, message: &str) -> Result<()> {
        let state = self.path("my-distribution");
        write(&state.join(path), text)?;
        println!("{text}");
        self.git(&state, &["add", "--all"])?;
        self.git(&state, &["commit", "--quiet", "-m", message])?;
        self.git(&state, &["push", "--quiet"])
    }

    fn git(&self, directory: &Path, args: &[&str]) -> Result<()> {
        let mut git = cmd(
            "git",
            &[
                "-c",
                "user.name=Maintainer",
                "-c",
                "user.email=maintainer@localhost",
            ],
        );
        output(git.arg("-C").arg(directory).args(args)).map(drop)
    }

    /// Unpacks a Debian source package of the mirror that apt is configured with.
    fn apt_source(&self, package: &str) -> Result<PathBuf> {
        let directory = self.path("apt");
        for part in ["lists/partial", "cache/archives/partial", "src"] {
            std::fs::create_dir_all(directory.join(part))?;
        }
        let targets = output(&mut cmd(
            "apt-get",
            &[
                "indextargets",
                "--format",
                "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                "Created-By: Packages",
            ],
        ))?;
        let mirror = targets
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|words| words[1..] == ["bookworm", "main"])
            .with_context(
                || "apt on this machine has no source for bookworm main; run apt-get update",
            )?;
        write(
            &directory.join("sources.list"),
            &format!("deb-src {} bookworm main\n", mirror[0]),
        )?;
        let option = |name: &str, path: &str| format!("{name}={}", directory.join(path).display());
        let apt = |words: &[&str]| {
            let mut apt = cmd(
                "apt-get",
                &[
                    "-qq",
                    "-o",
                    "Dir::Etc::SourceParts=/dev/null",
                    "-o",
                    "APT::Sandbox::User=root",
                ],
            );
            apt.args([
                "-o",
                &option("Dir::Etc::SourceList", "sources.list"),
                "-o",
                &option("Dir::State::Lists", "lists"),
            ]);
            apt.args([
                "-o",
                &option("Dir::Cache", "cache"),
                "-o",
                "Acquire::Retries=3",
            ])
            .args(words);
            apt.current_dir(directory.join("src"));
            output(&mut apt)
        };
        apt(&["update"])?;
        apt(&["source", "--download-only", package])?;
        Ok(directory.join("src"))
    }

    fn tree_source(&self) -> Result<(String, String)> {
        let sources = self.apt_source("tree")?;
        let dsc = find(&sources, |name| {
            name.starts_with("tree_") && name.ends_with(".dsc")
        })?;
        let unpacked = self.path("tree");
        // As in a packaging repository: patches lie in debian/patches and are not applied.
        output(
            cmd("dpkg-source", &["--no-check", "--skip-patches", "-x"])
                .arg(&dsc)
                .arg(&unpacked),
        )?;
        let changelog = unpacked.join("debian/changelog");
        let old = std::fs::read_to_string(&changelog)?;
        let version = old
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(version, _)| version);
        let version = format!(
            "{}{SUFFIX}",
            version.context("debian/changelog of tree has no version")?
        );
        let entry = format!(
            "tree ({version}) bookworm; urgency=medium\n\n  * Rebuild.\n\n -- Maintainer <maintainer@localhost>  Sun, 01 Nov 2026 12:00:00 +0000\n\n"
        );
        write(&changelog, &format!("{entry}{old}"))?;
        Ok((self.publish_source("tree", &unpacked)?, version))
    }

    fn tiny_source(&self) -> Result<String> {
        let directory = self.path("tiny");
        write(
            &directory.join("debian/changelog"),
            "tiny (1.0) bookworm; urgency=low\n\n  * First.\n\n -- Maintainer <maintainer@localhost>  Sun, 01 Nov 2026 12:00:00 +0000\n",
        )?;
        write(
            &directory.join("debian/control"),
            "Source: tiny\nMaintainer: Maintainer <maintainer@localhost>\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\nPackage: tiny\nArchitecture: any\nDepends: ${shlibs:Depends}, ${misc:Depends}\nDescription: says its machine\n A program of one line.\n",
        )?;
        write(&directory.join("debian/source/format"), "3.0 (native)\n")?;
        write(
            &directory.join("debian/rules"),
            "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_build:\n\t$(CC) $(CFLAGS) -o tiny tiny.c\noverride_dh_auto_install:\n\tinstall -D tiny debian/tiny/usr/bin/tiny\n",
        )?;
        write(
            &directory.join("tiny.c"),
            "#include <stdio.h>\nint main(void) { return puts(\"tiny\") < 0; }\n",
        )?;
        self.publish_source("tiny", &directory)
    }

    fn figlet_source(&self) -> Result<String> {
        let sources = self.apt_source("figlet")?;
        let archive = find(&sources, |name| {
            name.starts_with("figlet_") && name.contains(".orig.tar.")
        })?;
        let name = archive
            .file_name()
            .context("a file")?
            .to_string_lossy()
            .into_owned();
        let version = name
            .split(['_'])
            .nth(1)
            .and_then(|rest| rest.split_once(".orig"))
            .context("a version")?
            .0;
        let directory = self.path("figlet");
        std::fs::create_dir_all(&directory)?;
        let upstream = format!(
            "figlet-{version}.tar{}",
            name.rsplit_once(".tar").context("an archive")?.1
        );
        std::fs::copy(&archive, directory.join(&upstream))?;
        let digest = output(cmd("sha512sum", &[]).arg(&archive))?;
        let digest = digest.split(' ').next().unwrap_or_default();
        write(
            &directory.join("sources"),
            &format!("SHA512 ({upstream}) = {digest}\n"),
        )?;
        let spec = FIGLET
            .replace("@VERSION@", version)
            .replace("@SOURCE@", &upstream);
        write(&directory.join("figlet.spec"), &spec)?;
        self.publish_source("figlet", &directory)
    }

    /// Makes a git repository of a directory; answers its URL.
    fn publish_source(&self, name: &str, directory: &Path) -> Result<String> {
        self.git(directory, &["init", "--quiet", "--initial-branch=main"])?;
        self.git(directory, &["add", "--all", "--force"])?;
        self.git(directory, &["commit", "--quiet", "-m", "Import"])?;
        let bare = self.path(&format!("{name}.git"));
        output(
            cmd("git", &["clone", "--quiet", "--bare"])
                .arg(directory)
                .arg(&bare),
        )?;
        Ok(format!("file://{}", bare.display()))
    }

    fn public_key(&self) -> PathBuf {
        self.path("my-distribution/keys/main.asc")
    }

    fn apt_installs(&self, url: &str, version: &str) -> Result<String> {
        let root = self.path("apt-root");
        let key = self.public_key();
        let source = format!(
            "deb [signed-by={}] {url}/repos/debian/12 bookworm main",
            key.display()
        );
        let targets = output(&mut cmd(
            "apt-get",
            &[
                "indextargets",
                "--format",
                "$(REPO_URI) $(RELEASE)",
                "Created-By: Packages",
            ],
        ))?;
        let mirror = targets
            .lines()
            .find(|line| line.ends_with(" bookworm"))
            .context("a mirror")?;
        let mirror = mirror.split(' ').next().unwrap_or_default();
        let include = format!("--include=tree={version}");
        let mut make = cmd(
            "mmdebstrap",
            &[
                "--quiet",
                "--variant=apt",
                "--skip=check/signed-by",
                &include,
                "bookworm",
            ],
        );
        make.arg(&root)
            .arg(format!("deb {mirror} bookworm main"))
            .arg(&source);
        output(&mut make)?;
        let installed = output(cmd("chroot", &[]).arg(&root).args([
            "dpkg-query",
            "-W",
            "-f",
            "${Version}",
            "tree",
        ]))?;
        ensure!(
            installed == version,
            "apt installed tree {installed}, not {version}"
        );
        output(
            cmd("chroot", &[])
                .arg(&root)
                .args(["/usr/bin/tree", "--version"]),
        )
    }

    fn dnf_installs(&self, url: &str) -> Result<String> {
        let (root, home) = (self.path("dnf-root"), self.path("dnf-home"));
        std::fs::create_dir_all(&home)?;
        write(&home.join(".rpmmacros"), "%_dbpath /usr/lib/sysimage/rpm\n")?;
        let config = format!(
            "[main]\ngpgcheck=1\nrepo_gpgcheck=1\nassumeyes=1\nbest=1\ninstall_weak_deps=0\ntsflags=nodocs\nreposdir=/dev/null\nvarsdir=/dev/null\ncachedir=/var/cache/dnf\nlogdir=/var/log\n\
             [bridge-12]\nname=bridge\nbaseurl=file://{0}/x86_64\ngpgkey=file://{0}/keys/bridge-12.asc\n\
             [demo]\nname=demo\nbaseurl={url}/repos/bridge/12/x86_64\ngpgkey=file://{1}\n",
            self.bridge.display(),
            self.public_key().display()
        );
        let file = self.path("dnf.conf");
        write(&file, &config)?;
        for packages in [&["bridge-base"][..], &["bash", "figlet"][..]] {
            let mut dnf = Command::new("dnf");
            dnf.env_clear()
                .env("PATH", "/usr/sbin:/usr/bin")
                .env("LC_ALL", "C.UTF-8")
                .env("HOME", &home);
            dnf.arg("--config")
                .arg(&file)
                .arg("--installroot")
                .arg(&root);
            dnf.args([
                "--releasever",
                "12",
                "--disableplugin=*",
                "--quiet",
                "install",
            ])
            .args(packages);
            output(&mut dnf)?;
        }
        let version = output(cmd("rpm", &["--root"]).arg(&root).args([
            "--dbpath",
            "/usr/lib/sysimage/rpm",
            "-q",
            "figlet",
        ]))?;
        println!("{version}");
        output(
            cmd("chroot", &[])
                .arg(&root)
                .args(["/usr/bin/figlet", "Millrace"]),
        )
    }
}

fn step(text: &str) {
    println!("\n== {text}");
}

fn find(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            return Ok(entry.path());
        }
    }
    bail!(
        "{} does not have what apt-get source should have put there",
        directory.display()
    )
}

fn build_request(tree: &str, figlet: &str) -> String {
    format!(
        "reason: the first packages\n\
         platforms:\n  debian-12: [amd64]\n  bridge-12: [x86_64]\n\
         packages:\n  - source: {{git: \"{tree}\", ref: main}}\n    on: [debian-12]\n\
         \x20 - source: {{git: \"{figlet}\", ref: main}}\n    on: [bridge-12]\n"
    )
}

const RELEASE: &str = "\
from: [builds/2026/11/first.yaml]
to: [debian-12, bridge-12]
";

const FIGLET: &str = "\
Name:           figlet
Version:        @VERSION@
Release:        1%{?dist}
Summary:        Writes large letters out of ordinary text
License:        BSD-3-Clause
URL:            http://www.figlet.org/
Source0:        @SOURCE@
BuildRequires:  gcc
BuildRequires:  make

%description
figlet writes its input in large letters that are made of screen characters.

%prep
%autosetup

%build
%make_build prefix=%{_prefix} DEFAULTFONTDIR=%{_datadir}/figlet CFLAGS=\"%{optflags}\" LDFLAGS=\"\"

%install
%make_install prefix=%{_prefix} DEFAULTFONTDIR=%{_datadir}/figlet MANDIR=%{_mandir}

%check
test \"$(./figlet -f fonts/mini.flf -d fonts x | wc -l)\" -gt 1

%files
%license LICENSE
%doc README
%{_bindir}/chkfont
%{_bindir}/figlet
%{_bindir}/figlist
%{_bindir}/showfigfonts
%{_datadir}/figlet/
%{_mandir}/man6/*

%changelog
* Sun Nov 01 2026 Maintainer <maintainer@localhost> - @VERSION@-1
- First build
";
