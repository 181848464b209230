//! A function's program, and its process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use super::cloud::Cloud;
use crate::figures::{memory, on_processor};

/// The parameter that has the document.
pub(super) const DOCUMENT: &str = "/bench/document";
/// Parameters with secrets.
pub(super) const WEBHOOK_SECRET: &str = "/bench/webhook-secret";
pub(super) const STATE_TOKEN: &str = "/bench/state-token";

/// Where a program is, and where its processes write.
pub(super) struct Program {
    path: PathBuf,
    temporary: PathBuf,
}

/// Ends when it is dropped.
pub(super) struct Process {
    child: Child,
    /// Before the kernel knew of it.
    pub(super) start: Instant,
}

impl Program {
    pub(super) fn new(folder: &Path, name: &str, scratch: &Path) -> Result<Self> {
        let path = folder.join(name);
        let of = || path.display().to_string();
        let path = path.canonicalize().with_context(of)?;
        let temporary = scratch.join("tmp");
        Ok(Self { path, temporary })
    }

    pub(super) fn bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.path)?.len())
    }

    /// A process in an environment that nothing has run in before.
    pub(super) fn start(&self, cloud: &Cloud) -> Result<Process> {
        match std::fs::remove_dir_all(&self.temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => std::fs::create_dir_all(&self.temporary)?,
        }
        let address = cloud.address();
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .env("TMPDIR", &self.temporary)
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_ENDPOINT_URL_SSM", format!("http://{address}"))
            .env("MILLRACE_CONFIGURATION", DOCUMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let start = Instant::now();
        let child = command.spawn();
        let child = child.with_context(|| format!("start {}", self.path.display()))?;
        Ok(Process { child, start })
    }
}

impl Process {
    /// The most memory that it ever had, in bytes.
    pub(super) fn peak(&self) -> Result<u64> {
        memory(&self.id()?, "VmHWM")
    }

    /// What it needed of a processor, which a busy machine does not stretch.
    pub(super) fn on_processor(&self) -> Result<Duration> {
        on_processor(&self.id()?)
    }

    fn id(&self) -> Result<String> {
        let id = self.child.id().context("the function has ended")?;
        Ok(id.to_string())
    }
}
