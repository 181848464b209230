//! A staged Debian suite as apt sees it, signatures checked.

use pipeline_spec::Layout;
use runner_agent::{Halt, Job};
use runner_api::{SmokeTask, Step};
use runner_build::Room;
use runner_build_deb::{Purpose, Roots, apt, workspace_with};
use sandbox::{Command, Network, Owner};

use crate::deb::{offer, update_only};
use crate::inspect::{tail, words};
use crate::report::Report;
use crate::staged::Staged;

/// Where the workspace sees the repository.
const REPO: &str = "/repo";
const KEY: &str = "/usr/share/keyrings/millrace.asc";

pub(crate) async fn test(roots: &Roots, job: &Job, task: &SmokeTask) -> Result<Report, Halt> {
    let Layout::Deb {
        suite, components, ..
    } = &task.layout.layout
    else {
        return Err(Halt::trouble(
            "test the repository with apt: its layout is not Debian's",
        ));
    };
    let staged = Staged::of(job, task).await?;
    staged.lay(|path| path.starts_with("dists/")).await?;
    let components: Vec<String> = components.iter().map(ToString::to_string).collect();
    let line = format!(
        "deb [arch={} signed-by={KEY}] copy:{REPO} {suite} {}\n",
        task.arch,
        components.join(" ")
    );
    let platform = (&task.target, &task.keys);
    let (root, _) = roots
        .base_for(Purpose::Install, job, platform, &task.arch)
        .await?;
    let mut report = Report::default();
    job.step(Step::Testing);
    // Each name in a root of its own: what one pulls in must not help the next.
    let names = task.install.iter().map(|name| Some(name.as_str()));
    for name in names.chain(task.install.is_empty().then_some(None)) {
        let room = workspace_with(roots, job, &root, &task.limits).await?;
        let user = User {
            room: &room,
            staged: &staged,
            key: &task.public_key,
            line: &line,
        };
        let went_on = user.update(&mut report, suite.as_str()).await?;
        if let (true, Some(name)) = (went_on, name) {
            user.install(&mut report, name).await?;
        }
        room.close().await;
        if !went_on {
            break;
        }
    }
    Ok(report)
}

/// A machine that uses the repository.
struct User<'a> {
    room: &'a Room<'a>,
    staged: &'a Staged<'a>,
    key: &'a str,
    line: &'a str,
}

impl User<'_> {
    fn command(&self, argv: Vec<String>, network: Network) -> Command {
        Command::prepare(argv)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .network(network)
            .bind_read_only(self.staged.directory(), REPO)
    }

    /// `apt-get update`; answers whether it went well.
    async fn update(&self, report: &mut Report, suite: &str) -> Result<bool, Halt> {
        let put = self
            .room
            .workspace()
            .write(KEY, 0o644, Owner::Root, self.key.as_bytes());
        put.await.map_err(Halt::infrastructure)?;
        offer(self.room, self.line).await?;
        let (ended, said) = self
            .room
            .try_run(&self.command(update_only(), Network::None))
            .await?;
        if ended.success() {
            report.pass_once(format!("apt-get update of {suite}"));
        } else {
            report.fail(
                format!("apt-get update of {suite}"),
                words(ended, &said),
                tail(&said),
            );
        }
        Ok(ended.success())
    }

    async fn install(&self, report: &mut Report, name: &str) -> Result<(), Halt> {
        let case = format!("install {name}");
        let plan = apt(&[
            "--reinstall",
            "--allow-downgrades",
            "--print-uris",
            "install",
            name,
        ]);
        let (ended, said) = self
            .room
            .try_run(&self.command(plan, Network::None))
            .await?;
        if !ended.success() {
            report.fail(case, words(ended, &said), tail(&said));
            return Ok(());
        }
        let wanted = paths(&said);
        let own = |path: &String| {
            path.rsplit('/')
                .next()
                .is_some_and(|file| file.starts_with(&format!("{name}_")))
        };
        if !wanted.iter().any(own) {
            report.fail(
                case,
                format!("apt does not find {name} in this repository"),
                tail(&said),
            );
            return Ok(());
        }
        self.staged
            .lay(|path| wanted.iter().any(|wanted| wanted == path))
            .await?;
        for (word, network) in [
            ("--download-only", Network::Host),
            ("--no-download", Network::None),
        ] {
            let install = apt(&["--reinstall", "--allow-downgrades", word, "install", name]);
            let (ended, said) = self.room.try_run(&self.command(install, network)).await?;
            if ended.success() {
                continue;
            }
            if network == Network::Host && is_networks_fault(&said) {
                return Err(Halt::trouble(format!(
                    "download what {name} depends on: {}",
                    words(ended, &said)
                )));
            }
            report.fail(case, words(ended, &said), tail(&said));
            return Ok(());
        }
        report.pass(case);
        Ok(())
    }
}

/// Only other archives could not be fetched from.
fn is_networks_fault(said: &str) -> bool {
    let mut failed = said
        .lines()
        .filter(|line| line.contains("Failed to fetch"))
        .peekable();
    failed.peek().is_some() && failed.all(|line| !line.contains(&format!("copy:{REPO}")))
}

/// Paths inside the repository that `--print-uris` names: `'copy:/repo/pool/…' file size digest`.
fn paths(said: &str) -> Vec<String> {
    let prefix = format!("'copy:{REPO}/");
    said.lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split('\'').next())
        .map(percent_decoded)
        .collect()
}

/// A URL's path with `%2b` and such replaced by what they stand for.
fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => out.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_repositorys_own_files_are_fetched() {
        let said = "Reading\n'copy:/repo/pool/main/a/a/a_1%2b2_all.deb' a_1+2_all.deb 10 SHA256:00\n\
                    'http://deb.example.org/pool/b.deb' b.deb 10 SHA256:00\n";
        assert_eq!(paths(said), ["pool/main/a/a/a_1+2_all.deb"]);
    }

    #[test]
    fn a_mirror_is_told_apart_from_the_repository() {
        let check =
            |said: &str, expect: bool| assert_eq!(is_networks_fault(said), expect, "{said}");
        check(
            "E: Failed to fetch http://deb.example.org/b.deb  Could not connect\n",
            true,
        );
        check(
            "E: Failed to fetch copy:/repo/pool/a.deb  Hash Sum mismatch\n",
            false,
        );
        check("E: Unmet dependencies\n", false);
    }
}
