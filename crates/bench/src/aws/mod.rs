//! Functions as Lambda starts them: the programs, their first answer, their memory, and a cold plan.
//!
//! What is around a function is a stand-in in this process, which answers at once ([`cloud`]), so that what is measured
//! is the function's own. Connections are plain HTTP: the time of TLS and of AWS is not in it. Only the plan has an
//! emulator, for its ledger, and a git server.

mod cloud;
mod function;
mod plan;
mod webhook;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use cost::Measured;
use serde_json::{Value, json};

use crate::block_on;
use function::Program;

/// A function that does nothing: what none can be better than.
const BARE: &str = "examples/bare";

/// `programs`: the folder of the profile `function`.
pub(crate) fn run(scratch: &tempfile::TempDir, programs: &Path) -> Result<Value> {
    let program = |name| Program::new(programs, name, scratch.path());
    block_on(async {
        let bare = webhook::measure(&program(BARE)?).await?;
        let webhook = webhook::measure(&program("webhook")?).await?;
        let plan = plan::measure(&program("plan")?, scratch.path()).await?;
        Ok(json!({
            "bench": "aws", "bare": bare, "webhook": webhook, "plan": plan,
            "program_bytes": sizes(programs)?, "requests_per_task": requests_per_task(),
        }))
    })
}

/// Of every program in the folder.
fn sizes(programs: &Path) -> Result<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    let entries = std::fs::read_dir(programs).with_context(|| programs.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let (name, about) = (entry.file_name(), entry.metadata()?);
        let name = name.to_string_lossy().into_owned();
        // Beside them cargo has files with an ending.
        if about.is_file() && !name.contains('.') {
            sizes.insert(name, about.len());
        }
    }
    Ok(sizes)
}

/// As they were counted, from plan to done: the simulator's tests hold them.
fn requests_per_task() -> Vec<Value> {
    let measured = Measured::counted();
    let jobs = measured.builds.iter().map(|job| ("one at a time", job));
    let jobs = jobs.chain([("20 at once", &measured.mass)]);
    let jobs = jobs.map(|(how, job)| {
        let (packages, architectures) = (job.packages, job.architectures);
        json!({
            "what": format!("{packages} packages × {architectures} architectures, {how}"),
            "requests": job.requests_per_task(),
        })
    });
    let release = json!({
        "what": "a release to two repositories",
        "requests": measured.release.requests_per_task(),
    });
    jobs.chain([release]).collect()
}
