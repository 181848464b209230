//! `cargo xtask e2e --emulated`: a package for another architecture, through qemu-user.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Demo;
use crate::setup;
use crate::sh::{bin, build_programs, run};

/// One tiny package for arm64 on this machine, through qemu-user.
pub(crate) fn emulated() -> Result<()> {
    setup::run()?;
    setup::emulation()?;
    build_programs()?;
    let demo = Demo::new("emulated", PathBuf::new(), 2)?;
    demo.step("a new distribution whose runner emulates arm64");
    run(Command::new(bin("millrace"))
        .arg("init")
        .arg(demo.path("one"))
        .args(["--name", "emulated", "--emulated", "arm64"]))?;
    let up = demo.up()?;
    let tiny = demo.tiny_source()?;
    demo.clone_state()?;
    demo.step("a build request for arm64, pushed");
    let request = format!(
        "reason: an emulated architecture\nplatforms: {{debian-12: [arm64]}}\npackages:\n  - source: {{git: \"{tiny}\", ref: main}}\n    name: tiny\n"
    );
    demo.push("builds/2026/11/tiny.yaml", &request, "Build tiny for arm64")?;
    demo.watch("builds/2026/11/tiny.yaml")?;
    demo.with_data("status", &["builds/2026/11/tiny.yaml"])?;
    drop(up);
    println!(
        "e2e: an arm64 package was built and tested on {}",
        std::env::consts::ARCH
    );
    Ok(())
}
