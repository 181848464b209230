//! The helper's side: one request, one process, no other threads.
//!
//! Started only by this crate's library. Runs with the caller's rights until it has entered a user namespace, and as root
//! of that namespace afterwards.

mod files;
mod hold;
mod inside;
mod supervise;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::wire::{Envelope, PROTOCOL, Reply, Request};

/// A request's line is at most this long: thousands of arguments, not a stranger's megabytes.
const MAX_REQUEST_BYTES: u64 = 16 << 20;

/// A directory with this name in the topmost layer marks a probe: the holder replaces it, which needs of the overlay all that
/// package managers need.
pub(crate) const PROBE: &str = ".millrace-probe";

/// A step that failed, in words: "mount the overlay: Operation not permitted".
type Outcome<T> = Result<T, String>;

/// Names the step that an error belongs to.
trait Step<T> {
    fn step(self, step: &str) -> Outcome<T>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Outcome<T> {
        self.map_err(|error| format!("{step}: {error}"))
    }
}

/// Standard input and output as a conversation with the library.
struct Peer {
    input: BufReader<io::Stdin>,
}

impl Peer {
    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        let read = (&mut self.input)
            .take(MAX_REQUEST_BYTES)
            .read_line(&mut line)
            .step("read from the caller")?;
        if read == 0 {
            Err("read from the caller: it is gone".into())
        } else {
            Ok(line)
        }
    }

    fn reply(&self, reply: &Reply) -> Outcome<()> {
        let mut line = serde_json::to_string(reply).step("encode a reply")?;
        line.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .step("answer the caller")
    }
}

/// The helper's whole life.
pub fn main() -> ExitCode {
    close_inherited();
    let mut peer = Peer {
        input: BufReader::with_capacity(1 << 16, io::stdin()),
    };
    match serve(&mut peer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // A caller that is gone cannot be told anything.
            let _ = peer.reply(&Reply::Failed(reason));
            ExitCode::FAILURE
        }
    }
}

/// What the caller's caller left open must not reach a build. Nothing of ours is open yet but the standard streams.
fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let inherited: Vec<i32> = open
        .flatten()
        .filter_map(number)
        .filter(|fd| *fd > 2)
        .collect();
    for fd in inherited {
        // One of them was the listing itself, closed by now.
        let _ = nix::unistd::close(fd);
    }
}

fn serve(peer: &mut Peer) -> Outcome<()> {
    let line = peer.line()?;
    let envelope: Envelope = serde_json::from_str(&line)
        .step("read the request (the helper and the runner may be of different builds; install both anew)")?;
    if envelope.protocol != PROTOCOL {
        return Err(format!(
            "speak protocol {}: this helper speaks {PROTOCOL}; install helper and runner from one build",
            envelope.protocol
        ));
    }
    match envelope.request {
        Request::Hold(hold) => hold::hold(peer, &hold),
        Request::Run(run) => supervise::run(peer, &run),
        Request::Put(put) => files::put(peer, &put),
        Request::Get(get) => files::get(peer, &get),
        Request::List(list) => files::list(peer, &list),
        Request::Admin(admin) => files::admin(peer, &admin),
    }
}

/// Takes on an id of the namespace. Leaving root for another id drops every capability with it.
fn become_id(id: u32) -> Outcome<()> {
    setgroups(&[]).step("drop supplementary groups")?;
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    setresgid(gid, gid, gid).step("change the group id")?;
    setresuid(uid, uid, uid).step("change the user id")
}
