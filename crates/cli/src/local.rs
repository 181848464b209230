//! One machine's choice of adapters and its directory.
//!
//! ```text
//! state.git/          the state repository, unless it is elsewhere
//! secrets/            mode 0700: admin.token, runner identities, signing keys
//! data/               ledger, queues, artifacts
//! logs/               logs of attempts as runners send them
//! runners/<id>/       caches and job directories of the runners started here
//! running.json        URL and process id of the control plane that runs
//! state.json          the state repository and branch of the last control plane that ran
//! state-cache.git/    copy of a state repository that is elsewhere
//! ```

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Paths below the directory of `millrace init`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("find {}", root.display()))?;
        Ok(Self { root })
    }

    /// Whether `millrace init` made it, as far as one sees.
    pub(crate) fn is_made(&self) -> bool {
        self.secrets().is_dir()
    }

    /// For people, when it is not.
    pub(crate) fn not_made(&self) -> String {
        format!(
            "{} is no data directory of millrace: give --data DIR or set MILLRACE_DATA to the one that `millrace init` made",
            self.root.display()
        )
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.git")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Private signing keys: only the signer's process opens them.
    pub(crate) fn signing_keys(&self) -> PathBuf {
        self.secrets().join("signing")
    }

    pub(crate) fn identity(&self, runner: &str) -> PathBuf {
        self.secrets().join(format!("{runner}.identity"))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn runner(&self, id: &str) -> PathBuf {
        self.root.join("runners").join(id)
    }
}

/// Makes a directory that only its owner may enter.
pub(crate) fn private_directory(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("create {}", path.display()))
}

/// Writes a new file that only its owner may read.
pub(crate) fn private_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .with_context(|| format!("write {}", path.display()))
}

/// A program that was built with this one.
pub(crate) fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's own file")?;
    let path = own.with_file_name(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing: millrace starts {name} from its own folder; `cargo build --workspace --bins` makes both, and an installation copies both there",
        path.display()
    );
    Ok(path)
}
