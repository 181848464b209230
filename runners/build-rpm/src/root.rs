//! Base roots of platforms, and overlays over them.

use pipeline_spec::{Architecture, Platform};
use runner_agent::{Halt, Job};
use runner_api::{PublicKeys, Step};
use runner_build::{Blame, Room, key, sandbox_limits};
use sandbox::{Command, Limits, Network, Root, RootEntry};

use crate::dnf::{Dnf, conf};
use crate::repos::{Age, DATABASE, Repos};

/// Makers of roots share this bound; a root is a few hundred MiB.
pub(crate) const MAKING: Limits = Limits {
    memory_bytes: 4 << 30,
    processes: 4096,
    wall: std::time::Duration::from_secs(3600),
    disk_bytes: 8 << 30,
    log_bytes: 64 << 20,
};
/// Part of every root's name: counts up when what is done to a root changes.
const RECIPE: &str = "2";
/// How packages are installed: the first step runs nothing of them, and their scriptlets run offline.
pub(crate) const STEPS: [(&str, Network); 2] = [
    ("--downloadonly", Network::Host),
    ("--cacheonly", Network::None),
];

impl Dnf {
    /// A platform's base root and the name of its content; and dnf's configuration for it.
    pub async fn base(
        &self,
        job: &Job,
        target: &Platform,
        keys: &PublicKeys,
        arch: &Architecture,
    ) -> Result<(Root, String, Repos), Halt> {
        job.step(Step::MakingRoot);
        let words = |list: &[pipeline_spec::RootPackage]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (first, packages) = (words(&target.first), words(&target.buildroot));
        let (mut age, mut missing) = (Age::Fresh, None);
        let (name, repos, new) = loop {
            let repos = Repos::of(target, keys, arch, (&self.state, age)).await?;
            let parts = [
                RECIPE,
                arch.as_str(),
                &repos.digest(),
                &first.join(" "),
                &packages.join(" "),
            ];
            let key = key("rpm", &parts);
            let name = key.as_str().to_owned();
            // A root must hold what its name says, so one is made from what is there this minute.
            if age == Age::Now
                && let Some((_, new)) = missing.take_if(|(known, _)| *known == name)
            {
                break (name, repos, new);
            }
            match self
                .sandbox
                .root(&key, None)
                .await
                .map_err(Halt::infrastructure)?
            {
                RootEntry::Ready(root) => {
                    repos.write(&conf(job))?;
                    return Ok((root, name, repos));
                }
                RootEntry::Missing(new) if age == Age::Now => break (name, repos, new),
                RootEntry::Missing(new) => missing = Some((name, new)),
            }
            age = Age::Now;
        };
        repos.write(&conf(job))?;
        job.log().line(format!("making the root {name} with dnf"));
        let room = Room::new(job, new.workspace().clone(), MAKING);
        for transaction in [first, packages] {
            if transaction.is_empty() {
                continue;
            }
            for (word, network) in STEPS {
                let words: Vec<&str> = [word, "install"]
                    .into_iter()
                    .chain(transaction.iter().map(String::as_str))
                    .collect();
                let step = repos.dnf(&conf(job), &words).network(network);
                room.run(&step, "make a root with dnf", Blame::Us).await?;
            }
        }
        let setup = Command::prepare(["sh", "-ec", SETUP, "sh", DATABASE]).network(Network::None);
        room.run(&setup, "prepare the root", Blame::Us).await?;
        Ok((
            new.commit().await.map_err(Halt::infrastructure)?,
            name,
            repos,
        ))
    }

    /// A fresh overlay on `root` with the limits of a task.
    pub async fn room<'a>(
        &self,
        job: &'a Job,
        root: &Root,
        limits: &pipeline_spec::Limits,
    ) -> Result<Room<'a>, Halt> {
        let limits = sandbox_limits(limits);
        let workspace = self
            .sandbox
            .workspace(root, limits.disk_bytes)
            .await
            .map_err(Halt::infrastructure)?;
        Ok(Room::new(job, workspace, limits))
    }
}

/// A build user, a place to build, the database where the root's own rpm looks, and a small cache.
const SETUP: &str = r#"
mkdir -p /build
grep -q '^[^:]*:[^:]*:1000:' /etc/passwd || echo 'builder:x:1000:1000::/build:/bin/sh' >> /etc/passwd
grep -q '^[^:]*:[^:]*:1000:' /etc/group || echo 'builder:x:1000:' >> /etc/group
chown 1000:1000 /build
own=$(rpm -E '%{_dbpath}')
if [ "$own" != "$1" ] && [ ! "$own" -ef "$1" ]; then
  mkdir -p "$own"
  cp -a "$1"/. "$own"
  rm -rf "$1"
  ln -s "$own" "$1"
fi
rm -rf /var/log/dnf* /var/cache/dnf/*/packages
"#;
