//! Roots that are made once and mounted many times.
//!
//! On disk, below the state directory: `roots/RANGE/KEY/upper` is a layer; `roots/RANGE/KEY.lock` is locked exclusively by
//! the one who makes or removes it, and shared by all who use it; `roots/RANGE/KEY/size` is what a pruner has measured. A root is made as `KEY.making` and renamed when it is
//! complete, so a layer without `.making` is whole. The kernel drops locks with their process: a `.making` directory
//! whose lock is free belongs to a dead maker.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Error;
use crate::host::{Identity, Overlay};
use crate::sandbox::Sandbox;
use crate::wire::Upper;
use crate::workspace::Workspace;

/// The empty root of [`crate::probe`]; never pruned.
pub(crate) const PROBE_KEY: &str = "millrace-probe";
/// Beside a root's `upper`: its size in bytes.
const SIZE: &str = "size";
/// A block of a file system.
const LEAST_BYTES: u64 = 4096;
const MAX_KEY_BYTES: usize = 128;
/// Room for the scratch directories of the commands that make a root; the root itself is not on this tmpfs.
const MAKER_SCRATCH_BYTES: u64 = 4 << 30;

/// Names a root by its content: everything that decides what is in it belongs in the key, best as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RootKey(String);

impl RootKey {
    /// # Errors
    /// [`Error::BadKey`] unless it is 1 to 128 characters of `a-z A-Z 0-9 . _ - +` and does not begin with a dot.
    pub fn new(key: impl Into<String>) -> Result<Self, Error> {
        let key = key.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        let fits = (1..=MAX_KEY_BYTES).contains(&key.len())
            && key.bytes().all(allowed)
            && !key.starts_with('.')
            && !key.ends_with(".lock")
            && !key.ends_with(".making");
        if fits {
            Ok(Self(key))
        } else {
            Err(Error::BadKey { key })
        }
    }

    /// The key as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A complete root, kept from being pruned while a clone of this value lives.
#[derive(Debug, Clone)]
pub struct Root {
    inner: Arc<Layer>,
}

#[derive(Debug)]
struct Layer {
    upper: PathBuf,
    base: Option<Root>,
    _lock: File,
}

impl Root {
    /// Topmost first.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        let mut layers = vec![self.inner.upper.clone()];
        layers.extend(self.inner.base.iter().flat_map(Root::layers));
        layers
    }
}

/// What the cache has for a key.
#[derive(Debug)]
pub enum RootEntry {
    /// A complete root.
    Ready(Root),
    /// Nothing: the caller makes it, and others wait meanwhile.
    Missing(NewRoot),
}

/// A root that is being made. Dropped without [`Self::commit`], it does not exist; its remains are swept by whoever makes it
/// next, or by the next [`Sandbox::open`].
#[derive(Debug)]
pub struct NewRoot {
    sandbox: Sandbox,
    workspace: Workspace,
    place: Place,
    below: Option<Root>,
    lock: File,
}

#[derive(Debug, Clone)]
struct Place {
    making: PathBuf,
    ready: PathBuf,
    lock: PathBuf,
}

impl NewRoot {
    /// The root to fill with prepare commands: empty, or the base's. Only the memory, process, wall and log limits apply.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Makes the root complete, for this process and all others.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be synced or renamed.
    pub async fn commit(self) -> Result<Root, Error> {
        self.workspace.close().await?;
        let Self {
            sandbox,
            place,
            below,
            lock,
            ..
        } = self;
        let making = place.making.clone();
        let upper = making.join("upper");
        blocking(move || {
            let directory = File::open(&upper).map_err(Error::io("open", &upper))?;
            nix::unistd::syncfs(&directory).map_err(|error| Error::io("sync", &upper)(error.into()))
        })
        .await?;
        sandbox.admin(Vec::new(), vec![making.join("work")]).await?;
        std::fs::rename(&making, &place.ready).map_err(Error::io("rename to", &place.ready))?;
        // To shared, for as long as the root is used. Between the two nobody can remove what has just been made: a pruner
        // that gets the lock first leaves a gap, and then opening fails below.
        lock.unlock().map_err(Error::io("unlock", &place.lock))?;
        share(&place, below.as_ref(), lock)?.ok_or_else(|| Error::Io {
            action: "use",
            path: place.ready.clone(),
            source: std::io::Error::other("it was pruned at once"),
        })
    }
}

