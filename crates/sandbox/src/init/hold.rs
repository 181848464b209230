//! Mounts a workspace in fresh namespaces and holds it until the caller is gone.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::pivot_root;

use super::inside::Links;
use super::{Outcome, PROBE, Peer, Step, become_id, inside};
use crate::command::BUILD_ID;
use crate::wire::{BINDS, HOST, Hold, Mapping, ROOT, Reply, SCRATCH, Style, Upper, WORK};

/// The holder's own root has only links and mount points in it.
const OWN_TMPFS: &str = "size=4m,nr_inodes=4096,mode=0755";
/// tmpfs inodes are kernel memory that its size does not count. One per 4 KiB page is what small files need at most.
const BYTES_PER_INODE: u64 = 4096;
const MIN_INODES: u64 = 65_536;
/// A longer passwd file is not a distribution's.
const MAX_USERS_BYTES: u64 = 1 << 20;
const PASSWD_LINE: &str = "build:x:1000:1000:build:/build:/bin/sh";
const GROUP_LINE: &str = "build:x:1000:";

pub(super) fn hold(peer: &mut Peer, spec: &Hold) -> Outcome<()> {
    umask(Mode::from_bits_truncate(0o022));
    enter(peer, spec.mapping)?;
    // While still the caller's user: the layers may be below directories that only the caller may pass.
    let layers = spec
        .layers
        .iter()
        .map(|path| handle(path))
        .collect::<Outcome<Vec<_>>>()?;
    let upper = match &spec.upper {
        Upper::Tmpfs => None,
        Upper::Directory(path) => Some(handle(path)?),
    };
    become_id(0)?;
    own_root()?;
    let paths = bind_layers(&layers)?;
    workspace(spec, &paths, upper.as_ref())?;
    probe()?;
    if !layers.is_empty() && upper.is_none() {
        build_user()?;
    }
    // Dropping ids made this process undumpable, which hides its namespaces from the caller, who has to join them.
    prctl::set_dumpable(true).step("let the caller join")?;
    peer.reply(&Reply::Done)?;
    // The caller's end of this pipe closes with the caller, however it ends.
    let mut end = Vec::new();
    peer.input
        .read_to_end(&mut end)
        .step("wait for the caller's end")
        .map(drop)
}

fn enter(peer: &mut Peer, mapping: Mapping) -> Outcome<()> {
    match mapping {
        Mapping::Namespace => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
                .step("make a user namespace and a mount namespace")?;
            peer.reply(&Reply::WantsMap)?;
            peer.line()?;
        }
        Mapping::Direct => unshare(CloneFlags::CLONE_NEWNS).step("make a mount namespace")?,
    }
    // Slave, not private: a file system that the host unmounts is let go here too.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .step("keep mounts from reaching the host")
}

fn handle(path: &Path) -> Outcome<OwnedFd> {
    open(
        path,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| format!("open {}: {error}", path.display()))
}

