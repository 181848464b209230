//! Stages of a long run, and at its end how long each took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::terraform::Verdict;

/// Stages that are over.
#[derive(Default)]
pub(crate) struct Stages(Vec<Stage>);

struct Stage {
    name: String,
    took: Duration,
    /// If not that it went well.
    end: Option<String>,
}

impl Stages {
    /// Runs `stage` to its end. What it left out is told again in the table.
    pub(crate) fn judge(
        &mut self,
        name: &str,
        stage: impl FnOnce() -> Result<Verdict>,
    ) -> Result<()> {
        println!("== {name}");
        let began = Instant::now();
        let done = Verdict::of(stage());
        let end = match &done {
            Ok(Verdict::Clean) => None,
            Ok(Verdict::LeftOut(why)) => {
                println!("{name}: LEFT OUT: {why}");
                Some(format!("LEFT OUT: {why}"))
            }
            Err(_) => Some("FAILED".to_owned()),
        };
        self.0.push(Stage {
            name: name.to_owned(),
            took: began.elapsed(),
            end,
        });
        done.map(drop).with_context(|| name.to_owned())
    }

    /// The same for a stage that leaves nothing out.
    pub(crate) fn run(&mut self, name: &str, stage: impl FnOnce() -> Result<()>) -> Result<()> {
        self.judge(name, || stage().map(|()| Verdict::Clean))
    }
}

/// The table comes at every end, and after a failure tells which stage it was.
impl Drop for Stages {
    fn drop(&mut self) {
        println!("\n== seconds of each stage");
        for Stage { name, took, end } in &self.0 {
            let end = end.as_deref().unwrap_or_default();
            println!("{:>6}  {name}  {end}", took.as_secs());
        }
        let all: Duration = self.0.iter().map(|stage| stage.took).sum();
        println!("{:>6}  in all", all.as_secs());
    }
}
