//! `cargo xtask sim`: the simulator, and the proof that it can fail.
//!
//! `--emulated` is the test `simulated` of `platform-aws` with more to do; `--bugs [NAME…]` puts each of the bugs in `crates/simulator/bugs` into a copy of the product and runs the
//! simulator over it; all other words are the simulator's own.

mod bugs;
mod patch;

use anyhow::Result;

use crate::sh::{bin, cmd, run, top};

/// Built once with optimisation, incrementally: the root `Cargo.toml` says how.
const PROFILE: &str = "sim";
/// The simulator as `cargo test --workspace` has it: a test at its side brings the features that tests ask for.
const AS_TESTS_ARE: [&str; 5] = ["--workspace", "--bin", "simulate", "--test", "hour"];

type Stage = fn() -> Result<()>;

/// What CI asks, of the program that was built together with the tests: slower histories, and no build of minutes.
pub(crate) const STAGES: [(&str, Stage); 4] = [
    ("sim: fixed seeds", || built(&["--seeds", "1000"])),
    ("sim: fresh seeds", || built(&["--seconds", "20"])),
    ("sim: a failure at every call", || built(&["--sweep"])),
    ("sim: bugs that must be found", bugs::find_together),
];

/// Runs the simulator of the dev profile.
fn built(words: &[&str]) -> Result<()> {
    run(cmd("cargo", &["build"])
        .args(AS_TESTS_ARE)
        .current_dir(top()))?;
    run(&mut cmd(bin("simulate"), words))
}

/// Runs the simulator, or its bugs.
pub(crate) fn sim(words: &[&str]) -> Result<()> {
    if let ["--bugs", names @ ..] = words {
        return bugs::find(names);
    }
    if words == ["--emulated"] {
        return emulated();
    }
    let words: Vec<&str> = ["run", "--quiet", "--profile", PROFILE, "-p", "simulator"]
        .into_iter()
        .chain(["--"])
        .chain(words.iter().copied())
        .collect();
    eprintln!(
        "the simulator is compiled with optimizations: minutes at the first time, then seconds"
    );
    let build = ["build", "--profile", PROFILE, "-p", "simulator"];
    run(cmd("cargo", &build).current_dir(top()))?;
    run(cmd("cargo", &words).current_dir(top()))
}

/// Golden scenarios with a failure at every call, and histories, over the adapters of AWS: `cargo test` plays some.
fn emulated() -> Result<()> {
    eprintln!("every call of the scenarios, each a run over the emulator: this takes hours");
    let package = ["test", "-p", "platform-aws", "--test", "simulated"];
    let words: Vec<&str> = package.into_iter().chain(["--", "--nocapture"]).collect();
    let mut test = cmd("cargo", &words);
    test.env("MILLRACE_EVERY", "1")
        .env("MILLRACE_HISTORIES", "50");
    run(test.current_dir(top()))
}
