//! Functions as Lambda takes them: a zip with the program `bootstrap` in it, for each.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sh::{bin, cmd, output};

/// Every function that has a program.
pub(super) const FUNCTIONS: [&str; 7] = [
    "webhook",
    "plan",
    "dispatch",
    "runner-api",
    "report",
    "sweep",
    "read-api",
];
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

/// Packs the programs of the dev profile, which are there, into `folder`.
pub(super) fn pack(folder: &Path, fixtures: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for name in FUNCTIONS {
        let stripped = folder.join("bootstrap");
        output(
            cmd("strip", &["--output-file"])
                .arg(&stripped)
                .arg(bin(name)),
        )?;
        let package = folder.join(format!("{name}.zip"));
        output(cmd("python3", &["-c", PACK]).arg(&stripped).arg(&package))?;
        std::fs::remove_file(&stripped)?;
    }
    // It has no program yet: runners send their results to runner-api.
    std::fs::copy(fixtures.join("collect.zip"), folder.join("collect.zip"))
        .context("copy the package of collect")?;
    Ok(folder.to_owned())
}
