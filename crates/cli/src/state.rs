//! The state repository of a data directory: where it is, its branches, and the login for it.
//!
//! `millrace up` decides and leaves a note, so that `millrace verify` looks at the same without being told
//! again. The note names files, never what is in them.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use forge::{Address, GitHub, Secret};
use git::{Credentials, Repository};
use nix::fcntl::OFlag;
use platform_local::WallClock;
use serde::{Deserialize, Serialize};
use state_repo::{TOKEN_USER, lent};
use tokio::runtime::Handle;

use crate::args::{ForgeArgs, ForgeKind};
use crate::local::Layout;
use crate::up::forge_address;

/// Name of the note in the data directory.
const NOTE: &str = "state.json";
/// Most that is read of a file with a secret, in bytes. Keys and lists of secrets have some thousand.
const MAX_SECRET_BYTES: u64 = 1 << 20;
/// A login's file: longer is something else. In bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

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
    /// Who logs in where there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<AppPlace>,
}

/// The GitHub App that logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppPlace {
    /// Its number.
    pub(crate) id: u64,
    /// The file with its private key.
    pub(crate) key_file: PathBuf,
    /// Where GitHub's API begins.
    pub(crate) api: String,
    /// The state repository there, as `owner/name`.
    pub(crate) repository: String,
}

impl StatePlace {
    /// What `millrace init` makes.
    fn usual(layout: &Layout) -> Self {
        Self {
            repository: layout.state().display().to_string(),
            branch: "main".to_owned(),
            token_file: None,
            app: None,
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
            app: None,
        })
    }

    /// The App that writes checks pushes, too, unless there is a login for that.
    pub(crate) fn with_app(mut self, args: &ForgeArgs) -> anyhow::Result<Self> {
        if let (Some(id), Some(file)) = (args.forge_app, &args.forge_token_file)
            && args.forge == Some(ForgeKind::Github)
            && self.token_file.is_none()
            && self.is_served()
        {
            let (api, repository) = forge_address(args, &self)?;
            let key_file = std::path::absolute(file);
            self.app = Some(AppPlace {
                id,
                key_file: key_file.with_context(|| format!("find {}", file.display()))?,
                api,
                repository,
            });
        }
        Ok(self)
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

    /// Whether it is on a server.
    pub(crate) fn is_served(&self) -> bool {
        self.repository.starts_with("http")
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
        let opened =
            opened.with_context(|| format!("open the state repository {}", self.repository))?;
        Ok(match &self.app {
            Some(app) => opened.logging_in(app.login()?),
            None => opened,
        })
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let Some(path) = &self.token_file else {
            return Ok(Credentials::None);
        };
        let text = private_text(path)?;
        login(&text).with_context(|| format!("read the login in {}", path.display()))
    }
}

impl AppPlace {
    /// Lends tokens of the App's installation. Inside of a runtime, which is asked then.
    fn login(&self) -> anyhow::Result<Arc<dyn git::Login>> {
        let address = Address::new(&self.api, &self.repository)?;
        let key = private_text(&self.key_file)?;
        let login = forge::Login::App {
            id: self.id,
            key: Secret::new(&key),
            installation: None,
        };
        let app = Arc::new(GitHub::new(address, login, WallClock)?);
        let again = app.clone();
        let lend = move || {
            let app = app.clone();
            async move { Ok(app.push_token().await?.expose().to_owned()) }
        };
        let refused = move || {
            let app = again.clone();
            async move { app.push_token_refused().await }
        };
        Ok(lent(Handle::current(), lend, refused))
    }
}

/// What is in a file that its owner alone may read. It has a secret in it.
pub(crate) fn private_text(path: &Path) -> anyhow::Result<String> {
    let read = || format!("read {}", path.display());
    // Whoever opens a pipe otherwise waits for its writer.
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let file = opened.with_context(read)?;
    let metadata = file.metadata().with_context(read)?;
    ensure!(
        metadata.is_file(),
        "{} is no regular file: a secret is read from a file that stays, since it is read again at each start",
        path.display()
    );
    ensure!(
        metadata.mode() & 0o077 == 0,
        "{} can be read by others than its owner: `chmod 600` it, and change what is in it",
        path.display()
    );
    let mut text = String::new();
    file.take(MAX_SECRET_BYTES)
        .read_to_string(&mut text)
        .with_context(read)?;
    ensure!(!text.trim().is_empty(), "{} is empty", path.display());
    Ok(text)
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
