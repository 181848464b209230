//! The signer's key folder: one armored private key per file, readable by its owner alone.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openpgp::{PublicKey, SigningKey};
use pipeline_spec::{KeyId, SecretName};
use runner_agent::Halt;
use runner_api::KeyFiles;

use crate::refused;

/// An RSA-4096 key with many user ids has less.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;
/// What a key file's name may have after the key's id.
const EXTENSIONS: [&str; 4] = ["", ".key", ".asc", ".gpg"];

/// Why a key cannot be used. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The object.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No file for this key.
    #[error(
        "find the private key {id}: the signer's folder {} has no {file}; put it there with mode 0600",
        folder.display()
    )]
    Unknown {
        /// The key.
        id: KeyId,
        /// The file's name.
        file: String,
        /// The signer's folder.
        folder: PathBuf,
    },
    /// Two files for one key.
    #[error("choose the private key {id}: the folder has both {one} and {other}; keep one")]
    Ambiguous {
        /// The key.
        id: KeyId,
        /// A file's name.
        one: String,
        /// Another's.
        other: String,
    },
    /// A file that others can read, or that is none.
    #[error(transparent)]
    File(#[from] runner_agent::Error),
    /// A file that holds no usable key.
    #[error("use {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The cause, without key material.
        source: Box<openpgp::Error>,
    },
}

/// The folder. Keys are read when a task needs them, and wiped after it.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Uses a folder, after looking at every key in it: a key that others can read, or that cannot
    /// sign, is found now and not when a release waits for it. Returns names and fingerprints too.
    pub fn open(folder: impl Into<PathBuf>) -> Result<(Self, Vec<(String, String)>), Error> {
        let keys = Self {
            folder: folder.into(),
        };
        let mut found = Vec::new();
        let entries = std::fs::read_dir(&keys.folder).map_err(io("list", &keys.folder))?;
        for entry in entries {
            let name = entry.map_err(io("list", &keys.folder))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with('.') {
                let key = read(&keys.folder.join(&name))?;
                found.push((name, key.public().fingerprint()));
            }
        }
        found.sort();
        Ok((keys, found))
    }

    /// The private key `id`: the file that `keys/<id>.yaml` names, if the task says which.
    pub(crate) fn of(&self, id: &KeyId, files: Option<&KeyFiles>) -> Result<SigningKey, Halt> {
        let Some(files) = files else {
            return self.get(id).map_err(Halt::infrastructure);
        };
        let path = self.folder.join(files.private.as_str());
        if !path.exists() {
            return Err(Halt::infrastructure(Error::Unknown {
                id: id.clone(),
                file: files.private.to_string(),
                folder: self.folder.clone(),
            }));
        }
        let key = read(&path).map_err(Halt::infrastructure)?;
        let public = PublicKey::from_armored(&files.public).map_err(|error| {
            refused(format!(
                "Nothing is signed with {id}: keys/{id}.asc cannot be used: failed to {error}."
            ))
        })?;
        let (here, there) = (key.public().fingerprint(), public.fingerprint());
        if here != there {
            return Err(refused(format!(
                "Nothing is signed with {id}: the signer's file {} holds the key {here}, but keys/{id}.asc is {there}. \
                 Put the private half of that key there, or correct keys/{id}.asc.",
                files.private
            )));
        }
        Ok(key)
    }

    /// The private key `id` by its name alone: the file of that name, bare or with `.key`, `.asc` or
    /// `.gpg`.
    pub fn get(&self, id: &KeyId) -> Result<SigningKey, Error> {
        let mut there = EXTENSIONS
            .iter()
            .map(|extension| format!("{id}{extension}"))
            .filter(|name| self.folder.join(name).exists());
        let Some(name) = there.next() else {
            return Err(Error::Unknown {
                id: id.clone(),
                file: format!("{id}.key"),
                folder: self.folder.clone(),
            });
        };
        if let Some(other) = there.next() {
            return Err(Error::Ambiguous {
                id: id.clone(),
                one: name,
                other,
            });
        }
        read(&self.folder.join(name))
    }

    /// Makes a key in the new file `name`, mode 0600, and returns its public half, armored.
    pub fn generate(folder: &Path, name: &SecretName, new: NewKey<'_>) -> Result<String, Error> {
        let path = folder.join(name.as_str());
        let key = SigningKey::generate(new.kind, new.user_id, new.created).map_err(|source| {
            Error::Key {
                path: path.clone(),
                source: Box::new(source),
            }
        })?;
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("create", &path))?;
        file.write_all(key.to_armored_secret().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io("write", &path))?;
        Ok(key.public().to_armored())
    }
}

/// What a new key is.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// The algorithm.
    pub kind: openpgp::KeyKind,
    /// `Name <mail@example.org>`.
    pub user_id: &'a str,
    /// Seconds since 1970. Nothing older than this can be signed.
    pub created: u64,
}

fn read(path: &Path) -> Result<SigningKey, Error> {
    let text = runner_agent::read_private_up_to(path, MAX_KEY_FILE_BYTES)?;
    SigningKey::from_armored(&text).map_err(|source| Error::Key {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
