//! Opens paths of a workspace so that nothing a build has written leads out of it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::{Outcome, Step};
use crate::command::BUILD_ID;
use crate::wire::{Mapping, Owner};

/// Joins a holder's namespaces. The caller keeps its own user id, with every capability inside.
pub(super) fn join(mapping: Mapping, holder: u32) -> Outcome<()> {
    let open = |name: &str| {
        let path = format!("/proc/{holder}/ns/{name}");
        File::open(&path).map_err(|error| format!("open {path}: {error}"))
    };
    let mounts = open("mnt")?;
    if mapping == Mapping::Namespace {
        setns(open("user")?, CloneFlags::CLONE_NEWUSER)
            .step("join the workspace's user namespace")?;
    }
    setns(mounts, CloneFlags::CLONE_NEWNS).step("join the workspace's mount namespace")
}

/// Which links of a path may be followed.
#[derive(Clone, Copy)]
pub(super) enum Links {
    /// All, as if `base` were the root directory.
    Confined,
    /// None: the path may have been written by a stranger.
    Refused,
}

/// Opens `path` below `base`, with `base` as its root directory.
pub(super) fn open(
    base: impl AsFd,
    path: &Path,
    flags: OFlag,
    links: Links,
) -> Result<OwnedFd, Errno> {
    let links = match links {
        Links::Confined => ResolveFlag::empty(),
        Links::Refused => ResolveFlag::RESOLVE_NO_SYMLINKS,
    };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | links);
    openat2(base, path, how)
}

/// A handle on a directory by its absolute path in our own, trusted tree.
pub(super) fn directory(path: &str) -> Outcome<OwnedFd> {
    nix::fcntl::open(
        path,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| format!("open {path}: {error}"))
}

/// The name that mounts the very file that is open.
pub(super) fn magic(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

pub(super) fn bind(from: &OwnedFd, to: &Path) -> Outcome<()> {
    mount(
        Some(&magic(from)),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(|error| format!("bind a directory at {}: {error}", to.display()))
}

/// Makes every missing directory of `path`, owned by `owner`, and opens the last. Links are refused.
pub(super) fn make_directory(base: &OwnedFd, path: &Path, owner: Owner) -> Outcome<OwnedFd> {
    let mut at = open(
        base,
        Path::new("."),
        OFlag::O_PATH | OFlag::O_DIRECTORY,
        Links::Refused,
    )
    .step("open the root")?;
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => Path::new(name),
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("make {}: it must not contain '..'", path.display()));
            }
        };
        let made = match mkdirat(&at, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(error) => return Err(format!("make {}: {error}", path.display())),
        };
        at = open(
            &at,
            name,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY,
            Links::Refused,
        )
        .map_err(|error| refused(path, error))?;
        if made {
            // Not the umask of whoever started the runner.
            fchmod(&at, Mode::from_bits_truncate(0o755)).step("set a directory's mode")?;
            give(&at, owner)?;
        }
    }
    Ok(at)
}

/// As [`make_directory`] for places that the distribution itself may have made a link: `/var/tmp`, `/dev`. A link stays.
pub(super) fn mount_directory(base: &OwnedFd, path: &Path) -> Outcome<()> {
    match open(
        base,
        path,
        OFlag::O_PATH | OFlag::O_DIRECTORY,
        Links::Confined,
    ) {
        Ok(_) => Ok(()),
        Err(_) => make_directory(base, path, Owner::Root).map(drop),
    }
}

/// Makes an empty file to mount over, in place of a link that may lead nowhere.
pub(super) fn mount_file(base: &OwnedFd, path: &Path) -> Outcome<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("make {}: it names no file", path.display()));
    };
    let parent = make_directory(base, parent, Owner::Root)?;
    let name = Path::new(name);
    match open(
        &parent,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW,
        Links::Refused,
    ) {
        Ok(file) if !is_link(&file)? => return Ok(()),
        Ok(_) => {
            unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir).step("remove a symbolic link")?
        }
        Err(Errno::ENOENT) => {}
        Err(Errno::ELOOP) => {
            unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir).step("remove a symbolic link")?
        }
        Err(error) => return Err(refused(path, error)),
    }
    let how = OpenHow::new()
        .flags(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC)
        .mode(Mode::from_bits_truncate(0o644))
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(&parent, name, how)
        .map(drop)
        .map_err(|error| format!("make {}: {error}", path.display()))
}

fn is_link(file: &OwnedFd) -> Outcome<bool> {
    let stat = fstat(file).step("look at a file")?;
    Ok(stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits())
}

pub(super) fn give(file: impl AsFd, owner: Owner) -> Outcome<()> {
    let id = match owner {
        Owner::Root => 0,
        Owner::Build => BUILD_ID,
    };
    fchown(file, Some(Uid::from_raw(id)), Some(Gid::from_raw(id))).step("give a file to its owner")
}

/// Says what openat2's refusals mean.
pub(super) fn refused(path: &Path, error: Errno) -> String {
    let why = match error {
        Errno::ELOOP => "a symbolic link is in the way, and links are not followed here".to_owned(),
        Errno::EXDEV => "it leads out of the workspace".to_owned(),
        other => other.desc().to_owned(),
    };
    format!("open {}: {why}", path.display())
}
