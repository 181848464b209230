//! Judges that are not in the repository: packages of npm at pinned versions, in `target/octokit`, and data beside the
//! checkout. Where one cannot be had, its tests say so on the terminal, also when they pass, and look at nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const ROOM: &str = env!("CARGO_MANIFEST_DIR");

/// The folder with what `judge/package-lock.json` lists, by its digests.
pub(crate) fn octokit() -> Option<PathBuf> {
    static PLACE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PLACE.get_or_init(install) {
        Ok(place) => Some(place.clone()),
        Err(why) => left_out("octokit", why),
    }
}

/// Payloads that a real Gitea sent.
pub(crate) fn recorded() -> Option<PathBuf> {
    let place = Path::new(ROOM).join("../../../shared/data/gitea-webhooks");
    if place.is_dir() {
        return Some(place);
    }
    left_out(
        "gitea-webhooks",
        &format!("{} is not there", place.display()),
    )
}

/// The harness keeps what passing tests print; this is not kept. In one piece: tests run side by side.
fn left_out<T>(judge: &str, why: &str) -> Option<T> {
    let why = why.lines().next().unwrap_or_default();
    let line = format!("\nLEFT OUT: the judge {judge}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

/// Once for each content of the lock file. Panics if a package is another one than the pinned one.
fn install() -> Result<PathBuf, String> {
    let source = Path::new(ROOM).join("tests/webhooks/judge");
    let target = Path::new(ROOM).join("../../target");
    fs::create_dir_all(&target).unwrap();
    // Held by one process at a time, until the function ends.
    let lock = File::create(target.join("octokit.lock")).unwrap();
    lock.lock().unwrap();
    let place = target.join("octokit");
    let wanted = fs::read(source.join("package-lock.json")).unwrap();
    let mark = place.join("installed");
    if !fs::read(&mark).is_ok_and(|there| there == wanted) {
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::create_dir_all(&place).unwrap();
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), place.join(name)).unwrap();
        }
        npm(&place)?;
        fs::write(&mark, wanted).unwrap();
    }
    fs::copy(source.join("sign.mjs"), place.join("sign.mjs")).unwrap();
    Ok(place)
}

fn npm(place: &Path) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let output = npm.current_dir(place).output();
    let output = output.map_err(|why| format!("npm: {why}; Debian's packages: nodejs npm"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!said.contains("EINTEGRITY"), "{said}");
    Err(said)
}
