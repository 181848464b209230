//! Which RPMs are already there. Beside each one stands the key that it was made from; an RPM whose key differs is made
//! again, one that nobody asks for is removed. So a run that was interrupted goes on where it stopped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use openpgp::SigningKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, data};

/// Everything in this crate that decides about bytes. A changed converter makes changed packages, without a version
/// number that somebody must remember to raise.
const CONVERTER: [&str; 13] = [
    include_str!("base.rs"),
    include_str!("control.rs"),
    include_str!("convert.rs"),
    include_str!("deb.rs"),
    include_str!("elf.rs"),
    include_str!("evr.rs"),
    include_str!("place.rs"),
    include_str!("plan.rs"),
    include_str!("provides.rs"),
    include_str!("usrmerge.rs"),
    // What this file and its format depend on; raise it when the `rpm` crate's output changes.
    "rpm 0.30.2",
    "key 1",
    "layout 1",
];

/// A digest over converter, signing key and `input`, in hex.
pub(crate) fn key(signer: &SigningKey, input: &impl Serialize) -> String {
    let mut hash = Sha256::new();
    for part in CONVERTER {
        hash.update(Sha256::digest(part.as_bytes()));
    }
    hash.update(signer.public().fingerprint().as_bytes());
    hash.update(serde_json::to_vec(input).expect("plans are plain data"));
    hex::encode(hash.finalize())
}

/// The key of a whole bridge: what was asked for, before anything is resolved.
pub(crate) fn request_key(signer: &SigningKey, include: &BTreeSet<String>) -> String {
    key(signer, &(data::all(), include))
}

/// SHA-256 of a file's bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What is told of a finished RPM besides its bytes.
pub(crate) struct Converted {
    /// Time of the package and of its signature, seconds since 1970.
    pub(crate) time: u32,
    /// What could not be said in RPM, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// RPMs and the keys beside them.
pub(crate) struct Cache {
    packages: PathBuf,
    keys: PathBuf,
}

impl Cache {
    pub(crate) fn new(packages: PathBuf, keys: PathBuf) -> Result<Self, Error> {
        for directory in [&packages, &keys] {
            std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        }
        Ok(Self { packages, keys })
    }

    /// What is known of `file`, if it was made from `key`.
    pub(crate) fn get(&self, file: &str, key: &str) -> Option<Converted> {
        let note = std::fs::read_to_string(self.keys.join(file)).ok()?;
        let mut lines = note.lines();
        let mut words = lines.next()?.split(' ');
        let (made_from, time, size) = (words.next()?, words.next()?, words.next()?);
        let there = std::fs::metadata(self.packages.join(file)).ok()?;
        let same = made_from == key && there.len() == size.parse::<u64>().ok()?;
        let notes = lines.map(str::to_owned).collect();
        same.then_some(Converted {
            time: time.parse().ok()?,
            notes,
        })
    }

    /// Writes `file` whole or not at all, and then the note that it is done.
    pub(crate) fn put(
        &self,
        file: &str,
        key: &str,
        package: &rpm::Package,
        known: &Converted,
    ) -> Result<(), Error> {
        let path = self.packages.join(file);
        let partial = self.packages.join(format!(".{file}.partial"));
        let mut bytes = Vec::new();
        package.write(&mut bytes)?;
        std::fs::write(&partial, &bytes).map_err(Error::io("write", &partial))?;
        // The index tells the file's time, so it must be the package's.
        let time = UNIX_EPOCH + Duration::from_secs(u64::from(known.time));
        std::fs::File::options()
            .write(true)
            .open(&partial)
            .and_then(|file| file.set_modified(time))
            .map_err(Error::io("set the time of", &partial))?;
        std::fs::rename(&partial, &path).map_err(Error::io("rename", &partial))?;
        let mut note = format!("{key} {} {}\n", known.time, bytes.len());
        for line in &known.notes {
            note.push_str(line);
            note.push('\n');
        }
        let path = self.keys.join(file);
        std::fs::write(&path, note).map_err(Error::io("write", &path))
    }

    /// Removes every RPM and partial file that is not in `wanted`.
    pub(crate) fn keep_only(&self, wanted: &BTreeSet<String>) -> Result<(), Error> {
        for directory in [&self.packages, &self.keys] {
            for item in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
                let item = item.map_err(Error::io("list", directory))?;
                let name = item.file_name().to_string_lossy().into_owned();
                let ours = name.ends_with(".rpm") || name.ends_with(".partial");
                if ours && !wanted.contains(&name) {
                    std::fs::remove_file(item.path()).map_err(Error::io("remove", item.path()))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }
}
