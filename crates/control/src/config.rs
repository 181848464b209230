//! The configuration at a commit: read once, kept for the commits in use, parsed once for all that have
//! the same files.

use std::sync::Arc;

use approvals::People;
use bytes::Bytes;
use pipeline_spec::{Config, Diagnostic, Severity, check_place, is_config_path};
use ports::Platform;
use sha2::{Digest, Sha256};

use crate::files::Files;
use crate::{Control, Error, Result};

/// Commits whose configuration is kept in memory: the head and those of open requests.
const KEPT: usize = 16;
/// Top-level folders and files that hold configuration. Requests are never listed here: there may be
/// a hundred thousand.
const PLACES: [&str; 7] = [
    "millrace.yaml",
    "policy.yaml",
    "platforms",
    "flavors",
    "repositories",
    "keys",
    "runners",
];

/// A configuration and where it is from.
#[derive(Debug)]
pub struct Snapshot {
    /// 40 hex digits.
    pub commit: String,
    /// The configuration. Commits whose files are the same share it.
    pub config: Arc<Config>,
    /// Whose signatures approve.
    pub people: Arc<People>,
    /// Warnings of its files.
    pub warnings: Arc<[Diagnostic]>,
    /// Of the paths and bytes of its files.
    digest: [u8; 32],
}

/// Paths with their bytes.
type Texts = Vec<(String, Bytes)>;

impl<P: Platform> Control<P> {
    /// The configuration at `commit`.
    pub async fn snapshot(&self, commit: &str) -> Result<Arc<Snapshot>> {
        let mut kept = self.snapshots.lock().await;
        if let Some(i) = kept.iter().position(|snapshot| snapshot.commit == commit) {
            let snapshot = kept.remove(i);
            kept.push(snapshot.clone());
            return Ok(snapshot);
        }
        let texts = self.read_texts(Files::Commit(commit)).await?;
        let digest = digest(&texts);
        // Most commits write requests, and leave the configuration as it is.
        let same = kept.iter().find(|snapshot| snapshot.digest == digest);
        let (config, people, warnings) = match same {
            Some(same) => (
                same.config.clone(),
                same.people.clone(),
                same.warnings.clone(),
            ),
            None => match parse(&texts) {
                Ok((config, warnings)) => {
                    let (people, _) = People::read(&config);
                    (Arc::new(config), Arc::new(people), warnings.into())
                }
                Err(diagnostics) => {
                    return Err(Error::Config {
                        commit: commit.to_owned(),
                        diagnostics,
                    });
                }
            },
        };
        let snapshot = Arc::new(Snapshot {
            commit: commit.to_owned(),
            config,
            people,
            warnings,
            digest,
        });
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(snapshot.clone());
        Ok(snapshot)
    }

    /// The configuration with its warnings, or everything that is wrong with it.
    pub(crate) async fn read_config(
        &self,
        tree: Files<'_>,
    ) -> Result<std::result::Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>>> {
        Ok(parse(&self.read_texts(tree).await?))
    }

    async fn read_texts(&self, tree: Files<'_>) -> Result<Texts> {
        let mut paths = Vec::new();
        for place in PLACES {
            match place.ends_with(".yaml") {
                true => paths.push(place.to_owned()),
                false => paths.extend(self.list_files(tree, place).await?),
            }
        }
        // What lies in the wrong place is told of beside, and stops nothing.
        paths.retain(|path| is_config_path(path) && check_place(path).is_none());
        self.prefetch_files(tree, &paths).await?;
        let mut texts = Texts::new();
        for path in paths {
            if let Some(bytes) = self.read_file(tree, &path).await? {
                texts.push((path, bytes));
            }
        }
        Ok(texts)
    }
}

fn parse(texts: &Texts) -> std::result::Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let texts = texts.iter();
    let (config, mut diagnostics) =
        Config::load(texts.map(|(path, bytes)| (path.as_str(), &bytes[..])));
    diagnostics.extend(People::read(&config).1);
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok((config, diagnostics))
}

/// Lengths are in it, so that no byte changes its place unseen.
fn digest(texts: &Texts) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in texts
        .iter()
        .flat_map(|(path, bytes)| [path.as_bytes(), bytes])
    {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
