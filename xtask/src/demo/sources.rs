//! The demo's sources, as people have them: git repositories with packaging.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Demo;
use crate::sh::{cmd, output, write};

/// The version that tells our build of `tree` from Debian's.
const SUFFIX: &str = "+millrace1";

impl Demo {
    pub(super) fn tree_source(&self) -> Result<(String, String)> {
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

    pub(super) fn figlet_source(&self) -> Result<String> {
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

    pub(super) fn tiny_source(&self) -> Result<String> {
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

    /// Makes a git repository of a directory; answers its URL.
    pub(super) fn publish_source(&self, name: &str, directory: &Path) -> Result<String> {
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
