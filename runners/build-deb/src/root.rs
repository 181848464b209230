//! Roots: the base that mmdebstrap makes, and layers with dependencies on top.

use std::path::{Path, PathBuf};

use pipeline_spec::{Architecture, Platform};
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, FailureKind, PublicKeys, Step};
use runner_build::{Blame, Room, key, sandbox_limits};
use sandbox::{Command, Limits, Network, Rights, Root, RootEntry, Sandbox, Workspace};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::archive::{Archives, KEYS};

/// Makers of roots share this bound; a root is a few hundred MiB.
const MAKING: Limits = Limits {
    memory_bytes: 4 << 30,
    processes: 4096,
    wall: std::time::Duration::from_secs(3600),
    disk_bytes: 8 << 30,
    log_bytes: 64 << 20,
};
/// Options of every apt-get inside a root.
pub(crate) const APT: [&str; 14] = [
    "apt-get",
    "-q",
    "-y",
    "--no-install-recommends",
    "-o",
    "Acquire::Languages=none",
    "-o",
    "Acquire::Retries=3",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "APT::Sandbox::User=root",
    // Else apt takes an archive that it could not reach for one that has nothing.
    "-o",
    "APT::Update::Error-Mode=any",
];

/// What a base root is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Building: build-essential, fakeroot and the platform's `buildroot`.
    Build,
    /// Installing: nothing but what every machine of the platform has.
    Install,
}

/// Makes and remembers roots.
pub struct Roots {
    sandbox: Sandbox,
    lists: PathBuf,
    /// Two updates of one list at once would break each other.
    updating: Mutex<()>,
}

impl Roots {
    /// Over `sandbox`; apt's lists are kept in `lists`.
    pub fn new(sandbox: Sandbox, lists: PathBuf) -> Self {
        Self {
            sandbox,
            lists,
            updating: Mutex::new(()),
        }
    }

    /// A platform's base root for builds and the digest that names it.
    pub async fn base(
        &self,
        job: &Job,
        target: &Platform,
        keys: &PublicKeys,
        arch: &Architecture,
    ) -> Result<(Root, String), Halt> {
        self.base_for(Purpose::Build, job, (target, keys), arch)
            .await
    }

    /// A platform's base root for this purpose and the digest that names it.
    pub async fn base_for(
        &self,
        purpose: Purpose,
        job: &Job,
        (target, keys): (&Platform, &PublicKeys),
        arch: &Architecture,
    ) -> Result<(Root, String), Halt> {
        job.step(Step::MakingRoot);
        let archives = Archives::of(target, keys).await?;
        let snapshot = {
            let _one_at_a_time = self.updating.lock().await;
            archives.snapshot(&self.lists, arch).await?
        };
        let (variant, mut include) = match purpose {
            // What every build with debhelper wants, and what a build's report is made with.
            Purpose::Build => (
                "buildd",
                vec!["fakeroot".to_owned(), "ca-certificates".to_owned()],
            ),
            Purpose::Install => ("minbase", vec!["ca-certificates".to_owned()]),
        };
        let packages: Vec<String> = match purpose {
            Purpose::Build => target.buildroot.iter().map(ToString::to_string).collect(),
            Purpose::Install => Vec::new(),
        };
        let lines = archives.lines.join("\n");
        let prefix = if purpose == Purpose::Build {
            "deb"
        } else {
            "deb-install"
        };
        let key = key(
            prefix,
            &["2", arch.as_str(), &lines, &snapshot, &packages.join(" ")],
        );
        let name = key.as_str().to_owned();
        let new = match self
            .sandbox
            .root(&key, None)
            .await
            .map_err(Halt::infrastructure)?
        {
            RootEntry::Ready(root) => return Ok((root, name)),
            RootEntry::Missing(new) => new,
        };
        job.log()
            .line(format!("making the root {name} with mmdebstrap"));
        let key_files = job.dir().join("keys");
        std::fs::create_dir_all(&key_files).map_err(Halt::infrastructure)?;
        for (name, armored) in &archives.keys {
            std::fs::write(key_files.join(name), armored).map_err(Halt::infrastructure)?;
        }
        let mut argv = vec![
            "mmdebstrap".to_owned(),
            "--mode=root".to_owned(),
            format!("--variant={variant}"),
            format!("--architectures={arch}"),
            "--aptopt=Acquire::Languages \"none\"".to_owned(),
            "--aptopt=Acquire::Retries \"3\"".to_owned(),
        ];
        include.extend(packages);
        argv.push(format!("--include={}", include.join(",")));
        argv.extend([archives.suite.clone(), "/tmp/root.tar".to_owned()]);
        argv.extend(archives.lines.iter().cloned());
        let room = Room::new(job, new.workspace().clone(), MAKING);
        let make = Command::prepare_on_host(
            [
                &["sh", "-ec", UNPACK, "sh"].map(str::to_owned)[..],
                &argv[..],
            ]
            .concat(),
        )
        .rights(Rights::Mount)
        .bind_read_only(&key_files, KEYS);
        room.run(&make, "make a root with mmdebstrap", Blame::Us)
            .await?;
        for (name, armored) in &archives.keys {
            let path = format!("{KEYS}/{name}");
            let put = new
                .workspace()
                .write(&path, 0o644, sandbox::Owner::Root, armored.as_bytes());
            put.await.map_err(Halt::infrastructure)?;
        }
        let user = Command::prepare(["sh", "-ec", SETUP]).network(Network::None);
        room.run(&user, "prepare the root", Blame::Us).await?;
        let update = Command::prepare(apt(&["update"]));
        room.run(&update, "fetch the archives' indexes", Blame::Us)
            .await?;
        Ok((new.commit().await.map_err(Halt::infrastructure)?, name))
    }

