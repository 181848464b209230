//! The tree that Millrace's own packages are made of: `packaging/`, and beside it the programs as cargo built them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::sh::{cmd, output, run, target, top, write};

/// How cargo builds the programs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    /// Built in minutes, and slow.
    Dev,
    /// What people should be given.
    Release,
}

/// Crates that have the programs.
const CRATES: [&str; 4] = ["millrace", "millrace-runner", "runner-sign", "sandbox"];
const PROGRAMS: [&str; 4] = [
    "millrace",
    "millrace-runner",
    "millrace-sandbox-init",
    "millrace-signer",
];
/// Files that lie elsewhere in the checkout.
const FILES: [&str; 6] = [
    "LICENSE",
    "crates/cli/systemd/millrace.service",
    "runners/runner/systemd/millrace-runner.service",
    "runners/runner/systemd/runner.yaml",
    "runners/sign/systemd/millrace-signer.service",
    "runners/sign/systemd/signer.yaml",
];
/// What `millrace` prints about itself: the words to ask with, and the file.
const PRINTED: [(&[&str], &str); 4] = [
    (&["man"], "millrace.1"),
    (&["completions", "bash"], "millrace.bash"),
    (&["completions", "fish"], "millrace.fish"),
    (&["completions", "zsh"], "millrace.zsh"),
];

/// Has cargo build the programs.
pub(crate) fn build(profile: Profile) -> Result<()> {
    println!("== building the programs that go into the packages");
    let mut cargo = cmd("cargo", &["build", "--bins"]);
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    run(cargo.current_dir(top()))
}

/// Makes `tree`: for dpkg a source tree with `debian/`, for rpm a spec with its sources beside it.
pub(crate) fn lay_out(tree: &Path, profile: Profile) -> Result<()> {
    output(cmd("cp", &["-R"]).arg(top().join("packaging")).arg(tree))?;
    for file in FILES {
        output(cmd("cp", &[]).arg(top().join(file)).arg(tree))?;
    }
    let built = target().join(match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    });
    for program in PROGRAMS {
        let mut strip = cmd("strip", &["--output-file"]);
        output(strip.arg(tree.join(program)).arg(built.join(program)))?;
    }
    for (words, file) in PRINTED {
        let printed = output(&mut cmd(built.join("millrace"), words))
            .with_context(|| format!("make {file}"))?;
        write(&tree.join(file), &format!("{printed}\n"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(path: &str) -> String {
        std::fs::read_to_string(top().join(path)).expect("a file of the checkout")
    }

    #[test]
    fn the_spec_names_all_files_of_the_tree() {
        let spec = read("packaging/millrace.spec");
        let named: BTreeSet<&str> = spec
            .lines()
            .filter(|line| line.starts_with("Source"))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        let base = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
        let there: BTreeSet<&str> = ["Makefile", "account"]
            .into_iter()
            .chain(FILES.map(base))
            .chain(PROGRAMS)
            .chain(PRINTED.map(|(_, file)| file))
            .collect();
        assert_eq!(named, there);
    }
}
