//! Starts the helper program and talks to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::{getgid, getuid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::error::Error;
use crate::host::{IdRange, Identity};
use crate::wire::{Envelope, PROTOCOL, Reply, Request};

const NAME: &str = "millrace-sandbox-init";
/// A reply's line is at most this long; listings are bounded on the other side.
const MAX_REPLY_BYTES: u64 = 64 << 20;

/// The helper beside the running program; one directory up for tests, which cargo puts in `deps/`.
pub(crate) fn find(configured: Option<&Path>) -> Result<PathBuf, Error> {
    let mut looked_at = Vec::new();
    if let Some(path) = configured {
        looked_at.push(path.to_owned());
    } else if let Ok(program) = std::env::current_exe() {
        looked_at.extend(
            program
                .ancestors()
                .skip(1)
                .take(2)
                .map(|directory| directory.join(NAME)),
        );
        looked_at.push(Path::new("/usr/libexec/millrace").join(NAME));
    }
    match looked_at.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(Error::NoHelper { looked_at }),
    }
}

/// Which ids a helper's namespace gets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ids {
    /// Root inside is the first id of the range.
    Workspace,
    /// Root inside is the caller; the range begins at 1.
    Admin,
}

/// A started helper that has taken its request.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) child: Child,
    /// Closing it tells the helper to end.
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts the helper with one request. It is killed if the value is dropped before its end.
    pub(crate) async fn start(
        program: &Path,
        request: Request,
        stderr: Stdio,
    ) -> Result<Self, Error> {
        let mut child = Command::new(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("start", program))?;
        let input = child.stdin.take().expect("standard input is piped");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut helper = Self {
            child,
            input: Some(input),
            output,
        };
        let envelope = Envelope {
            protocol: PROTOCOL,
            request,
        };
        let mut line = serde_json::to_vec(&envelope).expect("requests are plain data");
        line.push(b'\n');
        helper.send(&line).await?;
        Ok(helper)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let input = self.input.as_mut().expect("nothing is sent after the end");
        // A helper that failed already has closed its end; its reply tells why.
        match input.write_all(bytes).await {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::io("write to", NAME)(error))
            }
            _ => Ok(()),
        }
    }

    /// The next reply; ids are mapped on the way if the helper asks.
    pub(crate) async fn reply(
        &mut self,
        step: &'static str,
        identity: &Identity,
        ids: Ids,
    ) -> Result<Reply, Error> {
        loop {
            match self.line(step).await? {
                Reply::WantsMap => {
                    self.map(step, identity, ids).await?;
                    self.send(b"mapped\n").await?;
                }
                Reply::Failed(reason) => return Err(Error::Helper { step, reason }),
                reply => return Ok(reply),
            }
        }
    }

    pub(crate) async fn line(&mut self, step: &'static str) -> Result<Reply, Error> {
        let mut line = String::new();
        let read = (&mut self.output)
            .take(MAX_REPLY_BYTES)
            .read_line(&mut line)
            .await;
        read.map_err(Error::io("read from", NAME))?;
        serde_json::from_str(&line).map_err(|_| Error::Helper {
            step,
            reason: if line.is_empty() {
                "the helper ended without a word".into()
            } else {
                format!("it said {line:?}")
            },
        })
    }

    async fn map(&self, step: &'static str, identity: &Identity, ids: Ids) -> Result<(), Error> {
        let pid = self
            .child
            .id()
            .expect("the helper waits for its maps")
            .to_string();
        match identity {
            Identity::Root(range) => {
                for (file, base) in [("gid_map", range.gid), ("uid_map", range.uid)] {
                    let path = format!("/proc/{pid}/{file}");
                    let text = lines(range, ids, base, 0).join("\n");
                    std::fs::write(&path, text).map_err(Error::io("write", path))?;
                }
                Ok(())
            }
            Identity::Subordinate(range) => {
                let uids = lines(range, ids, range.uid, getuid().as_raw());
                let gids = lines(range, ids, range.gid, getgid().as_raw());
                run_map(step, "newgidmap", &pid, &gids).await?;
                run_map(step, "newuidmap", &pid, &uids).await
            }
            Identity::RootWithoutNamespaces => unreachable!("no namespace, no maps"),
        }
    }
}

fn lines(range: &IdRange, ids: Ids, base: u32, own: u32) -> Vec<String> {
    match ids {
        Ids::Workspace => vec![format!("0 {base} {}", range.count)],
        Ids::Admin => vec![format!("0 {own} 1"), format!("1 {base} {}", range.count)],
    }
}

async fn run_map(
    step: &'static str,
    program: &'static str,
    pid: &str,
    lines: &[String],
) -> Result<(), Error> {
    let output = Command::new(program)
        .arg(pid)
        .args(lines.iter().flat_map(|line| line.split(' ')))
        .output()
        .await
        .map_err(|source| Error::Program {
            program,
            package: "uidmap",
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Err(Error::Helper { step, reason })
}
