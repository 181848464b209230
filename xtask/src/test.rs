//! `cargo xtask test`, `lint` and `ci`.

use anyhow::Result;

use crate::sh::{build_programs, cmd, run, top};
use crate::stages::Stages;
use crate::terraform::Verdict;
use crate::{bridge, demo, links, setup, sim, terraform};

/// Every test, then the demo: it is the test of the whole.
pub(crate) fn all() -> Result<()> {
    test(&mut Stages::default())
}

fn test(stages: &mut Stages) -> Result<()> {
    stages.run("setup", setup::run)?;
    stages.run("build", build)?;
    stages.run("bridge", || bridge::make().map(drop))?;
    stages.run("tests", || {
        // One test program after another; inside one, at most two tests at a time: many start real builds.
        let words = [
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--test-threads=2",
        ];
        run(cmd("cargo", &words).current_dir(top()))
    })?;
    stages.run("demo", demo::whole_way_built)
}

/// Programs and tests at once: tests give some libraries more features, and what is built apart is built twice.
fn build() -> Result<()> {
    run(cmd("cargo", &["build", "--workspace", "--bins", "--tests"]).current_dir(top()))
}

/// Pull requests from their opening to what apt installs, with every step told as it is seen: on one machine, and on AWS.
pub(crate) fn forge() -> Result<()> {
    setup::run()?;
    build_programs()?;
    let words = [
        "test",
        "-p",
        "whole",
        "--test",
        "machine",
        "--",
        "--nocapture",
        "--include-ignored",
        "--test-threads=1",
        "forge::",
    ];
    run(cmd("cargo", &words).current_dir(top()))?;
    demo::on_both_forges()
}

/// Formatting, lints, links of the documents, licences and advisories of dependencies.
pub(crate) fn lint() -> Result<()> {
    check(&mut Stages::default())
}

fn check(stages: &mut Stages) -> Result<()> {
    stages.run("cargo fmt --check", || {
        run(cmd("cargo", &["fmt", "--all", "--check"]).current_dir(top()))
    })?;
    stages.run("links of the documents", || links::check(&top()))?;
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    stages.run("cargo clippy", || {
        run(cmd("cargo", &clippy).current_dir(top()))
    })?;
    stages.judge("cargo deny", deny)
}

/// Debian has no cargo-deny, and to compile it takes longer than all else: where it is, it decides.
fn deny() -> Result<Verdict> {
    let there = cmd("cargo", &["deny", "--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let why = "`cargo install --locked cargo-deny` brings it";
        return Ok(Verdict::LeftOut(why.to_owned()));
    }
    run(cmd("cargo", &["deny", "check"]).current_dir(top()))?;
    Ok(Verdict::Clean)
}

/// What CI runs.
pub(crate) fn ci() -> Result<()> {
    let stages = &mut Stages::default();
    stages.run("setup", setup::run)?;
    check(stages)?;
    for (name, judge) in terraform::JUDGES {
        stages.judge(&format!("terraform {name}"), judge)?;
    }
    test(stages)?;
    stages.beside(("aws", demo::on_aws_built), |stages| {
        let mut simulated = sim::STAGES.into_iter();
        simulated.try_for_each(|(name, stage)| stages.run(name, stage))
    })
}
