//! The demo's disaster: in the middle of a build the control plane is killed and its ledger deleted.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Demo, PATIENCE, Up};
use crate::sh::{bin, cmd, output};

const POLL: Duration = Duration::from_millis(200);

impl Demo {
    /// Waits until a runner builds for `request`; then all processes and the ledger are gone. Answers the
    /// control plane that took over.
    pub(super) fn lose_the_ledger(&self, up: Up, request: &str) -> Result<Up> {
        self.await_a_build(request)?;
        up.kill()?;
        let data = self.path("one/data");
        for name in ["millrace.db", "millrace.db-wal", "millrace.db-shm"] {
            let path = data.join(name);
            if path.exists() {
                std::fs::remove_file(&path)
                    .with_context(|| format!("remove {}", path.display()))?;
                println!("deleted {}", path.display());
            }
        }
        // It names the process that was killed.
        std::fs::remove_file(self.path("one/running.json")).context("remove running.json")?;
        self.with_data("recover", &[])?;
        self.up()
    }

    fn await_a_build(&self, request: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut status = Command::new(bin("millrace"));
            let status = status
                .args(["status", "--json", request, "--data"])
                .arg(self.path("one"));
            let file: Value = match output(status) {
                Ok(text) => serde_json::from_str(&text).context("read the status")?,
                // Not planned yet.
                Err(_) => Value::Null,
            };
            let mut tasks = file["tasks"].as_array().into_iter().flatten();
            let builds = |task: &Value| {
                let title = task["title"].as_str().unwrap_or_default();
                task["state"] == "leased" && title.starts_with("build ")
            };
            if let Some(task) = tasks.find(|task| builds(task)) {
                println!(
                    "a runner has: {}",
                    task["title"].as_str().unwrap_or_default()
                );
                return Ok(());
            }
            let patience = Duration::from_secs(PATIENCE.into());
            ensure!(began.elapsed() < patience, "no runner builds for {request}");
            std::thread::sleep(POLL);
        }
    }
}

impl Up {
    /// `kill -9`, as a lost machine would.
    fn kill(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        println!("kill -9 {pid}");
        output(&mut cmd("kill", &["-9", &pid]))?;
        self.child.wait().context("wait for millrace up").map(drop)
    }
}
