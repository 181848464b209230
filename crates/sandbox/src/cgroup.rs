//! Control groups, version 2 or 1, below the group that the runner itself is in: its own limits keep counting.
//!
//! Only directories named [`PARENT`] in the runner's group, and what is below them, are made, written or removed here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

const PARENT: &str = "millrace";
/// Runners that end at one moment on one machine.
const MAX_TRIES: usize = 8;
/// Where version 2 wants the runner itself: a group with limits for its children may have no processes.
const SELF: &str = "millrace-runner";
/// The kernel frees a group a moment after its last process.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// One controller, and the directory in which groups for it are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    pub(crate) controller: Controller,
    pub(crate) parent: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    V1,
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Controller {
    Memory,
    Pids,
}

impl Hierarchy {
    /// Makes the parent again if another runner removed it, empty, at its end.
    fn renew(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.parent) {
            Ok(()) if self.version == Version::V2 => enable(&self.parent, self.controller.name()),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// The runner's own group in the hierarchy that has `controller`, from /proc/self/mountinfo and /proc/self/cgroup.
fn own_group(
    mountinfo: &str,
    cgroup: &str,
    controller: Controller,
    version: Version,
) -> Option<PathBuf> {
    let wanted = |line: &&str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap_or_default();
        match version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|name| name == controller.name()),
        }
    };
    let own = cgroup.lines().find(wanted)?.splitn(3, ':').nth(2)?;
    for line in mountinfo.lines() {
        // See proc(5): ID parent major:minor root mount-point options … - type source super-options
        let Some((front, back)) = line.split_once(" - ") else {
            continue;
        };
        let mut fields = front.split(' ').skip(3);
        let (Some(root), Some(at)) = (fields.next(), fields.next()) else {
            continue;
        };
        let mut back = back.split(' ');
        let (kind, options) = (
            back.next().unwrap_or_default(),
            back.nth(1).unwrap_or_default(),
        );
        let fits = match version {
            Version::V2 => kind == "cgroup2",
            Version::V1 => {
                kind == "cgroup" && options.split(',').any(|name| name == controller.name())
            }
        };
        if !fits {
            continue;
        }
        let below = if root == "/" {
            own
        } else {
            own.strip_prefix(root).unwrap_or(own)
        };
        return Some(Path::new(at).join(below.trim_start_matches('/')));
    }
    None
}

/// Finds a place for groups, or says why there is none.
pub(crate) fn find(controller: Controller) -> Result<Hierarchy, String> {
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
    let (mountinfo, cgroup) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let mut reasons = Vec::new();
    for version in [Version::V2, Version::V1] {
        let Some(own) = own_group(&mountinfo, &cgroup, controller, version) else {
            continue;
        };
        match usable(&own, controller, version) {
            Ok(parent) => {
                return Ok(Hierarchy {
                    version,
                    controller,
                    parent,
                });
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!(
            "no control group hierarchy has the {} controller",
            controller.name()
        ));
    }
    Err(reasons.join("; "))
}

fn usable(own: &Path, controller: Controller, version: Version) -> Result<PathBuf, String> {
    let name = controller.name();
    if version == Version::V2 {
        let own = if own.ends_with(SELF) {
            own.parent().unwrap_or(own)
        } else {
            own
        };
        let available = std::fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
        if !available.split_whitespace().any(|known| known == name) {
            return Err(format!(
                "control groups v2 at {} do not have the {name} controller",
                own.display()
            ));
        }
        delegate(own, name)?;
        let parent = make(&own.join(PARENT))?;
        enable(&parent, name)
            .map_err(|error| format!("enable {name} in {}: {error}", parent.display()))?;
        return Ok(parent);
    }
    make(&own.join(PARENT))
}

fn make(path: &Path) -> Result<PathBuf, String> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(format!(
            "make the control group {}: {error}",
            path.display()
        )),
        _ if !writable(path) => Err(format!(
            "the control group {} is not ours to write",
            path.display()
        )),
        _ => Ok(path.to_owned()),
    }
}

fn writable(path: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(path, AccessFlags::W_OK).is_ok()
        && access(&path.join("cgroup.procs"), AccessFlags::W_OK).is_ok()
}

fn enable(group: &Path, controller: &str) -> io::Result<()> {
    std::fs::write(
        group.join("cgroup.subtree_control"),
        format!("+{controller}"),
    )
}

/// Lets children of `own` have the controller; moves the runner to a leaf if it is all that stands in the way.
fn delegate(own: &Path, controller: &str) -> Result<(), String> {
    let Err(first) = enable(own, controller) else {
        return Ok(());
    };
    let procs = std::fs::read_to_string(own.join("cgroup.procs")).unwrap_or_default();
    let me = std::process::id().to_string();
    if procs.lines().any(|pid| pid != me) || procs.is_empty() {
        return Err(format!(
            "give {controller} to groups below {}: {first}; under systemd set Delegate=yes in the runner's unit",
            own.display()
        ));
    }
    let leaf = make(&own.join(SELF))?;
    std::fs::write(leaf.join("cgroup.procs"), me)
        .map_err(|error| format!("enter {}: {error}", leaf.display()))?;
    enable(own, controller).map_err(|error| {
        format!(
            "give {controller} to groups below {}: {error}",
            own.display()
        )
    })
}

