//! Reading a .deb, through `dpkg-deb`: it knows every compression and checks what it reads.

use std::collections::BTreeSet;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Error;

/// A file of more bytes than this is refused: RPM's header stores sizes in 32 bits, and the converter works in memory.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// One file of the data archive.
pub(crate) struct Entry {
    /// Absolute, without trailing slash, as the archive has it: before /bin becomes /usr/bin.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u16,
    pub(crate) user: String,
    pub(crate) group: String,
    /// Seconds since 1970.
    pub(crate) mtime: u32,
}

/// What an [`Entry`] is.
pub(crate) enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    /// Another name for the file of this path.
    Hardlink(String),
}

/// Everything in the data archive, in its order.
pub(crate) fn entries(deb: &Path) -> Result<Vec<Entry>, Error> {
    let mut child = dpkg_deb("--fsys-tarfile", deb)?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(
        1 << 16,
        child.stdout.take().expect("stdout is piped"),
    ));
    let broken =
        |source: std::io::Error| Error::malformed(deb.display().to_string(), source.to_string());
    let mut all = Vec::new();
    for item in archive.entries().map_err(broken)? {
        if let Some(entry) = entry(item.map_err(broken)?)
            .map_err(|reason| Error::malformed(deb.display().to_string(), reason))?
        {
            all.push(entry);
        }
    }
    drop(archive);
    finish(child, deb)?;
    Ok(all)
}

/// The configuration files that the package lists (deb-conffiles(5)); paths as in [`Entry`].
pub(crate) fn conffiles(deb: &Path) -> Result<BTreeSet<String>, Error> {
    let mut child = dpkg_deb("--ctrl-tarfile", deb)?;
    let mut archive = tar::Archive::new(child.stdout.take().expect("stdout is piped"));
    let broken =
        |source: std::io::Error| Error::malformed(deb.display().to_string(), source.to_string());
    let mut found = BTreeSet::new();
    for item in archive.entries().map_err(broken)? {
        let mut item = item.map_err(broken)?;
        if item.path().map_err(broken)?.ends_with("conffiles") {
            let mut text = String::new();
            item.read_to_string(&mut text).map_err(broken)?;
            // `remove-on-upgrade /path` names a file that is not in the package.
            found.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| line.starts_with('/'))
                    .map(str::to_owned),
            );
        }
    }
    drop(archive);
    finish(child, deb)?;
    Ok(found)
}

fn dpkg_deb(member: &str, deb: &Path) -> Result<Child, Error> {
    Command::new("dpkg-deb")
        .arg(member)
        .arg(deb)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|_| Error::Missing {
            program: "dpkg-deb",
            package: "dpkg",
        })
}

fn finish(child: Child, deb: &Path) -> Result<(), Error> {
    let output = child
        .wait_with_output()
        .map_err(Error::io("wait for dpkg-deb on", deb))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::command(
        "dpkg-deb",
        format!("read {}", deb.display()),
        &output,
    ))
}

/// None for the root directory and for what a build root has no use for (devices, FIFOs).
fn entry<R: Read>(mut item: tar::Entry<'_, R>) -> Result<Option<Entry>, String> {
    let path = absolute(&item.path_bytes())?;
    if path == "/" {
        return Ok(None);
    }
    let header = item.header();
    let link = item.link_name_bytes().map(|link| link.into_owned());
    let link = || {
        link.as_deref()
            .ok_or_else(|| format!("{path} is a link to nothing"))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Symlink => Kind::Symlink(utf8(link()?)?),
        tar::EntryType::Link => Kind::Hardlink(absolute(link()?)?),
        tar::EntryType::Regular | tar::EntryType::Continuous => Kind::File(Vec::new()),
        _ => return Ok(None),
    };
    let number =
        |result: std::io::Result<u64>| result.map_err(|source| format!("{path}: {source}"));
    let name = |name: Result<Option<&str>, std::str::Utf8Error>| match name {
        Ok(Some(name)) if !name.is_empty() => name.to_owned(),
        _ => "root".to_owned(),
    };
    let mode = u16::try_from(
        header
            .mode()
            .map_err(|source| format!("{path}: {source}"))?
            & 0o7777,
    )
    .expect("12 bits fit");
    let mtime = u32::try_from(number(header.mtime())?).unwrap_or(u32::MAX);
    let (user, group) = (name(header.username()), name(header.groupname()));
    let size = item.size();
    if size > MAX_FILE_BYTES {
        return Err(format!(
            "{path} has {size} bytes; the bridge converts files of at most {MAX_FILE_BYTES}"
        ));
    }
    let kind = match kind {
        Kind::File(mut content) => {
            content.reserve_exact(
                usize::try_from(size).map_err(|_| format!("{path} does not fit in memory"))?,
            );
            item.read_to_end(&mut content)
                .map_err(|source| format!("{path}: {source}"))?;
            Kind::File(content)
        }
        other => other,
    };
    Ok(Some(Entry {
        path,
        kind,
        mode,
        user,
        group,
        mtime,
    }))
}

/// `./usr/bin/x/` as `/usr/bin/x`.
fn absolute(bytes: &[u8]) -> Result<String, String> {
    let text = utf8(bytes)?;
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(format!("the path `{text}` leaves the package"));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| format!("the path `{}` is not UTF-8", String::from_utf8_lossy(bytes)))
}
