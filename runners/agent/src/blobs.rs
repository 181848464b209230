//! Blobs by digest: from the control plane, or from a folder when there is none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_spec::Sha256Digest;
use runner_api::Link;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::client::Client;
use crate::transfer::Patience;
use crate::upload::Content;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 128 * 1024;

/// Where blobs come from and go to.
#[derive(Debug, Clone)]
pub(crate) enum Blobs {
    Remote {
        client: Arc<Client>,
        /// Where some blobs are, as the grant says.
        links: Arc<BTreeMap<Sha256Digest, Link>>,
    },
    Folder(PathBuf),
}

/// A blob that somebody recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// For messages.
    pub(crate) name: &'a str,
    pub(crate) sha256: &'a Sha256Digest,
    pub(crate) expect: Expect,
}

/// What is known of a blob's size, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    Exactly(u64),
    AtMost(u64),
}

impl Blobs {
    /// Writes the blob to the new file `path`, which is removed again if it does not fit.
    pub(crate) async fn fetch(&self, wanted: Wanted<'_>, path: &Path) -> Result<(), Error> {
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .open(path)
            .map_err(Error::io("create", path))?;
        let guard = RemoveUnlessKept(Some(path));
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Restart => file
                .rewind()
                .and_then(|()| file.set_len(0))
                .map_err(Error::io("rewind", path)),
            Piece::Bytes(bytes) => file.write_all(bytes).map_err(Error::io("write", path)),
        };
        self.stream(wanted, &mut sink).await?;
        guard.keep();
        Ok(())
    }

    /// Reads the blob into memory.
    pub(crate) async fn read(&self, wanted: Wanted<'_>) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let mut sink = |piece: Piece<'_>| {
            match piece {
                Piece::Restart => all.clear(),
                Piece::Bytes(bytes) => all.extend_from_slice(bytes),
            }
            Ok(())
        };
        self.stream(wanted, &mut sink).await?;
        Ok(all)
    }

    async fn stream(&self, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), Error> {
        match self {
            Self::Remote { client, links } => {
                let link = links.get(wanted.sha256);
                client.get_blob(wanted, link, sink).await
            }
            Self::Folder(folder) => read_from_folder(folder, wanted, sink),
        }
    }

    /// Digest and size of the regular file `path`, which is in the store afterwards.
    pub(crate) async fn put_file(
        &self,
        path: &Path,
        patience: Patience,
    ) -> Result<(Sha256Digest, u64), Error> {
        let file = open_plain(path)?;
        let to_hash = file.try_clone().map_err(Error::io("open", path))?;
        let (sha256, size) = tokio::task::spawn_blocking(move || hash(to_hash))
            .await
            .expect("hashing does not panic and is never aborted")
            .map_err(Error::io("read", path))?;
        let content = Content::File { file, size };
        self.put(content, &sha256, patience).await?;
        Ok((sha256, size))
    }

    pub(crate) async fn put_bytes(
        &self,
        bytes: Vec<u8>,
        sha256: &Sha256Digest,
    ) -> Result<(), Error> {
        self.put(Content::Bytes(bytes.into()), sha256, Patience::Blob)
            .await
    }

    async fn put(
        &self,
        content: Content,
        sha256: &Sha256Digest,
        patience: Patience,
    ) -> Result<(), Error> {
        match self {
            Self::Remote { client, .. } => client.put_blob(content, sha256, patience).await,
            Self::Folder(folder) => write_to_folder(folder, content, sha256),
        }
    }
}

/// What a blob's reader is handed.
pub(crate) enum Piece<'a> {
    /// The transfer broke; it begins anew.
    Restart,
    Bytes(&'a [u8]),
}

pub(crate) type Sink<'a> = &'a mut (dyn FnMut(Piece<'_>) -> Result<(), Error> + Send);

/// Checks a blob while it passes.
pub(crate) struct Check<'a> {
    wanted: Wanted<'a>,
    hasher: Sha256,
    size: u64,
}

impl<'a> Check<'a> {
    pub(crate) fn new(wanted: Wanted<'a>) -> Self {
        Self {
            wanted,
            hasher: Sha256::new(),
            size: 0,
        }
    }

    /// Counts and hashes; refuses the first byte too many.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        let (Expect::Exactly(most) | Expect::AtMost(most)) = self.wanted.expect;
        if self.size > most {
            return Err(self.tampered(format!("more than {most} bytes")));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        let found = Sha256Digest::new(self.hasher.clone().finalize().into());
        let short = matches!(self.wanted.expect, Expect::Exactly(size) if size != self.size);
        if short || found != *self.wanted.sha256 {
            return Err(self.tampered(format!("{found} ({} bytes)", self.size)));
        }
        Ok(())
    }

    fn tampered(&self, found: String) -> Error {
        let expected = match self.wanted.expect {
            Expect::Exactly(size) => format!("{} ({size} bytes)", self.wanted.sha256),
            Expect::AtMost(_) => self.wanted.sha256.to_string(),
        };
        Error::Tampered {
            name: self.wanted.name.to_owned(),
            expected,
            found,
        }
    }
}

/// Opens a regular file without following a link in its last part.
fn open_plain(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .read(true)
        .custom_flags(O_NOFOLLOW_NONBLOCK)
        .open(path)
        .map_err(Error::io("open", path))?;
    let plain = file.metadata().map_err(Error::io("inspect", path))?;
    if !plain.is_file() {
        let reason = std::io::Error::other("it is not a regular file");
        return Err(Error::io("store", path)(reason));
    }
    Ok(file)
}

/// A pipe that a build left behind must not hang the open.
const O_NOFOLLOW_NONBLOCK: i32 = nix::fcntl::OFlag::O_NOFOLLOW
    .union(nix::fcntl::OFlag::O_NONBLOCK)
    .bits();

fn hash(mut file: File) -> std::io::Result<(Sha256Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    file.rewind()?;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    file.rewind()?;
    Ok((Sha256Digest::new(hasher.finalize().into()), size))
}

fn read_from_folder(folder: &Path, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), Error> {
    let path = folder.join(wanted.sha256.to_string());
    let mut file = File::open(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::Missing {
            name: wanted.name.to_owned(),
            sha256: *wanted.sha256,
        },
        _ => Error::io("open", &path)(cause),
    })?;
    let mut check = Check::new(wanted);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", &path))?;
        if count == 0 {
            return check.finish();
        }
        check.update(&buffer[..count])?;
        sink(Piece::Bytes(&buffer[..count]))?;
    }
}

fn write_to_folder(folder: &Path, content: Content, sha256: &Sha256Digest) -> Result<(), Error> {
    let path = folder.join(sha256.to_string());
    let mut temporary =
        tempfile::NamedTempFile::new_in(folder).map_err(Error::io("create a file in", folder))?;
    match content {
        Content::Bytes(bytes) => temporary.write_all(&bytes),
        Content::File { mut file, .. } => std::io::copy(&mut file, &mut temporary).map(drop),
    }
    .map_err(Error::io("write", &path))?;
    temporary
        .persist(&path)
        .map_err(|failed| Error::io("write", &path)(failed.error))?;
    Ok(())
}

/// Removes a half-written file, also when its future is dropped.
struct RemoveUnlessKept<'a>(Option<&'a Path>);

impl RemoveUnlessKept<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for RemoveUnlessKept<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // Nothing to do about a failure: the job's directory goes as a whole.
            let _ = std::fs::remove_file(path);
        }
    }
}
