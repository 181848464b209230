//! The index of the bridge, and the file that tells others how to use it.

use std::path::Path;
use std::process::Command;

use openpgp::SigningKey;

use crate::{Error, data, key, plan};

/// Indexes `packages` with createrepo_c and signs the index. `time` is the newest time of a package: the same packages
/// give the same bytes.
pub(crate) fn index(packages: &Path, time: u32, signer: &SigningKey) -> Result<(), Error> {
    let output = Command::new("createrepo_c")
        .args([
            "--quiet",
            "--no-database",
            "--simple-md-filenames",
            "--compress-type=gz",
            "--set-timestamp-to-revision",
        ])
        .arg(format!("--revision={time}"))
        .arg(packages)
        .output()
        .map_err(|_| Error::Missing {
            program: "createrepo_c",
            package: "createrepo-c",
        })?;
    if !output.status.success() {
        return Err(Error::command(
            "createrepo_c",
            format!("index {}", packages.display()),
            &output,
        ));
    }
    let path = packages.join("repodata/repomd.xml");
    let repomd = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let (signature, _) = key::sign(signer, &repomd, time, |data, time| {
        signer.sign_detached_armored(data, time)
    })?;
    let path = packages.join("repodata/repomd.xml.asc");
    std::fs::write(&path, signature).map_err(Error::io("write", &path))
}

/// `bridge.yaml`: what a platform file needs to know.
pub(crate) fn description(packages: usize, notes: &[String]) -> String {
    let mut text = format!(
        "# Made by millrace-bridge from Debian 12 packages. For tests; never a distribution to ship.\n\
         platform: bridge-12\n\
         architecture: x86_64\n\
         repository: x86_64\n\
         gpgkey: keys/bridge-12.asc\n\
         packages: {packages}\n\
         # Installed in a transaction of its own, before anything else.\n\
         first: [{}]\n\
         # The package set of a build root.\n\
         buildroot: [{}]\n",
        plan::BASE,
        data::buildroot().join(", "),
    );
    if !notes.is_empty() {
        text.push_str("# What could not be said in RPM.\nnotes:\n");
        for note in notes {
            text.push_str(&format!("  - \"{note}\"\n"));
        }
    }
    text
}
