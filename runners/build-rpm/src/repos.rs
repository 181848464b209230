//! Which repositories a platform means, what they hold right now, and dnf's configuration for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pipeline_spec::{Architecture, Contents, Platform};
use runner_agent::Halt;
use runner_api::PublicKeys;
use sandbox::Command;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::download;

/// A remote `repomd.xml` younger than this is not asked for again: a repository changes a few times a
/// day, and a warm build must not wait for the network.
const FRESH: Duration = Duration::from_secs(3600);
/// Where dnf's configuration, the keys and a `.rpmmacros` are in the sandbox.
const CONF: &str = "/conf";
/// Where the packages of linked builds are in the sandbox.
pub const LOCAL: &str = "/local";
/// Where dnf puts the package database; [`crate::dnf`] moves it where the root's own rpm looks.
pub(crate) const DATABASE: &str = "/usr/lib/sysimage/rpm";

/// How old knowledge of a remote repository may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// [`FRESH`].
    Fresh,
    /// It is asked now.
    Now,
}

/// The repositories of a platform for one architecture.
#[derive(Debug)]
pub struct Repos {
    list: Vec<Repo>,
}

#[derive(Debug)]
struct Repo {
    id: String,
    url: String,
    keys: Vec<String>,
    index: Index,
}

/// What is known of a repository's index.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Index {
    /// SHA-256 of `repomd.xml`.
    sha256: String,
    /// Whether `repomd.xml.asc` lies beside it.
    is_signed: bool,
}

impl Repos {
    /// Looks up what the repositories of `platform` hold; `state` keeps that for an hour.
    pub(crate) async fn of(
        platform: &Platform,
        keys: &PublicKeys,
        arch: &Architecture,
        (state, age): (&Path, Age),
    ) -> Result<Self, Halt> {
        let Contents::Rpm { repos, .. } = &platform.contents else {
            return Err(Halt::trouble("use the platform: it is not an RPM one"));
        };
        let mut list = Vec::new();
        for repo in repos {
            let url = repo.url.for_architecture(arch);
            let armored = repo.keys.iter().map(|path| {
                keys.get(path).cloned().ok_or_else(|| {
                    Halt::trouble(format!(
                        "check the packages of {}: the task brings no key {path}",
                        repo.name
                    ))
                })
            });
            let keys = armored.collect::<Result<_, _>>()?;
            let index = index(&url, state, age).await?;
            list.push(Repo {
                id: repo.name.to_string(),
                url,
                keys,
                index,
            });
        }
        Ok(Self { list })
    }

    /// Names the repositories with their content.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for repo in &self.list {
            for part in [&repo.id, &repo.url, &repo.index.sha256] {
                hash.update(format!("{part}\n"));
            }
            for key in &repo.keys {
                hash.update(key);
            }
        }
        hex::encode(hash.finalize())
    }

    /// dnf's configuration. Packages are always checked; an index is where the repository signs it.
    pub(crate) fn config(&self, keys: &str) -> String {
        let mut text = MAIN.to_owned();
        for (i, repo) in self.list.iter().enumerate() {
            let gpgkey: Vec<_> = (0..repo.keys.len())
                .map(|k| format!("file://{keys}/{i}-{k}.asc"))
                .collect();
            let signed = u8::from(repo.index.is_signed);
            write!(
                text,
                "\n[{id}]\nname={id}\nbaseurl={url}\ngpgcheck=1\nrepo_gpgcheck={signed}\ngpgkey={gpgkey}\n",
                id = repo.id,
                url = repo.url,
                gpgkey = gpgkey.join(" "),
            )
            .expect("a String takes everything");
        }
        text
    }

    /// Writes the configuration and the keys into the new directory `conf`, to be bound at [`CONF`].
    pub fn write(&self, conf: &Path) -> Result<(), Halt> {
        if conf.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(conf.join("keys")).map_err(Halt::infrastructure)?;
        let put = |name: &str, text: &str| {
            std::fs::write(conf.join(name), text).map_err(Halt::infrastructure)
        };
        for (i, repo) in self.list.iter().enumerate() {
            for (k, armored) in repo.keys.iter().enumerate() {
                put(&format!("keys/{i}-{k}.asc"), armored)?;
            }
        }
        // Debian's rpm would otherwise put the database into the home directory, below the root.
        put(".rpmmacros", &format!("%_dbpath {DATABASE}\n"))?;
        put("dnf.conf", &self.config(&format!("{CONF}/keys")))
    }

    /// The host's dnf, working on the workspace's root. `conf`: what [`Self::write`] wrote.
    pub fn dnf(&self, conf: &Path, words: &[&str]) -> Command {
        let argv = [
            "dnf",
            "--config",
            "/conf/dnf.conf",
            "--installroot",
            sandbox::HOST_ROOT,
        ]
        .into_iter()
        // The addresses have no variable but the architecture; dnf complains without a release.
        .chain([
            "--releasever",
            "0",
            "--disableplugin=*",
            "--enableplugin=builddep",
        ])
        .chain(words.iter().copied());
        let mut command = Command::prepare_on_host(argv)
            .env("HOME", CONF)
            .env("LC_ALL", "C.UTF-8")
            .bind_read_only(conf, CONF);
        for repo in &self.list {
            if let Some(path) = repo.url.strip_prefix("file://") {
                let path = path.trim_end_matches('/');
                command = command.bind_read_only(path, path);
            }
        }
        command
    }
}

/// `metadata_expire=never`: layers see the index that the base root was made with and is named by.
const MAIN: &str = "[main]
gpgcheck=1
assumeyes=1
best=1
install_weak_deps=0
tsflags=nodocs
metadata_expire=never
retries=3
reposdir=/dev/null
varsdir=/dev/null
cachedir=/var/cache/dnf
logdir=/var/log
";

async fn index(url: &str, state: &Path, age: Age) -> Result<Index, Halt> {
    let url = url.trim_end_matches('/');
    let is_local = url.starts_with("file://");
    let name = hex::encode(&Sha256::digest(url)[..16]);
    let known: PathBuf = state.join(format!("{name}.json"));
    if !is_local
        && age == Age::Fresh
        && is_fresh(&known)
        && let Ok(bytes) = std::fs::read(&known)
        && let Ok(index) = serde_json::from_slice(&bytes)
    {
        return Ok(index);
    }
    let place = format!("{url}/{}", repo_rpm::repodata::REPOMD);
    let repomd = download::small(&place).await?;
    let repomd = repomd.ok_or_else(|| {
        Halt::trouble(format!(
            "read {place}: it does not exist; correct the platform's `url`"
        ))
    })?;
    let signature =
        download::small(&format!("{url}/{}", repo_rpm::repodata::REPOMD_SIGNATURE)).await?;
    let index = Index {
        sha256: hex::encode(Sha256::digest(&repomd)),
        is_signed: signature.is_some(),
    };
    if !is_local {
        let bytes = serde_json::to_vec(&index).map_err(Halt::infrastructure)?;
        std::fs::create_dir_all(state).map_err(Halt::infrastructure)?;
        std::fs::write(&known, bytes).map_err(Halt::infrastructure)?;
    }
    Ok(index)
}

fn is_fresh(file: &Path) -> bool {
    let modified = std::fs::metadata(file).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|age| age < FRESH)
    })
}
