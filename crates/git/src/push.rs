//! Pushing one branch over smart HTTP, made of `gix`'s parts (it has no push).
//!
//! The request names the branch's old and new commit, which is the compare-and-swap: the server takes the
//! branch's lock and refuses when it is elsewhere. See `gitprotocol-pack(5)`, "Pushing Data To a Server".

use std::io::Write as _;

use gix::protocol::transport::Service;
use gix::protocol::transport::client::blocking_io::{ReadlineBufRead, Transport as _};
use gix::protocol::transport::client::{MessageKind, WriteMode};

use crate::wire::{AGENT, Connection, Peer};
use crate::{CommitId, Error, Result};

/// What the server made of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The branch is at the new commit.
    Done,
    /// The branch was not where it was said to be; nothing was sent.
    Moved(Option<CommitId>),
    /// Refused in these words; why is for the caller to find out.
    Refused(String),
}

/// One branch to move.
pub(crate) struct Push<'a> {
    /// `refs/heads/…`.
    pub(crate) branch: &'a str,
    pub(crate) old: Option<CommitId>,
    pub(crate) new: CommitId,
    /// The objects the server does not have.
    pub(crate) pack: &'a [u8],
}

pub(crate) fn push(peer: Peer<'_>, push: &Push<'_>) -> Result<Pushed> {
    let mut connection = Connection::open(peer, Service::ReceivePack)?;
    let now = connection
        .refs
        .iter()
        .flatten()
        .find(|r| r.name == push.branch)
        .map(|r| CommitId(r.id));
    if now == Some(push.new) {
        return Ok(Pushed::Done);
    }
    if now != push.old {
        return Ok(Pushed::Moved(now));
    }
    let command = command(&connection, push)?;
    let peer = connection.peer.clone();
    let request = connection
        .transport
        .request(WriteMode::Binary, MessageKind::Flush, false)
        .map_err(|error| peer.failure(error.into()))?;
    let (mut writer, mut reader) = request.into_parts();
    let sent = writer
        .write_all(&command)
        .and_then(|()| writer.write_all(push.pack))
        .and_then(|()| writer.flush());
    // The answer comes only when the writer is gone.
    drop(writer);
    sent.map_err(|error| peer.failure(gix::Error::from_error(error)))?;
    read_report(&mut *reader, push.branch, &peer)
}

/// `<old> <new> <ref>\0<capabilities>`, as a packet line, and the flush that ends the list.
fn command(connection: &Connection<'_>, push: &Push<'_>) -> Result<Vec<u8>> {
    let server = &connection.capabilities;
    if !server.contains("report-status") {
        return Err(connection
            .peer
            .answer("it does not report whether a push succeeded (report-status)"));
    }
    let mut wanted = vec!["report-status".to_owned()];
    if server.contains("atomic") {
        wanted.push("atomic".to_owned());
    }
    if server.contains("object-format") {
        wanted.push("object-format=sha1".to_owned());
    }
    if server.contains("agent") {
        wanted.push(format!("agent={AGENT}"));
    }
    let old = push
        .old
        .map_or(gix::ObjectId::null(gix::hash::Kind::Sha1), |id| id.0);
    let line = format!("{old} {} {}\0 {}", push.new, push.branch, wanted.join(" "));
    let mut bytes = format!("{:04x}", line.len() + 4).into_bytes();
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"0000");
    Ok(bytes)
}

/// `unpack ok`, then `ok <ref>` or `ng <ref> <reason>`. Without a word about the ref it was not moved for sure.
fn read_report(lines: &mut dyn ReadlineBufRead, branch: &str, peer: &Peer<'_>) -> Result<Pushed> {
    /// Most lines of a report about one branch.
    const MAX_LINES: usize = 100;
    let mut unpacked = None;
    for _ in 0..MAX_LINES {
        let Some(line) = lines.readline() else { break };
        let line = line
            .map_err(|error| peer.failure(gix::Error::from_error(error)))?
            .map_err(|error| peer.failure(error))?;
        let Some(text) = line.as_text() else { break };
        let text = String::from_utf8_lossy(text.0).trim_end().to_owned();
        if let Some(result) = text.strip_prefix("unpack ") {
            unpacked = Some(result.to_owned());
        } else if text.strip_prefix("ok ") == Some(branch) {
            return Ok(Pushed::Done);
        } else if let Some(rest) = text.strip_prefix("ng ") {
            let reason = rest.strip_prefix(branch).unwrap_or(rest).trim();
            let reason = match unpacked.as_deref() {
                None | Some("ok") => reason.to_owned(),
                Some(unpack) => format!("{reason}: {unpack}"),
            };
            let reason = crate::error::printable(&reason);
            return Ok(Pushed::Refused(peer.credentials.scrub(reason)));
        }
    }
    Err(Error::Network {
        url: peer.url.to_string(),
        reason: "the server closed the connection before it said whether the push succeeded"
            .to_owned(),
    })
}
