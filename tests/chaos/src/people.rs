//! What people do: commits and pushes, cancels and retries, and mischief on the status branch.
//!
//! A person who is refused tries again later. None of it is a finding.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use chaos::upstream::PACKAGES;
use serde_json::json;

use crate::http;
use crate::machine::Machine;
use crate::programs::{git, git_command};

/// The branch that the machine writes.
const STATUS: &str = "refs/heads/status";

/// A clone, and what was not pushed yet.
#[derive(Debug, Default)]
pub(crate) struct People {
    pub(crate) unpushed: bool,
    /// Tips of the status branch before somebody moved it.
    seen: usize,
}

impl People {
    /// Commits files; they are pushed with the next [`Self::push`].
    pub(crate) fn write(
        &mut self,
        machine: &Machine,
        files: &[(String, Option<String>)],
        message: &str,
    ) -> Result<()> {
        let clone = machine.clone_path();
        for (path, text) in files {
            let file = clone.join(path);
            match text {
                Some(text) => {
                    std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
                    std::fs::write(&file, text)?;
                }
                None => std::fs::remove_file(&file)?,
            }
        }
        git(&clone, &["add", "--all"])?;
        git(
            &clone,
            &["commit", "--quiet", "--allow-empty", "-m", message],
        )?;
        self.unpushed = true;
        Ok(())
    }

    /// Pushes what there is. A full disk refuses it.
    pub(crate) fn push(&mut self, machine: &Machine) {
        if self.unpushed {
            let pushed = git(&machine.clone_path(), &["push", "--quiet"]);
            self.unpushed = pushed.is_err();
        }
    }

    /// `cancel` or `retry`. Whether it was done.
    pub(crate) fn ask(&self, machine: &Machine, word: &str, subject: &str) -> Result<bool> {
        let body = match word {
            "cancel" => json!({"subject": subject, "reason": "chaos"}),
            _ => json!({"subject": subject}),
        };
        let path = format!("/api/v1/{word}");
        let answer = http::post(machine.address(), &path, &machine.token()?, &body);
        Ok(answer.is_some_and(|(code, _)| code == 200))
    }

    /// Keeps the branch's tip, so that the judge sees all that was ever said. `None`: there is no branch.
    fn keep(&mut self, machine: &Machine) -> Option<String> {
        let state = machine.state();
        let tip = git(&state, &["rev-parse", "--verify", "--quiet", STATUS]).ok()?;
        self.seen += 1;
        let name = format!("refs/chaos/{}", self.seen);
        git(&state, &["update-ref", &name, &tip]).ok()?;
        Some(tip)
    }

    pub(crate) fn delete_status(&mut self, machine: &Machine) -> Option<()> {
        self.keep(machine)?;
        git(
            &machine.clone_path(),
            &["push", "--quiet", "origin", ":status"],
        )
        .ok()?;
        Some(())
    }

    pub(crate) fn rewind_status(&mut self, machine: &Machine, back: u64) -> Option<()> {
        let tip = self.keep(machine)?;
        let older = format!("{tip}~{back}");
        let older = git(
            &machine.state(),
            &["rev-parse", "--verify", "--quiet", &older],
        )
        .ok()?;
        self.force_status(machine, &older)
    }

    pub(crate) fn replace_status(&mut self, machine: &Machine) -> Option<()> {
        self.keep(machine)?;
        let main = git(&machine.clone_path(), &["rev-parse", "origin/main"]).ok()?;
        self.force_status(machine, &main)
    }

    fn force_status(&self, machine: &Machine, commit: &str) -> Option<()> {
        let clone = machine.clone_path();
        git(&clone, &["fetch", "--quiet", "origin"]).ok()?;
        let spec = format!("+{commit}:{STATUS}");
        git(&clone, &["push", "--quiet", "origin", &spec]).ok()?;
        Some(())
    }

    /// A commit on top: one answer is overwritten, and there is a file of a person's own.
    pub(crate) fn scribble_status(&mut self, machine: &Machine) -> Option<()> {
        let tip = self.keep(machine)?;
        let (clone, state) = (machine.clone_path(), machine.state());
        git(
            &clone,
            &[
                "fetch",
                "--quiet",
                "origin",
                "+refs/heads/status:refs/remotes/origin/status",
            ],
        )
        .ok()?;
        let names = git(&state, &["ls-tree", "-r", "--name-only", &tip]).ok()?;
        let answer = names.lines().find(|name| name.starts_with("builds/"));
        let blob = hash(&clone, "A person was here.\n").ok()?;
        let index = clone.join(".git/scribble");
        let plumb = |args: &[&str]| -> Result<String> {
            let mut git = git_command(&clone);
            crate::programs::output(git.env("GIT_INDEX_FILE", &index).args(args))
        };
        plumb(&["read-tree", &tip]).ok()?;
        for path in answer.into_iter().chain(["notes/person.txt"]) {
            let info = format!("100644,{blob},{path}");
            plumb(&["update-index", "--add", "--cacheinfo", &info]).ok()?;
        }
        let tree = plumb(&["write-tree"]).ok()?;
        let commit = plumb(&["commit-tree", "-p", &tip, "-m", "A note", &tree]).ok()?;
        let spec = format!("{commit}:{STATUS}");
        git(&clone, &["push", "--quiet", "origin", &spec]).ok()?;
        Some(())
    }
}

fn hash(clone: &Path, text: &str) -> Result<String> {
    let mut child = git_command(clone)
        .args(["hash-object", "-w", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes the repositories of all packages, with a tag for each version from 1 to `versions`.
pub(crate) fn publish_sources(folder: &Path, versions: u32) -> Result<()> {
    for package in PACKAGES {
        let directory = folder.join(format!("{}.git", package.name));
        std::fs::create_dir_all(&directory)?;
        git(&directory, &["init", "--quiet", "--bare"])?;
        let mut child = git_command(&directory)
            .args(["fast-import", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()
            .context("start git fast-import")?;
        let mut stream = child.stdin.take().context("a pipe")?;
        for version in 1..=versions {
            let text = format!("{} {version}\n", package.name);
            write!(
                stream,
                "commit refs/heads/main\nmark :{version}\ncommitter Upstream <up@localhost> {} +0000\ndata 2\nx\nM 100644 inline package\ndata {}\n{text}\nreset refs/tags/v{version}\nfrom :{version}\n\n",
                1_793_491_200 + version,
                text.len()
            )?;
        }
        drop(stream);
        anyhow::ensure!(child.wait()?.success(), "git fast-import failed");
    }
    Ok(())
}
