//! The RPM repository out of Debian packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::sh::{bin, run, target};

/// Makes the RPM repository out of Debian packages; at once if it is there.
pub(crate) fn make() -> Result<PathBuf> {
    let out = target().join("bridge");
    println!(
        "== the bridge: an RPM repository out of Debian packages, in {}",
        out.display()
    );
    run(Command::new(bin("millrace-bridge"))
        .args(["make", "--out"])
        .arg(&out))?;
    Ok(out)
}
