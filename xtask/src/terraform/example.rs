//! An example, copied and fitted to a real provider of 2021 and an emulator of AWS.
//!
//! What that provider does not know is taken out of the copy, as `terraform/judges/older.json` lists it. The rest is
//! the very text that is deployed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Verdict;
use super::tools::{folder, missing, no_terraform, older_provider, terraform, work};
use crate::sh::{cmd, output, run};

/// `terraform/judges/older.json`: what differs in a copy.
pub(crate) fn differences() -> Result<Value> {
    let list = folder().join("judges/older.json");
    serde_json::from_slice(&std::fs::read(&list)?).context("read judges/older.json")
}

/// A copy that can be applied.
pub(crate) struct Example {
    folder: PathBuf,
    /// Settings of Terraform that know the provider.
    settings: PathBuf,
}

impl Example {
    /// Why none can be applied here, if so.
    pub(crate) fn cannot() -> Result<Option<Verdict>> {
        if terraform().is_none() {
            return Ok(Some(no_terraform()));
        }
        if let Some(left_out) = missing("python3", "python3-venv") {
            return Ok(Some(left_out));
        }
        Ok((std::env::consts::ARCH != "x86_64")
            .then(|| Verdict::LeftOut("the older provider is there for x86_64 alone".to_owned())))
    }

    /// The copy `name` for the emulator that listens on `port`, and initialised.
    pub(crate) fn copied(name: &str, port: u16, list: &Value) -> Result<Self> {
        let settings = older_provider()?;
        let copy = work().join(name);
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        run(cmd("cp", &["-r"]).arg(folder()).arg(&copy))?;
        fit(&copy, list)?;
        let place = copy.join("examples").join(text(&list["example"])?);
        for name in ["judge.tf", "judge_override.tf"] {
            let text = std::fs::read_to_string(folder().join("judges/older").join(name))?;
            std::fs::write(place.join(name), text.replace("PORT", &port.to_string()))?;
        }
        let variables = list["variables"].to_string();
        std::fs::write(place.join("terraform.tfvars.json"), variables)?;
        let example = Self {
            folder: place,
            settings,
        };
        output(&mut example.call(&["init", "-input=false", "-no-color"]))?;
        Ok(example)
    }

    /// `terraform WORDS` in the copy.
    pub(crate) fn call(&self, words: &[&str]) -> Command {
        let mut command = terraform().expect("asked for before the copy was made");
        command
            .args(words)
            .current_dir(&self.folder)
            .env("TF_CLI_CONFIG_FILE", &self.settings);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env(name, "emulator");
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Answers Terraform's line of what it made.
    pub(crate) fn apply(&self) -> Result<String> {
        self.change("apply", "Apply complete!")
    }

    /// Answers Terraform's line of what it removed.
    pub(crate) fn destroy(&self) -> Result<String> {
        self.change("destroy", "Destroy complete!")
    }

    /// All that was made, with the outputs.
    pub(crate) fn state(&self) -> Result<Value> {
        let state = output(&mut self.call(&["show", "-json", "-no-color"]))?;
        serde_json::from_str(&state).context("read Terraform's state")
    }

    fn change(&self, word: &str, end: &str) -> Result<String> {
        let words = [word, "-auto-approve", "-input=false", "-no-color"];
        let said = output(&mut self.call(&words))?;
        let line = said.lines().find(|line| line.starts_with(end));
        let line = line.with_context(|| format!("no line `{end}` in\n{said}"))?;
        Ok(line.to_owned())
    }
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .context("judges/older.json: a text is missing")
}

pub(super) fn texts(value: &Value) -> Result<Vec<&str>> {
    let list = value
        .as_array()
        .context("judges/older.json: a list is missing")?;
    list.iter().map(text).collect()
}

/// Takes out of the copy what the provider does not know. Each entry must be of use, or it is refused: a list that
/// nobody reads any more hides what is not judged.
fn fit(copy: &Path, list: &Value) -> Result<()> {
    for file in texts(&list["files"])? {
        let path = copy.join(file);
        std::fs::remove_file(&path).with_context(|| format!("judges/older.json: {file}"))?;
    }
    let mut paths = Vec::new();
    for kind in ["modules", "examples"] {
        for module in std::fs::read_dir(copy.join(kind))? {
            for file in std::fs::read_dir(module?.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|end| end == "tf") {
                    paths.push(path);
                }
            }
        }
    }
    let attributes = texts(&list["attributes"])?;
    let blocks = texts(&list["blocks"])?;
    let mut replacements = Vec::new();
    for pair in list["replace"]
        .as_array()
        .context("judges/older.json: replace")?
    {
        replacements.push((text(&pair[0])?, text(&pair[1])?));
    }
    let mut used = vec![false; attributes.len() + blocks.len() + replacements.len()];
    for path in paths {
        let mut content = std::fs::read_to_string(&path)?;
        for (index, (from, to)) in replacements.iter().enumerate() {
            if content.contains(from) {
                used[attributes.len() + blocks.len() + index] = true;
                content = content.replace(from, to);
            }
        }
        let content = without(&content, &attributes, &blocks, &mut used);
        std::fs::write(&path, content)?;
    }
    let names = attributes.iter().chain(&blocks).copied();
    let names: Vec<&str> = names
        .chain(replacements.iter().map(|(from, _)| *from))
        .collect();
    if let Some(index) = used.iter().position(|used| !used) {
        bail!(
            "judges/older.json: nothing has `{}` any more: take it out of the list",
            names[index]
        );
    }
    Ok(())
}

/// The text without lines that set one of `attributes`, and without `blocks`, to the brace at the same depth.
/// `terraform fmt` has been there: a block ends with a brace alone in the column where it began.
fn without(text: &str, attributes: &[&str], blocks: &[&str], used: &mut [bool]) -> String {
    let mut kept = String::new();
    let mut until: Option<String> = None;
    for line in text.lines() {
        if let Some(end) = &until {
            if line == end {
                until = None;
            }
            continue;
        }
        let word = line.trim_start();
        let indent = &line[..line.len() - word.len()];
        let sets = |name: &&str| {
            word.strip_prefix(*name)
                .is_some_and(|rest| rest.trim_start().starts_with("= "))
        };
        if let Some(index) = attributes.iter().position(sets) {
            used[index] = true;
            continue;
        }
        let opens = |name: &&str| word.strip_prefix(*name).is_some_and(|rest| rest == " {");
        if let Some(index) = blocks.iter().position(opens) {
            used[attributes.len() + index] = true;
            until = Some(format!("{indent}}}"));
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}
