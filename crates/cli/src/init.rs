//! `millrace init`: a state repository from the template, with keys and runners for this machine.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use git::{CommitMeta, Outcome, Repository};
use include_dir::{Dir, include_dir};
use openpgp::{KeyKind, SigningKey};
use rand::RngCore;

use crate::Verdict;
use crate::args::InitArgs;
use crate::local::{Layout, private_directory, private_file, sibling};
use crate::render::Output;

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../state-repo-template");

/// Names of the two runners that `millrace up` starts.
pub(crate) const BUILDER: &str = "local-builder";
pub(crate) const SIGNER: &str = "local-signer";

pub(crate) fn run(args: &InitArgs, output: &Output) -> anyhow::Result<Verdict> {
    let layout = Layout::new(&args.directory)?;
    ensure!(
        !layout.state().exists() && !layout.secrets().exists(),
        "{} has a state repository already: choose another directory, or remove it first",
        layout.root().display()
    );
    private_directory(&layout.secrets())?;
    private_directory(&layout.signing_keys())?;
    let mut token = [0u8; 32];
    rand::rngs::OsRng.fill_bytes(&mut token);
    private_file(
        &layout.secrets().join("admin.token"),
        hex::encode(token).as_bytes(),
    )?;

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("read the clock")?
        .as_secs();
    let mut files = template(&args.name);
    let public = signing_key(&layout, &args.name, now)?;
    files.push(("keys/main.asc".to_owned(), public.into_bytes()));
    for (id, program) in [(BUILDER, "millrace-runner"), (SIGNER, "millrace-signer")] {
        let text = enroll(&layout, id, program, args)?;
        files.push((format!("runners/{id}.yaml"), text.into_bytes()));
    }
    commit(&layout.state(), &files, now)?;

    if output.json {
        output.print_json(&serde_json::json!({
            "state": layout.state(), "secrets": layout.secrets(), "files": files.len(),
        }))?;
        return Ok(Verdict::Well);
    }
    println!(
        "made {} with {} files on its branch main",
        layout.state().display(),
        files.len()
    );
    println!(
        "private keys are in {}; keep a copy in a safe place",
        layout.secrets().display()
    );
    println!();
    println!("next:");
    println!("  millrace up --data {}", layout.root().display());
    println!(
        "  git clone {} my-distribution    # write builds/<yyyy>/<mm>/<name>.yaml, commit, push",
        layout.state().display()
    );
    println!("  millrace watch --data {}", layout.root().display());
    Ok(Verdict::Well)
}

/// The template's files. Only the project's name differs.
fn template(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut queue = vec![&TEMPLATE];
    while let Some(directory) = queue.pop() {
        queue.extend(directory.dirs());
        for file in directory.files() {
            let path = file.path().to_string_lossy().into_owned();
            let mut bytes = file.contents().to_vec();
            if path == "millrace.yaml" {
                let text = String::from_utf8_lossy(&bytes);
                let line = text
                    .lines()
                    .find(|line| line.starts_with("name:"))
                    .unwrap_or_default();
                let quoted = serde_json::to_string(name).expect("a string has a JSON form");
                bytes = text
                    .replacen(line, &format!("name: {quoted}"), 1)
                    .into_bytes();
            }
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

fn signing_key(layout: &Layout, name: &str, now: u64) -> anyhow::Result<String> {
    let user = format!("{name} packages");
    let key = SigningKey::generate(KeyKind::Ed25519, &user, now).context("make a signing key")?;
    private_file(
        &layout.signing_keys().join("main.key"),
        key.to_armored_secret().as_bytes(),
    )?;
    Ok(key.public().to_armored())
}

/// Makes a runner's identity and answers its enrolment file.
fn enroll(layout: &Layout, id: &str, program: &str, args: &InitArgs) -> anyhow::Result<String> {
    let deb_arch = match args.rpm_arch.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "ppc64le" | "powerpc64" => "ppc64el",
        other => other,
    };
    let output = Command::new(sibling(program)?)
        .args([
            "enroll",
            "--id",
            id,
            "--arch",
            &args.rpm_arch,
            "--arch",
            deb_arch,
        ])
        .arg("--key")
        .arg(layout.identity(id))
        .args(["--capacity", &args.capacity.to_string()])
        .args(args.emulated.iter().flat_map(|arch| ["--emulated", arch]))
        .output()
        .with_context(|| format!("run {program} enroll"))?;
    if !output.status.success() {
        bail!(
            "{program} enroll: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn commit(state: &Path, files: &[(String, Vec<u8>)], now: u64) -> anyhow::Result<()> {
    let repository = Repository::init_bare(state).context("make the state repository")?;
    let edits: Vec<(&str, Option<&[u8]>)> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), Some(&bytes[..])))
        .collect();
    let meta = CommitMeta {
        name: "Millrace".to_owned(),
        email: "millrace@localhost".to_owned(),
        time: i64::try_from(now).context("read the clock")?,
        message: "Begin from the template\n".to_owned(),
    };
    match repository
        .commit_files("main", None, &edits, &meta)
        .context("commit the template")?
    {
        Outcome::Committed(_) => Ok(()),
        Outcome::Moved { .. } | Outcome::Unchanged => {
            bail!("{} is being written by another program", state.display())
        }
    }
}
