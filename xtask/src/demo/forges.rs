//! `cargo xtask aws --forge KIND`: an installation on an emulated AWS whose state repository is on that forge. A tiny
//! package goes from a pull request to apt and back again, once for each manner in which webhooks may come.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fake_forge::forge::{Change, Forge, Kind, Manner};

use super::Demo;
use super::reviewed::{ORDER, Packager};
use crate::aws::MINUTE;
use crate::sh::{cmd, output, write};
use crate::terraform::Verdict;
use crate::{aws, bridge};

/// As they should come, and as they may.
const MANNERS: [Manner; 4] = [Manner::Once, Manner::Twice, Manner::Held, Manner::Never];
/// Between two looks of a timer where nothing else tells of anything: nobody waits for minutes.
const QUICK: Duration = Duration::from_secs(5);
/// Beside one for each manner: the two of the installation.
const STEPS: usize = 2 + MANNERS.len();

/// What people and apt see of a package on its way, to be compared: the same whatever webhooks did.
type Seen = Vec<String>;

/// One forge after the other, with the programs that are there.
pub(crate) fn on_both_forges() -> Result<()> {
    for kind in [Kind::GitHub, Kind::Gitea] {
        if let Some(why) = at_forge(kind)?.left_out() {
            println!("aws at {}: LEFT OUT: {why}", word(kind));
        }
    }
    Ok(())
}

/// With the programs that are there.
pub(super) fn at_forge(kind: Kind) -> Result<Verdict> {
    if let Some(why) = aws::cannot()? {
        return Ok(Verdict::LeftOut(why));
    }
    let name = format!("aws-{}", word(kind));
    Demo::new(&name, bridge::make()?, STEPS)?.go_in_each_manner(kind)
}

/// As the command line and Terraform call it.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "github",
        Kind::Gitea => "gitea",
    }
}

impl Demo {
    fn go_in_each_manner(&self, kind: Kind) -> Result<Verdict> {
        let forge = self.forge(kind)?;
        let installed = self.install(&forge)?;
        let packager = Packager {
            demo: self,
            forge: &forge,
            installed: &installed,
        };
        let runners = self.begin(&installed)?;
        packager.waits_for_main()?;
        let mut first: Option<Seen> = None;
        for manner in MANNERS {
            let seen = self.there_and_back(&packager, manner)?;
            let first = first.get_or_insert_with(|| seen.clone());
            ensure!(
                *first == seen,
                "{manner:?}: another end than {:?}:\n{seen:#?}\nand not\n{first:#?}",
                MANNERS[0]
            );
        }
        drop(runners);
        installed.compare_calls()?;
        println!(
            "\naws: at {}, the same end whether webhooks come once, twice, late and shuffled, or never, in {} s",
            word(kind),
            self.began.elapsed().as_secs()
        );
        Ok(Verdict::Clean)
    }

    /// From a mistake to apt, and back again.
    fn there_and_back(&self, packager: &Packager<'_>, manner: Manner) -> Result<Seen> {
        let name = format!("tiny-{manner:?}").to_lowercase();
        self.step(&format!("{name}: each webhook comes {}", in_words(manner)));
        let (forge, installed) = (packager.forge, packager.installed);
        forge.deliver(manner);
        let before = forge.deliveries().len();
        // Where webhooks come, they are what the control plane is told by, and not its timers.
        installed.look_each(match manner {
            Manner::Never => QUICK,
            _ => MINUTE,
        });
        let (build, release) = (
            format!("builds/2026/11/{name}.yaml"),
            format!("releases/2026/11/{name}.yaml"),
        );
        let mut seen = Vec::new();
        let request = self.request_of(&name)?;
        let mistake = ["debian-12", "debian-21"];
        let (built, page) = packager.mends(&format!("Build {name}"), &build, &request, mistake)?;
        seen.push(page.title);
        // Nobody hears a command that no webhook tells of.
        let is_heard = manner != Manner::Never;
        if is_heard {
            self.is_tried_out(packager, built, &name)?;
        }
        seen.push(packager.merges(built, &build, "succeeded")?.title);
        if is_heard {
            packager.asks_for_a_retry(built)?;
        }
        let text = format!("from: [{build}]\nto: [debian-12]\n");
        let change = Change::new("Release it").write(&release, &text);
        let (released, page) = packager.proposes(&format!("Release {name}"), &change)?;
        seen.push(page.title);
        seen.push(packager.merges(released, &release, "published")?.title);
        seen.push(format!("apt: {:?}", self.apt_sees(&installed.url, &name)?));
        let change = Change::new("Take it back").delete(&release);
        let (reverted, page) = packager.proposes(&format!("Take back {name}"), &change)?;
        seen.push(page.title);
        seen.push(packager.merges(reverted, &release, "reverted")?.title);
        seen.push(format!("apt: {:?}", self.apt_sees(&installed.url, &name)?));
        if is_heard {
            // A try and a retry, and one answer to each.
            let (asked, answered) = packager.asked_and_answered(built);
            ensure!(
                (asked, answered) == (2, 2),
                "{asked} commands are answered {answered} times"
            );
        }
        delivered(forge, manner, before)?;
        Ok(seen)
    }

