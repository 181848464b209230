//! `cargo xtask test`, `lint` and `ci`.

use anyhow::Result;

use crate::sh::{build_programs, cmd, run, top};
use crate::{bridge, demo, links, setup, sim, terraform};

/// Every test, then the demo: it is the test of the whole.
pub(crate) fn all() -> Result<()> {
    setup::run()?;
    build_programs()?;
    bridge::make()?;
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

/// Formatting, lints, links of the documents, licences and advisories of dependencies.
pub(crate) fn lint() -> Result<()> {
    println!("== cargo fmt --check");
    run(cmd("cargo", &["fmt", "--all", "--check"]).current_dir(top()))?;
    println!("== links of the documents");
    links::check(&top())?;
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
    run(cmd("cargo", &clippy).current_dir(top()))?;
    deny()
}

/// Debian has no cargo-deny, and to compile it takes longer than all else: where it is, it decides.
fn deny() -> Result<()> {
    println!("== cargo deny");
    let there = cmd("cargo", &["deny", "--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("left out: `cargo install --locked cargo-deny` brings it");
        return Ok(());
    }
    run(cmd("cargo", &["deny", "check"]).current_dir(top()))
}

/// What CI runs.
pub(crate) fn ci() -> Result<()> {
    setup::run()?;
    lint()?;
    terraform::judge(&[])?;
    all()?;
    sim::ci()
}
