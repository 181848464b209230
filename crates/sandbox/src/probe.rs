//! Finds out what works here by doing it: kernels, sysctls, security modules and containers differ in too many ways to ask.

use std::path::Path;
use std::process::Stdio;

use tokio_util::sync::CancellationToken;

use crate::cache::{PROBE_KEY, RootEntry, RootKey};
use crate::command::Command;
use crate::error::Error;
use crate::helper::{Helper, Ids};
use crate::host::{Identity, Overlay};
use crate::limits::Limits;
use crate::run::Ended;
use crate::sandbox::{Sandbox, mapping};
use crate::wire::{Hold, Reply, Request, Style, Upper};

const PROBE_TMPFS_BYTES: u64 = 1 << 20;

/// Mounts a tiny workspace.
pub(crate) async fn mounts(
    helper: &Path,
    state: &Path,
    session: &str,
    identity: Identity,
) -> Result<(Identity, Overlay), Error> {
    let directory = state.join(format!("probe-{session}"));
    let layer = directory.join("layer");
    std::fs::create_dir_all(layer.join(crate::init::PROBE)).map_err(Error::io("make", &layer))?;
    let found = try_mounts(helper, &layer, identity).await;
    std::fs::remove_dir_all(&directory).map_err(Error::io("remove", &directory))?;
    found
}

async fn try_mounts(
    helper: &Path,
    layer: &Path,
    identity: Identity,
) -> Result<(Identity, Overlay), Error> {
    let step = "try a workspace";
    let attempt = async |identity: &Identity, style: Style| {
        let request = Request::Hold(Hold {
            mapping: mapping(identity),
            layers: vec![layer.to_owned()],
            upper: Upper::Tmpfs,
            tmpfs_bytes: PROBE_TMPFS_BYTES,
            style,
        });
        let mut helper = Helper::start(helper, request, Stdio::null()).await?;
        match helper.reply(step, identity, Ids::Workspace).await? {
            Reply::Done => Ok(()),
            other => Err(Error::Helper {
                step,
                reason: format!("it said {other:?}"),
            }),
        }
    };
    let first = match attempt(&identity, Style::Overlay).await {
        Ok(()) => return Ok((identity, Overlay::Mounted)),
        Err(error) => error.to_string(),
    };
    if attempt(&identity, Style::Copy).await.is_ok() {
        return Ok((
            identity,
            Overlay::Copied(format!("{first}; Linux 6.6 can do it for ordinary users")),
        ));
    }
    if let Identity::Root(_) = identity {
        let identity = Identity::RootWithoutNamespaces;
        match attempt(&identity, Style::Overlay).await {
            Ok(()) => return Ok((identity, Overlay::Mounted)),
            Err(error) if attempt(&identity, Style::Copy).await.is_ok() => {
                return Ok((identity, Overlay::Copied(error.to_string())));
            }
            Err(_) => {}
        }
    }
    let reason = format!(
        "{first}; user namespaces may be switched off: see sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
    );
    Err(Error::Unsupported { reason })
}

/// Runs the host's `true` as a build in an empty root: the whole way, with bwrap.
pub(crate) async fn build(sandbox: &Sandbox) -> Result<(), Error> {
    let root = match sandbox.root(&RootKey::new(PROBE_KEY)?, None).await? {
        RootEntry::Ready(root) => root,
        RootEntry::Missing(new) => new.commit().await?,
    };
    let workspace = sandbox.workspace(&root, PROBE_TMPFS_BYTES).await?;
    let mut command = Command::build(["/usr/bin/true"]);
    for directory in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(directory).is_dir() {
            command = command.bind_read_only(directory, directory);
        }
    }
    let mut log = Vec::new();
    let ended = workspace
        .run(
            &command,
            &Limits::default(),
            &mut log,
            &CancellationToken::new(),
        )
        .await;
    let words = match ended {
        Ok(Ended::Exited(0)) => return workspace.close().await,
        Ok(ended) => format!(
            "a build that does nothing ended with {ended}: {}",
            String::from_utf8_lossy(&log).trim()
        ),
        Err(error) => error.to_string(),
    };
    let reason = format!(
        "{words}; bubblewrap 0.8 or newer is needed, and in a container /proc must not be masked \
         (Docker: --security-opt systempaths=unconfined)"
    );
    Err(Error::Unsupported { reason })
}
