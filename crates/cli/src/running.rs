//! The note that `millrace up` leaves in its data directory for the other commands.

use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::args::LISTEN;
use crate::failure::{Failure, Kind};
use crate::local::Layout;

/// Name of the note.
pub(crate) const RUNNING: &str = "running.json";

/// Where a control plane listens, and which process it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

impl Running {
    /// Writes the note, whole or not at all.
    pub(crate) fn write(&self, root: &Path) -> anyhow::Result<()> {
        let (path, part) = (root.join(RUNNING), root.join(format!("{RUNNING}.part")));
        std::fs::write(&part, serde_json::to_vec(self)?)
            .and_then(|()| std::fs::rename(&part, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// The control plane that runs on `data`. A note whose process is gone is not believed: by now
    /// another control plane may listen at its address.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
        let path = data.join(RUNNING);
        let start = format!("millrace up --data {}", data.display());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let layout = Layout::new(&data)?;
                if !layout.is_made() {
                    return Err(trouble(format!("{}, or give --url", layout.not_made())));
                }
                return Err(trouble(format!(
                    "no control plane runs on {}: start it with `{start}`",
                    data.display()
                )));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
        };
        let running: Self = serde_json::from_slice(&bytes)
            .with_context(|| format!("read {}: remove it", path.display()))?;
        if !running.is_alive() {
            return Err(trouble(format!(
                "the control plane on {} is gone without having stopped (process {}): start it again with `{start}{}`, and it goes on where it was",
                data.display(),
                running.pid,
                running.listen()
            )));
        }
        Ok(running)
    }

    /// The words that make the next one listen where this one did.
    fn listen(&self) -> String {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        match address == LISTEN {
            true => String::new(),
            false => format!(" --listen {address}"),
        }
    }

    /// Whether its process is there and is `millrace`. A process that may not be looked at counts.
    fn is_alive(&self) -> bool {
        let Ok(pid) = i32::try_from(self.pid) else {
            return false;
        };
        if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
            return false;
        }
        // A process id is given out again: to another program, most likely. One that ended and that
        // nobody has asked for has no command line.
        let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let ended = of_process("cmdline").is_ok_and(|line| line.is_empty());
        let ours = of_process("comm").map_or(true, |name| name.trim() == "millrace");
        ours && !ended
    }
}

fn trouble(sentence: String) -> anyhow::Error {
    Failure::new(Kind::Trouble, sentence).into()
}
