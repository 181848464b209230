//! The configuration at a commit: read once, kept for the commits in use.

use std::sync::Arc;

use bytes::Bytes;
use pipeline_spec::{Config, Diagnostic, Severity, check_place, is_config_path};
use ports::Platform;

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
    /// The configuration.
    pub config: Config,
    /// Warnings of its files.
    pub warnings: Vec<Diagnostic>,
}

impl<P: Platform> Control<P> {
    /// The configuration at `commit`.
    pub async fn snapshot(&self, commit: &str) -> Result<Arc<Snapshot>> {
        let mut kept = self.snapshots.lock().await;
        if let Some(i) = kept.iter().position(|snapshot| snapshot.commit == commit) {
            let snapshot = kept.remove(i);
            kept.push(snapshot.clone());
            return Ok(snapshot);
        }
        let (config, warnings) =
            self.read_config(Files::Commit(commit))
                .await?
                .map_err(|diagnostics| Error::Config {
                    commit: commit.to_owned(),
                    diagnostics,
                })?;
        let snapshot = Arc::new(Snapshot {
            commit: commit.to_owned(),
            config,
            warnings,
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
        let mut files: Vec<(String, Bytes)> = Vec::new();
        for place in PLACES {
            let paths = if place.ends_with(".yaml") {
                vec![place.to_owned()]
            } else {
                self.list_files(tree, place).await?
            };
            // What lies in the wrong place is told of beside, and stops nothing.
            let read = |path: &String| is_config_path(path) && check_place(path).is_none();
            for path in paths.into_iter().filter(read) {
                if let Some(bytes) = self.read_file(tree, &path).await? {
                    files.push((path, bytes));
                }
            }
        }
        let (config, diagnostics) = Config::load(
            files
                .iter()
                .map(|(path, bytes)| (path.as_str(), &bytes[..])),
        );
        if diagnostics.iter().any(|d| d.severity == Severity::Error) {
            return Ok(Err(diagnostics));
        }
        Ok(Ok((config, diagnostics)))
    }
}
