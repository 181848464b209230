//! A staged RPM repository as dnf sees it, signatures of index and packages checked.

use std::io::Write as _;

use runner_agent::{Halt, Job};
use runner_api::{SmokeTask, Step};
use runner_build::Room;
use runner_build_rpm::{Dnf, Repos};
use sandbox::{Ended, Network};

use crate::inspect::{tail, words};
use crate::report::Report;
use crate::rpm::{base, conf, is_networks_fault};
use crate::staged::Staged;

/// Where dnf sees the repository.
const REPO: &str = "/repo";

pub(crate) async fn test(dnf: &Dnf, job: &Job, task: &SmokeTask) -> Result<Report, Halt> {
    let staged = Staged::of(job, task).await?;
    let arch = task.arch.as_str();
    let index = format!("{arch}/repodata/");
    staged.lay(|path| path.starts_with(&index)).await?;
    let (root, repos) = base(dnf, job, (&task.target, &task.keys), &task.arch).await?;
    configure(job, task).map_err(Halt::infrastructure)?;
    let mut report = Report::default();
    job.step(Step::Testing);
    // Each name in a root of its own: what one pulls in must not help the next.
    let names = task.install.iter().map(|name| Some(name.as_str()));
    for name in names.chain(task.install.is_empty().then_some(None)) {
        let room = dnf.room(job, &root, &task.limits).await?;
        let user = User {
            room: &room,
            job,
            staged: &staged,
            repos: &repos,
            arch,
        };
        let went_on = user.makecache(&mut report).await?;
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

/// Adds the repository to dnf's configuration the way its users do.
fn configure(job: &Job, task: &SmokeTask) -> std::io::Result<()> {
    let conf = conf(job);
    std::fs::write(conf.join("millrace.asc"), &task.public_key)?;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(conf.join("dnf.conf"))?;
    write!(
        file,
        "\n[millrace-smoke]\nname=millrace-smoke\nbaseurl=file://{REPO}/{}\ngpgcheck=1\nrepo_gpgcheck=1\n\
         gpgkey=file:///conf/millrace.asc\npriority=1\n",
        task.arch
    )
}

/// A machine that uses the repository.
struct User<'a> {
    room: &'a Room<'a>,
    job: &'a Job,
    staged: &'a Staged<'a>,
    repos: &'a Repos,
    arch: &'a str,
}

const ONLY: [&str; 2] = ["--disablerepo=*", "--enablerepo=millrace-smoke"];

impl User<'_> {
    async fn dnf(&self, words: &[&str], network: Network) -> Result<(Ended, String), Halt> {
        let command = self
            .repos
            .dnf(&conf(self.job), words)
            .bind_read_only(self.staged.directory(), REPO)
            .network(network);
        self.room.try_run(&command).await
    }

    /// `dnf makecache`; answers whether it went well.
    async fn makecache(&self, report: &mut Report) -> Result<bool, Halt> {
        let case = format!("dnf makecache of {}", self.arch);
        let (ended, said) = self
            .dnf(&[ONLY[0], ONLY[1], "--refresh", "makecache"], Network::None)
            .await?;
        match ended.success() {
            true => report.pass_once(case),
            false => report.fail(case, words(ended, &said), tail(&said)),
        }
        Ok(ended.success())
    }

    async fn install(&self, report: &mut Report, name: &str) -> Result<(), Halt> {
        let case = format!("install {name}");
        let mut wanted = Vec::new();
        for more in [&[][..], &["--requires", "--resolve", "--recursive"]] {
            let mut query = vec![ONLY[0], ONLY[1], "--cacheonly", "--quiet", "repoquery"];
            query.extend(more);
            query.extend(["--qf", "@%{relativepath}", name]);
            let (ended, said) = self.dnf(&query, Network::None).await?;
            let found = said.lines().filter_map(|line| line.strip_prefix('@'));
            wanted.extend(found.map(|path| format!("{}/{path}", self.arch)));
            if wanted.is_empty() {
                report.fail(
                    case,
                    format!("dnf does not find {name} in this repository ({ended})"),
                    tail(&said),
                );
                return Ok(());
            }
        }
        self.staged
            .lay(|path| wanted.iter().any(|wanted| wanted == path))
            .await?;
        for (word, network) in [
            ("--downloadonly", Network::Host),
            ("--cacheonly", Network::None),
        ] {
            let (ended, said) = self.dnf(&[word, "install", name], network).await?;
            if ended.success() {
                continue;
            }
            let about_us =
                said.contains("millrace-smoke") || said.contains(&format!("file://{REPO}"));
            if network == Network::Host && is_networks_fault(&said) && !about_us {
                return Err(Halt::trouble(format!(
                    "download what {name} requires: {}",
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
