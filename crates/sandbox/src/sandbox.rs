//! An opened state directory: finds out what the host can do, sweeps what dead runners left, makes roots and workspaces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::unistd::getuid;

use crate::cache::{self, Root, RootEntry, RootKey};
use crate::cgroup::{self, Hierarchy};
use crate::error::Error;
use crate::helper::{self, Helper, Ids};
use crate::host::{self, Capabilities, Identity, Overlay};
use crate::probe;
use crate::wire::{Admin, Mapping, Reply, Request, Style, Upper};
use crate::workspace::Workspace;

/// Where a sandbox keeps its state.
#[derive(Debug, Clone)]
pub struct Config {
    state: PathBuf,
    helper: Option<PathBuf>,
}

impl Config {
    /// Keeps roots in `state`, which is made if it is not there. A tmpfs is fastest; several runners may share one directory.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            helper: None,
        }
    }

    /// Where `millrace-sandbox-init` is, if not beside the running program.
    #[must_use]
    pub fn helper(mut self, path: impl Into<PathBuf>) -> Self {
        self.helper = Some(path.into());
        self
    }
}

/// Makes roots and workspaces. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: PathBuf,
    pub(crate) helper: PathBuf,
    pub(crate) capabilities: Capabilities,
    pub(crate) hierarchies: Vec<Hierarchy>,
    session: Session,
    commands: AtomicU64,
}

impl Sandbox {
    /// Finds out what the host can do and sweeps what dead runners have left in this state directory.
    ///
    /// # Errors
    /// [`Error::Unsupported`] says what is missing and what to do; [`Error::Io`] when the state directory cannot be used.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let helper = helper::find(config.helper.as_deref())?;
        let missing = host::missing(getuid().is_root());
        if !missing.is_empty() {
            let words = missing
                .iter()
                .map(|it| format!("{} (Debian package {})", it.program, it.package));
            let reason = format!(
                "these programs are missing: {}",
                words.collect::<Vec<_>>().join(", ")
            );
            return Err(Error::Unsupported { reason });
        }
        let identity = host::identity().map_err(|reason| Error::Unsupported { reason })?;
        let state = config.state;
        std::fs::create_dir_all(&state).map_err(Error::io("make", &state))?;
        let state = std::fs::canonicalize(&state).map_err(Error::io("resolve", &state))?;
        let (hierarchies, memory, processes) = host::groups();
        let session = Session::begin(&state, &hierarchies)?;
        let (identity, overlay) = probe::mounts(&helper, &state, &session.name, identity).await?;
        let state_on_tmpfs = host::on_tmpfs(&state);
        let capabilities = Capabilities {
            identity,
            overlay,
            memory,
            processes,
            state_on_tmpfs,
        };
        let inner = Inner {
            state,
            helper,
            capabilities,
            hierarchies,
            session,
            commands: AtomicU64::new(0),
        };
        let sandbox = Self {
            inner: Arc::new(inner),
        };
        cache::sweep(&sandbox).await?;
        probe::build(&sandbox).await?;
        Ok(sandbox)
    }

    /// What was found.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// The cached root of this key, or a place to make it. Waits while another process or task makes the same one.
    ///
    /// With a `base`, the root is a layer of changes on top of it; the base must be part of the key. A root belongs to the
    /// id range of its maker; another user of the same directory makes its own.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Helper`] when the place cannot be made.
    pub async fn root(&self, key: &RootKey, base: Option<&Root>) -> Result<RootEntry, Error> {
        cache::root(self, key, base).await
    }

    /// Removes the roots used longest ago until all together have at most `most_bytes`. Roots in use stay, and so do those
    /// they are on top of. Returns how many were removed.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Helper`] when one cannot be removed; it is not found by [`Self::root`] any more.
    pub async fn prune(&self, most_bytes: u64) -> Result<usize, Error> {
        cache::prune(self, most_bytes).await
    }

    /// A fresh writable workspace on top of a root; at most `disk_bytes` can be written in it. Everything in it is gone when
    /// the last clone is dropped or this process ends.
    ///
    /// # Errors
    /// [`Error::Helper`] names the mount that failed.
    pub async fn workspace(&self, root: &Root, disk_bytes: u64) -> Result<Workspace, Error> {
        Workspace::open(self, Some(root), Upper::Tmpfs, disk_bytes).await
    }

    pub(crate) fn mapping(&self) -> Mapping {
        mapping(&self.inner.capabilities.identity)
    }

    pub(crate) fn style(&self) -> Style {
        match self.inner.capabilities.overlay {
            Overlay::Mounted => Style::Overlay,
            Overlay::Copied(_) => Style::Copy,
        }
    }

    /// A name for one command's groups: the sweeper knows the session by it.
    pub(crate) fn next_name(&self) -> String {
        format!(
            "{}.{}",
            self.inner.session.name,
            self.inner.commands.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Bytes on disk of trees that belong to ids of the range.
    pub(crate) async fn measure(&self, trees: Vec<PathBuf>) -> Result<Vec<u64>, Error> {
        let identity = &self.inner.capabilities.identity;
        if mapping(identity) == Mapping::Direct {
            let step = Error::io("measure", &self.inner.state);
            return measure_trees(&trees).map_err(step);
        }
        let step = "measure a root";
        let request = Request::Admin(Admin {
            make: Vec::new(),
            remove: Vec::new(),
            measure: trees,
        });
        let mut helper = Helper::start(&self.inner.helper, request, Stdio::null()).await?;
        match helper.reply(step, identity, Ids::Admin).await? {
            Reply::Sizes(sizes) => Ok(sizes),
            other => Err(Error::Helper {
                step,
                reason: format!("it said {other:?}"),
            }),
        }
    }

    /// Makes directories for root inside; removes trees that belong to ids of the range.
    pub(crate) async fn admin(
        &self,
        make: Vec<PathBuf>,
        remove: Vec<PathBuf>,
    ) -> Result<(), Error> {
        let identity = &self.inner.capabilities.identity;
        if mapping(identity) == Mapping::Direct {
            return direct_admin(&make, &remove);
        }
        let step = "prepare the directories of a root";
        let request = Request::Admin(Admin {
            make,
            remove,
            measure: Vec::new(),
        });
        let mut helper = Helper::start(&self.inner.helper, request, Stdio::null()).await?;
        helper.reply(step, identity, Ids::Admin).await.map(drop)
    }
}

/// Bytes on disk of each tree; 0 for one that is gone. By `du`, which does not recurse and counts a file with two names once.
pub(crate) fn measure_trees(paths: &[PathBuf]) -> std::io::Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for path in paths {
        let told = std::process::Command::new("du")
            .args(["-sx", "--block-size=1", "--"])
            .arg(path)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&told.stdout);
        let size = text.split_whitespace().next().unwrap_or_default();
        sizes.push(size.parse().unwrap_or(0));
    }
    Ok(sizes)
}

