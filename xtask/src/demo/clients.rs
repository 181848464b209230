//! The judges: the real apt and the real dnf, in clean roots that know nothing but the published key.

use std::path::PathBuf;
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

    /// Answers the installed package, and what its program writes.
    pub(super) fn dnf_installs(&self, url: &str) -> Result<(String, String)> {
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
        let word = output(
            cmd("chroot", &[])
                .arg(&root)
                .args(["/usr/bin/figlet", "Millrace"]),
        )?;
        Ok((version, word))
    }
}
