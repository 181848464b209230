//! `cargo xtask terraform`: the judges of `terraform/`, from the cheapest to the one that applies it.
//!
//! Invariants: everything that a judge installs is pinned with its digest and lies in `target/terraform`; what is
//! missing on this machine is said aloud and counted, never passed over.

mod example;
mod iam;
mod older;
mod tools;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sh::{cmd, output, run, top};
pub(crate) use example::{Example, differences};
pub(crate) use iam::judge_calls;
use tools::{folder, terraform};

const HELP: &str = "\
usage: cargo xtask terraform [JUDGE...]

  format   terraform fmt; inputs and outputs are in their READMEs
  schema   init, validate and test of every module and example against today's provider's schema
  checkov  known mistakes, less those that terraform/judges/checkov.yaml accepts with a reason
  older    apply, plan without a difference, and destroy of an example with a real provider of
           before, against an emulator
  iam      the policies of that apply: every call that components were seen to make is allowed,
           what nobody may is denied, and no right is without a use or a reason

  Without a word: all of them, in this order. JUDGE `older` leaves what `iam` reads.
";

/// How a judge ended that found nothing wrong.
pub(crate) enum Verdict {
    Clean,
    /// Why it did not look.
    LeftOut(String),
}

/// A download that a judge needs cannot be had. Whoever asks the judge leaves it out, aloud.
#[derive(Debug)]
pub(crate) struct NotThere(pub(crate) String);

impl std::fmt::Display for NotThere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotThere {}

impl Verdict {
    /// A judge that misses a download has not looked.
    pub(crate) fn of(judged: Result<Self>) -> Result<Self> {
        match judged {
            Err(error) if error.is::<NotThere>() => Ok(Self::LeftOut(format!("{error:#}"))),
            judged => judged,
        }
    }

    /// Why it did not look, if so.
    pub(crate) fn left_out(self) -> Option<String> {
        match self {
            Self::Clean => None,
            Self::LeftOut(why) => Some(why),
        }
    }
}

type Judge = fn() -> Result<Verdict>;

/// In the order in which they are asked.
pub(crate) const JUDGES: [(&str, Judge); 5] = [
    ("format", format),
    ("schema", schema),
    ("checkov", checkov),
    ("older", older::judge),
    ("iam", iam::judge),
];

pub(crate) fn judge(words: &[&str]) -> Result<()> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    if let Some(word) = words
        .iter()
        .find(|word| !JUDGES.iter().any(|(name, _)| name == *word))
    {
        bail!("no judge is called {word}\n{HELP}");
    }
    let mut left_out = Vec::new();
    for (name, judge) in JUDGES {
        if !words.is_empty() && !words.contains(&name) {
            continue;
        }
        println!("== terraform: {name}");
        match Verdict::of(judge()).with_context(|| format!("terraform: {name}"))? {
            Verdict::Clean => println!("{name}: clean"),
            Verdict::LeftOut(why) => {
                println!("{name}: LEFT OUT: {why}");
                left_out.push(name);
            }
        }
    }
    if !left_out.is_empty() {
        println!("== terraform: LEFT OUT here: {}", left_out.join(", "));
    }
    Ok(())
}

fn format() -> Result<Verdict> {
    let Some(mut command) = terraform() else {
        return Ok(tools::no_terraform());
    };
    run(command
        .args(["fmt", "-check", "-recursive", "-diff"])
        .current_dir(folder()))?;
    configurations()?
        .iter()
        .try_for_each(|place| documented(place))?;
    Ok(Verdict::Clean)
}

/// Each input and output of a configuration is in its README.
fn documented(configuration: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = configuration.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let readme = read("README.md")?;
    for (file, word) in [("variables.tf", "variable"), ("outputs.tf", "output")] {
        for line in read(file)?.lines() {
            let name = line
                .strip_prefix(word)
                .and_then(|rest| rest.split('"').nth(1));
            if let Some(name) = name.filter(|name| !readme.contains(&format!("| `{name}` |"))) {
                bail!(
                    "{}: README.md has no line for the {word} {name}",
                    configuration.display()
                );
            }
        }
    }
    Ok(())
}

/// Beside the checkout, where somebody has put the schema; `TERRAFORM_CHECK` may name another place.
const SCHEMA_CHECK: &str = "../shared/terraform-check/check";

fn schema() -> Result<Verdict> {
    let check = std::env::var_os("TERRAFORM_CHECK");
    let check = top().join(check.unwrap_or_else(|| SCHEMA_CHECK.into()));
    if !check.exists() {
        return Ok(Verdict::LeftOut(format!(
            "{} is not there",
            check.display()
        )));
    }
    if terraform().is_none() {
        return Ok(tools::no_terraform());
    }
    run(cmd(check, &[]).args(configurations()?).current_dir(top()))?;
    Ok(Verdict::Clean)
}

/// Every module and every example.
fn configurations() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in ["modules", "examples"] {
        let place = folder().join(kind);
        let entries =
            std::fs::read_dir(&place).with_context(|| format!("read {}", place.display()))?;
        for entry in entries {
            found.push(entry?.path());
        }
    }
    found.sort();
    Ok(found)
}

fn checkov() -> Result<Verdict> {
    if let Some(left_out) = tools::missing("python3", "python3-venv") {
        return Ok(left_out);
    }
    let checkov = tools::python("checkov")?.join("bin/checkov");
    let config = folder().join("judges/checkov.yaml");
    reasoned(&config)?;
    // Modules are looked into through the examples, with their real arguments.
    let arguments = [
        "--quiet",
        "--compact",
        "--skip-download",
        "--framework",
        "terraform",
        "--output",
        "cli",
    ];
    let text = output(
        cmd(checkov, &arguments)
            .arg("--directory")
            .arg(folder().join("examples"))
            .arg("--config-file")
            .arg(&config)
            .env("LOG_LEVEL", "ERROR")
            .current_dir(folder()),
    )?;
    let summary = text.lines().find(|line| line.starts_with("Passed checks"));
    println!("{}", summary.unwrap_or("(checkov gave no summary)"));
    if summary.is_none_or(|line| line.starts_with("Passed checks: 0,")) {
        bail!("checkov looked at nothing");
    }
    Ok(Verdict::Clean)
}

/// A check that is skipped has its reason on the line.
fn reasoned(config: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(config).with_context(|| format!("read {}", config.display()))?;
    let bare = |line: &&str| line.trim_start().starts_with("- CKV") && !line.contains(" # ");
    if let Some(line) = text.lines().find(bare) {
        bail!("{}: no reason: {line}", config.display());
    }
    Ok(())
}
