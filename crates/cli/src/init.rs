//! `millrace init`: a state repository from the template, with keys and runners for this machine, or for an installation
//! on AWS.

pub(crate) mod editors;
mod installation;
mod on_forge;
mod shell;

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use git::{CommitMeta, Outcome, Repository};
use include_dir::{Dir, include_dir};
use rand::RngCore;

use crate::Verdict;
use crate::args::InitArgs;
use crate::local::{Layout, private_directory, private_file, sibling};
use crate::render::Output;
use editors::for_editors;
use installation::Installation;
use on_forge::Site;
use shell::quoted;

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../state-repo-template");

/// The signing key's file: `private` in the template's keys/main.yaml says the same.
const KEY_FILE: &str = "main.key";
/// Files in the way that an error names.
const NAMED: usize = 5;
/// What `init` and `up` start.
const PROGRAMS: [&str; 2] = ["millrace-runner", "millrace-signer"];

/// Names of the two runners that `millrace up` starts.
pub(crate) const BUILDER: &str = "local-builder";
pub(crate) const SIGNER: &str = "local-signer";

/// As git writes them: `https://host/path`, `user@host:path`.
fn is_address(directory: &std::path::Path) -> bool {
    let text = directory.to_string_lossy();
    text.contains("://")
        || text
            .split_once('@')
            .is_some_and(|(_, rest)| rest.contains(':'))
}

pub(crate) fn run(args: &InitArgs, output: &Output) -> anyhow::Result<Verdict> {
    ensure!(
        !is_address(&args.directory),
        "init makes a directory on this machine, and what was given is an address: give a DIRECTORY, and the address with `--forge github` or `gitea` and `--state`"
    );
    let layout = Layout::new(&args.directory)?;
    ensure!(
        !layout.state().exists() && !layout.secrets().exists(),
        "{} has a state repository already: choose another directory, or remove it first",
        layout.root().display()
    );
    ensure_free(layout.root())?;
    let site = Site::of(args)?;
    if let Some(path) = &args.installation {
        return for_cloud(args, &Installation::read(path)?, &layout, output);
    }
    // Looked for before anything is made: an init that ends half way leaves a directory in the way.
    for program in PROGRAMS {
        sibling(program)?;
    }
    private_directory(&layout.secrets())?;
    // Whatever was there before, and whatever the file system makes of a mode.
    std::fs::set_permissions(layout.secrets(), Permissions::from_mode(0o700))
        .with_context(|| format!("make {} private", layout.secrets().display()))?;
    private_directory(&layout.signing_keys())?;
    let mut token = [0u8; 32];
    rand::rngs::OsRng.fill_bytes(&mut token);
    private_file(
        &layout.secrets().join("admin.token"),
        hex::encode(token).as_bytes(),
    )?;

    let mut files = template(&args.name);
    let public = signing_key(&layout, &args.name)?;
    files.push(("keys/main.asc".to_owned(), public.into_bytes()));
    for (id, program) in [(BUILDER, "millrace-runner"), (SIGNER, "millrace-signer")] {
        let text = enroll(&layout, id, program, args)?;
        files.push((format!("runners/{id}.yaml"), text.into_bytes()));
    }
    on_forge::keep(&mut files, args.forge);
    for_editors(&mut files);
    commit(&layout.state(), &files)?;
    if let Some(site) = &site {
        site.prepare(&layout, &args.name)?;
    }

    if output.json {
        output.print_json(&serde_json::json!({
            "state": layout.state(), "secrets": layout.secrets(), "files": files.len(),
            "forge": site.as_ref().map(|site| site.json(&layout)),
        }))?;
        return Ok(Verdict::Well);
    }
    let made = made(&layout, files.len());
    let next = match &site {
        Some(site) => site.text(&layout),
        None => next_steps(&layout),
    };
    output.print(&format!("{made}\n{next}"))?;
    Ok(Verdict::Well)
}

