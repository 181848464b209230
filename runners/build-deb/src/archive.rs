//! Which Debian archives a platform means, and what they offer right now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pipeline_spec::{Architecture, ArchiveLocation, Contents, Keyring, Platform};
use runner_agent::Halt;
use runner_api::PublicKeys;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::sync::Mutex;

/// Indexes younger than this are not asked for again: an archive changes a few times a day, and a
/// warm build must not wait for the network.
const FRESH: Duration = Duration::from_secs(3600);
/// Where a platform's own keys are, inside a root and outside.
pub(crate) const KEYS: &str = "/keys";

/// The `deb` lines of a platform and the keys that they name.
#[derive(Debug, Clone)]
pub struct Archives {
    /// Lines of a sources.list.
    pub lines: Vec<String>,
    /// First suite: the one mmdebstrap is told.
    pub suite: String,
    /// File name below [`KEYS`] → armored key.
    pub keys: BTreeMap<String, String>,
}

impl Archives {
    /// Looks up what `host` stands for by asking apt on this machine.
    pub async fn of(platform: &Platform, keys: &PublicKeys) -> Result<Self, Halt> {
        let Contents::Deb { archives } = &platform.contents else {
            return Err(Halt::trouble("use the platform: it is not a Debian one"));
        };
        let mut found = Self {
            lines: Vec::new(),
            suite: String::new(),
            keys: BTreeMap::new(),
        };
        for archive in archives {
            let signed_by = match &archive.keyring {
                None => String::new(),
                Some(Keyring::Host(path)) => format!(" [signed-by={path}]"),
                Some(Keyring::File(path)) => {
                    let armored = keys.get(path).cloned().unwrap_or_default();
                    let name = format!("{}.asc", found.keys.len());
                    let option = format!(" [signed-by={KEYS}/{name}]");
                    found.keys.insert(name, armored);
                    option
                }
            };
            let components: Vec<String> =
                archive.components.iter().map(ToString::to_string).collect();
            for suite in &archive.suites {
                let suite = suite.to_string();
                let places = match &archive.url {
                    ArchiveLocation::Url(url) => vec![url.to_string()],
                    ArchiveLocation::Host => configured(&suite, &components).await?,
                };
                for place in places {
                    found.lines.push(format!(
                        "deb{signed_by} {place} {suite} {}",
                        components.join(" ")
                    ));
                }
                if found.suite.is_empty() {
                    found.suite = suite;
                }
            }
        }
        Ok(found)
    }

    /// Fetches the indexes into `directory` unless they are fresh, and answers a digest over all
    /// `InRelease` files: the content of the archives at this moment.
    pub(crate) async fn snapshot(
        &self,
        directory: &Path,
        arch: &Architecture,
    ) -> Result<String, Halt> {
        let name = hex::encode(&Sha256::digest(format!("{arch}\n{}", self.lines.join("\n")))[..16]);
        let directory = directory.join(name);
        let stamp = directory.join("updated");
        // Runners of one machine may share the directory, and apt does not wait for another apt.
        let _one_at_a_time = lock(&directory).await?;
        if !is_fresh(&stamp) {
            self.update(&directory, arch).await?;
            std::fs::write(&stamp, b"").map_err(Halt::infrastructure)?;
        }
        let lists = directory.join("lists");
        let mut names: Vec<PathBuf> = std::fs::read_dir(&lists)
            .map_err(Halt::infrastructure)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.to_string_lossy().ends_with("Release"))
            .collect();
        names.sort();
        let mut hash = Sha256::new();
        for path in names {
            hash.update(std::fs::read(path).map_err(Halt::infrastructure)?);
        }
        Ok(hex::encode(hash.finalize()))
    }

    async fn update(&self, directory: &Path, arch: &Architecture) -> Result<(), Halt> {
        for part in ["lists/partial", "cache/archives/partial", "keys"] {
            std::fs::create_dir_all(directory.join(part)).map_err(Halt::infrastructure)?;
        }
        for (name, armored) in &self.keys {
            std::fs::write(directory.join("keys").join(name), armored)
                .map_err(Halt::infrastructure)?;
        }
        let keys = directory.join("keys");
        let lines = self.lines.join("\n").replace(
            &format!("signed-by={KEYS}"),
            &format!("signed-by={}", keys.display()),
        );
        let sources = directory.join("sources.list");
        std::fs::write(&sources, format!("{lines}\n")).map_err(Halt::infrastructure)?;
        let status = directory.join("status");
        std::fs::write(&status, b"").map_err(Halt::infrastructure)?;
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let output = Command::new("apt-get")
            .args(["-q", "-o", &option("Dir::Etc::SourceList", &sources)])
            .args([
                "-o",
                "Dir::Etc::SourceParts=/dev/null",
                "-o",
                "APT::Sandbox::User=root",
            ])
            .args(["-o", &option("Dir::State::Lists", &directory.join("lists"))])
            .args(["-o", &option("Dir::State::Status", &status)])
            .args(["-o", &option("Dir::Cache", &directory.join("cache"))])
            .args([
                "-o",
                &format!("APT::Architecture={arch}"),
                "-o",
                &format!("APT::Architectures={arch}"),
            ])
            .args([
                "-o",
                "Acquire::Languages=none",
                "-o",
                "Acquire::Retries=3",
                "-o",
                "APT::Update::Error-Mode=any",
            ])
            .arg("update")
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Halt::trouble(format!("run apt-get: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        // Half of an index is no use to the next try, and may be what fills the disk.
        let _gone_is_fine = std::fs::remove_dir_all(directory.join("lists/partial"));
        let text = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("E:"))
            .take(3)
            .collect();
        Err(Halt::trouble(format!(
            "fetch the indexes of the platform's archives: {}",
            errors.join(" / ")
        )))
    }
}

