//! The conversation with a server: handshake, its list of refs, and what its failures mean.
//!
//! Speaks protocol 2 to read and protocol 1 to push, and understands servers that only speak the older one.

use std::sync::Arc;

use gix::protocol::transport::client::Capabilities;
use gix::protocol::transport::client::blocking_io::http::Transport;
use gix::protocol::transport::client::blocking_io::{
    ReadlineBufRead, Transport as _, TransportV2Ext as _,
};
use gix::protocol::transport::{Protocol, Service};

use crate::error::{describe, printable};
use crate::http::{self, Bounded, Budget};
use crate::{Credentials, Error, RemoteUrl, Result};

/// How we name ourselves to servers.
pub(crate) const AGENT: &str = concat!("millrace/", env!("CARGO_PKG_VERSION"));
/// Most refs taken from one server. A large distribution's monorepo has tens of thousands.
const MAX_REFS: usize = 500_000;

/// A ref as a server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteRef {
    /// `HEAD` or `refs/…`.
    pub(crate) name: String,
    /// What it points to; for an annotated tag the tag object.
    pub(crate) id: gix::ObjectId,
    /// What an annotated tag points to in the end.
    pub(crate) peeled: Option<gix::ObjectId>,
}

impl RemoteRef {
    /// The object meant by people who name the ref.
    pub(crate) fn target(&self) -> gix::ObjectId {
        self.peeled.unwrap_or(self.id)
    }
}

/// A server that has said hello.
pub(crate) struct Connection<'a> {
    pub(crate) transport: Transport<Bounded>,
    pub(crate) capabilities: Capabilities,
    pub(crate) version: Protocol,
    /// Protocol 1 servers list everything at once.
    pub(crate) refs: Option<Vec<RemoteRef>>,
    pub(crate) peer: Peer<'a>,
}

/// Whom an error is about, and what must not be in it.
#[derive(Clone)]
pub(crate) struct Peer<'a> {
    pub(crate) url: &'a RemoteUrl,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) budget: Arc<Budget>,
}

impl<'a> Connection<'a> {
    pub(crate) fn open(peer: Peer<'a>, service: Service) -> Result<Self> {
        let version = match service {
            Service::UploadPack => Protocol::V2,
            Service::ReceivePack => Protocol::V1,
        };
        let mut transport = http::transport(peer.url, &peer.credentials, version, &peer.budget)?;
        let (version, capabilities, refs) = {
            let hello = transport
                .handshake(service, &[])
                .map_err(|error| peer.failure(error.into()))?;
            let refs = match hello.refs {
                Some(mut lines) => Some(read_refs(&mut *lines, &peer)?),
                None => None,
            };
            (hello.actual_protocol, hello.capabilities, refs)
        };
        if let Some(format) = capabilities.capability("object-format")
            && format.value().is_some_and(|value| value != "sha1")
        {
            return Err(peer.answer("it uses SHA-256 object names, which are not spoken here yet"));
        }
        Ok(Self {
            transport,
            capabilities,
            version,
            refs,
            peer,
        })
    }

    /// The server's refs whose names start with one of `prefixes`, and maybe others.
    pub(crate) fn list_refs(&mut self, prefixes: &[String]) -> Result<Vec<RemoteRef>> {
        if let Some(refs) = &self.refs {
            return Ok(refs.clone());
        }
        let mut arguments: Vec<gix::bstr::BString> = vec!["peel".into()];
        arguments.extend(
            prefixes
                .iter()
                .map(|prefix| format!("ref-prefix {prefix}").into()),
        );
        let mut features = vec![("agent", Some(AGENT))];
        if self.capabilities.contains("object-format") {
            features.push(("object-format", Some("sha1")));
        }
        let peer = self.peer.clone();
        let mut lines = self
            .transport
            .invoke(
                "ls-refs",
                features.into_iter(),
                Some(arguments.into_iter()),
                false,
            )
            .map_err(|error| peer.failure(error.into()))?;
        read_refs(&mut *lines, &peer)
    }
}

fn read_refs(lines: &mut dyn ReadlineBufRead, peer: &Peer<'_>) -> Result<Vec<RemoteRef>> {
    let mut refs: Vec<RemoteRef> = Vec::new();
    while let Some(line) = lines.readline() {
        let line = line
            .map_err(|error| peer.failure(gix::Error::from_error(error)))?
            .map_err(|error| peer.failure(error))?;
        let Some(text) = line.as_text() else { break };
        if refs.len() >= MAX_REFS {
            return Err(Error::Limit {
                operation: format!("list the refs of {}", peer.url),
                limit: MAX_REFS as u64,
                unit: "refs",
            });
        }
        let text = String::from_utf8_lossy(text.0);
        add_ref(&mut refs, text.trim_end()).map_err(|reason| peer.answer(&reason))?;
    }
    Ok(refs)
}

