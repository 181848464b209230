//! Fetching commits into a repository on this disk.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;

use gix::protocol::fetch::{self, Arguments, Negotiate, Shallow, Tags, negotiate};
use gix::protocol::transport::Protocol;

use crate::said::Said;
use crate::wire::{AGENT, Connection};
use crate::{Error, Result, durable};

/// What to ask a server for.
pub(crate) struct Wanted<'a> {
    /// Commits (or tags) to have afterwards.
    pub(crate) want: &'a [gix::ObjectId],
    /// Commits that are here with all they refer to.
    pub(crate) have: &'a [gix::ObjectId],
    pub(crate) depth: Depth,
    pub(crate) files: Files,
    /// Most bytes one object may have.
    pub(crate) max_object_bytes: Option<usize>,
}

/// How much history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All of it.
    Full,
    /// The commit alone.
    One,
}

/// Whether the bytes of files come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Yes.
    All,
    /// Commits and trees alone. The server has to know how: see [`Connection::can_leave_files_out`].
    Later,
}

impl Connection<'_> {
    /// Whether the server leaves files out, and gives them by name later: in protocol 2 everything can be asked for.
    pub(crate) fn can_leave_files_out(&self) -> bool {
        self.version == Protocol::V2
            && self
                .capabilities
                .capability("fetch")
                .and_then(|fetch| fetch.supports("filter"))
                .unwrap_or(false)
    }
}

/// Fetches what is wanted into `repo`. The objects are durable when this returns; no ref is changed.
pub(crate) fn fetch(
    repo: &gix::Repository,
    connection: Connection<'_>,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let Connection {
        mut transport,
        capabilities,
        version,
        peer,
        ..
    } = connection;
    let mut hello = gix::protocol::Handshake {
        server_protocol_version: version,
        refs: None,
        v1_shallow_updates: None,
        capabilities,
    };
    let shallow = match wanted.depth {
        Depth::Full => Shallow::NoChange,
        Depth::One => Shallow::DepthAtRemote(NonZeroU32::MIN),
    };
    let said = Said::default();
    let mut stored = Ok(None);
    let outcome = gix::protocol::fetch(
        &mut Ask(wanted),
        |reader, _progress, _interrupt| {
            stored = durable::store_pack(repo, reader, wanted.max_object_bytes);
            Ok(stored.is_ok())
        },
        said.clone(),
        &AtomicBool::new(false),
        fetch::Context {
            handshake: &mut hello,
            transport: &mut transport,
            user_agent: ("agent", Some(AGENT.into())),
            trace_packetlines: false,
        },
        fetch::Options {
            shallow_file: repo
                .shallow_file()
                .map_err(Error::corrupt("find the shallow file"))?,
            shallow: &shallow,
            tags: Tags::None,
            reject_shallow_remote: false,
        },
    );
    if let Err(error) = stored {
        // A pack that ends early or is broken is the server's or the connection's doing.
        return Err(match error {
            Error::Corrupt { reason, .. } if peer.budget.is_spent() || peer.budget.is_late() => {
                peer.failure(gix::Error::from_error(std::io::Error::other(reason)))
            }
            Error::Corrupt { reason, .. } => {
                let url = peer.url.to_string();
                match said.failure() {
                    Some(said) => Error::GaveUp {
                        url,
                        reason: peer.credentials.scrub(said),
                    },
                    None => Error::Network {
                        url,
                        reason: peer
                            .credentials
                            .scrub(format!("the pack it sent is broken: {reason}")),
                    },
                }
            }
            other => other,
        });
    }
    outcome.map(|_| ()).map_err(|error| peer.failure(error))
}

/// Asks once: wants, haves, done. The haves are few and well chosen, so that rounds of bargaining gain nothing.
struct Ask<'a>(&'a Wanted<'a>);

impl Negotiate for Ask<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate {
            remote_ref_target_known: vec![false; self.0.want.len()],
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        for id in self.0.want {
            arguments.want(id);
        }
        if self.0.files == Files::Later {
            arguments.filter("blob:none");
        }
        !self.0.want.is_empty()
    }

    fn one_round(
        &mut self,
        _state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        _previous: Option<&fetch::Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        for id in self.0.have {
            arguments.have(id);
        }
        let round = negotiate::Round {
            haves_sent: self.0.have.len(),
            in_vain: 0,
            haves_to_send: self.0.have.len(),
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}
