//! What this host offers, found out by trying, and said in words.

use std::fmt::Write as _;
use std::path::Path;

use nix::unistd::{Uid, User, getuid};

use crate::cgroup::{self, Controller, Hierarchy, Version};

/// Ids 0 to 65534 inside, as every distribution has them.
const WANTED_IDS: u32 = 65_536;
/// The build user must be in the range.
const LEAST_IDS: u32 = crate::BUILD_ID + 1;
/// Where root takes its range without an entry in /etc/subuid: systemd's table of ids (UIDS-GIDS.md) has nothing from here up.
const ROOT_RANGE: u32 = 1_879_048_192;
const PROGRAMS: [(&str, &str); 1] = [("bwrap", "bubblewrap")];
const MAP_PROGRAMS: [(&str, &str); 2] = [("newuidmap", "uidmap"), ("newgidmap", "uidmap")];
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A range of ids of the host that stand for the ids of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The host's user id of root inside.
    pub uid: u32,
    /// The host's group id of root inside.
    pub gid: u32,
    /// How many ids follow one another.
    pub count: u32,
}

/// Who we are, and which ids workspaces get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Root of the host: maps any range.
    Root(IdRange),
    /// An ordinary user with subordinate ids.
    Subordinate(IdRange),
    /// Root on a kernel without user namespaces: capabilities are dropped, ids are the host's own.
    RootWithoutNamespaces,
}

/// How layers become a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// Overlay mounts: a workspace is ready in milliseconds.
    Mounted,
    /// Copies, and why.
    Copied(String),
}

/// How a limit is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Control groups version 2.
    GroupV2,
    /// Control groups version 1.
    GroupV1,
    /// Resource limits of single processes and a watcher that adds them up, and why not better.
    Watched(String),
}

/// A program that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Its name.
    pub(crate) program: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

/// What [`crate::Sandbox::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Who we are.
    pub identity: Identity,
    /// How roots are put together.
    pub overlay: Overlay,
    /// How memory is limited.
    pub memory: Enforcement,
    /// How the number of processes is limited.
    pub processes: Enforcement,
    /// Whether the state directory, and so the cached roots, are on a tmpfs.
    pub state_on_tmpfs: bool,
}

impl Capabilities {
    /// For people: one line per finding, with what would make it better.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let mut line = |words: &str| writeln!(text, "{words}").expect("writing to a string works");
        match &self.identity {
            Identity::Root(range) => line(&format!(
                "runs as root; workspaces get the ids {}",
                range.words()
            )),
            Identity::Subordinate(range) => line(&format!(
                "needs no root; workspaces get the subordinate ids {}",
                range.words()
            )),
            Identity::RootWithoutNamespaces => line(
                "runs as root without user namespaces: builds drop every capability, but their ids are the host's; \
                 set user.max_user_namespaces above 0 for better isolation",
            ),
        }
        match &self.overlay {
            Overlay::Mounted => line("roots are overlay mounts"),
            Overlay::Copied(why) => line(&format!("roots are copied, which is slow: {why}")),
        }
        for (what, how) in [("memory", &self.memory), ("processes", &self.processes)] {
            match how {
                Enforcement::GroupV2 => line(&format!("{what}: limited by control groups v2")),
                Enforcement::GroupV1 => line(&format!("{what}: limited by control groups v1")),
                Enforcement::Watched(why) => {
                    line(&format!("{what}: limited per process and watched: {why}"))
                }
            }
        }
        if !self.state_on_tmpfs {
            line("cached roots are on disk; a state directory on a tmpfs makes new roots faster");
        }
        text
    }
}

impl IdRange {
    fn words(&self) -> String {
        let few = if self.count < WANTED_IDS {
            "; fewer than 65536, so some packages cannot be installed"
        } else {
            ""
        };
        format!(
            "{} to {} of the host{few}",
            self.uid,
            u64::from(self.uid) + u64::from(self.count) - 1
        )
    }
}

