//! `cargo xtask bench [NAME…]`: ratios to peers in the same run, one line of JSON each.

use anyhow::Result;

use crate::setup;
use crate::sh::{cmd, run, scratch, target, top};

/// Words of `millrace-bench`, which measures the control plane.
const CONTROL_PLANE: [&str; 4] = ["plan", "status", "start", "tasks"];
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
    let words: Vec<&str> = CONTROL_PLANE.into_iter().filter(|w| wants(w)).collect();
    control_plane(&words)
}

/// The programs as they are released, on a real disk: on a tmpfs a durable step costs nothing.
fn control_plane(words: &[&str]) -> Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    // `millrace init` asks the runners' programs for their identities.
    let mut build = cmd("cargo", &["build", "--release", "--quiet"]);
    for package in ["bench", "millrace", "millrace-runner", "runner-sign"] {
        build.args(["-p", package]);
    }
    run(build.arg("--bins").current_dir(top()))?;
    let program = target().join("release/millrace-bench");
    let folder = target().join("bench");
    for word in words {
        run(cmd(&program, &[word]).arg(&folder))?;
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
