//! Addresses of git repositories, files and package repositories. All are plain: a known scheme,
//! visible ASCII, no credentials (everyone reads the state repository), no query.

use std::str::FromStr;

use crate::ids::{Architecture, IdError, string_type};
use crate::limits::MAX_URL_BYTES;

/// Address of a git repository: `https://`, `http://` or `file://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitUrl(String);

impl GitUrl {
    /// The last part of the path: `openssl.git`.
    pub fn last_part(&self) -> &str {
        last_part(&self.0)
    }
}

const GIT_SCHEMES: &[&str] = &["https", "http", "file"];

impl FromStr for GitUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let help =
            "write the address of the repository, like `https://git.example.org/rpms/openssl.git`";
        check_url("a git address", text, GIT_SCHEMES, help)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    GitUrl,
    "^(https|http|file)://[^ ?#]+$",
    MAX_URL_BYTES,
    "Address of a git repository, without user name and password."
);

/// Address of a file: `https://`, `http://` or `file://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// The file name at the end of the address.
    pub fn last_part(&self) -> &str {
        last_part(&self.0)
    }
}

const FILE_SCHEMES: &[&str] = &["https", "http", "file"];

impl FromStr for SourceUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let help = "write the address of the file, like `https://example.org/nss-3.101-1.src.rpm`";
        check_url("an address", text, FILE_SCHEMES, help)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    SourceUrl,
    "^(https|http|file)://[^ ?#]+$",
    MAX_URL_BYTES,
    "Address of a file, without user name and password."
);

/// Shape of an address that is safe to hand to a client: a known scheme, visible ASCII, no
/// credentials (this repository is read by many), no query or fragment.
fn check_url(what: &'static str, text: &str, schemes: &[&str], help: &str) -> Result<(), IdError> {
    let error = |reason: String| Err(IdError::new(what, text, reason, help));
    if text.len() > MAX_URL_BYTES {
        return error(format!("it is longer than {MAX_URL_BYTES} bytes"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return error("it has no scheme such as `https://`".into());
    };
    if !schemes.contains(&scheme) {
        return error(format!(
            "`{scheme}://` is not one of {}",
            schemes.join("://, ") + "://"
        ));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return error(format!(
            "it contains U+{:04X}; spaces are written `%20`",
            u32::from(bad)
        ));
    }
    if text.contains(['?', '#', '"', '\'', '\\', '`', '<', '>', '{', '}', '|', '^']) {
        return error("it contains a character that has no place in such an address".into());
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return error("it contains a user name or password, which everyone could read".into());
    }
    if host.starts_with('-') || (host.is_empty() && scheme != "file") {
        return error("it has no host".into());
    }
    if path.trim_end_matches('/').is_empty() {
        return error("it has no path after the host".into());
    }
    if path.split('/').any(|part| part == "..") {
        return error("it contains `..`".into());
    }
    Ok(())
}

fn last_part(url: &str) -> &str {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or(url)
}

/// Address of a package repository: `https://`, `http://` or `file://`. `$arch` in it stands for
/// the architecture that is built.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoUrl(String);

impl RepoUrl {
    /// The address for one architecture.
    pub fn for_architecture(&self, architecture: &Architecture) -> String {
        self.0.replace("$arch", architecture.as_str())
    }
}

impl FromStr for RepoUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let help = "write the folder that holds `repodata/` or `dists/`, like \
                    `https://repo.almalinux.org/almalinux/10/BaseOS/$arch/os/`";
        check_url(
            "the address of a repository",
            text,
            &["https", "http", "file"],
            help,
        )?;
        if let Some((_, rest)) = text.replace("$arch", "").split_once('$') {
            let name: String = rest
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            return Err(IdError::new(
                "the address of a repository",
                text,
                format!("the variable `${name}` is unknown"),
                "write `$arch` for the architecture; there is no other variable",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    RepoUrl,
    "^(https|http|file)://[^ ?#]+$",
    MAX_URL_BYTES,
    "Address of a package repository; $arch stands for the architecture."
);
