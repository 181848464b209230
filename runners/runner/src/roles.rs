//! The roles that this program has.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pipeline_spec::{ByteSize, Role as Name};
use runner_agent::Role;
use runner_build_deb::BuildDeb;
use runner_build_rpm::BuildRpm;
use runner_compose::Compose;
use runner_test::InstallTest;
use sandbox::{Config as SandboxConfig, Sandbox};

/// All but signing, which is a program of its own.
pub(crate) const ALL: [Name; 4] = [Name::BuildDeb, Name::BuildRpm, Name::Test, Name::Compose];

/// How often the cache of build roots is held against its bound.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// What was opened.
pub(crate) struct Opened {
    pub(crate) roles: Vec<Box<dyn Role>>,
    /// Unless no role needs one.
    pub(crate) sandbox: Option<Sandbox>,
}

/// Keeps the cached roots within `size`: looks every [`PRUNE_EVERY`].
pub(crate) async fn keep_pruned(sandbox: Sandbox, size: ByteSize) {
    loop {
        tokio::time::sleep(PRUNE_EVERY).await;
        prune(&sandbox, size).await;
    }
}

/// Removes what is beyond `size`.
pub(crate) async fn prune(sandbox: &Sandbox, size: ByteSize) {
    match sandbox.prune(size.bytes()).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "build roots beyond {size} were removed"),
        // Tried again; builds do not depend on it.
        Err(error) => tracing::warn!("failed to remove old build roots: failed to {error}"),
    }
}

/// Opens the wanted ones. `work` is for caches, `sandbox` for build roots.
pub(crate) async fn open(wanted: &[Name], work: &Path, sandbox: &Path) -> anyhow::Result<Opened> {
    let needs_sandbox = wanted.iter().any(|name| *name != Name::Compose);
    let sandbox = if needs_sandbox {
        std::fs::create_dir_all(sandbox)
            .with_context(|| format!("failed to create {}", sandbox.display()))?;
        Some(Sandbox::open(SandboxConfig::new(sandbox)).await?)
    } else {
        None
    };
    let room = || {
        sandbox
            .clone()
            .context("a role that builds needs a sandbox")
    };
    let mut roles: Vec<Box<dyn Role>> = Vec::new();
    for name in wanted {
        roles.push(match name {
            Name::BuildDeb => Box::new(BuildDeb::new(room()?, work)),
            Name::BuildRpm => Box::new(BuildRpm::new(room()?, work)),
            Name::Test => Box::new(InstallTest::new(room()?, work)),
            Name::Compose => {
                Box::new(Compose::open(work.join("compose")).context("failed to open the cache")?)
            }
            name => bail!("{name} is no role of this program"),
        });
    }
    Ok(Opened { roles, sandbox })
}
