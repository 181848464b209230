//! Signatures beside repository metadata.

use openpgp::SigningKey;
use repo_deb::deb822::{self, Dialect};
use runner_agent::{Halt, Job, Limit};
use runner_api::{Artifact, ArtifactKind, Facts, Outcome, SignMetadataTask, Step};

use crate::{Keys, refused, signature_time};

/// Largest metadata file that is signed, in bytes. Debian's own `Release` has 200 KiB.
const MAX_METADATA_BYTES: u64 = 16 << 20;

/// A file that may be signed.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// `repodata/repomd.xml`, below any plain folders.
    Repomd,
    /// `dists/<suite>/Release`.
    Release { suite: String },
}

/// A file that was looked at.
struct Checked {
    path: String,
    form: Form,
    bytes: Vec<u8>,
}

pub(crate) async fn sign(job: &Job, task: &SignMetadataTask, keys: &Keys) -> Result<Outcome, Halt> {
    job.step(Step::Signing);
    let key = keys.of(&task.key, task.files.as_ref()).await?;
    let time = signature_time(&task.key, &key, task.time)?;
    let unsigned: Vec<&Artifact> = job
        .input(&task.compose)?
        .iter()
        .filter(|artifact| artifact.kind == ArtifactKind::Unsigned)
        .collect();
    if unsigned.is_empty() {
        return Err(refused(format!(
            "Compose {} made no metadata to sign for {}.",
            task.compose, task.repository
        )));
    }
    // All are signed before the first signature is uploaded.
    let mut checked = Vec::new();
    for artifact in unsigned {
        let form = form_of(&artifact.name).ok_or_else(|| {
            refused(format!(
                "{:?} is not signed: only …/repodata/repomd.xml and dists/<suite>/Release are.",
                artifact.name
            ))
        })?;
        let bytes = fetch(job, artifact).await?;
        check(&artifact.name, &form, &bytes)?;
        let path = artifact.name.clone();
        checked.push(Checked { path, form, bytes });
    }
    let signatures = make_all(checked, key, time).await?;
    let mut artifacts = Vec::new();
    for (path, bytes) in signatures {
        job.log().line(format_args!("signed {path}"));
        artifacts.push(
            job.store_bytes(bytes, &path, ArtifactKind::Signature)
                .await?,
        );
    }
    Ok(Outcome::Succeeded {
        artifacts,
        facts: Facts::Nothing,
    })
}

async fn fetch(job: &Job, artifact: &Artifact) -> Result<Vec<u8>, Halt> {
    if artifact.size > MAX_METADATA_BYTES {
        return Err(refused(format!(
            "{} is not signed: it has {} bytes, more than {MAX_METADATA_BYTES}.",
            artifact.name, artifact.size
        )));
    }
    let limit = Limit(artifact.size);
    let fetched = job
        .fetch_bytes(&artifact.name, &artifact.sha256, limit)
        .await;
    fetched.map_err(|error| match error {
        runner_agent::Error::Tampered {
            name,
            expected,
            found,
        } => refused(format!(
            "{name} is not signed: the compose recorded {expected}, but the store has {found}."
        )),
        error => error.into(),
    })
}

fn form_of(path: &str) -> Option<Form> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["dists", suite, "Release"] if plain(suite) => Some(Form::Release {
            suite: (*suite).to_owned(),
        }),
        [above @ .., "repodata", "repomd.xml"] if above.iter().all(|part| plain(part)) => {
            Some(Form::Repomd)
        }
        _ => None,
    }
}

fn plain(part: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+');
    !part.starts_with('.') && !part.is_empty() && part.bytes().all(ok)
}

/// Whether the bytes are what the path says.
fn check(path: &str, form: &Form, bytes: &[u8]) -> Result<(), Halt> {
    let refuse = |why: String| Err(refused(format!("{path} is not signed: {why}.")));
    match form {
        Form::Repomd => {
            let text = std::str::from_utf8(bytes).unwrap_or_default().trim_start();
            let body = match text.strip_prefix("<?xml") {
                Some(rest) => rest
                    .split_once("?>")
                    .map_or("", |(_, body)| body)
                    .trim_start(),
                None => text,
            };
            if !body.starts_with("<repomd") {
                return refuse("it is no repomd document".into());
            }
        }
        Form::Release { suite } => {
            let release = match deb822::parse_one(bytes, Dialect::Machine) {
                Ok(release) => release,
                Err(error) => return refuse(format!("it is no Release file: {error}")),
            };
            let named = [release.get("Suite"), release.get("Codename")];
            if !named.contains(&Some(suite.as_str())) {
                return refuse(format!("neither its Suite nor its Codename is {suite}"));
            }
            if release.get("SHA256").is_none() {
                return refuse("it has no SHA256 list, so a signature would cover nothing".into());
            }
        }
    }
    Ok(())
}

/// On a thread of its own: RSA takes its time, and a remote key blocks.
async fn make_all(
    checked: Vec<Checked>,
    key: SigningKey,
    time: u64,
) -> Result<Vec<(String, Vec<u8>)>, Halt> {
    let make = move || {
        let made = checked.iter().map(|file| make(file, &key, time));
        let made: Result<Vec<_>, Halt> = made.collect();
        Ok(made?.concat())
    };
    tokio::task::spawn_blocking(make)
        .await
        .map_err(|_| Halt::trouble("sign the metadata: the signer panicked"))?
}

fn make(file: &Checked, key: &SigningKey, time: u64) -> Result<Vec<(String, Vec<u8>)>, Halt> {
    let Checked { path, form, bytes } = file;
    match form {
        Form::Repomd => {
            let signature = key
                .sign_detached_armored(bytes, time)
                .map_err(|error| explain(path, error))?;
            Ok(vec![(format!("{path}.asc"), signature.into_bytes())])
        }
        Form::Release { suite } => {
            let signed = repo_deb::sign_release(bytes, key, time).map_err(|error| match error {
                repo_deb::SignError::Key(error) => explain(path, error),
                error => because(path, &error),
            })?;
            Ok(vec![
                (format!("dists/{suite}/InRelease"), signed.in_release),
                (format!("dists/{suite}/Release.gpg"), signed.release_gpg),
            ])
        }
    }
}

/// Who has the private half elsewhere may sign another time.
fn explain(path: &str, error: openpgp::Error) -> Halt {
    match error {
        openpgp::Error::Elsewhere { .. } => Halt::infrastructure(error),
        error => because(path, &error),
    }
}

fn because(path: &str, error: &dyn std::error::Error) -> Halt {
    refused(format!("{path} is not signed: failed to {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_forms_of_paths_are_signed() {
        let check = |path: &str, form: Option<Form>| assert_eq!(form_of(path), form, "{path}");
        check("repodata/repomd.xml", Some(Form::Repomd));
        check("x86_64/repodata/repomd.xml", Some(Form::Repomd));
        check("x86_64/os/repodata/repomd.xml", Some(Form::Repomd));
        check(
            "dists/bookworm/Release",
            Some(Form::Release {
                suite: "bookworm".to_owned(),
            }),
        );
        check("repodata/repomd.xml.asc", None);
        check("/repodata/repomd.xml", None);
        check("../repodata/repomd.xml", None);
        check("a//repodata/repomd.xml", None);
        check("dists/../Release", None);
        check("dists/a/b/Release", None);
        check("dists//Release", None);
        check("Release", None);
        check("repomd.xml", None);
        check("dists/bookworm/InRelease", None);
        check("x 86/repodata/repomd.xml", None);
        check("", None);
    }
}
