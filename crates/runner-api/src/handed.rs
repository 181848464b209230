//! A result that a runner puts into the artifact store, for whoever collects it: nobody answers there, so it carries
//! its own proof of origin.

use ed25519_dalek::SigningKey;
use pipeline_spec::RunnerId;
use serde::{Deserialize, Serialize};

use crate::auth::{self, Call, Claim};
use crate::{ResultManifest, TaskRef, VERSION};

/// What lies at [`place`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedIn {
    /// [`crate::VERSION`].
    version: u32,
    /// A header of [`crate::auth`], over the place and the text.
    proof: String,
    /// A [`ResultManifest`] in JSON, as it was signed.
    manifest: String,
}

/// Why something that was handed in is no result.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// It is not of this form.
    #[error("it is no result: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of a version that this program does not know.
    #[error("it is of version {0}, and this program knows {VERSION}")]
    Version(u32),
    /// It lies where another result belongs.
    #[error("it is the result of {0}, which belongs elsewhere")]
    Place(String),
    /// Its proof is none.
    #[error(transparent)]
    Proof(#[from] auth::Error),
}

/// Where the result of an attempt belongs, below the store's folder of results: `RUNNER/REQUEST/TASK-ATTEMPT.json`.
pub fn place(runner: &RunnerId, task: &TaskRef, attempt: u32) -> String {
    format!("{runner}/{}/{}-{attempt}.json", task.request, task.id)
}

/// The call that the proof is of.
fn call<'a>(path: &'a str, manifest: &str) -> Call<'a> {
    Call::new("PUT", path, manifest.as_bytes())
}

fn path(place: &str) -> String {
    format!("/results/{place}")
}

impl HandedIn {
    /// The document for `manifest`, signed at `time` (seconds since 1970), and the place where it belongs.
    pub fn sign(key: &SigningKey, manifest: &ResultManifest, time: i64) -> (String, Vec<u8>) {
        let place = place(&manifest.runner, &manifest.task, manifest.attempt);
        let text = serde_json::to_string(manifest)
            .expect("a manifest has only string keys and finite numbers");
        let proof = auth::header(key, &manifest.runner, time, &call(&path(&place), &text));
        let document = Self {
            version: VERSION,
            proof,
            manifest: text,
        };
        let bytes = serde_json::to_vec(&document).expect("a document of strings");
        (place, bytes)
    }

    /// Reads what lies at `place`. Nothing is proven yet: look up the key of [`Unproven::runner`].
    ///
    /// # Errors
    /// When it is no result, or one that belongs elsewhere.
    pub fn read(place: &str, bytes: &[u8]) -> Result<Unproven, Unbelieved> {
        let Self {
            version,
            proof,
            manifest: text,
        } = serde_json::from_slice(bytes)?;
        if version > VERSION {
            return Err(Unbelieved::Version(version));
        }
        let manifest: ResultManifest = serde_json::from_str(&text)?;
        let claim = auth::parse(&proof)?;
        let own = self::place(&manifest.runner, &manifest.task, manifest.attempt);
        if own != place || claim.runner != manifest.runner {
            return Err(Unbelieved::Place(own));
        }
        Ok(Unproven {
            claim,
            text,
            manifest,
            path: path(place),
        })
    }
}

/// A result whose origin is not proven yet.
#[derive(Debug)]
pub struct Unproven {
    claim: Claim,
    text: String,
    manifest: ResultManifest,
    path: String,
}

impl Unproven {
    /// Who says to have handed it in.
    pub fn runner(&self) -> &RunnerId {
        &self.claim.runner
    }

    /// The result, if the runner's `key` has signed it when it was `put` (seconds since 1970, by the store's clock).
    ///
    /// # Errors
    /// When it has not.
    pub fn proven(self, key: &[u8; 32], put: i64) -> Result<ResultManifest, Unbelieved> {
        self.claim.verify(key, put, &call(&self.path, &self.text))?;
        Ok(self.manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    const NOW: i64 = 1_795_000_000;

    fn handed() -> (SigningKey, String, Vec<u8>) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let manifest = ResultManifest {
            version: VERSION,
            task: TaskRef {
                request: "builds/2026/11/tree.yaml".parse().expect("a path"),
                id: "0123456789abcdef0123456789abcdef".parse().expect("an id"),
            },
            attempt: 2,
            runner: "builder-1".parse().expect("an id"),
            outcome: Outcome::HandedBack {
                reason: "stopped".to_owned(),
            },
            log: None,
            started: NOW - 60,
            finished: NOW,
        };
        let (place, bytes) = HandedIn::sign(&key, &manifest, NOW);
        (key, place, bytes)
    }

    fn check(place: &str, bytes: &[u8], put: i64) -> Result<ResultManifest, Unbelieved> {
        let key = handed().0.verifying_key();
        HandedIn::read(place, bytes)?.proven(key.as_bytes(), put)
    }

    #[test]
    fn a_result_proves_where_it_comes_from() {
        let (_, place, bytes) = handed();
        assert_eq!(
            place,
            "builder-1/builds/2026/11/tree.yaml/0123456789abcdef0123456789abcdef-2.json"
        );
        assert_eq!(check(&place, &bytes, NOW).expect("proven").attempt, 2);
        // Not by the time at which it is looked at: that may be days later.
        assert!(check(&place, &bytes, NOW + 299).is_ok());
        let late = check(&place, &bytes, NOW + 301);
        assert!(matches!(late, Err(Unbelieved::Proof(auth::Error::Skew(_)))));
    }

    #[test]
    fn what_somebody_else_puts_there_is_no_result() {
        let (_, place, bytes) = handed();
        let text = String::from_utf8(bytes.clone()).expect("JSON");
        let other = place.replace("builder-1", "builder-2");
        let is = |place: &str, text: &str, expect: &str| {
            let error = check(place, text.as_bytes(), NOW).expect_err("not believed");
            assert!(error.to_string().contains(expect), "{error}");
        };
        is(&other, &text, "belongs elsewhere");
        is(
            &other,
            &text.replace("builder-1", "builder-2"),
            "does not fit",
        );
        is(&place, &text.replace("stopped", "started"), "does not fit");
        is(
            &place,
            &text.replace("\"version\":1,\"proof", "\"version\":2,\"proof"),
            "version 2",
        );
        is(&place, "{}", "missing field");
        is(&place, "", "no result");
    }
}