    /// A layer on `base` in which `install` has run. `inputs`: everything that decides what it does.
    pub(crate) async fn layer(
        &self,
        job: &Job,
        (base, base_name): (&Root, &str),
        inputs: &[&str],
        install: impl AsyncFnOnce(&Room<'_>) -> Result<(), Halt>,
    ) -> Result<Root, Halt> {
        let mut parts = vec![base_name];
        parts.extend(inputs);
        let key = key("deb-layer", &parts);
        match self
            .sandbox
            .root(&key, Some(base))
            .await
            .map_err(Halt::infrastructure)?
        {
            RootEntry::Ready(root) => Ok(root),
            RootEntry::Missing(new) => {
                let room = Room::new(job, new.workspace().clone(), MAKING);
                install(&room).await?;
                new.commit().await.map_err(Halt::infrastructure)
            }
        }
    }

    /// A fresh overlay with the task's disk limit.
    pub async fn workspace(
        &self,
        root: &Root,
        limits: &pipeline_spec::Limits,
    ) -> Result<Workspace, Halt> {
        let disk = sandbox_limits(limits).disk_bytes;
        self.sandbox
            .workspace(root, disk)
            .await
            .map_err(Halt::infrastructure)
    }
}

/// By way of an archive: mmdebstrap mounts devices into the directory that it fills, and the workspace
/// has its own there.
const UNPACK: &str = "
\"$@\"
tar -C /workspace --numeric-owner --exclude='./dev/*' -xpf /tmp/root.tar
";

/// A build user, a place to build, and no services that a package's installation could start.
const SETUP: &str = "
mkdir -p /build
if ! getent passwd 1000 >/dev/null; then
  groupadd -g 1000 builder && useradd -u 1000 -g 1000 -d /build -M -s /bin/sh builder
fi
chown 1000:1000 /build
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
";

/// An apt-get command line.
pub fn apt(words: &[&str]) -> Vec<String> {
    APT.iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect()
}

/// Opens a room over a fresh overlay.
pub async fn workspace_with<'a>(
    roots: &Roots,
    job: &'a Job,
    root: &Root,
    limits: &pipeline_spec::Limits,
) -> Result<Room<'a>, Halt> {
    let workspace = roots.workspace(root, limits).await?;
    Ok(Room::new(job, workspace, sandbox_limits(limits)))
}

/// Fetches the packages of other builds into `directory` as a flat archive that apt reads. Answers the
/// digest of its index, and whether there is anything.
pub async fn local_archive(
    job: &Job,
    packages: &[Artifact],
    directory: &Path,
) -> Result<String, Halt> {
    std::fs::create_dir_all(directory).map_err(Halt::infrastructure)?;
    let mut index = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for artifact in packages
        .iter()
        .filter(|artifact| artifact.kind == ArtifactKind::Deb)
    {
        if !seen.insert(artifact.sha256) {
            continue;
        }
        let path = job.fetch(artifact, directory).await?;
        index.push_str(&stanza(&path, &artifact.name)?);
    }
    std::fs::write(directory.join("Packages"), &index).map_err(Halt::infrastructure)?;
    Ok(hex::encode(Sha256::digest(index)))
}

fn stanza(path: &Path, name: &str) -> Result<String, Halt> {
    let file = std::fs::File::open(path).map_err(Halt::infrastructure)?;
    let package =
        repo_deb::package::read(file, repo_deb::package::Contents::Skip).map_err(|error| {
            Halt::failed(
                FailureKind::Build,
                format!("{name} is not a Debian package that can be read: {error}"),
            )
        })?;
    let fragment = repo_deb::Fragment::from_package(&package)
        .map_err(|error| Halt::failed(FailureKind::Build, format!("{name}: {error}")))?;
    Ok(format!("{}Filename: ./{name}\n\n", fragment.stanza))
}

/// The line for sources.list that names a local archive bound at `/deps`. Its packages were verified by
/// digest when they were fetched.
pub const LOCAL_SOURCE: &str = "deb [trusted=yes] copy:/deps ./\n";