/// The groups of one command. Killed and removed on drop.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<(Version, Controller, PathBuf)>,
}

/// What the kernel had to refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Processes killed because the group's memory was used up.
    pub(crate) oom_kills: u64,
    /// Forks refused because the group had its number of processes.
    pub(crate) forks: u64,
}

impl Group {
    pub(crate) fn create(
        hierarchies: &[Hierarchy],
        name: &str,
        limits: &Limits,
    ) -> io::Result<Self> {
        let mut group = Self {
            members: Vec::new(),
        };
        for hierarchy in hierarchies {
            let path = hierarchy.parent.join(name);
            hierarchy.renew()?;
            // Version 2 has one directory for both controllers.
            if !group.members.iter().any(|(_, _, known)| *known == path) {
                make_below(hierarchy, &path)?;
            }
            group
                .members
                .push((hierarchy.version, hierarchy.controller, path.clone()));
            for (file, value, needed) in settings(hierarchy, limits) {
                match std::fs::write(path.join(file), value) {
                    Err(error) if needed => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(group)
    }

    pub(crate) fn procs(&self) -> Vec<PathBuf> {
        self.directories()
            .map(|path| path.join("cgroup.procs"))
            .collect()
    }

    pub(crate) fn refused(&self) -> Refused {
        let mut refused = Refused::default();
        for (version, controller, path) in &self.members {
            match (version, controller) {
                (Version::V2, Controller::Memory) => {
                    refused.oom_kills = counter(&path.join("memory.events"), "oom_kill")
                }
                (Version::V1, Controller::Memory) => {
                    refused.oom_kills = counter(&path.join("memory.oom_control"), "oom_kill")
                }
                (_, Controller::Pids) => refused.forks = counter(&path.join("pids.events"), "max"),
            }
        }
        refused
    }

    pub(crate) fn kill(&self) {
        self.directories().for_each(kill);
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.members
            .iter()
            .enumerate()
            .filter_map(|(at, (_, _, path))| {
                let first = self.members.iter().position(|(_, _, known)| known == path) == Some(at);
                first.then_some(path.as_path())
            })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in self.directories() {
            remove(path);
        }
    }
}

/// A runner that ends removes the parent while it is empty, which may be between its renewal and this.
fn make_below(hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
    for _ in 0..MAX_TRIES {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => hierarchy.renew()?,
            made => return made,
        }
    }
    std::fs::create_dir(path)
}

fn settings(hierarchy: &Hierarchy, limits: &Limits) -> Vec<(&'static str, String, bool)> {
    // Pages of the workspace's tmpfs are charged to whoever writes them, so they need room beside the build's own memory.
    let memory = limits
        .memory_bytes
        .saturating_add(limits.disk_bytes)
        .to_string();
    match (hierarchy.version, hierarchy.controller) {
        // Swap would let a hog go on, slowly; not every kernel accounts for it.
        (Version::V2, Controller::Memory) => vec![
            ("memory.max", memory, true),
            ("memory.swap.max", "0".into(), false),
        ],
        (Version::V1, Controller::Memory) => {
            vec![
                ("memory.limit_in_bytes", memory.clone(), true),
                ("memory.memsw.limit_in_bytes", memory, false),
            ]
        }
        (_, Controller::Pids) => vec![("pids.max", limits.processes.to_string(), true)],
    }
}

fn counter(path: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

fn kill(path: &Path) {
    if std::fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let procs = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|line| line.parse().ok()) {
        // One that is gone already is what is wanted.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

/// Kills what is in a group of ours and removes it.
pub(crate) fn remove(path: &Path) {
    for _ in 0..REMOVE_TRIES {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                kill(path);
                std::thread::sleep(REMOVE_PAUSE);
            }
            _ => return,
        }
    }
    tracing::warn!(group = %path.display(), "a control group stays: it still has processes");
}

/// Removes the groups that a dead session has left below a hierarchy's parent.
pub(crate) fn sweep(parent: &Path, session: &str) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| {
            name.strip_prefix(session)
                .is_some_and(|rest| rest.starts_with('.'))
        }) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 20 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
33 30 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
40 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const HYBRID_OWN: &str = "4:memory:/user/7\n2:cpu,cpuacct:/\n0::/user/7\n";

    fn check(mounts: &str, own: &str, version: Version, expect: Option<&str>) {
        assert_eq!(
            own_group(mounts, own, Controller::Memory, version),
            expect.map(PathBuf::from)
        );
    }

    #[test]
    fn own_groups_are_found() {
        check(
            HYBRID,
            HYBRID_OWN,
            Version::V1,
            Some("/sys/fs/cgroup/memory/user/7"),
        );
        check(
            HYBRID,
            HYBRID_OWN,
            Version::V2,
            Some("/sys/fs/cgroup/unified/user/7"),
        );
        check(HYBRID, "0::/\n", Version::V1, None);
        check("", HYBRID_OWN, Version::V2, None);
        check(
            "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/system.slice/runner.service\n",
            Version::V2,
            Some("/sys/fs/cgroup/system.slice/runner.service"),
        );
        // A container's mount begins at its own group.
        check(
            "29 23 0:26 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "3:memory:/docker/ab/x\n",
            Version::V1,
            Some("/sys/fs/cgroup/memory/x"),
        );
    }
}
