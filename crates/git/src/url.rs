//! Where a repository is, and who asks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;

use crate::{Error, Result};

/// Longest address taken, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// An `https://`, `http://` or `file://` address, or an absolute path. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    text: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Directory(PathBuf),
    Http { encrypted: bool, loopback: bool },
}

impl RemoteUrl {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory, when the address is one on this machine.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(path) => Some(path),
            Place::Http { .. } => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RemoteUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::Address {
            url: without_password(text),
            reason: reason.to_owned(),
        };
        if text.len() > MAX_URL_BYTES {
            return Err(refuse("it is longer than 2048 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(refuse("it contains a space or a control character"));
        }
        if text.starts_with('/') {
            return Ok(Self::on_disk(text, text.as_bytes()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refuse(
                "write https://…, http://…, file:///… or an absolute path",
            ));
        };
        match scheme {
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(refuse(
                        "a file address has three slashes: file:///srv/repo.git",
                    ));
                }
                let bytes = percent_decode(path)
                    .ok_or_else(|| refuse("a % is not followed by two hex digits"))?;
                Ok(Self::on_disk(text, &bytes))
            }
            "https" | "http" => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                // A password may have a slash in it, which ends the authority at what is no port then.
                let has_no_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
                    !host.starts_with('[') && !port.bytes().all(|byte| byte.is_ascii_digit())
                });
                if authority.contains('@') || (has_no_port && rest.contains('@')) {
                    return Err(refuse(
                        "a user or password in an address ends up in logs; configure credentials instead",
                    ));
                }
                if authority.is_empty() {
                    return Err(refuse("the name of the server is missing"));
                }
                if rest.contains(['?', '#']) {
                    return Err(refuse("a git address has no ? and no #"));
                }
                Ok(Self {
                    text: text.trim_end_matches('/').to_owned(),
                    place: Place::Http {
                        encrypted: scheme == "https",
                        loopback: is_loopback(authority),
                    },
                })
            }
            _ => Err(refuse("only https, http and file are spoken here")),
        }
    }
}

impl RemoteUrl {
    fn on_disk(text: &str, path: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        Self {
            text: text.to_owned(),
            place: Place::Directory(PathBuf::from(std::ffi::OsStr::from_bytes(path))),
        }
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    (!out.contains(&0)).then_some(out)
}

/// For errors about addresses that were refused because they may hold a password.
fn without_password(text: &str) -> String {
    let shown = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://…@{}", &text[..scheme], &text[at + 1..])
        }
        _ => text.to_owned(),
    };
    // Tokens are written there, too.
    let shown = match shown.find(['?', '#']) {
        Some(end) => format!("{}…", &shown[..end]),
        None => shown,
    };
    crate::error::printable(&shown)
}

/// What is shown to a server. Its `Debug` shows nothing.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// HTTP basic authentication; forges take a token as the password.
    Basic {
        /// The user; many forges take any with a token.
        user: String,
        /// The password or token.
        password: String,
    },
    /// An `Authorization: Bearer` token.
    Bearer {
        /// The token.
        token: String,
    },
}

/// Whoever knows what is shown to a server. Asked before each conversation, since what was shown before may have ended.
pub trait Login: fmt::Debug + Send + Sync {
    /// What is good for some minutes at least. It may block.
    ///
    /// # Errors
    /// A sentence about why there is nothing to show for now, without a secret.
    fn credentials(&self) -> std::result::Result<Credentials, String>;

    /// The server does not take what was shown last: it may have been taken back before its end. It may block.
    fn refused(&self) {}
}

/// The same each time.
impl Login for Credentials {
    fn credentials(&self) -> std::result::Result<Credentials, String> {
        Ok(self.clone())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Credentials::None",
            Self::Basic { .. } => "Credentials::Basic(…)",
            Self::Bearer { .. } => "Credentials::Bearer(…)",
        })
    }
}

impl Credentials {
    /// The header line to send to `url`.
    pub(crate) fn header(&self, url: &RemoteUrl) -> Result<Option<String>> {
        let value = match self {
            Self::None => return Ok(None),
            Self::Basic { user, password } => format!("Basic {}", basic(user, password)),
            Self::Bearer { token } => format!("Bearer {token}"),
        };
        if let Place::Http {
            encrypted: false,
            loopback: false,
        } = url.place()
        {
            return Err(Error::Address {
                url: url.to_string(),
                reason: "credentials go over https only, except to this machine; write https://"
                    .to_owned(),
            });
        }
        Ok(Some(format!("Authorization: {value}")))
    }

    /// `text` without the secret in any of its spellings.
    pub(crate) fn scrub(&self, text: String) -> String {
        let secrets: Vec<String> = match self {
            Self::None => return text,
            Self::Basic { user, password } => vec![password.clone(), basic(user, password)],
            Self::Bearer { token } => vec![token.clone()],
        };
        secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| text.replace(secret, "…"))
    }
}

fn basic(user: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        fn check(text: &str, expect: &str) {
            let got = match text.parse::<RemoteUrl>() {
                Ok(url) => match url.place() {
                    Place::Directory(path) => format!("directory {}", path.display()),
                    Place::Http { .. } => format!("http {url}"),
                },
                Err(error) => error.to_string(),
            };
            assert!(got.contains(expect), "{text:?}: {got}");
            assert!(!got.contains("s3cret"), "{got}");
        }
        check("/srv/git/x.git", "directory /srv/git/x.git");
        check("file:///srv/a%20b.git", "directory /srv/a b.git");
        check("file://localhost/srv/x", "directory /srv/x");
        check(
            "https://example.org/x.git/",
            "http https://example.org/x.git",
        );
        check("http://127.0.0.1:80/x", "http http://");
        check("file://srv/x", "three slashes");
        check("file:///%zz", "two hex digits");
        check("ssh://example.org/x", "only https, http and file");
        check("git@example.org:x", "write https://");
        check("https://u:s3cret@example.org/x", "configure credentials");
        check("https://s3cret@example.org/x", "configure credentials");
        check("https://u:s3/cret@example.org/x", "configure credentials");
        check("https://example.org/x?token=s3cret", "no ? and no #");
        check("https://example.org/x?token=1", "no ?");
        check("https:///x", "name of the server");
        check("https://example.org/\nx", "control character");
        check("", "write https://");
    }

    #[test]
    fn secrets_are_sent_only_where_nobody_listens() {
        fn check(url: &str, expect: bool) {
            let secret = Credentials::Bearer {
                token: "t".to_owned(),
            };
            let url: RemoteUrl = url.parse().unwrap();
            assert_eq!(secret.header(&url).is_ok(), expect, "{url}");
        }
        check("https://example.org/x", true);
        check("http://example.org/x", false);
        check("http://127.0.0.1:8080/x", true);
        check("http://localhost/x", true);
        check("http://[::1]:3000/x", true);
        check("http://127.0.0.1.example.org/x", false);
    }
}
