//! Judges that are not in the repository: packages of npm at pinned versions, and data beside the checkout. Where one
//! cannot be had, whoever asks gets [`Missing`], says so aloud and looks at nothing.
//!
//! The forges' own descriptions of their APIs: prism stands between a client and a [`Forge`]. A request that does not fit gets 422 and never reaches the forge. An answer that does not fit becomes 500 with what
//! is wrong in it. Gitea's description is a file beside the checkout, or what `GITEA_OPENAPI` names. Examples and signatures
//! by octokit judge webhooks; actionlint judges workflows.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::forge::{Forge, Kind};

/// Why nobody can judge here: a program, a download or a file is missing.
#[derive(Debug)]
pub struct Missing(pub String);

impl Missing {
    /// Says aloud, past the harness of tests, that nobody judges `what`.
    pub fn tell(&self, what: &str) {
        let text = format!("\nLEFT OUT: the judge of {what}: {}\n", self.0);
        // Whoever closed its ear does not want to hear it.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// A proxy that judges. It ends when this is dropped, or when the process ends.
pub struct Judge {
    child: Child,
    url: String,
}

impl Judge {
    /// Stands before a forge.
    ///
    /// # Errors
    /// What is missing here.
    pub fn before(forge: &Forge, kind: Kind) -> Result<Self, Missing> {
        let folder = tools()?;
        let (name, description) = match kind {
            Kind::GitHub => ("github", folder.join("github.json")),
            Kind::Gitea => ("gitea", gitea_description()?),
        };
        let mut child = Command::new("node")
            .arg(folder.join("judge.mjs"))
            .args(["serve", name])
            .arg(&description)
            .arg(forge.url())
            // It ends when this does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Missing(format!("node: {error} (Debian package: nodejs)")))?;
        let mut url = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut url);
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://"), "prism does not start");
        Ok(Self { child, url })
    }

    /// Where requests go instead of [`Forge::url`].
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // One that has ended by itself is gone as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// GitHub's own examples of payloads: a list of events, each with a name and examples.
///
/// # Errors
/// What is missing here.
pub fn webhook_examples() -> Result<serde_json::Value, Missing> {
    let path = tools()?.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let bytes = std::fs::read(&path).map_err(|e| Missing(format!("{}: {e}", path.display())))?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// What actionlint says of a workflow: one mistake a line, with its place.
///
/// # Errors
/// What is missing here.
pub fn workflow_mistakes(workflow: &Path) -> Result<String, Missing> {
    let workflow = std::path::absolute(workflow).unwrap();
    let mut node = Command::new("node");
    node.arg("workflows.mjs").arg(workflow);
    run(&mut node, &tools()?, "nodejs")
}

/// The folder of payloads that a real Gitea has sent.
///
/// # Errors
/// What is missing here.
pub fn gitea_webhooks() -> Result<PathBuf, Missing> {
    beside("GITEA_WEBHOOKS", "gitea-webhooks")
}

/// Payloads that a real Gitea has sent, by the names of their files.
///
/// # Errors
/// What is missing here.
pub fn gitea_examples() -> Result<Vec<(String, serde_json::Value)>, Missing> {
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(gitea_webhooks()?).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        examples.push((name, serde_json::from_slice(&bytes).unwrap()));
    }
    examples.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(examples)
}

fn gitea_description() -> Result<PathBuf, Missing> {
    beside("GITEA_OPENAPI", "gitea-openapi3.json")
}

/// What a variable names, or what is in the folder of data beside the checkout.
fn beside(variable: &str, name: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os(variable)
        .map_or_else(|| top().join("../shared/data").join(name), PathBuf::from);
    let missing = || {
        Missing(format!(
            "{} is not there; {variable} may name it",
            path.display()
        ))
    };
    path.exists().then(|| path.clone()).ok_or_else(missing)
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Scripts that run in the folder of [`tools`]; the first one prepares it.
const SCRIPTS: [&str; 3] = ["judge.mjs", "sign.mjs", "workflows.mjs"];

/// The folder that the packages, the descriptions and the scripts are in, made once for each content of the lock file.
///
/// # Errors
/// What is missing here. Another content than the lock file says is no such case: it panics.
pub fn tools() -> Result<PathBuf, Missing> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(top().join("target"), PathBuf::from);
    let folder = target.join("forge-judge");
    std::fs::create_dir_all(&folder).unwrap();
    // One at a time, of all processes.
    let lock = File::create(target.join("forge-judge.lock")).unwrap();
    lock.lock().unwrap();
    let content = |name: &str| std::fs::read(source.join(name)).unwrap();
    let put = |name: &str| {
        let (path, content) = (folder.join(name), content(name));
        // Somebody may be reading it.
        if !std::fs::read(&path).is_ok_and(|there| there == content) {
            std::fs::write(path, content).unwrap();
        }
    };
    let wanted = [content("package-lock.json"), content(SCRIPTS[0])].concat();
    let mark = folder.join("installed");
    if !std::fs::read(&mark).is_ok_and(|there| there == wanted) {
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["package.json", "package-lock.json", SCRIPTS[0]] {
            put(name);
        }
        install(&folder)?;
        std::fs::write(&mark, wanted).unwrap();
    }
    SCRIPTS.into_iter().for_each(put);
    Ok(folder)
}

fn install(folder: &Path) -> Result<(), Missing> {
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(npm), folder, "npm")?;
    let all = folder.join("node_modules/@octokit/openapi");
    let from = all.join("generated/api.github.com.json");
    let mut trim = Command::new("node");
    trim.args(["judge.mjs", "trim"])
        .arg(from)
        .arg("github.json");
    run(&mut trim, folder, "nodejs")?;
    // 400 MB of which one part in a thousand is used.
    std::fs::remove_dir_all(all).unwrap();
    Ok(())
}

/// What it prints.
fn run(command: &mut Command, folder: &Path, package: &str) -> Result<String, Missing> {
    let output = command
        .current_dir(folder)
        .output()
        .map_err(|error| Missing(format!("{command:?}: {error} (Debian package: {package})")))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.contains("EINTEGRITY"),
        "other packages than those pinned: {said}"
    );
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let first = said.lines().next().unwrap_or("it failed without a word");
    Err(Missing(format!("{command:?}: {first}")))
}
