//! Fetching commits into a repository on this disk.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;

use gix::protocol::fetch::{self, Arguments, Negotiate, Shallow, Tags, negotiate};
use gix::protocol::transport::Protocol;

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
    /// Commits and trees alone, of a server that can leave the rest out and gives it by name later.
    Later,
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
    let mut stored = Ok(None);
    let outcome = gix::protocol::fetch(
        &mut Ask {
            wanted,
            gives_by_name: version == Protocol::V2,
        },
        |reader, _progress, _interrupt| {
            stored = durable::store_pack(repo, reader, wanted.max_object_bytes);
            Ok(stored.is_ok())
        },
        gix::progress::Discard,
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
            Error::Corrupt { reason, .. } => Error::Network {
                url: peer.url.to_string(),
                reason: peer
                    .credentials
                    .scrub(format!("the pack it sent is broken: {reason}")),
            },
            other => other,
        });
    }
    outcome.map(|_| ()).map_err(|error| peer.failure(error))
}

/// Asks once: wants, haves, done. The haves are few and well chosen, so that rounds of bargaining gain nothing.
struct Ask<'a> {
    wanted: &'a Wanted<'a>,
    /// In protocol 2 every object can be asked for.
    gives_by_name: bool,
}

impl Ask<'_> {
    fn leaves_files_out(&self, arguments: &Arguments) -> bool {
        self.wanted.files == Files::Later && self.gives_by_name && arguments.can_use_filter()
    }
}

impl Negotiate for Ask<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate {
            remote_ref_target_known: vec![false; self.wanted.want.len()],
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        for id in self.wanted.want {
            arguments.want(id);
        }
        if self.leaves_files_out(arguments) {
            arguments.filter("blob:none");
        }
        !self.wanted.want.is_empty()
    }

    fn one_round(
        &mut self,
        _state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        _previous: Option<&fetch::Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        // Files that were left out before may be what the server would describe new ones by.
        let have = match self.wanted.files {
            Files::Later if !self.leaves_files_out(arguments) => &[],
            _ => self.wanted.have,
        };
        for id in have {
            arguments.have(id);
        }
        let round = negotiate::Round {
            haves_sent: have.len(),
            in_vain: 0,
            haves_to_send: have.len(),
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}
