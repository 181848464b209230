//! `cargo xtask sim`: the simulator, and the proof that it can fail.
//!
//! `--emulated` is the test `simulated` of `platform-aws` with more to do; `--bugs [NAME…]` puts each of the bugs in `crates/simulator/bugs` into a copy of the product and runs the
//! simulator over it; all other words are the simulator's own.

mod bugs;
mod patch;

use anyhow::Result;

use crate::sh::{cmd, run, top};

/// Built once with optimisation, incrementally: the root `Cargo.toml` says how.
const PROFILE: &str = "sim";

type Stage = fn() -> Result<()>;

/// What CI asks.
pub(crate) const STAGES: [(&str, Stage); 4] = [
    ("sim: fixed seeds", || sim(&["--seeds", "1000"])),
    ("sim: fresh seeds", || sim(&["--seconds", "20"])),
    ("sim: a failure at every call", || sim(&["--sweep"])),
    ("sim: a third of the bugs that must be found", bugs::third),
];

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