/// One line of either protocol: `<id> <name>[ peeled:<id>][ symref-target:<name>]`, where the older one
/// says `<id> <name>^{}` in a line of its own.
fn add_ref(refs: &mut Vec<RemoteRef>, line: &str) -> std::result::Result<(), String> {
    let mut words = line.split(' ');
    let (Some(id), Some(name)) = (words.next(), words.next()) else {
        return Err(format!("{:?} is not a ref", printable(line)));
    };
    if matches!(id, "unborn" | "shallow") || name == "capabilities^{}" {
        return Ok(());
    }
    let parse = |text: &str| {
        gix::ObjectId::from_hex(text.as_bytes())
            .ok()
            .filter(|_| text.len() == 40)
            .ok_or_else(|| format!("{:?} is not an object name", printable(text)))
    };
    let id = parse(id)?;
    if let Some(tag) = name.strip_suffix("^{}") {
        return match refs.last_mut() {
            Some(last) if last.name == tag => {
                last.peeled = Some(id);
                Ok(())
            }
            _ => Err(format!("{:?} comes without its tag", printable(name))),
        };
    }
    let peeled = words
        .find_map(|word| word.strip_prefix("peeled:"))
        .map(parse)
        .transpose()?;
    refs.push(RemoteRef {
        name: name.to_owned(),
        id,
        peeled,
    });
    Ok(())
}

impl Peer<'_> {
    /// An answer that is not used.
    pub(crate) fn answer(&self, reason: &str) -> Error {
        Error::Server {
            url: self.url.to_string(),
            reason: self.credentials.scrub(printable(reason)),
        }
    }

    /// What an error of the transport means for the caller.
    pub(crate) fn failure(&self, error: gix::Error) -> Error {
        let url = self.url.to_string();
        let reason = self.credentials.scrub(describe(&error));
        let login_refused = error
            .downcast_any_ref::<gix::protocol::transport::client::AuthenticationRequired>()
            .is_some();
        if let Some(said) =
            error.downcast_any_ref::<gix::protocol::transport::packetline::read::Error>()
        {
            return self.answer(&format!("it says: {said}"));
        }
        if self.budget.is_spent() {
            return Error::Limit {
                operation: format!("read {url}"),
                limit: self.budget.bytes(),
                unit: "bytes",
            };
        }
        if self.budget.is_late() {
            return Error::Network {
                url,
                reason: format!("it took longer than {} s", self.budget.time().as_secs()),
            };
        }
        match (login_refused, http_status(&reason)) {
            (true, _) | (_, Some(401 | 403)) => Error::AccessDenied {
                url,
                reason: self.login_reason().to_owned(),
            },
            (_, Some(404 | 410)) => Error::RepositoryMissing {
                url,
                reason: "the server says that it does not exist".to_owned(),
            },
            (_, Some(408 | 429 | 500..)) => Error::Network { url, reason },
            (_, Some(_)) => Error::Server { url, reason },
            _ if reason.contains("to indicate 'smart' protocol") => Error::RepositoryMissing {
                url,
                reason: "the server answers, but not as a git server; is this the address to clone from?"
                    .to_owned(),
            },
            _ if reason.contains("redirect") => Error::RepositoryMissing {
                url,
                reason: "the server sends us to another address; write that one".to_owned(),
            },
            _ if is_connection_trouble(&error) => Error::Network { url, reason },
            _ => Error::Server { url, reason },
        }
    }

    fn login_reason(&self) -> &'static str {
        match *self.credentials {
            Credentials::None => {
                "the server asks for a login: it does not exist, or it is private and needs credentials"
            }
            _ => "the server refuses the credentials: check the token, its expiry and its rights",
        }
    }
}

/// Whether the connection failed, as opposed to what came over it. `gix` marks most of it; the rest are
/// input-output errors, except those it makes itself of bytes it cannot read.
fn is_connection_trouble(error: &gix::Error) -> bool {
    error.can_retry_lenient()
        || error
            .iter_errors()
            .filter_map(|error| error.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() != std::io::ErrorKind::InvalidData)
}

/// The status in the text of `gix`'s HTTP errors, which carry it nowhere else.
fn http_status(reason: &str) -> Option<u16> {
    let (_, rest) = reason.split_once("Received HTTP status ")?;
    rest.get(..3)?.parse().ok()
}

/// Runs `talk`, and turns a panic in the parsers of `gix`, met with a hostile server or repository, into an error.
pub(crate) fn guarded<T>(url: &RemoteUrl, talk: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(talk)).unwrap_or_else(|_| {
        Err(Error::Server {
            url: url.to_string(),
            reason: "it breaks the rules of the git protocol".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn ref_lines() {
        fn check(lines: &[String], expect: &str) {
            let mut refs = Vec::new();
            let result = lines.iter().try_for_each(|line| add_ref(&mut refs, line));
            let got = match result {
                Ok(()) => refs
                    .iter()
                    .map(|r| format!("{} {}", r.name, &r.target().to_string()[..1]))
                    .collect::<Vec<_>>()
                    .join(", "),
                Err(reason) => reason,
            };
            assert_eq!(got, expect);
        }
        check(&[format!("{A} refs/heads/main")], "refs/heads/main a");
        check(&[format!("{A} refs/tags/v1 peeled:{B}")], "refs/tags/v1 b");
        check(
            &[format!("{A} HEAD symref-target:refs/heads/main")],
            "HEAD a",
        );
        check(
            &[
                format!("{A} refs/tags/v1"),
                format!("{B} refs/tags/v1^{{}}"),
            ],
            "refs/tags/v1 b",
        );
        check(
            &["unborn HEAD symref-target:refs/heads/main".to_owned()],
            "",
        );
        check(&[format!("{A} capabilities^{{}}")], "");
        check(
            &[format!("{B} refs/tags/v1^{{}}")],
            "\"refs/tags/v1^{}\" comes without its tag",
        );
        check(&["nonsense".to_owned()], "\"nonsense\" is not a ref");
        check(
            &["12 refs/heads/x".to_owned()],
            "\"12\" is not an object name",
        );
        check(&[String::new()], "\"\" is not a ref");
    }
}
