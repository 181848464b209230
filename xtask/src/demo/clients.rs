//! The judges: the real apt and the real dnf, in clean roots that know nothing but the published key.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Demo;
use crate::sh::{cmd, output, write};

impl Demo {
    fn public_key(&self) -> PathBuf {
        self.path("my-distribution/keys/main.asc")
    }

    /// Answers what the installed program says of itself.
    pub(super) fn apt_installs(&self, url: &str, version: &str) -> Result<String> {
        let root = self.apt_root(url, &format!("tree={version}"))?;
        let installed = inside(&root, &["dpkg-query", "-W", "-f", "${Version}", "tree"])?;
        ensure!(
            installed == version,
            "apt installed tree {installed}, not {version}"
        );
        inside(&root, &["/usr/bin/tree", "--version"])
    }

    /// A clean root with `packages`, separated by commas, for which apt asks the mirror and us.
    pub(super) fn apt_root(&self, url: &str, packages: &str) -> Result<PathBuf> {
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
        let include = format!("--include={packages}");
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
        Ok(root)
    }

    /// The version of `package` that apt would install, which sees the repository for the first time and knows only the
    /// published key.
    pub(super) fn apt_sees(&self, url: &str, package: &str) -> Result<Option<String>> {
        let directory = self.path("apt-sees");
        std::fs::remove_dir_all(&directory).ok();
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(directory.join(part))?;
        }
        let key = self.public_key();
        let source = format!(
            "deb [signed-by={}] {url}/repos/debian/12 bookworm main\n",
            key.display()
        );
        write(&directory.join("sources.list"), &source)?;
        write(&directory.join("status"), "")?;
        let place = |name: &str, path: &str| format!("{name}={}", directory.join(path).display());
        let options = [
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            place("Dir::Etc::SourceList", "sources.list"),
            place("Dir::State::Lists", "lists"),
            place("Dir::State::Status", "status"),
            place("Dir::Cache", "cache"),
        ];
        let apt = |program: &str, words: &[&str]| {
            let options = options.iter().flat_map(|option| ["-o", option]);
            output(cmd(program, &[]).args(options).args(words))
        };
        apt("apt-get", &["update"])?;
        let policy = apt("apt-cache", &["policy", package])?;
        let mut lines = policy.lines().map(str::trim_start);
        let version = lines.find_map(|line| line.strip_prefix("Candidate:"));
        Ok(version.map(|version| version.trim().to_owned()))
    }

    /// Answers the installed package, and what its program writes.
    pub(super) fn dnf_installs(&self, url: &str) -> Result<(String, String)> {
        let root = self.dnf_root(url, &["bash", "figlet"])?;
        let version = rpm(&root, &["-q", "figlet"])?;
        let word = inside(&root, &["/usr/bin/figlet", "Millrace"])?;
        Ok((version, word))
    }

    /// A clean root with `packages`, for which dnf asks the bridge and us.
    pub(super) fn dnf_root(&self, url: &str, packages: &[&str]) -> Result<PathBuf> {
        let config = format!(
            "[main]\ngpgcheck=1\nrepo_gpgcheck=1\nassumeyes=1\nbest=1\ninstall_weak_deps=0\nclean_requirements_on_remove=0\ntsflags=nodocs\nreposdir=/dev/null\nvarsdir=/dev/null\ncachedir=/var/cache/dnf\nlogdir=/var/log\n\
             [bridge-12]\nname=bridge\nbaseurl=file://{0}/x86_64\ngpgkey=file://{0}/keys/bridge-12.asc\n\
             [demo]\nname=demo\nbaseurl={url}/repos/bridge/12/x86_64\ngpgkey=file://{1}\n",
            self.bridge.display(),
            self.public_key().display()
        );
        write(&self.path("dnf.conf"), &config)?;
        self.dnf("install", &["bridge-base"])?;
        self.dnf("install", packages)?;
        Ok(self.path("dnf-root"))
    }

    /// Has dnf do `word` in the root.
    pub(super) fn dnf(&self, word: &str, packages: &[&str]) -> Result<()> {
        let home = self.path("dnf-home");
        write(&home.join(".rpmmacros"), "%_dbpath /usr/lib/sysimage/rpm\n")?;
        let mut dnf = Command::new("dnf");
        dnf.env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &home);
        dnf.arg("--config")
            .arg(self.path("dnf.conf"))
            .arg("--installroot")
            .arg(self.path("dnf-root"));
        dnf.args(["--releasever", "12", "--disableplugin=*", "--quiet", word])
            .args(packages);
        output(&mut dnf).map(drop)
    }
}

/// Runs a program of a root in it.
pub(super) fn inside(root: &Path, words: &[&str]) -> Result<String> {
    output(cmd("chroot", &[]).arg(root).args(words))
}

/// Asks rpm about a root that dnf made.
pub(super) fn rpm(root: &Path, words: &[&str]) -> Result<String> {
    let mut rpm = cmd("rpm", &["--root"]);
    rpm.arg(root)
        .args(["--dbpath", "/usr/lib/sysimage/rpm"])
        .args(words);
    output(&mut rpm)
}
