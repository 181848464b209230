//! `cargo xtask chaos`: the real installation, killed, paused, starved of disk, and judged.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::Usage;
use crate::sh::{bin, cmd, output, run, target, top};

const HELP: &str = "\
usage: cargo xtask chaos [--minutes N] [--seed S] [--json] [--keep] [--prove] [--schedule]

  A new installation: millrace up with SQLite, a directory store and a bare state repository, the runners
  that it keeps, two runners elsewhere, the real composer, the real signer. Only builds and tests are
  pretended, so that they take milliseconds. For N minutes (5) people push builds and releases, edit,
  revert, cancel and retry, and touch the status branch or lose the ledger, which `millrace recover`
  rebuilds (in each schedule one or the other); meanwhile processes are killed with -9, stopped
  and continued (now and then for longer than their lease), drained and started again, and the disk is
  filled. Then all of that ends, nothing is restarted that runs, and everything must come to rest by
  itself and be right: see CHECKS in tests/chaos/src/judge.rs.

  The schedule, what people write and how it must end are functions of the seed and the length. When a
  deed meets a process at which line is not: the kernel schedules, and task ids, with which pretended
  builds choose how long they take, depend on the time of commits. So a seed finds a bug often, not always.

  --schedule  print what would happen, and do nothing
  --prove     when all is well, spoil it in every way that a check is for: each must be found
  --json      one line of JSON in the end
  --keep      keep the data directory though all is well: target/chaos/seed-S/kept

  It needs namespaces for mounts and processes: root, or a kernel that gives them to users.
";

pub(crate) fn storm(words: &[&str]) -> Result<()> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    check(words)?;
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if !words.iter().any(|word| word.starts_with("--seed")) {
        words.extend(["--seed".to_owned(), new_seed()?.to_string()]);
    }
    println!("== building the programs");
    let packages = ["millrace", "runner-sign", "chaos"];
    let mut build = cmd("cargo", &["build", "--quiet", "--bins"]);
    build.args(packages.iter().flat_map(|name| ["--package", name]));
    run(build.current_dir(top()))?;
    let mut chaos = namespaces()?;
    chaos
        .arg(bin("millrace-chaos"))
        .arg("--folder")
        .arg(target().join("chaos"))
        .args(&words);
    let status = chaos.status().context("start unshare")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("chaos found what must not be"),
        _ => bail!("chaos could not be judged"),
    }
}

/// Whether `millrace-chaos` would understand them: it takes minutes to build.
fn check(words: &[&str]) -> Result<(), Usage> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (*word, None),
        };
        let is_right = match name {
            "--json" | "--keep" | "--prove" | "--schedule" => value.is_none(),
            "--minutes" | "--seed" => {
                let value = value.or_else(|| words.next().copied());
                let value = value.ok_or_else(|| Usage(format!("{name} wants a number\n{HELP}")))?;
                match name {
                    "--seed" => value.parse::<u64>().is_ok(),
                    _ => value
                        .parse()
                        .is_ok_and(|it: f64| it.is_finite() && it > 0.0),
                }
            }
            _ => return Err(Usage(format!("{word} is no option\n{HELP}"))),
        };
        if !is_right {
            return Err(Usage(format!("{name} does not go like that\n{HELP}")));
        }
    }
    Ok(())
}

/// A few digits, so that people can say it.
fn new_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.as_millis() as u64 % 1_000_000)
}

/// Mounts and processes of its own: a small disk for the data, and nothing that outlives the run.
fn namespaces() -> Result<Command> {
    let mut words = vec!["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if output(&mut cmd("id", &["-u"]))? != "0" {
        words.extend(["--user", "--map-root-user"]);
    }
    let can = cmd("unshare", &words).arg("true").output();
    let can = can.context("start unshare: it is in Debian's package util-linux")?;
    ensure!(
        can.status.success(),
        "chaos needs namespaces for mounts and processes, and this kernel refuses: {}",
        String::from_utf8_lossy(&can.stderr).trim()
    );
    Ok(cmd("unshare", &words))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn words_are_looked_at_before_anything_is_built() {
        let says = |words: &[&str], expect: &str| {
            let said = check(words).err().map_or_else(String::new, |it| it.0);
            assert_eq!(said.lines().next().unwrap_or_default(), expect, "{words:?}");
        };
        says(&[], "");
        says(&["--minutes", "0.5", "--seed=7", "--json", "--prove"], "");
        for minutes in ["nan", "inf", "0", "-1", "five", "1e999"] {
            says(&["--minutes", minutes], "--minutes does not go like that");
        }
        says(&["--seed", "-1"], "--seed does not go like that");
        says(&["--seed"], "--seed wants a number");
        says(&["--json=yes"], "--json does not go like that");
        says(&["--frobnicate"], "--frobnicate is no option");
        says(&["5"], "5 is no option");
    }
}
