//! Where a forge is, which state repository is meant, and the secrets to log in with.
//!
//! Callers: whoever makes an adapter. Invariants: a secret is in no `Debug`, error or log.

use std::fmt;

use reqwest::Url;

/// What makes an adapter impossible: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No adapter can ask there.
    #[error(
        "use the forge's address {address:?}: {cause}; write one such as \"https://api.github.com\""
    )]
    Address {
        /// As it was written, without what may be secret.
        address: String,
        /// What is wrong.
        cause: &'static str,
    },
    /// An owner or a repository that no forge has.
    #[error("use the state repository {0:?}: it is not of the form OWNER/NAME")]
    Repository(String),
    /// The state repository's name at the forge is not in its address for git.
    #[error(
        "tell the forge's repository from {0:?}: it does not end in OWNER/NAME; name it with `forge-repository`"
    )]
    NoRepository(String),
    /// Every Gitea is somewhere else.
    #[error(
        "find the Gitea's API: nobody says where it is; write `forge-api`, such as \"https://gitea.example.org/api/v1\""
    )]
    NoApi,
    /// An App where there are none.
    #[error(
        "log in as App {0}: Apps are GitHub's; leave `forge-app` out, since a Gitea has tokens of users"
    )]
    NoApps(u64),
    /// The private key of a GitHub App cannot be read. What is in it is not said.
    #[error(
        "read the private key of GitHub App {app}: {reason}; \
         the App's settings page makes one under \"Private keys\""
    )]
    Key {
        /// The App's number.
        app: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A token that cannot be sent.
    #[error(
        "use the token for {0}: it has characters that no token has, such as a line's end in the middle"
    )]
    Token(&'static str),
    /// The HTTP client could not be made.
    #[error("make an HTTP client: {0}")]
    Client(String),
}

/// A state repository at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    api: Url,
    owner: String,
    name: String,
}

impl Address {
    /// GitHub's own API.
    pub const GITHUB: &str = "https://api.github.com";

