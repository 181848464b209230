//! Running programs to their end.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// git as a person; answers what it prints.
pub(crate) fn git(directory: &Path, args: &[&str]) -> Result<String> {
    output(git_command(directory).args(args))
}

/// git as a person, in a directory that may be bare.
pub(crate) fn git_command(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Chaos", "-c", "user.email=chaos@localhost"])
        // A push must not wait for it, nor may it pack while a disk is full.
        .args(["-c", "gc.auto=0", "-C"])
        .arg(directory);
    git
}

/// Runs to a good end; answers what it prints. The error has what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let args: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy())
        .collect();
    let name = format!("{name} {}", args.join(" "));
    let output = command.output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, said(&output).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Everything that a program printed.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
