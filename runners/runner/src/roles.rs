//! The roles that this program has.

use std::path::Path;

use anyhow::{Context as _, bail};
use pipeline_spec::Role as Name;
use runner_agent::Role;
use runner_build_deb::BuildDeb;
use runner_build_rpm::BuildRpm;
use runner_compose::Compose;
use runner_test::InstallTest;
use sandbox::{Config as SandboxConfig, Sandbox};

/// All but signing, which is a program of its own.
pub(crate) const ALL: [Name; 4] = [Name::BuildDeb, Name::BuildRpm, Name::Test, Name::Compose];

/// Opens the wanted ones. `work` is for caches, `sandbox` for build roots.
pub(crate) async fn open(
    wanted: &[Name],
    work: &Path,
    sandbox: &Path,
) -> anyhow::Result<Vec<Box<dyn Role>>> {
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
    Ok(roles)
}
