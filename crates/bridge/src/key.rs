//! The key that signs the bridge. It proves only that a file is the one that this machine made.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use openpgp::{KeyKind, SigningKey};

use crate::{Error, KEY_CREATED};

/// Names the key in `rpm -qi gpg-pubkey`.
const USER_ID: &str = "Millrace bridge (made on this machine, for tests) <bridge@localhost>";

/// Reads the key at `given`, or the one in `keys`, which is made if it is not there.
pub(crate) fn load(given: Option<&Path>, keys: &Path) -> Result<SigningKey, Error> {
    if let Some(path) = given {
        return read(path);
    }
    let path = keys.join("bridge-12.secret.asc");
    if path.exists() {
        return read(&path);
    }
    std::fs::create_dir_all(keys).map_err(Error::io("create", keys))?;
    let key = SigningKey::generate(KeyKind::Ed25519, USER_ID, u64::from(KEY_CREATED))
        .map_err(|source| failed(path.display(), source))?;
    write_secret(
        &path,
        key.to_armored_secret()
            .expect("it was made here")
            .as_bytes(),
    )?;
    Ok(key)
}

/// Writes the public half and says where.
pub(crate) fn publish(key: &SigningKey, keys: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(keys).map_err(Error::io("create", keys))?;
    let path = keys.join("bridge-12.asc");
    std::fs::write(&path, key.public().to_armored()).map_err(Error::io("write", &path))?;
    Ok(path)
}

/// Signs `data` at `time`, or when the key was made if that is later: gpg refuses signatures older than their key.
/// Returns the time that was used.
pub(crate) fn sign<T>(
    key: &SigningKey,
    data: &[u8],
    time: u32,
    sign: impl Fn(&[u8], u64) -> Result<T, openpgp::Error>,
) -> Result<(T, u32), Error> {
    let failed = |source| failed(key.public().fingerprint(), source);
    match sign(data, u64::from(time)) {
        Ok(signature) => Ok((signature, time)),
        Err(openpgp::Error::NotValidThen { created, .. }) if u64::from(time) < created => {
            let signature = sign(data, created).map_err(failed)?;
            Ok((signature, u32::try_from(created).unwrap_or(u32::MAX)))
        }
        Err(source) => Err(failed(source)),
    }
}

fn read(path: &Path) -> Result<SigningKey, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read the signing key", path))?;
    SigningKey::from_armored(&text).map_err(|source| failed(path.display(), source))
}

fn failed(key: impl std::fmt::Display, source: openpgp::Error) -> Error {
    Error::Key {
        key: key.to_string(),
        source: Box::new(source),
    }
}

fn write_secret(path: &Path, text: &[u8]) -> Result<(), Error> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("create", path))?;
    file.write_all(text).map_err(Error::io("write", path))
}
