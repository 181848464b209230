//! The forge that an operator has named, whichever it is.
//!
//! Callers: the functions and the command line. Invariant: nothing is asked of it before somebody has something to ask.

use ledger::Millis;
use ports::{Check, Clock, Error, Forge, Permission, Pull, Reply, Result};
use serde::Deserialize;

use crate::address::{Address, ConfigError, Secret, shown};
use crate::gitea::Gitea;
use crate::github::{GitHub, Login};
use crate::webhook::{FullName, Kind};

/// What an operator says of the forge that the state repository is on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Site {
    /// Which forge.
    pub kind: Kind,
    /// Where its API begins, as [`Address::new`] takes it. Left out: GitHub's own.
    #[serde(default)]
    pub api: Option<String>,
    /// The state repository there, as `owner/name`. Left out: as its address ends.
    #[serde(default)]
    pub repository: Option<String>,
    /// The number of the GitHub App that logs in. Left out: whoever the token belongs to.
    #[serde(default)]
    pub app: Option<u64>,
}

impl Site {
    /// Where its API begins, and the state repository there, as `owner/name`. `state` is its address for git.
    ///
    /// # Errors
    /// If one of them can be told by nothing that was written.
    pub fn place(&self, state: &str) -> std::result::Result<(String, String), ConfigError> {
        let no = || ConfigError::NoRepository(shown(state));
        let repository = self.repository(state).ok_or_else(no)?;
        let api = match (self.kind, &self.api) {
            (_, Some(api)) => api.clone(),
            (Kind::GitHub, None) => Address::GITHUB.to_owned(),
            (Kind::Gitea, None) => return Err(ConfigError::NoApi),
        };
        Ok((api, repository))
    }

    fn repository(&self, state: &str) -> Option<String> {
        self.repository.clone().or_else(|| end_of(state))
    }

    /// The name by which a delivery from another repository is told.
    pub fn full_name(&self, state: &str) -> Option<FullName> {
        self.repository(state)?.parse().ok()
    }
}

/// An adapter for one of them.
pub enum AnyForge<C> {
    /// GitHub, or GitHub Enterprise Server.
    GitHub(Box<GitHub<C>>),
    /// Gitea.
    Gitea(Box<Gitea<C>>),
}

impl<C: Clock> AnyForge<C> {
    /// `state`: the address of the state repository for git. `secret`: a token, or the private key of the App. It must be
    /// made inside of a tokio runtime.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub fn open(
        site: &Site,
        state: &str,
        secret: Secret,
        clock: C,
    ) -> std::result::Result<Self, ConfigError> {
        let (api, repository) = site.place(state)?;
        let address = Address::new(&api, &repository)?;
        Ok(match (site.kind, site.app) {
            (Kind::GitHub, app) => {
                let login = match app {
                    Some(id) => Login::App {
                        id,
                        key: secret,
                        installation: None,
                    },
                    None => Login::Token(secret),
                };
                Self::GitHub(Box::new(GitHub::new(address, login, clock)?))
            }
            (Kind::Gitea, None) => Self::Gitea(Box::new(Gitea::new(address, secret, clock)?)),
            (Kind::Gitea, Some(id)) => return Err(ConfigError::NoApps(id)),
        })
    }
}

impl<C: Clock> AnyForge<C> {
    /// What git pushes with for a while, as [`GitHub::push_token`] has it.
    ///
    /// # Errors
    /// At a Gitea, which lends none.
    pub async fn push_token(&self) -> Result<Secret> {
        match self {
            Self::GitHub(forge) => forge.push_token().await,
            Self::Gitea(_) => {
                let cause = "a Gitea lends no tokens: one for git has to be written down";
                Err(Error::transient("log in for a push", cause))
            }
        }
    }

    /// As [`GitHub::push_token_refused`].
    pub async fn push_token_refused(&self) {
        if let Self::GitHub(forge) = self {
            forge.push_token_refused().await;
        }
    }
}

/// `owner/name` at the end of a repository's address.
fn end_of(address: &str) -> Option<String> {
    let (_, path) = address.split_once("://")?;
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    // The first part is the host.
    parts.next()?;
    Some(format!("{owner}/{name}"))
}

impl<C: Clock> Forge for AnyForge<C> {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        match self {
            Self::GitHub(forge) => forge.open_pulls(base).await,
            Self::Gitea(forge) => forge.open_pulls(base).await,
        }
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        match self {
            Self::GitHub(forge) => forge.pull(number).await,
            Self::Gitea(forge) => forge.pull(number).await,
        }
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        match self {
            Self::GitHub(forge) => forge.pull_of(commit).await,
            Self::Gitea(forge) => forge.pull_of(commit).await,
        }
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.write_check(check).await,
            Self::Gitea(forge) => forge.write_check(check).await,
        }
    }

    fn writes(&self, check: &Check) -> usize {
        match self {
            Self::GitHub(forge) => forge.writes(check),
            Self::Gitea(forge) => forge.writes(check),
        }
    }

    fn rests_until(&self) -> Option<Millis> {
        match self {
            Self::GitHub(forge) => forge.rests_until(),
            Self::Gitea(forge) => forge.rests_until(),
        }
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        match self {
            Self::GitHub(forge) => forge.permission(login).await,
            Self::Gitea(forge) => forge.permission(login).await,
        }
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        match self {
            Self::GitHub(forge) => forge.is_program(login).await,
            Self::Gitea(forge) => forge.is_program(login).await,
        }
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.answer(reply).await,
            Self::Gitea(forge) => forge.answer(reply).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use memory::ManualClock;

    use super::*;

    #[test]
    fn a_repository_is_told_by_its_address() {
        let check = |address: &str, expect: Option<&str>| {
            assert_eq!(end_of(address).as_deref(), expect, "{address}");
        };
        check("https://github.com/acme/state.git", Some("acme/state"));
        check("https://git.example.org/a/acme/state/", Some("acme/state"));
        check("https://github.com/state", None);
        check("/srv/state.git", None);
    }

    #[tokio::test]
    async fn what_is_missing_or_too_much_is_said() {
        let check = |site: &str, state: &str, expect: Option<&str>| {
            let site: Site = serde_json::from_str(site).unwrap();
            let opened = AnyForge::open(&site, state, Secret::new("token"), ManualClock::default());
            let error = opened.err().map(|error| error.to_string());
            match (&error, expect) {
                (None, None) => {}
                (Some(error), Some(expect)) => assert!(error.contains(expect), "{error}"),
                _ => panic!("{error:?} for {site:?}"),
            }
        };
        let state = "https://git.example.org/acme/state.git";
        check(r#"{"kind": "github"}"#, state, None);
        let api = r#""api": "https://git.example.org/api/v1""#;
        check(&format!(r#"{{"kind": "gitea", {api}}}"#), state, None);
        check(r#"{"kind": "gitea"}"#, state, Some("/api/v1"));
        check(
            &format!(r#"{{"kind": "gitea", "app": 7, {api}}}"#),
            state,
            Some("App 7"),
        );
        check(r#"{"kind": "github", "app": 7}"#, state, Some("App 7"));
        let short = "https://git.example.org/state.git";
        check(r#"{"kind": "github"}"#, short, Some("OWNER/NAME"));
        let named = r#"{"kind": "github", "repository": "acme/state"}"#;
        check(named, short, None);
    }
}
