//! Functions as Lambda takes them: a zip with the program `bootstrap` in it, for each.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sh::{cmd, output, run, target, top};

/// The profile of programs for Lambda.
pub(crate) const PROFILE: &str = "function";
/// Packs what it is given.
const PACK: &str = "\
import sys, zipfile
program, package = sys.argv[1:]
entry = zipfile.ZipInfo('bootstrap')
entry.external_attr = 0o755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
with zipfile.ZipFile(package, 'w') as out:
    out.writestr(entry, open(program, 'rb').read(), compresslevel=1)
";

/// Builds and packs them for a real AWS, where the examples of `terraform/` look for those of a processor: the folder's name
/// is Lambda's word for it, so that no function gets another one's packages.
pub(crate) fn for_lambda() -> Result<PathBuf> {
    let words = ["build", "--quiet", "--profile", PROFILE, "--package"];
    run(cmd("cargo", &words)
        .args(["functions", "--bins"])
        .current_dir(top()))?;
    let fixtures = top().join("terraform/fixtures/functions");
    let programs = target().join(PROFILE);
    let folder = target().join("functions").join(architecture()?);
    pack(&programs, &folder, &fixtures)
}

/// Of this machine, as Lambda calls it.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "aarch64" => Ok("arm64"),
        "x86_64" => Ok("x86_64"),
        other => {
            bail!("Lambda has no {other}: build the functions on a machine with x86_64 or aarch64")
        }
    }
}

/// Packs `programs`, which are there, into `folder`: a package for each of `fixtures`.
pub(super) fn pack(programs: &Path, folder: &Path, fixtures: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for fixture in std::fs::read_dir(fixtures).context("read the fixtures of functions")? {
        let fixture = fixture?.path();
        let name = fixture.file_stem().unwrap_or_default().to_string_lossy();
        let package = folder.join(format!("{name}.zip"));
        if !has_program(&name) {
            std::fs::copy(&fixture, &package)
                .with_context(|| format!("copy the package of {name}"))?;
            continue;
        }
        let stripped = folder.join("bootstrap");
        let mut strip = cmd("strip", &["--output-file"]);
        output(strip.arg(&stripped).arg(programs.join(&*name)))?;
        output(cmd("python3", &["-c", PACK]).arg(&stripped).arg(&package))?;
        std::fs::remove_file(&stripped)?;
    }
    Ok(folder.to_owned())
}

/// A function of Terraform's may have no program yet.
fn has_program(name: &str) -> bool {
    top().join(format!("functions/src/bin/{name}.rs")).exists()
}
