//! Stages of a long run, and at its end how long each took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::terraform::Verdict;

/// Stages that are over.
pub(crate) struct Stages {
    over: Vec<Stage>,
    began: Instant,
}

struct Stage {
    name: String,
    took: Duration,
    /// If not that it went well.
    end: Option<String>,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            over: Vec::new(),
            began: Instant::now(),
        }
    }
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
        self.ended(name, done, began.elapsed())
    }

    /// Runs `beside` on a thread of its own while `stages` run: it mostly waits. Their lines mix.
    pub(crate) fn beside(
        &mut self,
        (name, beside): (&str, impl FnOnce() -> Result<Verdict> + Send),
        stages: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        println!("== {name}, beside what follows");
        std::thread::scope(|scope| {
            let began = Instant::now();
            let running = scope.spawn(move || (Verdict::of(beside()), began.elapsed()));
            let ended = stages(self);
            let (done, took) = match running.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let done = self.ended(&format!("{name}, beside the stages before"), done, took);
            ended.and(done)
        })
    }

    fn ended(&mut self, name: &str, done: Result<Verdict>, took: Duration) -> Result<()> {
        let end = match &done {
            Ok(Verdict::Clean) => None,
            Ok(Verdict::LeftOut(why)) => {
                println!("{name}: LEFT OUT: {why}");
                Some(format!("LEFT OUT: {why}"))
            }
            Err(_) => Some("FAILED".to_owned()),
        };
        self.over.push(Stage {
            name: name.to_owned(),
            took,
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
        for Stage { name, took, end } in &self.over {
            let end = end.as_deref().unwrap_or_default();
            println!("{:>6}  {name}  {end}", took.as_secs());
        }
        println!("{:>6}  in all", self.began.elapsed().as_secs());
    }
}