/// Removes trees, however deep a stranger has made them: `rm` does not recurse.
pub(crate) fn remove_trees(paths: &[PathBuf]) -> std::io::Result<()> {
    let removed = std::process::Command::new("rm")
        .args(["-rf", "--"])
        .args(paths)
        .stdin(Stdio::null())
        .output()?;
    let why = || String::from_utf8_lossy(&removed.stderr).trim().to_owned();
    if removed.status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(why()))
    }
}

fn direct_admin(make: &[PathBuf], remove: &[PathBuf]) -> Result<(), Error> {
    for path in make {
        std::fs::create_dir(path).map_err(Error::io("make", path))?;
    }
    remove_trees(remove).map_err(Error::io(
        "remove",
        remove.first().map_or(Path::new(""), PathBuf::as_path),
    ))
}

pub(crate) fn mapping(identity: &Identity) -> Mapping {
    match identity {
        Identity::Root(_) | Identity::Subordinate(_) => Mapping::Namespace,
        Identity::RootWithoutNamespaces => Mapping::Direct,
    }
}

/// The mark of a living process on a state directory.
#[derive(Debug)]
struct Session {
    name: String,
    path: PathBuf,
    parents: Vec<PathBuf>,
    /// Locked as long as the process lives; the kernel unlocks it however that ends.
    _lock: File,
}

impl Session {
    /// Sweeps dead sessions and begins a new one, alone: a session that is just being marked is not taken for dead.
    fn begin(state: &Path, hierarchies: &[Hierarchy]) -> Result<Self, Error> {
        let directory = state.join("sessions");
        std::fs::create_dir_all(&directory).map_err(Error::io("make", &directory))?;
        let gate = directory.join("lock");
        let gate = File::create(&gate)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(Error::io("lock", gate))?;
        for entry in std::fs::read_dir(&directory)
            .map_err(Error::io("list", &directory))?
            .flatten()
        {
            if entry.file_name() != "lock" {
                sweep_session(state, &entry.path());
            }
        }
        let (name, path, lock) = Self::mark(&directory)?;
        let parents: Vec<PathBuf> = hierarchies
            .iter()
            .map(|hierarchy| hierarchy.parent.clone())
            .collect();
        let text = serde_json::to_vec(&parents).expect("paths of control groups are UTF-8");
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        drop(gate);
        Ok(Self {
            name,
            path,
            parents,
            _lock: lock,
        })
    }

    fn mark(directory: &Path) -> Result<(String, PathBuf, File), Error> {
        // Control groups of all state directories are beside one another: the time tells apart what one process opens.
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!("s{}-{:x}", std::process::id(), since.as_nanos());
        let path = directory.join(&name);
        let file = File::create_new(&path).map_err(Error::io("make", &path))?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok((name, path, file))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for parent in &self.parents {
            // Refused while other runners have groups there.
            let _ = std::fs::remove_dir(parent);
        }
        // Left behind, it is swept by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Nothing here is needed for safety: a dead session's processes and mounts are gone with it.
fn sweep_session(state: &Path, path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if file.try_lock().is_err() {
        return;
    }
    let (Some(name), Ok(text)) = (
        path.file_name().and_then(|name| name.to_str()),
        std::fs::read(path),
    ) else {
        return;
    };
    let parents: Vec<PathBuf> = serde_json::from_slice(&text).unwrap_or_default();
    for parent in parents.iter().filter(|parent| parent.ends_with("millrace")) {
        cgroup::sweep(parent, name);
    }
    let _ = std::fs::remove_dir_all(state.join(format!("probe-{name}")));
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, session = name, "a dead session's mark stays");
    }
}