pub(crate) async fn root(
    sandbox: &Sandbox,
    key: &RootKey,
    base: Option<&Root>,
) -> Result<RootEntry, Error> {
    // A copied layer holds its base's files already.
    let below = match sandbox.capabilities().overlay {
        Overlay::Mounted => base,
        Overlay::Copied(_) => None,
    };
    let directory = directory(sandbox)?;
    let name = key.as_str();
    let place = Place {
        making: directory.join(format!("{name}.making")),
        ready: directory.join(name),
        lock: directory.join(format!("{name}.lock")),
    };
    let at = place.lock.clone();
    let lock = blocking(move || {
        let file = File::create(&at).map_err(Error::io("make", &at))?;
        file.lock_shared().map_err(Error::io("lock", &at))?;
        Ok(file)
    })
    .await?;
    if let Some(root) = share(
        &place,
        below,
        lock.try_clone().map_err(Error::io("share", &place.lock))?,
    )? {
        return Ok(RootEntry::Ready(root));
    }
    drop(lock);
    let at = place.lock.clone();
    let lock = blocking(move || {
        let file = File::create(&at).map_err(Error::io("make", &at))?;
        file.lock().map_err(Error::io("lock", &at))?;
        Ok(file)
    })
    .await?;
    if place.ready.is_dir() {
        lock.unlock().map_err(Error::io("unlock", &place.lock))?;
        if let Some(root) = share(&place, below, lock)? {
            return Ok(RootEntry::Ready(root));
        }
        return Box::pin(self::root(sandbox, key, base)).await;
    }
    make(sandbox, place, base, below, lock)
        .await
        .map(RootEntry::Missing)
}

/// Turns a lock into a shared one and checks that the root is there under it.
fn share(place: &Place, base: Option<&Root>, lock: File) -> Result<Option<Root>, Error> {
    lock.lock_shared().map_err(Error::io("lock", &place.lock))?;
    let upper = place.ready.join("upper");
    if !upper.is_dir() {
        return Ok(None);
    }
    // The time of last use, for pruning.
    let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
    lock.set_times(now)
        .map_err(Error::io("touch", &place.lock))?;
    Ok(Some(Root {
        inner: Arc::new(Layer {
            upper,
            base: base.cloned(),
            _lock: lock,
        }),
    }))
}

async fn make(
    sandbox: &Sandbox,
    place: Place,
    base: Option<&Root>,
    below: Option<&Root>,
    lock: File,
) -> Result<NewRoot, Error> {
    discard(sandbox, &place.making).await?;
    std::fs::create_dir(&place.making).map_err(Error::io("make", &place.making))?;
    let parts = vec![place.making.join("upper"), place.making.join("work")];
    sandbox.admin(parts, Vec::new()).await?;
    let upper = Upper::Directory(place.making.clone());
    let workspace = Workspace::open(sandbox, base, upper, MAKER_SCRATCH_BYTES).await?;
    Ok(NewRoot {
        sandbox: sandbox.clone(),
        workspace,
        place,
        below: below.cloned(),
        lock,
    })
}

async fn discard(sandbox: &Sandbox, path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    sandbox
        .admin(Vec::new(), vec![path.join("upper"), path.join("work")])
        .await?;
    std::fs::remove_dir_all(path).map_err(Error::io("remove", path))
}

