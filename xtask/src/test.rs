//! `cargo xtask test`, `lint` and `ci`.

use anyhow::Result;

use crate::sh::{build_programs, cmd, run, top};
use crate::{demo, setup};

/// Every test, then the demo: it is the test of the whole.
pub(crate) fn all() -> Result<()> {
    setup::run()?;
    build_programs()?;
    demo::bridge()?;
    println!("== tests");
    // One test program after another; inside one, at most two tests at a time: many start real builds.
    run(cmd(
        "cargo",
        &[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--test-threads=2",
        ],
    )
    .current_dir(top()))?;
    demo::whole_way()
}

/// Formatting and lints.
pub(crate) fn lint() -> Result<()> {
    println!("== cargo fmt --check");
    run(cmd("cargo", &["fmt", "--all", "--check"]).current_dir(top()))?;
    println!("== cargo clippy");
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run(cmd("cargo", &clippy).current_dir(top()))
}

/// What CI runs.
pub(crate) fn ci() -> Result<()> {
    setup::run()?;
    lint()?;
    all()
}
