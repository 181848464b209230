//! Whose signatures count.

use std::collections::BTreeMap;

use openpgp::PublicKey;
use pipeline_spec::{Code, Config, Diagnostic, KeyFilePath, PersonName, Severity};

use crate::commit::{Commit, Signature};

/// People with their public keys. No key is of two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People(BTreeMap<PersonName, PublicKey>);

impl People {
    /// Everybody who has a key in `keys/people/`, and what is wrong with those keys.
    #[must_use]
    pub fn read(config: &Config) -> (Self, Vec<Diagnostic>) {
        let (mut people, mut found) = (Self::default(), Vec::new());
        for (path, bytes) in &config.key_files {
            let Some(name) = name_of(path) else { continue };
            let added = name
                .map_err(|error| (error.to_string(), error.help))
                .and_then(|name| people.add(name, &String::from_utf8_lossy(bytes)));
            if let Err((message, help)) = added {
                found.push(diagnostic(path, Severity::Error, message, help));
            }
        }
        (people, found)
    }

    /// Adds a person with an armored public key; else says what is wrong with it, and what to do.
    ///
    /// # Errors
    /// The key cannot be read or may not sign, there are several, or it is somebody else's.
    pub fn add(&mut self, name: PersonName, armored: &str) -> Result<(), (String, String)> {
        let export = "write what `gpg --armor --export FINGERPRINT` prints";
        let keys = PublicKey::all_from_armored(armored)
            .map_err(|error| (format!("failed to {error}"), export.to_owned()))?;
        let [key] = &keys[..] else {
            let message = format!("the file has {} keys; a person has one", keys.len());
            return Err((message, export.to_owned()));
        };
        let is_own = |other: &PublicKey| {
            other
                .signing_fingerprints()
                .any(|one| key.signing_fingerprints().any(|own| own == one))
        };
        if let Some((other, _)) = self.0.iter().find(|(_, other)| is_own(other)) {
            let message =
                format!("this is the key of {other}, too: whoever has it would count twice");
            let help = "give each person a key of their own, or remove one of the files";
            return Err((message, help.to_owned()));
        }
        self.0.insert(name, key.clone());
        Ok(())
    }

    /// Warnings of keys that have ended at `now`, in seconds since 1970: no approval by them counts.
    #[must_use]
    pub fn ended(&self, now: u64) -> Vec<Diagnostic> {
        let is_over = |key: &PublicKey| {
            !key.signing_fingerprints()
                .any(|part| key.may_sign_at(part, now))
        };
        let over = self.0.iter().filter(|(_, key)| is_over(key));
        over.map(|(name, _)| {
            let message = format!("the key of {name} has ended, or has not begun: no approval by {name} counts");
            let help = "let them extend it (`gpg --quick-set-expire`), and commit what `gpg --armor --export` prints".to_owned();
            diagnostic(&KeyFilePath::of_person(name), Severity::Warning, message, help)
        })
        .collect()
    }

    /// The key of somebody.
    #[must_use]
    pub fn key(&self, name: &PersonName) -> Option<&PublicKey> {
        self.0.get(name)
    }

    /// Who has signed a commit, and why a signature in it counts for nothing.
    pub(crate) fn signers(&self, commit: &Commit, now: u64) -> (Vec<PersonName>, Vec<String>) {
        let (armored, payload) = match &commit.signature {
            Signature::None => return (Vec::new(), vec!["it is not signed".to_owned()]),
            Signature::Other(why) => return (Vec::new(), vec![(*why).to_owned()]),
            Signature::OpenPgp { armored, payload } => (armored, payload),
        };
        let (mut signers, mut why) = (Vec::new(), Vec::new());
        let mut stranger = None;
        for (name, key) in &self.0 {
            match key.verify_detached_armored(payload, armored) {
                Ok(info) if key.may_sign_at(&info.fingerprint, now) => signers.push(name.clone()),
                Ok(_) => why.push(format!("the key of {name} has ended")),
                Err(openpgp::Error::OtherKey { issuer, .. }) => stranger = Some(issuer),
                Err(openpgp::Error::Mismatch { .. }) => {
                    why.push(format!("it was changed after {name} signed it"));
                }
                Err(error) => why.push(format!("failed to {error}")),
            }
        }
        if signers.is_empty() && why.is_empty() {
            why.push(match stranger {
                Some(key) => format!("the key {key} that signed it is of nobody in keys/people/"),
                None => "nobody has a key in keys/people/".to_owned(),
            });
        }
        why.dedup();
        (signers, why)
    }
}

/// The person whose key a file has; `None`: it is no file of people.
fn name_of(path: &KeyFilePath) -> Option<Result<PersonName, pipeline_spec::IdError>> {
    let rest = path.as_str().strip_prefix("keys/people/")?;
    Some(rest.strip_suffix(".asc").unwrap_or(rest).parse())
}

fn diagnostic(path: &KeyFilePath, severity: Severity, message: String, help: String) -> Diagnostic {
    Diagnostic {
        code: Code::InvalidValue,
        severity,
        path: path.to_string(),
        line: 1,
        column: 1,
        length: 1,
        message,
        help,
        excerpt: String::new(),
        excerpt_column: 1,
    }
}
