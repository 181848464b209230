//! Single files and directories of a workspace, read and written by root inside, and the directories of layers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, chown, unlinkat};

use super::inside::{self, Links};
use super::{Outcome, Peer, Step, become_id};
use crate::sandbox::{measure_trees, remove_trees};
use crate::wire::{Admin, Entry, EntryKind, Get, List, Mapping, Put, ROOT, Reply};

fn root(mapping: Mapping, holder: u32) -> Outcome<OwnedFd> {
    umask(Mode::from_bits_truncate(0o022));
    inside::join(mapping, holder)?;
    become_id(0)?;
    inside::directory(ROOT)
}

/// Replaces whatever is at the path; missing directories on the way belong to the file's owner.
pub(super) fn put(peer: &mut Peer, spec: &Put) -> Outcome<()> {
    let root = root(spec.mapping, spec.holder)?;
    let (Some(parent), Some(name)) = (spec.path.parent(), spec.path.file_name()) else {
        return Err(format!("write {}: it names no file", spec.path.display()));
    };
    let parent = inside::make_directory(&root, parent, spec.owner)?;
    let name = Path::new(name);
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(format!("replace {}: {error}", spec.path.display())),
    }
    let how = OpenHow::new()
        .flags(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC)
        .mode(Mode::from_bits_truncate(0o600))
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = openat2(&parent, name, how).map_err(|error| inside::refused(&spec.path, error))?;
    let mut file = File::from(file);
    let step = format!("write {}", spec.path.display());
    std::io::copy(&mut peer.input, &mut file).step(&step)?;
    file.set_permissions(std::fs::Permissions::from_mode(spec.mode))
        .step(&step)?;
    inside::give(&file, spec.owner)?;
    peer.reply(&Reply::Done)
}

pub(super) fn get(peer: &mut Peer, spec: &Get) -> Outcome<()> {
    let root = root(spec.mapping, spec.holder)?;
    // Non-blocking: a build may leave a named pipe where a package is expected.
    let file = inside::open(
        &root,
        &spec.path,
        OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        Links::Refused,
    )
    .map_err(|error| inside::refused(&spec.path, error))?;
    let file = File::from(file);
    let metadata = file.metadata().step("look at the file")?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    if metadata.size() > spec.max_bytes {
        return Err(format!(
            "it has {} bytes, more than the {} allowed",
            metadata.size(),
            spec.max_bytes
        ));
    }
    peer.reply(&Reply::File {
        size: metadata.size(),
    })?;
    let mut out = std::io::stdout().lock();
    std::io::copy(&mut file.take(metadata.size()), &mut out).step("send the file")?;
    out.flush().step("send the file")
}

pub(super) fn list(peer: &mut Peer, spec: &List) -> Outcome<()> {
    let root = root(spec.mapping, spec.holder)?;
    let directory = inside::open(
        &root,
        &spec.path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY,
        Links::Refused,
    )
    .map_err(|error| inside::refused(&spec.path, error))?;
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(inside::magic(&directory)).step("list the directory")? {
        let entry = entry.step("list the directory")?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entries.len() == spec.max_entries {
            return Err(format!("it has more than {} entries", spec.max_entries));
        }
        let metadata = entry.metadata().step("look at an entry")?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_dir() => EntryKind::Directory,
            kind if kind.is_symlink() => EntryKind::Symlink,
            _ => EntryKind::Other,
        };
        let size = if kind == EntryKind::File {
            metadata.size()
        } else {
            0
        };
        entries.push(Entry { name, kind, size });
    }
    entries.sort();
    peer.reply(&Reply::Entries(entries))
}

/// In a namespace where 0 is the caller and 1 is root of the workspaces.
pub(super) fn admin(peer: &mut Peer, spec: &Admin) -> Outcome<()> {
    const WORKSPACE_ROOT: u32 = 1;
    unshare(CloneFlags::CLONE_NEWUSER).step("make a user namespace")?;
    peer.reply(&Reply::WantsMap)?;
    peer.line()?;
    become_id(0)?;
    for path in &spec.make {
        let step = format!("make {}", path.display());
        std::fs::create_dir(path).step(&step)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).step(&step)?;
        chown(
            path,
            Some(Uid::from_raw(WORKSPACE_ROOT)),
            Some(Gid::from_raw(WORKSPACE_ROOT)),
        )
        .step(&step)?;
    }
    remove_trees(&spec.remove).step("remove a root's files")?;
    if spec.measure.is_empty() {
        return peer.reply(&Reply::Done);
    }
    let sizes = measure_trees(&spec.measure).step("measure a root's files")?;
    peer.reply(&Reply::Sizes(sizes))
}