/// Roots of one id range. Closed to other users of the host: there are set-user-id programs in them.
fn directory(sandbox: &Sandbox) -> Result<PathBuf, Error> {
    let range = match &sandbox.capabilities().identity {
        Identity::Root(range) | Identity::Subordinate(range) => {
            format!("{}-{}", range.uid, range.gid)
        }
        Identity::RootWithoutNamespaces => "0-0".to_owned(),
    };
    let roots = sandbox.inner.state.join("roots");
    let directory = roots.join(range);
    std::fs::create_dir_all(&directory).map_err(Error::io("make", &directory))?;
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&roots, closed).map_err(Error::io("close to others", &roots))?;
    Ok(directory)
}

/// Removes what dead makers have left.
pub(crate) async fn sweep(sandbox: &Sandbox) -> Result<(), Error> {
    let directory = directory(sandbox)?;
    let entries = std::fs::read_dir(&directory).map_err(Error::io("list", &directory))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path
            .extension()
            .is_none_or(|extension| extension != "making")
        {
            continue;
        }
        let lock = path.with_extension("lock");
        let file = File::create(&lock).map_err(Error::io("open", &lock))?;
        if file.try_lock().is_ok()
            && let Err(error) = discard(sandbox, &path).await
        {
            tracing::warn!(%error, root = %path.display(), "the rest of a root stays");
        }
    }
    Ok(())
}

/// A root as the pruner sees it.
struct Cached {
    key: String,
    bytes: u64,
}

/// Removes roots, the one used longest ago first, until the rest has at most `most_bytes`.
pub(crate) async fn prune(sandbox: &Sandbox, most_bytes: u64) -> Result<usize, Error> {
    let directory = directory(sandbox)?;
    let roots = cached(sandbox, &directory).await?;
    let mut bytes: u64 = roots.iter().map(|root| root.bytes).sum();
    let mut removed = 0;
    for root in roots {
        if bytes <= most_bytes {
            break;
        }
        let path = directory.join(format!("{}.lock", root.key));
        let lock = File::options()
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        // Somebody uses it.
        if lock.try_lock().is_err() {
            continue;
        }
        let (ready, making) = (
            directory.join(&root.key),
            directory.join(format!("{}.making", root.key)),
        );
        if !ready.is_dir() {
            // Another pruner was faster.
            continue;
        }
        discard(sandbox, &making).await?;
        std::fs::rename(&ready, &making).map_err(Error::io("put aside", &ready))?;
        discard(sandbox, &making).await?;
        bytes -= root.bytes;
        removed += 1;
    }
    Ok(removed)
}

/// All roots with their sizes, the one used longest ago first.
async fn cached(sandbox: &Sandbox, directory: &Path) -> Result<Vec<Cached>, Error> {
    let entries = std::fs::read_dir(directory).map_err(Error::io("list", directory))?;
    let found = |entry: std::fs::DirEntry| {
        let lock = entry.path();
        let key = lock.file_name()?.to_str()?.strip_suffix(".lock")?;
        let used = entry.metadata().ok()?.modified().ok()?;
        (key != PROBE_KEY && directory.join(key).is_dir()).then(|| (used, key.to_owned()))
    };
    let mut roots: Vec<_> = entries.flatten().filter_map(found).collect();
    roots.sort();
    let mut known = Vec::new();
    for (_, key) in roots {
        let bytes = size(sandbox, &directory.join(&key)).await?;
        known.push(Cached { key, bytes });
    }
    Ok(known)
}

/// Bytes of a complete root, measured once: it never changes.
async fn size(sandbox: &Sandbox, root: &Path) -> Result<u64, Error> {
    let note = root.join(SIZE);
    let noted = std::fs::read_to_string(&note).ok();
    if let Some(bytes) = noted.and_then(|text| text.trim().parse().ok()) {
        return Ok(bytes);
    }
    let tree = vec![root.join("upper")];
    let bytes: u64 = sandbox.measure(tree).await?.into_iter().sum();
    // At least a directory: an empty root is to be removed too when nothing may stay.
    let bytes = bytes.max(LEAST_BYTES);
    // Measured again if it cannot be noted, as when the root has just been pruned.
    let _ = std::fs::write(&note, bytes.to_string());
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .expect("no panic in a blocking step, and no cancelling of it")
}
