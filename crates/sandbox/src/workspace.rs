//! A held root: runs commands in it, and takes files in and out.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::cache::Root;
use crate::error::Error;
use crate::helper::{Helper, Ids};
use crate::sandbox::Sandbox;
use crate::wire::{Entry, Get, Hold, List, Owner, Put, Reply, Request, Upper};

/// A directory of a build's results has at most this many entries.
const MAX_ENTRIES: usize = 100_000;

/// A root with changes of its own, alive as long as a clone of this value.
///
/// Commands of one workspace may run one after another or at once; all see the same files.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub(crate) sandbox: Sandbox,
    holder: Arc<Holder>,
    pub(crate) disk_bytes: u64,
}

#[derive(Debug)]
struct Holder {
    pid: u32,
    /// Dropped, it kills the holder, and the kernel takes the mounts and the tmpfs.
    process: Mutex<Option<Helper>>,
    /// The layers stay as long as they are mounted.
    _root: Option<Root>,
}

impl Workspace {
    pub(crate) async fn open(
        sandbox: &Sandbox,
        root: Option<&Root>,
        upper: Upper,
        disk_bytes: u64,
    ) -> Result<Self, Error> {
        let step = "mount a workspace";
        let request = Request::Hold(Hold {
            mapping: sandbox.mapping(),
            layers: root.map(|root| root.layers()).unwrap_or_default(),
            upper,
            tmpfs_bytes: disk_bytes,
            style: sandbox.style(),
        });
        let mut helper = Helper::start(&sandbox.inner.helper, request, Stdio::null()).await?;
        match helper
            .reply(step, &sandbox.inner.capabilities.identity, Ids::Workspace)
            .await?
        {
            Reply::Done => {}
            other => {
                return Err(Error::Helper {
                    step,
                    reason: format!("it said {other:?}"),
                });
            }
        }
        let pid = helper
            .child
            .id()
            .expect("a holder lives until it is told to end");
        let holder = Holder {
            pid,
            process: Mutex::new(Some(helper)),
            _root: root.cloned(),
        };
        Ok(Self {
            sandbox: sandbox.clone(),
            holder: Arc::new(holder),
            disk_bytes,
        })
    }

    pub(crate) fn holder(&self) -> u32 {
        self.holder.pid
    }

    /// Ends the workspace now, for all clones, and waits until its mounts are gone.
    ///
    /// # Errors
    /// [`Error::Io`] when the holder cannot be waited for.
    pub async fn close(&self) -> Result<(), Error> {
        let Some(mut helper) = self.holder.process.lock().await.take() else {
            return Ok(());
        };
        helper.input = None;
        helper
            .child
            .wait()
            .await
            .map(drop)
            .map_err(Error::io("wait for", "millrace-sandbox-init"))
    }

    /// Writes a file, in place of what is there; missing directories on the way are made, with the same owner. No symbolic
    /// link is followed.
    ///
    /// # Errors
    /// [`Error::Inside`] when a link or something that is no directory is in the way, or the disk is full.
    pub async fn write(
        &self,
        path: impl AsRef<Path>,
        mode: u32,
        owner: Owner,
        content: &[u8],
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let put = Put {
            mapping: self.sandbox.mapping(),
            holder: self.holder(),
            path: path.into(),
            mode,
            owner,
        };
        let mut helper = self.helper(Request::Put(put)).await?;
        helper.send(content).await?;
        helper.input = None;
        self.reply(&mut helper, "write", path).await.map(drop)
    }

    /// A regular file's content, if it has at most `max_bytes`. No symbolic link is followed.
    ///
    /// # Errors
    /// [`Error::Inside`] when it is missing, not a regular file, behind a link, or larger.
    pub async fn read(&self, path: impl AsRef<Path>, max_bytes: u64) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.copy(path.as_ref(), max_bytes, &mut content).await?;
        Ok(content)
    }

    /// Copies a regular file of at most `max_bytes` out to a new file of the host. No symbolic link is followed.
    ///
    /// # Errors
    /// As [`Self::read`]; [`Error::Io`] when the target exists or cannot be written.
    pub async fn copy_out(
        &self,
        path: impl AsRef<Path>,
        target: impl AsRef<Path>,
        max_bytes: u64,
    ) -> Result<u64, Error> {
        let target = target.as_ref();
        let file = tokio::fs::File::create_new(target)
            .await
            .map_err(Error::io("make", target))?;
        let mut file = tokio::io::BufWriter::with_capacity(1 << 18, file);
        let size = self.copy(path.as_ref(), max_bytes, &mut file).await?;
        file.flush().await.map_err(Error::io("write", target))?;
        Ok(size)
    }

    /// The entries of a directory, sorted by name. No symbolic link is followed.
    ///
    /// # Errors
    /// [`Error::Inside`] when it is missing, not a directory, behind a link, or has more than 100,000 entries.
    pub async fn list(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, Error> {
        let path = path.as_ref();
        let (mapping, holder) = (self.sandbox.mapping(), self.holder());
        let list = List {
            mapping,
            holder,
            path: path.into(),
            max_entries: MAX_ENTRIES,
        };
        let mut helper = self.helper(Request::List(list)).await?;
        match self.reply(&mut helper, "list", path).await? {
            Reply::Entries(entries) => Ok(entries),
            other => Err(unexpected(path, &other)),
        }
    }

    async fn copy<W>(&self, path: &Path, max_bytes: u64, to: &mut W) -> Result<u64, Error>
    where
        W: tokio::io::AsyncWrite + Unpin,
    {
        let get = Get {
            mapping: self.sandbox.mapping(),
            holder: self.holder(),
            path: path.into(),
            max_bytes,
        };
        let mut helper = self.helper(Request::Get(get)).await?;
        let size = match self.reply(&mut helper, "read", path).await? {
            Reply::File { size } => size,
            other => return Err(unexpected(path, &other)),
        };
        let mut content = (&mut helper.output).take(size);
        let copied = tokio::io::copy_buf(&mut content, to)
            .await
            .map_err(Error::io("copy from the workspace", path))?;
        if copied == size {
            Ok(size)
        } else {
            Err(inside(path, "it became shorter while it was read"))
        }
    }

    async fn helper(&self, request: Request) -> Result<Helper, Error> {
        Helper::start(&self.sandbox.inner.helper, request, Stdio::null()).await
    }

    async fn reply(
        &self,
        helper: &mut Helper,
        step: &'static str,
        path: &Path,
    ) -> Result<Reply, Error> {
        match helper
            .reply(
                step,
                &self.sandbox.inner.capabilities.identity,
                Ids::Workspace,
            )
            .await
        {
            Err(Error::Helper { reason, .. }) => Err(inside(path, &reason)),
            other => other,
        }
    }
}

fn inside(path: &Path, reason: &str) -> Error {
    Error::Inside {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

fn unexpected(path: &Path, reply: &Reply) -> Error {
    inside(path, &format!("the helper said {reply:?}"))
}