/// Keys are in KMS, and runners are enrolled by whoever sets them up: nothing secret is made here.
fn for_cloud(
    args: &InitArgs,
    installation: &Installation,
    layout: &Layout,
    output: &Output,
) -> anyhow::Result<Verdict> {
    private_directory(layout.root())?;
    let mut files = template(&args.name);
    files.retain(|(path, _)| path != "keys/main.yaml");
    for (path, bytes) in &mut files {
        if path.starts_with("repositories/") {
            let text = String::from_utf8_lossy(bytes);
            let is_rpm = text.lines().any(|line| line.trim() == "format: rpm");
            let key = installation.key_of(if is_rpm { "rpm" } else { "deb" });
            *bytes = text
                .replace("\nkey: main\n", &format!("\nkey: {key}\n"))
                .into_bytes();
        }
    }
    files.extend(
        installation
            .keys()
            .map(|(path, text)| (path, text.into_bytes())),
    );
    on_forge::keep(&mut files, installation.forge());
    for_editors(&mut files);
    commit(&layout.state(), &files)?;
    if output.json {
        output.print_json(&serde_json::json!({
            "state": layout.state(), "files": files.len(), "keys": installation.names(),
            "api_url": installation.api_url,
        }))?;
        return Ok(Verdict::Well);
    }
    let certificates: String = installation
        .names()
        .iter()
        .map(|name| format!("  keys/{name}.asc"))
        .collect();
    output.print(&format!(
        "made {state} with {files} files on its branch main\n\
         \n\
         next:\n  \
           git clone {clone} my-distribution\n  \
           with the signer's rights, make the certificates that the keys' files name:{certificates}\n  \
           millrace-signer enroll, and millrace-runner enroll: commit what they print as runners/ID.yaml\n  \
           millrace lint my-distribution\n  \
           git push {url} HEAD:main\n  \
           millrace status --url {api}\n",
        state = layout.state().display(),
        clone = quoted(&layout.state()),
        files = files.len(),
        url = installation.state_repository.url,
        api = installation.api_url,
    ))?;
    Ok(Verdict::Well)
}

/// A folder in which something lies may be somebody's: nothing is put beside it.
fn ensure_free(root: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", root.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // A new file system begins with it.
        if name != "lost+found" {
            names.push(name);
        }
    }
    names.sort();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    names.truncate(NAMED);
    ensure!(
        names.is_empty(),
        "{} is not empty: {}{more} would be in the way; choose a new directory",
        root.display(),
        names.join(", ")
    );
    Ok(())
}

fn made(layout: &Layout, files: usize) -> String {
    format!(
        "made {state} with {files} files on its branch main\n\
         private keys are in {secrets}; keep a copy in a safe place\n",
        state = layout.state().display(),
        secrets = layout.secrets().display(),
    )
}

fn next_steps(layout: &Layout) -> String {
    let (root, state) = (quoted(layout.root()), quoted(&layout.state()));
    format!(
        "next:\n  \
           millrace up --data {root}\n  \
           git clone {state} my-distribution    # write builds/<yyyy>/<mm>/<name>.yaml, commit, push\n  \
           millrace watch --data {root}\n\
         on GitHub or Gitea: docs/how-to/on-a-forge.md; with --forge, init says what to click there\n"
    )
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

/// Has the signer make the signing key; answers the public half. The private one never is in this process.
fn signing_key(layout: &Layout, name: &str) -> anyhow::Result<String> {
    let program = sibling("millrace-signer")?;
    let mut keygen = Command::new(program);
    keygen
        .arg("keygen")
        .arg("--keys")
        .arg(layout.signing_keys())
        .args(["--file", KEY_FILE, "--user-id"])
        .arg(format!("{name} packages"));
    said_by(keygen, "millrace-signer keygen")
}

/// What a program prints, or its error.
fn said_by(mut command: Command, name: &str) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}", said.trim().trim_start_matches("Error: "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes a runner's identity and answers its enrolment file.
fn enroll(layout: &Layout, id: &str, program: &str, args: &InitArgs) -> anyhow::Result<String> {
    let deb_arch = match args.rpm_arch.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "ppc64le" | "powerpc64" => "ppc64el",
        other => other,
    };
    let mut enroll = Command::new(sibling(program)?);
    enroll
        .args(["enroll", "--id", id, "--arch", &args.rpm_arch])
        .args(["--arch", deb_arch, "--key"])
        .arg(layout.identity(id))
        .args(["--capacity", &args.jobs.to_string()])
        .args(args.emulated.iter().flat_map(|arch| ["--emulated", arch]));
    said_by(enroll, &format!("{program} enroll"))
}

fn commit(state: &Path, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("read the clock")?
        .as_secs();
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
