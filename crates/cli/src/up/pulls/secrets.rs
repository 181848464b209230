//! The webhook's secrets, as they are in their file now.
//!
//! Caller: `pulls`. Invariants: a delivery, whoever sends it, costs a look at the file's metadata. The file is read once
//! for each change of it. One that cannot be read leaves the secrets of before valid, and is told of once.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use forge::webhook::Secrets;

use crate::state::private_text;

/// A file with a secret on each line, which a person may change at any time.
pub(super) struct SecretFile {
    path: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    secrets: Secrets,
    /// What was read last, or could not be.
    seen: Option<Stamp>,
}

/// Another one once the file is written, replaced, or given to others.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None`: there is nothing to look at.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            bytes: found.size(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl SecretFile {
    /// With what is in it now.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // Taken first: what is written while it is read has another one.
        let seen = Stamp::of(path);
        let secrets = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            kept: Mutex::new(Kept { secrets, seen }),
        })
    }

    /// Those that are valid.
    pub(super) fn now(&self) -> Secrets {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Stamp::of(&self.path);
        if kept.seen != seen {
            kept.seen = seen;
            match read(&self.path) {
                Ok(secrets) => {
                    tracing::info!(?secrets, "the webhook's secrets were changed");
                    kept.secrets = secrets;
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "failed to read the webhook's secrets again: those of before stay valid until the file is changed once more"
                ),
            }
        }
        kept.secrets.clone()
    }
}

fn read(path: &Path) -> anyhow::Result<Secrets> {
    let text = private_text(path)?;
    Secrets::strong(&text)
        .with_context(|| format!("read the webhook's secrets in {}", path.display()))
}

#[cfg(test)]
impl SecretFile {
    /// These, of a file that is not there.
    pub(super) fn gone(secrets: &str) -> Self {
        let kept = Kept {
            secrets: Secrets::from_lines(secrets),
            seen: None,
        };
        Self {
            path: PathBuf::new(),
            kept: Mutex::new(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use forge::webhook::signature;

    use super::*;

    const OLD: &str = "the secret of last year";
    const NEW: &str = "the secret of this year";

    /// Writes it in its place.
    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).expect("a file");
        set_permissions(path, Permissions::from_mode(0o600)).expect("a mode");
    }

    /// Which of both are valid.
    fn valid(file: &SecretFile) -> Vec<&'static str> {
        let secrets = file.now();
        let signs = |secret: &&str| {
            let signed = signature(secret, b"body");
            let headers = |name: &str| (name == "x-gitea-signature").then_some(&*signed);
            secrets.verify(&headers, b"body").is_ok()
        };
        [OLD, NEW].into_iter().filter(signs).collect()
    }

    #[test]
    fn a_secret_is_changed_without_a_restart() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("secrets");
        write(&path, OLD);
        let file = SecretFile::open(&path).expect("secrets");
        assert_eq!(valid(&file), [OLD]);
        write(&path, &format!("{OLD}\n{NEW}\n"));
        assert_eq!(valid(&file), [OLD, NEW]);
        write(&path, NEW);
        assert_eq!(valid(&file), [NEW]);
        // Another file in its place, of the same size.
        let other = folder.path().join("other");
        write(&other, OLD);
        std::fs::rename(&other, &path).expect("renamed");
        assert_eq!(valid(&file), [OLD]);
    }

    #[test]
    fn what_cannot_be_read_is_looked_at_once_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("secrets");
        write(&path, OLD);
        let file = SecretFile::open(&path).expect("secrets");
        let breaks: [&dyn Fn(); 4] = [
            &|| write(&path, "short"),
            &|| write(&path, ""),
            &|| {
                write(&path, NEW);
                set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
            },
            &|| std::fs::remove_file(&path).expect("removed"),
        ];
        for (nth, breaks) in breaks.iter().enumerate() {
            breaks();
            assert_eq!(valid(&file), [OLD], "{nth}");
            let seen = &file.kept.lock().expect("nobody panics").seen;
            assert!(*seen == Stamp::of(&path), "{nth}: it would be read again");
        }
        write(&path, NEW);
        assert_eq!(valid(&file), [NEW]);
    }
}
