//! The state repository of a data directory: where it is, its branches, and the login for it.
//!
//! `millrace up` decides and leaves a note, so that `millrace verify` looks at the same without being told
//! again. The note names files, never what is in them.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use git::{Credentials, Repository};
use serde::{Deserialize, Serialize};

use crate::local::Layout;

/// Name of the note in the data directory.
const NOTE: &str = "state.json";
/// A login's file: longer is something else. In bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The user that a bare token is sent with: GitHub wants this word, other forges take any.
const TOKEN_USER: &str = "x-access-token";

/// Which state repository a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatePlace {
    /// A directory, or an http(s) address without a login.
    pub(crate) repository: String,
    /// The branch that holds the requests.
    pub(crate) branch: String,
    /// The file with the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
}

impl StatePlace {
    /// What `millrace init` makes.
    fn usual(layout: &Layout) -> Self {
        Self {
            repository: layout.state().display().to_string(),
            branch: "main".to_owned(),
            token_file: None,
        }
    }

    /// As `millrace up` was told.
    pub(crate) fn told(
        layout: &Layout,
        repository: Option<&str>,
        branch: &str,
        token_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let absolute = |path: &Path| {
            std::path::absolute(path).with_context(|| format!("find {}", path.display()))
        };
        let repository = match repository {
            None => Self::usual(layout).repository,
            Some(url) if url.contains("://") => url.to_owned(),
            Some(path) => absolute(Path::new(path))?.display().to_string(),
        };
        Ok(Self {
            repository,
            branch: branch.to_owned(),
            token_file: token_file.map(absolute).transpose()?,
        })
    }

    /// As the last `millrace up` on this directory was told.
    pub(crate) fn noted(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.root().join(NOTE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::usual(layout)),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Leaves the note.
    pub(crate) fn note(&self, layout: &Layout) -> anyhow::Result<()> {
        let path = layout.root().join(NOTE);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {}", path.display()))
    }

    /// The directory of a repository on this disk.
    pub(crate) fn directory(&self) -> Option<&Path> {
        (!self.repository.contains("://")).then(|| Path::new(&self.repository))
    }

    /// Opens it; one on a server with its copy in the data directory.
    pub(crate) fn open(&self, layout: &Layout) -> anyhow::Result<Repository> {
        let opened = match self.directory() {
            Some(path) => {
                if self.token_file.is_some() {
                    bail!(
                        "--state-token-file is for an http(s) --state; {} is a directory",
                        path.display()
                    );
                }
                Repository::open_bare(path)
            }
            None => Repository::remote(
                self.repository.parse()?,
                layout.root().join("state-cache.git"),
                self.credentials()?,
            ),
        };
        opened.with_context(|| format!("open the state repository {}", self.repository))
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let Some(path) = &self.token_file else {
            return Ok(Credentials::None);
        };
        let text = private_text(path)?;
        login(&text).with_context(|| format!("read the login in {}", path.display()))
    }
}

/// What is in a file that its owner alone may read.
pub(crate) fn private_text(path: &Path) -> anyhow::Result<String> {
    let read = || format!("read {}", path.display());
    let mode = std::fs::metadata(path).with_context(read)?.mode();
    ensure!(
        mode & 0o077 == 0,
        "{} can be read by others than its owner: `chmod 600` it, and change what is in it",
        path.display()
    );
    std::fs::read_to_string(path).with_context(read)
}

/// `token` or `user:password`, and nothing else. No error repeats any of it.
fn login(text: &str) -> anyhow::Result<Credentials> {
    let line = text.trim();
    ensure!(
        !line.is_empty() && line.len() <= MAX_TOKEN_BYTES && !line.chars().any(char::is_control),
        "it should be one line, a token or `user:password`"
    );
    let (user, password) = line.split_once(':').unwrap_or((TOKEN_USER, line));
    Ok(Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_a_token_or_user_and_password() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let found = match login(text) {
                Ok(Credentials::Basic { user, password }) => Some((user, password)),
                _ => None,
            };
            let found = found.as_ref().map(|(u, p)| (u.as_str(), p.as_str()));
            assert_eq!(found, expect, "{text:?}");
        };
        check("ghp_1\n", Some((TOKEN_USER, "ghp_1")));
        check("ada:pass:word\n", Some(("ada", "pass:word")));
        check("", None);
        check("one\ntwo\n", None);
    }
}
