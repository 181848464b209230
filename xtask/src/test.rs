//! `cargo xtask test`, `lint` and `ci`.

use anyhow::Result;

use crate::sh::{cmd, run, top};
use crate::stages::Stages;
use crate::terraform::Verdict;
use crate::{bridge, demo, links, setup, sim, terraform};

/// Every test, then the demo: it is the test of the whole.
pub(crate) fn all() -> Result<()> {
    let stages = &mut Stages::default();
    test(stages)?;
    stages.run("tests on a machine", machine)
}

fn test(stages: &mut Stages) -> Result<()> {
    stages.run("setup", setup::run)?;
    stages.run("build", build)?;
    stages.run("bridge", || bridge::make().map(drop))?;
    stages.run("tests", || tests(&[]))?;
    stages.run("demo", demo::whole_way_built)
}

/// One test program after another; inside one, at most two tests at a time: many start real builds.
fn tests(which: &[&str]) -> Result<()> {
    let mut test = cmd("cargo", &["test", "--workspace", "--no-fail-fast"]);
    test.args(which).args(["--", "--test-threads=2"]);
    run(test.current_dir(top()))
}

/// What people and faults do to whole installations.
fn machine() -> Result<()> {
    tests(&["--test", "machine"])
}

/// Programs and tests at once: tests give some libraries more features, and what is built apart is built twice.
fn build() -> Result<()> {
    run(cmd("cargo", &["build", "--workspace", "--bins", "--tests"]).current_dir(top()))
}

fn build_test(name: &str) -> Result<()> {
    let words = ["build", "--workspace", "--bins", "--test", name];
    run(cmd("cargo", &words).current_dir(top()))
}

/// Pull requests from their opening to what apt installs, with every step told as it is seen: on one machine, and on AWS.
pub(crate) fn forge() -> Result<()> {
    setup::run()?;
    build_test("machine")?;
    let words = [
        "test",
        "--workspace",
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
    stages.run("cargo clippy", || {
        // All is all that `cargo test` runs by itself.
        for targets in [&["--all-targets"][..], &["--test", "machine"]] {
            let mut clippy = cmd("cargo", &["clippy", "--quiet", "--workspace"]);
            clippy.args(targets).args(["--", "-D", "warnings"]);
            run(clippy.current_dir(top()))?;
        }
        Ok(())
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
    // Before two of them want it at once.
    stages.run("build of tests on a machine", || build_test("machine"))?;
    let machine = ("tests on a machine", || machine().map(|()| Verdict::Clean));
    stages.beside(("aws", demo::on_aws_built), |stages| {
        stages.beside(machine, |stages| {
            let mut simulated = sim::STAGES.into_iter();
            simulated.try_for_each(|(name, stage)| stages.run(name, stage))
        })
    })
}