/// Turns a small tmpfs into this namespace's root, with the host's root at `/host` and links to its top directories, so that
/// host programs run as they do outside while no path of ours can hide one of the host's.
fn own_root() -> Outcome<()> {
    mount(
        Some("millrace"),
        "/tmp",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(OWN_TMPFS),
    )
    .step("mount a tmpfs")?;
    make("/tmp/host")?;
    pivot_root("/tmp", "/tmp/host").step("change the root")?;
    std::env::set_current_dir("/").step("enter the new root")?;
    for entry in std::fs::read_dir(HOST).step("list the host's root")? {
        let name = entry.step("list the host's root")?.file_name();
        if ["proc", "tmp", "host", "w", "b", "l"]
            .iter()
            .any(|own| name == *own)
        {
            continue;
        }
        let (link, target) = (Path::new("/").join(&name), Path::new("host").join(&name));
        std::os::unix::fs::symlink(target, link).step("link to the host's root")?;
    }
    for path in ["/proc", "/tmp", WORK, BINDS, "/l"] {
        make(path)?;
    }
    mount(
        Some("/host/proc"),
        "/proc",
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .step("bind /proc")
}

fn bind_layers(layers: &[OwnedFd]) -> Outcome<Vec<PathBuf>> {
    let bind = |(number, layer): (usize, &OwnedFd)| {
        let path = PathBuf::from(format!("/l/{number}"));
        make(&path)?;
        inside::bind(layer, &path)?;
        Ok(path)
    };
    layers.iter().enumerate().map(bind).collect()
}

fn workspace(spec: &Hold, layers: &[PathBuf], upper: Option<&OwnedFd>) -> Outcome<()> {
    let inodes = (spec.tmpfs_bytes / BYTES_PER_INODE).max(MIN_INODES);
    let options = format!("size={},nr_inodes={inodes},mode=0755", spec.tmpfs_bytes);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("millrace"),
        WORK,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .step("mount the workspace's tmpfs")?;
    make(ROOT)?;
    make(SCRATCH)?;
    let (changes, work, on_disk) = match upper {
        Some(directory) => {
            make("/u")?;
            inside::bind(directory, Path::new("/u"))?;
            ("/u/upper", "/u/work", true)
        }
        None => {
            make("/w/upper")?;
            make("/w/work")?;
            ("/w/upper", "/w/work", false)
        }
    };
    match spec.style {
        _ if layers.is_empty() => bind_path(changes),
        Style::Overlay => overlay(spec.mapping, layers, changes, work, on_disk),
        Style::Copy => {
            for layer in layers.iter().rev() {
                copy(layer, changes)?;
            }
            bind_path(changes)
        }
    }
}

fn overlay(
    mapping: Mapping,
    layers: &[PathBuf],
    upper: &str,
    work: &str,
    on_disk: bool,
) -> Outcome<()> {
    let lower = layers
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(":");
    let mut options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    if mapping == Mapping::Namespace {
        options.push_str(",userxattr");
    }
    if on_disk {
        // A layer is synced once, when it is complete; until then nothing in it is worth an fsync.
        options.push_str(",volatile");
    }
    mount(
        Some("millrace"),
        ROOT,
        Some("overlay"),
        MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .step("mount the overlay")
}

/// A directory of a layer that is replaced by a new one needs an extended attribute in the upper directory; tmpfs has them
/// for ordinary users since Linux 6.6 only.
fn probe() -> Outcome<()> {
    let path = Path::new(ROOT).join(PROBE);
    if !path.exists() {
        return Ok(());
    }
    let replaced = std::fs::remove_dir(&path).and_then(|()| std::fs::create_dir(&path));
    replaced.step("replace a directory of a layer")
}

/// Gives the build user a name in a workspace, where the root does not: many tools refuse to run as nobody they know.
fn build_user() -> Outcome<()> {
    let root = inside::directory(ROOT)?;
    let own = format!(":{BUILD_ID}:");
    for (file, line) in [("/etc/passwd", PASSWD_LINE), ("/etc/group", GROUP_LINE)] {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NONBLOCK;
        let Ok(file) = inside::open(&root, Path::new(file), flags, Links::Confined) else {
            continue;
        };
        let mut file = File::from(file);
        let mut text = String::new();
        (&mut file)
            .take(MAX_USERS_BYTES)
            .read_to_string(&mut text)
            .step("read the root's users")?;
        let known = |line: &str| {
            line.splitn(3, ':')
                .nth(2)
                .is_some_and(|rest| rest.starts_with(&own[1..]))
        };
        if text.len() as u64 == MAX_USERS_BYTES || text.lines().any(known) {
            continue;
        }
        let gap = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        file.write_all(format!("{gap}{line}\n").as_bytes())
            .step("add the build user")?;
    }
    Ok(())
}

fn bind_path(path: &str) -> Outcome<()> {
    let directory = inside::directory(path)?;
    inside::bind(&directory, Path::new(ROOT))
}

fn copy(from: &Path, to: &str) -> Outcome<()> {
    let output = Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .arg(from.join("."))
        .arg(to)
        .output()
        .step("start cp")?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "copy a layer: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

fn make(path: impl AsRef<Path>) -> Outcome<()> {
    let path = path.as_ref();
    std::fs::create_dir(path).map_err(|error| format!("make {}: {error}", path.display()))
}