    /// Its package is there for whoever wants to try it, and for no client of a repository.
    fn is_tried_out(&self, packager: &Packager<'_>, pull: u64, name: &str) -> Result<()> {
        let (page, built) = packager.tries_out(pull)?;
        ensure!(built == format!("{name} 1.0"), "{built} was built");
        ensure!(page.title == "Done: 3 of 3 tasks done", "{}", page.title);
        let url = &packager.installed.url;
        let index = output(&mut cmd(
            "curl",
            &[
                "--silent",
                "--location",
                &format!("{url}/repos/debian/12/dists/bookworm/main/binary-amd64/Packages"),
            ],
        ))?;
        let is_there = index.lines().any(|line| line == format!("Package: {name}"));
        ensure!(!is_there, "{name} is in a repository before it was merged");
        Ok(())
    }

    /// A build request for a new package of this name.
    fn request_of(&self, name: &str) -> Result<String> {
        let source = self.publish_source(name, &self.bare_source(name)?)?;
        Ok(format!(
            "reason: on a forge\nplatforms: {{debian-12: [amd64]}}\n\
             packages:\n  - source: {{git: \"{source}\", ref: main}}\n    name: {name}\n"
        ))
    }

    /// A Debian package that needs nothing but the base root, and is made by hand.
    fn bare_source(&self, name: &str) -> Result<PathBuf> {
        let directory = self.path(name);
        let put = |path: &str, text: &str| write(&directory.join("debian").join(path), text);
        put(
            "changelog",
            &format!(
                "{name} (1.0) bookworm; urgency=low\n\n  * First.\n\n -- Maintainer <maintainer@localhost>  Sun, 01 Nov 2026 12:00:00 +0000\n"
            ),
        )?;
        put(
            "control",
            &format!(
                "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: Maintainer <maintainer@localhost>\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n\nPackage: {name}\nArchitecture: any\nDescription: tiny\n A package with one file.\n"
            ),
        )?;
        put("source/format", "3.0 (native)\n")?;
        put(
            "rules",
            &format!(
                "#!/usr/bin/make -f\nbuild build-arch build-indep:\n\
                 binary binary-arch: build\n\
                 \tinstall -d debian/{name}/DEBIAN debian/{name}/usr/share/{name}\n\
                 \techo 1.0 > debian/{name}/usr/share/{name}/version\n\
                 \tdpkg-gencontrol -p{name} -Pdebian/{name}\n\
                 \tdpkg-deb --root-owner-group --build debian/{name} ..\n\
                 binary-indep clean:\n"
            ),
        )?;
        Ok(directory)
    }
}

fn in_words(manner: Manner) -> &'static str {
    match manner {
        Manner::Once => "once",
        Manner::Twice => "twice",
        Manner::Held => "late, and behind others that came later",
        Manner::Never => "never: timers look",
    }
}

/// Webhooks since the one of number `before` came as was meant, and were taken.
fn delivered(forge: &Forge, manner: Manner, before: usize) -> Result<()> {
    // What is told of from now on may come late.
    let until = forge.deliveries().len();
    forge.release(ORDER);
    forge.settle();
    let times = match manner {
        Manner::Never => 0,
        Manner::Once | Manner::Held => 1,
        Manner::Twice => 2,
    };
    let deliveries = forge.deliveries();
    let since = deliveries.get(before..until);
    let since = since.context("deliveries were lost")?;
    ensure!(!since.is_empty(), "nothing was to be told");
    for it in since {
        let is_taken = it.answers.iter().all(|status| matches!(status, 200 | 202));
        ensure!(
            it.answers.len() == times && is_taken,
            "{} {} was answered with {:?}",
            it.event,
            it.action,
            it.answers
        );
    }
    println!("{} webhooks, each answered {times} times", since.len());
    Ok(())
}
