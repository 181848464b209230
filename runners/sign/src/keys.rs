//! The signer's keys: files in its folder, readable by their owner alone, and keys that never leave their vault.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openpgp::{PublicKey, SigningKey};
use pipeline_spec::{KeyId, SecretName};
use runner_agent::Halt;
use runner_api::{KeyFiles, PrivateHalf};

use crate::refused;
use crate::vault::Vault;

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
    /// A key in KMS, and nobody who asks it.
    #[error(
        "use the KMS key {name} for {id}: this signer uses files alone; start it with --kms, and with the rights of the signer's role"
    )]
    NoVault {
        /// The key.
        id: KeyId,
        /// Its name in KMS.
        name: String,
    },
    /// The vault does not give its public half.
    #[error("open the key {id}")]
    Vault {
        /// The key.
        id: KeyId,
        /// What the vault said.
        source: openpgp::Cause,
    },
}

/// The folder, and the vault if there is one. Keys are read when a task needs them, and wiped after it.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
    vault: Option<Arc<dyn Vault>>,
}

impl Keys {
    /// Uses a folder, after looking at every key in it: a key that others can read, or that cannot
    /// sign, is found now and not when a release waits for it. Returns names and fingerprints too.
    pub fn open(folder: impl Into<PathBuf>) -> Result<(Self, Vec<(String, String)>), Error> {
        let keys = Self {
            folder: folder.into(),
            vault: None,
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

    /// The same, with keys of `vault` beside the files. Nothing is asked of it before a task needs one.
    #[must_use]
    pub fn with_vault(self, vault: Arc<dyn Vault>) -> Self {
        let vault = Some(vault);
        Self { vault, ..self }
    }

    /// The private key `id`: the one that `keys/<id>.yaml` names, if the task says which.
    pub(crate) async fn of(
        &self,
        id: &KeyId,
        halves: Option<&KeyFiles>,
    ) -> Result<SigningKey, Halt> {
        match halves {
            None => self.get(id).map_err(Halt::infrastructure),
            Some(KeyFiles { private, public }) => match private {
                PrivateHalf::File(name) => self.file(id, name, public),
                PrivateHalf::Kms { kms } => self.remote(id, kms, public).await,
            },
        }
    }

    fn file(&self, id: &KeyId, name: &SecretName, public: &str) -> Result<SigningKey, Halt> {
        let path = self.folder.join(name.as_str());
        if !path.exists() {
            return Err(Halt::infrastructure(Error::Unknown {
                id: id.clone(),
                file: name.to_string(),
                folder: self.folder.clone(),
            }));
        }
        let key = read(&path).map_err(Halt::infrastructure)?;
        let (here, there) = (
            key.public().fingerprint(),
            certificate(id, public)?.fingerprint(),
        );
        if here != there {
            return Err(refused(format!(
                "Nothing is signed with {id}: the signer's file {name} holds the key {here}, but keys/{id}.asc is {there}. \
                 Put the private half of that key there, or correct keys/{id}.asc."
            )));
        }
        Ok(key)
    }

    async fn remote(&self, id: &KeyId, name: &str, public: &str) -> Result<SigningKey, Halt> {
        let public = certificate(id, public)?;
        let vault = self.vault.as_ref().ok_or_else(|| Error::NoVault {
            id: id.clone(),
            name: name.to_owned(),
        });
        let vault = vault.map_err(Halt::infrastructure)?;
        let found = vault.open(name).await.map_err(|source| {
            let id = id.clone();
            Halt::infrastructure(Error::Vault { id, source })
        })?;
        if !found.public.is_of(&public) {
            return Err(refused(format!(
                "Nothing is signed with {id}: {name} is another key than keys/{id}.asc, which is {}. Correct `private` in \
                 keys/{id}.yaml, or write keys/{id}.asc anew with: millrace-signer certificate --kms {name}",
                public.fingerprint()
            )));
        }
        SigningKey::remote(public, found.signer).map_err(|error| unusable(id, &error))
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
        let secret = key.to_armored_secret().expect("it was made here");
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("create", &path))?;
        file.write_all(secret.as_bytes())
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

/// `keys/<id>.asc`.
fn certificate(id: &KeyId, armored: &str) -> Result<PublicKey, Halt> {
    PublicKey::from_armored(armored).map_err(|error| unusable(id, &error))
}

fn unusable(id: &KeyId, error: &openpgp::Error) -> Halt {
    refused(format!(
        "Nothing is signed with {id}: keys/{id}.asc cannot be used: failed to {error}."
    ))
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