/// Programs that must be there, and are not.
pub(crate) fn missing(is_root: bool) -> Vec<Missing> {
    let needed = PROGRAMS
        .iter()
        .chain(if is_root { &[][..] } else { &MAP_PROGRAMS[..] });
    let there = |program: &str| {
        PATH.iter()
            .any(|directory| Path::new(directory).join(program).is_file())
    };
    needed
        .filter(|(program, _)| !there(program))
        .map(|&(program, package)| Missing { program, package })
        .collect()
}

/// Which ids workspaces get, or what an administrator has to type.
pub(crate) fn identity() -> Result<Identity, String> {
    let uid = getuid();
    let name = User::from_uid(uid)
        .ok()
        .flatten()
        .map(|user| user.name)
        .unwrap_or_default();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let uids = ranges(&read("/etc/subuid"), &name, uid);
    let gids = ranges(&read("/etc/subgid"), &name, uid);
    let range = match (uids, gids) {
        (Some((uid, uids)), Some((gid, gids))) => Some(IdRange {
            uid,
            gid,
            count: uids.min(gids).min(WANTED_IDS),
        }),
        _ => None,
    };
    match range {
        _ if uid.is_root() => {
            let default = IdRange {
                uid: ROOT_RANGE,
                gid: ROOT_RANGE,
                count: WANTED_IDS,
            };
            Ok(Identity::Root(
                range
                    .filter(|range| range.count == WANTED_IDS)
                    .unwrap_or(default),
            ))
        }
        Some(range) if range.count >= LEAST_IDS => Ok(Identity::Subordinate(range)),
        _ => Err(format!(
            "user {uid} has no range of {WANTED_IDS} subordinate ids in /etc/subuid and /etc/subgid; as root run: \
             usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {}",
            if name.is_empty() {
                uid.to_string()
            } else {
                name
            }
        )),
    }
}

/// The largest range of a user in the format of subuid(5): `name-or-uid:first:count`.
fn ranges(text: &str, name: &str, uid: Uid) -> Option<(u32, u32)> {
    let uid = uid.to_string();
    let parse = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields
            .next()
            .filter(|owner| !owner.is_empty() && (*owner == name || *owner == uid))?;
        let _ = owner;
        let (first, count) = (
            fields.next()?.parse::<u32>().ok()?,
            fields.next()?.parse::<u32>().ok()?,
        );
        first.checked_add(count).map(|_| (first, count))
    };
    text.lines()
        .filter_map(parse)
        .max_by_key(|(_, count)| *count)
}

/// The usable hierarchies and how each limit is held.
pub(crate) fn groups() -> (Vec<Hierarchy>, Enforcement, Enforcement) {
    let mut hierarchies = Vec::new();
    let mut find = |controller| match cgroup::find(controller) {
        Ok(hierarchy) => {
            let how = if hierarchy.version == Version::V2 {
                Enforcement::GroupV2
            } else {
                Enforcement::GroupV1
            };
            hierarchies.push(hierarchy);
            how
        }
        Err(reason) => Enforcement::Watched(reason),
    };
    let (memory, processes) = (find(Controller::Memory), find(Controller::Pids));
    (hierarchies, memory, processes)
}

pub(crate) fn on_tmpfs(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(u32, u32)>) {
        assert_eq!(
            ranges(text, "mill", Uid::from_raw(1001)),
            expect,
            "{text:?}"
        );
    }

    #[test]
    fn subordinate_ranges() {
        check("", None);
        check("mill:100000:65536\n", Some((100_000, 65_536)));
        check(
            "other:100000:65536\nmill:165536:65536",
            Some((165_536, 65_536)),
        );
        check("1001:200000:65536", Some((200_000, 65_536)));
        check("mill:100000:10\nmill:300000:65536", Some((300_000, 65_536)));
        check("mill:x:65536\nmill:1\n:::\nmill", None);
        check("mill:4294967295:65536", None);
    }
}