/// Waits until no other process works in `directory`, as long as the answer lives.
async fn lock(directory: &Path) -> Result<std::fs::File, Halt> {
    std::fs::create_dir_all(directory).map_err(Halt::infrastructure)?;
    let file = std::fs::File::create(directory.join("lock")).map_err(Halt::infrastructure)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    locked
        .await
        .map_err(Halt::infrastructure)?
        .map_err(Halt::infrastructure)
}

fn is_fresh(stamp: &Path) -> bool {
    let modified = std::fs::metadata(stamp).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|age| age < FRESH)
    })
}

/// What apt goes by, each file with its time and size, and what apt said of it.
type Known = (Vec<(PathBuf, SystemTime, u64)>, Arc<str>);
/// apt takes a second to read all its indexes before it answers, which a warm build must not wait for.
static HOST: Mutex<Option<Known>> = Mutex::const_new(None);

/// What apt on this machine is configured with: a line per index.
async fn ask_apt() -> Result<String, Halt> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ])
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Halt::trouble(format!("ask apt-get for the host's archives: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last answer of `ask`, unless a file of apt's configuration in `etc` or its set of indexes in
/// `lists` has changed since.
async fn remembered(
    known: &Mutex<Option<Known>>,
    (etc, lists): (&Path, &Path),
    ask: impl AsyncFnOnce() -> Result<String, Halt>,
) -> Result<Arc<str>, Halt> {
    let mut known = known.lock().await;
    let now = configuration(etc, lists);
    if let Some((then, text)) = &*known
        && *then == now
    {
        return Ok(Arc::clone(text));
    }
    let text: Arc<str> = ask().await?.into();
    *known = Some((now, Arc::clone(&text)));
    Ok(text)
}

fn configuration(etc: &Path, lists: &Path) -> Vec<(PathBuf, SystemTime, u64)> {
    let mut files = vec![
        lists.to_owned(),
        etc.join("sources.list"),
        etc.join("apt.conf"),
    ];
    for folder in ["sources.list.d", "apt.conf.d"] {
        let entries = std::fs::read_dir(etc.join(folder)).into_iter().flatten();
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let stamp = |path: PathBuf| {
        let meta = std::fs::metadata(&path).ok()?;
        Some((path, meta.modified().ok()?, meta.len()))
    };
    files.into_iter().filter_map(stamp).collect()
}

/// Addresses that apt on this machine has for a suite and all of the components.
async fn configured(suite: &str, components: &[String]) -> Result<Vec<String>, Halt> {
    let places = ("/etc/apt".as_ref(), "/var/lib/apt/lists".as_ref());
    let text = remembered(&HOST, places, ask_apt).await?;
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(place), Some(release), Some(component)) =
            (words.next(), words.next(), words.next())
            && release == suite
        {
            places.entry(place).or_default().push(component);
        }
    }
    let complete: Vec<String> = places
        .into_iter()
        .filter(|(_, has)| {
            components
                .iter()
                .all(|component| has.contains(&component.as_str()))
        })
        .map(|(place, _)| place.to_owned())
        .collect();
    if complete.is_empty() {
        return Err(Halt::trouble(format!(
            "find an archive for suite {suite} with {}: apt on this runner has none; add one to /etc/apt, or write its address in the place of `host`",
            components.join(", ")
        )));
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn apt_is_asked_again_when_what_it_goes_by_has_changed() {
        let etc = tempfile::tempdir().expect("a directory");
        let known = Mutex::const_new(None);
        let asked = std::cell::Cell::new(0);
        let check = async |expect: u32| {
            let ask = async || {
                asked.set(asked.get() + 1);
                Ok(format!("answer {}", asked.get()))
            };
            let lists = etc.path().join("lists");
            let said = remembered(&known, (etc.path(), &lists), ask).await;
            let said = said.map_err(runner_api::Outcome::from).expect("an answer");
            assert_eq!(&*said, format!("answer {expect}"));
        };
        check(1).await;
        check(1).await;
        std::fs::write(etc.path().join("sources.list"), "deb http://one").expect("a file");
        check(2).await;
        std::fs::create_dir(etc.path().join("sources.list.d")).expect("a directory");
        check(2).await;
        std::fs::write(etc.path().join("sources.list.d/a.list"), "deb x").expect("a file");
        check(3).await;
        std::fs::create_dir(etc.path().join("lists")).expect("a directory");
        check(4).await;
        check(4).await;
    }
}
