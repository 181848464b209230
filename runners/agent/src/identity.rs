//! Who this runner is: an Ed25519 key in a file that nobody else can read.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use pipeline_spec::{RunnerId, RunnerKey};
use zeroize::Zeroizing;

use crate::Error;

/// A PEM file of an Ed25519 key has about 120 bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// A runner's name and the key that proves it.
pub struct Identity {
    pub(crate) runner: RunnerId,
    // Wiped when dropped.
    pub(crate) key: SigningKey,
}

impl Identity {
    /// Reads the key file: PKCS #8 in PEM, mode 0600.
    pub fn load(runner: RunnerId, path: &Path) -> Result<Self, Error> {
        let pem = read_private(path).map_err(|error| match error {
            Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                Error::Unusable(format!(
                    "read {0}: it is not there; make it with: enroll --id {runner} --key {0}",
                    path.display()
                ))
            }
            error => error,
        })?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
            // The parser's message may quote what it read.
            Error::Unusable(format!(
                "read {}: it is not an Ed25519 private key in PEM (PKCS #8); make one with: enroll --id {runner} --key {}",
                path.display(),
                path.display()
            ))
        })?;
        Ok(Self { runner, key })
    }

    /// Makes a key and writes it to the new file `path` with mode 0600. A key that is there is read, so
    /// that enrolling twice is enrolling once.
    pub fn load_or_create(runner: RunnerId, path: &Path) -> Result<Self, Error> {
        let created = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path);
        let mut file = match created {
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                return Self::load(runner, path);
            }
            created => created.map_err(Error::io("create the identity key", path))?,
        };
        let key = SigningKey::generate(&mut rand::rngs::OsRng);
        let pem = key
            .to_pkcs8_pem(LineEnding::LF)
            .expect("an Ed25519 key has a PKCS #8 form");
        file.write_all(pem.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write the identity key", path))?;
        Ok(Self { runner, key })
    }

    /// The runner's name.
    pub fn runner(&self) -> &RunnerId {
        &self.runner
    }

    /// The public half, as `runners/<id>.yaml` has it.
    pub fn public(&self) -> RunnerKey {
        RunnerKey::new(self.key.verifying_key().to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, {})", self.runner, self.public())
    }
}

/// Reads a small file of secrets that only its owner may read.
///
/// Also for the signer's keys: one rule for every private file.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, Error> {
    read_private_up_to(path, MAX_KEY_FILE_BYTES)
}

/// [`read_private`] with a limit in bytes of the caller's.
pub fn read_private_up_to(path: &Path, limit: u64) -> Result<Zeroizing<String>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let meta = file.metadata().map_err(Error::io("inspect", path))?;
    let refuse = |why: String| Err(Error::Unusable(format!("use {}: {why}", path.display())));
    if !meta.is_file() {
        return refuse("it is not a regular file".into());
    }
    if meta.mode() & 0o077 != 0 {
        return refuse(format!(
            "others than its owner have rights on it (mode {:04o}); run: chmod 600 {}",
            meta.mode() & 0o7777,
            path.display()
        ));
    }
    if meta.len() > limit {
        return refuse(format!("it is larger than {limit} bytes"));
    }
    // Sized beforehand, so that growing leaves no copy behind.
    let size = usize::try_from(meta.len()).expect("the limit fits in memory");
    let mut text = Zeroizing::new(String::with_capacity(size + 1));
    file.take(meta.len())
        .read_to_string(&mut text)
        .map_err(Error::io("read", path))?;
    Ok(text)
}