    /// `repository` is `owner/name`. `api` is where the forge's API begins: [`Address::GITHUB`], `https://HOST/api/v3` of
    /// a GitHub Enterprise server, or `https://HOST/api/v1` of a Gitea.
    pub fn new(api: &str, repository: &str) -> Result<Self, ConfigError> {
        let no = || ConfigError::Repository(shown(repository));
        let (owner, name) = repository.split_once('/').ok_or_else(no)?;
        if !is_name(owner) || !is_name(name) {
            return Err(no());
        }
        Ok(Self {
            api: api_url(api)?,
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    pub(crate) fn api(&self) -> &Url {
        &self.api
    }

    /// Of the repository alone, as forges ask for it in a list.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The path of something of the repository, below the API's address.
    pub(crate) fn path(&self, rest: fmt::Arguments<'_>) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }

    /// The path, with its query, that a redirect leads to. None: it leads to another server, which gets no token.
    pub(crate) fn redirected(&self, location: &str) -> Option<String> {
        let url = self.api.join(location).ok()?;
        (url.origin() == self.api.origin()).then_some(())?;
        let base = self.api.path().trim_end_matches('/');
        let path = url.path().strip_prefix(base)?;
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        path.starts_with('/').then(|| format!("{path}{query}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

fn api_url(api: &str) -> Result<Url, ConfigError> {
    let error = |address: String, cause| ConfigError::Address { address, cause };
    let mut url = Url::parse(api).map_err(|_| error(shown(api), "it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        let shown = url.host_str().unwrap_or_default().to_owned();
        return Err(error(
            shown,
            "it has a name or a password in it, which belong into the token",
        ));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(error(shown(api), "it is neither http nor https"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(error(shown(api), "it goes on behind its path"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// An address that somebody wrote, without a login and without what is behind its path: both may be secret.
pub fn shown(address: &str) -> String {
    let whole = |text: &str| match text.find(['?', '#']) {
        Some(end) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    match address.rsplit_once('@') {
        // Where the login ends is not sure.
        Some((before, _)) if before.contains(['?', '#']) => "…".to_owned(),
        Some((_, host)) => format!("…@{}", whole(host)),
        None => whole(address),
    }
}

/// Owners, repositories and logins: what both forges take, and nothing that means something in a path.
pub(crate) fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= 255
        && name.chars().all(known)
        && name.chars().any(|c| c != '.')
}

/// A value in a query.
pub(crate) fn in_query(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let one = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(one).collect()
}

/// A token or a private key. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// `text` without the white space around it, as files of secrets end with a line's end.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// For the one place where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without it, whoever wrote that: some repeat what they were sent.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        match self.0.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.0, "…"),
        }
    }

    /// It can be sent in a header.
    pub(crate) fn is_token(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let check = |address: &str, expect: &str| assert_eq!(shown(address), expect);
        check(
            "https://forge.example.org/api",
            "https://forge.example.org/api",
        );
        check("https://me:secret@forge:99999/api", "…@forge:99999/api");
        check("ssh:me:secret@forge", "…@forge");
        check(
            "https://forge/acme/state.git?token=secret",
            "https://forge/acme/state.git…",
        );
        check("https://forge/acme/state.git?token=se@cret", "…");
        check("https://me:se?cret@forge/a/b", "…");
        let error = Address::new("https://me:secret@forge:99999/api", "acme/state");
        let said = error.expect_err("no port has this number").to_string();
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn addresses() {
        let check = |api: &str, repository: &str, expect: Result<&str, &str>| {
            let address = Address::new(api, repository);
            let shown = address.as_ref().map(|address| address.api().to_string());
            let shown = shown.map_err(ToString::to_string);
            match (&shown, expect) {
                (Ok(url), Ok(expect)) => assert_eq!(url, expect),
                (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
                _ => panic!("{shown:?} for {api} {repository}"),
            }
        };
        check(
            "https://api.github.com",
            "a/b",
            Ok("https://api.github.com/"),
        );
        check(
            "https://git.example/api/v3/",
            "a/b",
            Ok("https://git.example/api/v3"),
        );
        check(
            "http://127.0.0.1:3000/api/v1",
            "a-b/c.d_e",
            Ok("http://127.0.0.1:3000/api/v1"),
        );
        check("api.github.com", "a/b", Err("no URL"));
        check("ftp://x", "a/b", Err("neither http"));
        check("https://x?y", "a/b", Err("behind its path"));
        check("https://me:hunter2@x/", "a/b", Err("belong into the token"));
        for repository in [
            "a", "a/", "/b", "a/b/c", "a/..", "a/b?c", "a/b%2f", "ä/b", "a/ b",
        ] {
            check("https://x", repository, Err("OWNER/NAME"));
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let error = Address::new("https://me:hunter2@x/", "a/b").expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(format!("{:?}", Secret::new("hunter2\n")), "Secret(…)");
        let hidden = Secret::new("hunter2\n").hidden_in("no hunter2 and hunter2");
        assert_eq!(hidden, "no … and …");
        assert_eq!(Secret::new("").hidden_in("no"), "no");
    }

    #[test]
    fn redirects_stay_on_the_server() {
        let address = Address::new("https://git.example/api/v3", "a/b").expect("an address");
        let check = |location: &str, expect: Option<&str>| {
            assert_eq!(
                address.redirected(location).as_deref(),
                expect,
                "{location}"
            );
        };
        check(
            "https://git.example/api/v3/repositories/1/pulls?state=open",
            Some("/repositories/1/pulls?state=open"),
        );
        check("/api/v3/repositories/1", Some("/repositories/1"));
        check("https://evil.example/api/v3/repositories/1", None);
        check("http://git.example/api/v3/repositories/1", None);
        check("https://git.example/login", None);
        check("https://git.example/api/v3x/y", None);
    }
}
