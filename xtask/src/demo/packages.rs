//! `cargo xtask packages`: Millrace's own packages, built, tested and published by Millrace, and judged by the real apt and
//! dnf: what they install, who owns it, and what is left when they are gone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::clients::{inside, rpm};
use super::{Demo, RELEASE};
use crate::packaging::{self, Profile};
use crate::sh::{bin, cmd, output, run, target, top, write};
use crate::{Usage, bridge, setup};

const STEPS: usize = 6;
/// The packages.
const NAMES: [&str; 3] = ["millrace", "millrace-runner", "millrace-signer"];
const REQUEST: &str = "builds/2026/11/first.yaml";
const USAGE: &str = "usage: cargo xtask packages [--release]";

/// What is there of the packages: owner, mode and path. `/etc/systemd` has a link of each unit that is enabled.
const LOOK: &str = "\
for path in /usr/bin/millrace* /usr/lib/millrace*/* /usr/lib/systemd/system/millrace* /etc/millrace/* \
    /etc/systemd/system/*/millrace* /var/lib/millrace*; do
  if [ -e \"$path\" ] || [ -L \"$path\" ]; then stat -c '%U:%G %a %n' \"$path\"; fi
done";
const INSTALLED: &str = "\
root:root 755 /usr/bin/millrace
root:root 755 /usr/bin/millrace-runner
root:root 755 /usr/bin/millrace-sandbox-init
root:root 755 /usr/bin/millrace-signer
root:root 755 /usr/lib/millrace-runner/account
root:root 755 /usr/lib/millrace-signer/account
root:root 755 /usr/lib/millrace/account
root:root 644 /usr/lib/systemd/system/millrace-runner.service
root:root 644 /usr/lib/systemd/system/millrace-signer.service
root:root 644 /usr/lib/systemd/system/millrace.service
root:root 644 /etc/millrace/runner.yaml
root:root 644 /etc/millrace/signer.yaml
millrace-signer:millrace-signer 700 /etc/millrace/signing-keys
millrace:millrace 700 /var/lib/millrace
millrace-runner:millrace-runner 755 /var/lib/millrace-runner
millrace-signer:millrace-signer 700 /var/lib/millrace-signer";
/// What dpkg leaves of them when they are removed, and rpm of a configuration that somebody has edited.
const CONFIGURATION: &str = "\
root:root 644 /etc/millrace/runner.yaml
root:root 644 /etc/millrace/signer.yaml";
const EDITED: &str = "root:root 644 /etc/millrace/runner.yaml.rpmsave";
/// Ids that the runner's sandboxes may map.
const SUBORDINATE: &str = "millrace-runner:200000:65536";

/// `words`: nothing, or that the programs are to be those for people.
pub(crate) fn packages(words: &[&str]) -> Result<()> {
    let profile = match words {
        [] => Profile::Dev,
        ["--release"] => Profile::Release,
        _ => return Err(Usage(USAGE.to_owned()).into()),
    };
    setup::run()?;
    packaging::build(Profile::Dev)?;
    if let Profile::Release = profile {
        packaging::build(profile)?;
    }
    run(cmd("cargo", &["build", "--package", "bridge"]).current_dir(top()))?;
    Demo::new("packages", bridge::make()?, STEPS)?.packages(profile)
}

impl Demo {
    fn packages(&self, profile: Profile) -> Result<()> {
        self.step("a new distribution: millrace init, millrace up");
        run(cmd(bin("millrace"), &["init", "--name", "millrace"]).arg(self.path("one")))?;
        let up = self.up()?;
        let tree = self.path("millrace");
        packaging::lay_out(&tree, profile)?;
        let source = self.publish_source("millrace", &tree)?;
        self.step("Millrace builds and tests its own packages for Debian and RPM");
        self.clone_state()?;
        self.configure()?;
        let request = format!(
            "reason: our own packages\n\
             platforms:\n  debian-12: [amd64]\n  bridge-12: [x86_64]\n\
             packages:\n  - source: {{git: \"{source}\", ref: main}}\n"
        );
        self.push(REQUEST, &request, "Build Millrace")?;
        self.watch(REQUEST)?;
        self.step("and publishes them");
        let release = "releases/2026/11/first.yaml";
        self.push(release, RELEASE, "Release Millrace")?;
        self.watch(release)?;
        self.step("the real apt installs them, systemd reads the units, and apt removes them");
        self.judge_apt(&up.url)?;
        self.step("the real dnf installs and removes them");
        self.judge_dnf(&up.url)?;
        self.step("the packages are fetched out of the artifact store");
        let out = self.fetch_packages()?;
        drop(up);
        println!(
            "packages: built, tested, installed and removed in {} s, and in {}",
            self.began.elapsed().as_secs(),
            out.display()
        );
        Ok(())
    }

    fn judge_apt(&self, url: &str) -> Result<()> {
        let root = self.apt_root(url, &format!("systemd,{}", NAMES.join(",")))?;
        judge_installed(&root)?;
        for name in NAMES {
            let unit = format!("/lib/systemd/system/{name}.service");
            inside(&root, &["systemd-analyze", "--man=no", "verify", &unit])?;
            let words = ["systemd-analyze", "security", "--offline=yes", &unit];
            let score = inside(&root, &words)?;
            println!("{}", score.lines().last().unwrap_or_default().trim());
        }
        for (word, expect) in [("remove", CONFIGURATION), ("purge", "")] {
            let mut words = vec!["apt-get", "-q", "-y", word];
            words.extend(NAMES);
            inside(&root, &words)?;
            judge(&root, &format!("after apt-get {word}"), expect)?;
        }
        Ok(())
    }

    fn judge_dnf(&self, url: &str) -> Result<()> {
        let root = self.dnf_root(url, &NAMES)?;
        judge_installed(&root)?;
        let mut words = vec!["--verify"];
        words.extend(NAMES);
        rpm(&root, &words).context("what dnf installed is not what the packages have")?;
        let edited = root.join("etc/millrace/runner.yaml");
        write(&edited, "control: https://millrace.example.net\n")?;
        self.dnf("remove", &NAMES)?;
        judge(&root, "after dnf remove", EDITED)
    }

    /// Puts what the request built into `target/packages`, with a list of digests.
    fn fetch_packages(&self) -> Result<PathBuf> {
        let out = target().join("packages");
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
        }
        let mut status = cmd(bin("millrace"), &["status", "--json", REQUEST, "--data"]);
        let status: Value = serde_json::from_str(&output(status.arg(self.path("one")))?)?;
        let tasks = status["tasks"].as_array().into_iter().flatten();
        let artifacts = tasks.flat_map(|task| task["artifacts"].as_array().into_iter().flatten());
        let mut sums = String::new();
        for artifact in artifacts.filter(|artifact| is_package(artifact)) {
            let text = |field: &str| {
                artifact[field]
                    .as_str()
                    .context("an artifact of the status")
            };
            let (name, digest) = (text("name")?, text("sha256")?);
            let (folder, rest) = digest.split_at_checked(2).context("a digest")?;
            let object = self
                .path("one/data/artifacts/objects")
                .join(folder)
                .join(rest);
            sums.push_str(&format!("{digest}  {name}\n"));
            write(&out.join("SHA256SUMS"), &sums)?;
            std::fs::copy(&object, out.join(name))
                .with_context(|| format!("copy {}", object.display()))?;
        }
        let made = sums.lines().count();
        ensure!(
            made == 2 * NAMES.len(),
            "{made} packages were made:\n{sums}"
        );
        output(cmd("sha256sum", &["--check", "--quiet", "SHA256SUMS"]).current_dir(&out))?;
        Ok(out)
    }
}

fn is_package(artifact: &Value) -> bool {
    artifact["kind"] == "deb" || artifact["kind"] == "rpm"
}

/// The programs run, the users are made, and each file has its owner and mode.
fn judge_installed(root: &Path) -> Result<()> {
    for program in NAMES {
        println!("{}", inside(root, &[program, "--version"])?);
        inside(root, &["getent", "passwd", program])
            .with_context(|| format!("the user {program} is not made"))?;
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let has = inside(root, &["cat", file])?;
        ensure!(
            has.lines().any(|line| line == SUBORDINATE),
            "{file} has no {SUBORDINATE}:\n{has}"
        );
    }
    judge(root, "installed", INSTALLED)
}

fn judge(root: &Path, when: &str, expect: &str) -> Result<()> {
    let there = inside(root, &["sh", "-c", LOOK])?;
    ensure!(
        there == expect,
        "{when}, of the packages there is\n{there}\nand there should be\n{expect}"
    );
    println!(
        "{when}: {} files and folders, as they should be",
        there.lines().count()
    );
    Ok(())
}
