//! The two inner tar archives: the control file out of one, the list of files out of the other.
//!
//! Names longer than a header holds come in entries of their own (`L`, `K`), which are read here under a bound: the
//! tar crate would read them whole, however long they claim to be.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::{Error, MAX_CONTROL_BYTES, MAX_CONTROL_TAR_BYTES, MAX_DATA_TAR_BYTES, ar};
use crate::unpack::{self, Unpacked};

/// Most files a package may list. The largest real ones have about 150,000.
pub const MAX_FILES: usize = 1_000_000;
/// Longest path in bytes: Linux's `PATH_MAX`.
pub const MAX_PATH_BYTES: u64 = 4096;
/// Most bytes all paths and link targets of one package may take.
pub const MAX_LIST_BYTES: usize = 256 << 20;

const CONTROL: &str = "control.tar";
const DATA: &str = "data.tar";

/// One thing a package installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path below the root, without a leading slash: `usr/bin/hello`. Never has `..` in it.
    pub path: PathBuf,
    /// What is there.
    pub kind: FileKind,
    /// Permission bits, `0o755`.
    pub mode: u32,
}

/// What a package installs at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and its target as written.
    Symlink(PathBuf),
    /// A further name of a file listed before, by its path below the root.
    Hardlink(PathBuf),
    /// A device or a pipe.
    Special,
}

/// The bytes of the file `control` in `control.tar`.
pub(super) fn control_file(member: ar::Member<'_, impl Read>) -> Result<Vec<u8>, Error> {
    let mut found = None;
    let tar = open(member, CONTROL, MAX_CONTROL_TAR_BYTES)?;
    walk(tar, CONTROL, |header, body| {
        if header.path != Path::new("control") {
            return Ok(());
        }
        if !header.entry_type.is_file() {
            return Err(member_error(CONTROL, "`control` is not a regular file"));
        }
        let text = read_bounded(body, CONTROL, MAX_CONTROL_BYTES)?;
        // dpkg takes the last one, other readers the first.
        match found.replace(text) {
            None => Ok(()),
            Some(_) => Err(member_error(CONTROL, "`control` is in it twice")),
        }
    })?;
    found.ok_or_else(|| member_error(CONTROL, "there is no file `control` in it"))
}

/// All entries of `data.tar`, the root directory excepted.
pub(super) fn files(member: ar::Member<'_, impl Read>) -> Result<Vec<FileEntry>, Error> {
    let mut files = Vec::new();
    let mut bytes = 0;
    let tar = open(member, DATA, MAX_DATA_TAR_BYTES)?;
    walk(tar, DATA, |header, _| {
        bytes += header.path.as_os_str().len() + header.link.as_os_str().len();
        if files.len() == MAX_FILES || bytes > MAX_LIST_BYTES {
            return Err(too_large(
                DATA,
                format!("{MAX_FILES} files or {MAX_LIST_BYTES} bytes of paths"),
            ));
        }
        if header.path.as_os_str().is_empty() {
            return Ok(());
        }
        let kind = match header.entry_type {
            EntryType::Regular | EntryType::Continuous => FileKind::File(header.size),
            EntryType::Directory => FileKind::Directory,
            EntryType::Symlink => FileKind::Symlink(header.link),
            EntryType::Link => FileKind::Hardlink(below_root(&header.link, DATA)?),
            _ => FileKind::Special,
        };
        files.push(FileEntry {
            path: header.path,
            kind,
            mode: header.mode,
        });
        Ok(())
    })?;
    Ok(files)
}

/// A tar header with the long names that preceded it applied.
struct Header {
    path: PathBuf,
    link: PathBuf,
    entry_type: EntryType,
    size: u64,
    mode: u32,
}

fn open<'a>(
    member: ar::Member<'a, impl Read>,
    part: &'static str,
    limit: u64,
) -> Result<Unpacked<'a>, Error> {
    unpack::open(&member.suffix, member.body, limit).map_err(|source| Error::Io { part, source })
}

fn walk<'a>(
    unpacked: Unpacked<'a>,
    part: &'static str,
    mut visit: impl FnMut(Header, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(unpacked);
    let entries = archive.entries().map_err(|source| io_error(part, source))?;
    let (mut long_path, mut long_link) = (None, None);
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|source| io_error(part, source))?;
        let entry_type = entry.header().entry_type();
        match entry_type {
            EntryType::GNULongName => long_path = Some(long_name(&mut entry, part)?),
            EntryType::GNULongLink => long_link = Some(long_name(&mut entry, part)?),
            EntryType::Regular
            | EntryType::Continuous
            | EntryType::Directory
            | EntryType::Symlink
            | EntryType::Link
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo => {
                let raw = entry.header();
                let path = long_path
                    .take()
                    .unwrap_or_else(|| raw.path_bytes().into_owned());
                let link = long_link
                    .take()
                    .or_else(|| raw.link_name_bytes().map(Into::into));
                let header = Header {
                    path: below_root(&to_path(path), part)?,
                    link: to_path(link.unwrap_or_default()),
                    entry_type,
                    size: raw.size().map_err(|source| io_error(part, source))?,
                    mode: raw.mode().map_err(|source| io_error(part, source))? & 0o7777,
                };
                visit(header, &mut entry)?;
            }
            // dpkg refuses these too: it writes and reads the GNU format without extensions.
            other => {
                return Err(member_error(
                    part,
                    &format!("it has an entry of type {:?}", other.as_byte() as char),
                ));
            }
        }
    }
    Ok(())
}

fn long_name(body: &mut impl Read, part: &'static str) -> Result<Vec<u8>, Error> {
    let mut name = read_bounded(body, part, MAX_PATH_BYTES)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// `./usr/bin/x` and `/usr/bin/x` as `usr/bin/x`.
fn below_root(path: &Path, part: &'static str) -> Result<PathBuf, Error> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.as_encoded_bytes().contains(&0) => {
                return Err(member_error(
                    part,
                    &format!("path {path:?} has a NUL byte in it"),
                ));
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(member_error(
                    part,
                    &format!("path {path:?} leads out of the package"),
                ));
            }
        }
    }
    Ok(clean)
}

fn read_bounded(
    body: &mut (impl Read + ?Sized),
    part: &'static str,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    body.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(part, source))?;
    match bytes.len() as u64 > limit {
        true => Err(too_large(
            part,
            format!("{limit} bytes in one name or control file"),
        )),
        false => Ok(bytes),
    }
}

fn io_error(part: &'static str, source: io::Error) -> Error {
    if unpack::is_limit_passed(&source) {
        return too_large(part, "the bytes allowed for it when unpacked".to_owned());
    }
    Error::Io { part, source }
}

fn too_large(part: &'static str, limit: String) -> Error {
    Error::TooLarge { part, limit }
}

fn member_error(part: &'static str, problem: &str) -> Error {
    Error::Member {
        part,
        problem: problem.to_owned(),
    }
}
