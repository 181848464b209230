//! The judge that applies: an example, by a real provider of 2021, against an emulator of AWS.
//!
//! What that provider does not know is taken out of a copy, as `terraform/judges/older.json` lists it. The rest is
//! the very text that is deployed: a real provider refuses what a schema cannot say.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Verdict;
use super::tools::{folder, missing, no_terraform, older_provider, python, terraform, work};
use crate::sh::{cmd, output, run};

/// Where the state of the last apply is left for the judge of policies.
pub(super) fn state_file() -> PathBuf {
    work().join("applied.json")
}

pub(super) fn judge() -> Result<Verdict> {
    if terraform().is_none() {
        return Ok(no_terraform());
    }
    if let Some(left_out) = missing("python3", "python3-venv") {
        return Ok(left_out);
    }
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Verdict::LeftOut(
            "the older provider is there for x86_64 alone".to_owned(),
        ));
    }
    // What an apply of before has left is not judged as this one's.
    std::fs::remove_file(state_file()).ok();
    let list = folder().join("judges/older.json");
    let list: Value =
        serde_json::from_slice(&std::fs::read(&list)?).context("read judges/older.json")?;
    let settings = older_provider()?;
    let emulator = Emulator::start()?;
    let copy = work().join("older");
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    run(cmd("cp", &["-r"]).arg(folder()).arg(&copy))?;
    fit(&copy, &list)?;
    let example = copy.join("examples").join(text(&list["example"])?);
    for name in ["judge.tf", "judge_override.tf"] {
        let text = std::fs::read_to_string(folder().join("judges/older").join(name))?;
        let text = text.replace("PORT", &emulator.port.to_string());
        std::fs::write(example.join(name), text)?;
    }
    let variables = list["variables"].to_string();
    std::fs::write(example.join("terraform.tfvars.json"), variables)?;

    let call = |words: &[&str]| -> Command {
        let mut command = terraform().expect("looked for above");
        command
            .args(words)
            .current_dir(&example)
            .env("TF_CLI_CONFIG_FILE", &settings);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env(name, "emulator");
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    };
    output(&mut call(&["init", "-input=false", "-no-color"]))?;
    let applied = output(&mut call(&[
        "apply",
        "-auto-approve",
        "-input=false",
        "-no-color",
    ]))?;
    println!("{}", line(&applied, "Apply complete!")?);
    let mut again = call(&["plan", "-input=false", "-no-color"]);
    let again = output(&mut again)?;
    std::fs::write(work().join("planned-again.txt"), &again)?;
    nothing_differs(&again, &texts(&list["forgotten"])?)?;
    std::fs::write(state_file(), output(&mut call(&["show", "-json"]))?)?;
    let destroyed = output(&mut call(&[
        "destroy",
        "-auto-approve",
        "-input=false",
        "-no-color",
    ]))?;
    println!("{}", line(&destroyed, "Destroy complete!")?);
    Ok(Verdict::Clean)
}

fn line<'t>(output: &'t str, begin: &str) -> Result<&'t str> {
    output
        .lines()
        .find(|line| line.starts_with(begin))
        .with_context(|| format!("no line `{begin}` in\n{output}"))
}

/// A second plan finds no difference: what is applied is what is written. `forgotten`: of these resources the emulator
/// does not tell all that it was given.
fn nothing_differs(plan: &str, forgotten: &[&str]) -> Result<()> {
    let mut others = Vec::new();
    let mut known = 0;
    for block in plan.split("\n  # ").skip(1) {
        let title = block.lines().next().unwrap_or_default();
        if !title.contains(" will be ") && !title.contains(" must be ") {
            continue;
        }
        if forgotten.iter().any(|name| title.contains(name)) || is_whitespace_alone(block) {
            known += 1;
        } else {
            others.push(title);
        }
    }
    ensure!(
        others.is_empty(),
        "a plan right after the apply has differences, see {}:\n{}",
        work().join("planned-again.txt").display(),
        others.join("\n")
    );
    println!(
        "planned again: no differences but {known} that the emulator or the spaces of a document make"
    );
    Ok(())
}

/// A document that came back with other spaces between its words.
fn is_whitespace_alone(block: &str) -> bool {
    let changed = |line: &&str| {
        ["      ~ ", "      + ", "      - "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let mut changes = block.lines().filter(changed).peekable();
    changes.peek().is_some() && changes.all(|line| line.ends_with("# whitespace changes"))
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .context("judges/older.json: a text is missing")
}

fn texts(value: &Value) -> Result<Vec<&str>> {
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

/// moto, on a port that was free; it ends with this value.
struct Emulator {
    child: Child,
    port: u16,
}

impl Emulator {
    /// In tenths of a second; it starts within one second.
    const PATIENCE: u32 = 300;

    fn start() -> Result<Self> {
        let program = python("moto")?.join("bin/moto_server");
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = std::fs::File::create(work().join("moto.log"))?;
        let child = cmd(program, &["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start moto_server")?;
        let emulator = Self { child, port };
        for _ in 0..Self::PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(emulator);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "moto_server does not answer: see {}",
            work().join("moto.log").display()
        )
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It is gone already, or it goes now: either is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
