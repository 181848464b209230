//! `cargo xtask bench`: ratios to peers in the same run.

use anyhow::Result;

use crate::setup;
use crate::sh::{cmd, run, scratch, top};

/// Packages in the repositories that are measured.
const PACKAGES: &str = "10000";

pub(crate) fn measure(which: &[&str]) -> Result<()> {
    setup::run()?;
    let all = which.is_empty();
    let wants = |name: &str| all || which.contains(&name);
    if wants("deb") {
        let directory = scratch("bench-deb");
        let directory = directory.to_string_lossy();
        example(
            "repo-deb",
            "repo_deb_bench",
            &["compare", PACKAGES, &directory],
        )?;
    }
    if wants("rpm") {
        let directory = scratch("bench-rpm");
        let directory = directory.to_string_lossy();
        example("repo-rpm", "bench", &[PACKAGES, &directory])?;
    }
    if wants("ledger") {
        example("platform-local", "throughput", &[])?;
    }
    Ok(())
}

fn example(package: &str, name: &str, args: &[&str]) -> Result<()> {
    let mut command = cmd(
        "cargo",
        &[
            "run",
            "--release",
            "--quiet",
            "-p",
            package,
            "--example",
            name,
            "--",
        ],
    );
    run(command.args(args).current_dir(top()))
}
