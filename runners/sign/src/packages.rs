//! Signatures in packages.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use openpgp::SigningKey;
use repo_rpm::{Package, Sha256, unsigned_digest};
use runner_agent::{CancellationToken, Halt, Job};
use runner_api::{Artifact, ArtifactKind, Facts, Outcome, Recorded, SignPackagesTask, Step};

use crate::{Keys, refused, signature_time};

/// Transfers at a time.
const TRANSFERS: usize = 4;
/// Signatures that are asked of somebody else at a time. KMS answers within some 20 ms and allows some hundred answers a
/// second to all of an account: more would be throttled.
const QUESTIONS: usize = 4;

/// A package on this machine.
struct Fetched {
    artifact: Artifact,
    path: PathBuf,
}

pub(crate) async fn sign(job: &Job, task: &SignPackagesTask, keys: &Keys) -> Result<Outcome, Halt> {
    job.step(Step::Signing);
    let key = keys.of(&task.key, task.files.as_ref()).await?;
    let time = signature_time(&task.key, &key, task.time)?;
    job.log().line(format_args!(
        "signing {} packages for {} with {} ({})",
        task.packages.len(),
        task.repository,
        task.key,
        key.public().fingerprint()
    ));
    let recorded = task.packages.iter().enumerate();
    let fetches: Vec<_> = recorded
        .map(|(index, recorded)| fetch(job, index, recorded))
        .collect();
    let packages = stream::iter(fetches)
        .buffered(TRANSFERS)
        .try_collect()
        .await?;
    // All are signed before the first is uploaded: one refusal keeps the rest from being used.
    let packages = sign_all(packages, key, time, job.cancelled().clone()).await?;
    let stores: Vec<_> = packages.iter().map(|package| store(job, package)).collect();
    let artifacts: Vec<Artifact> = stream::iter(stores)
        .buffered(TRANSFERS)
        .try_collect()
        .await?;
    for artifact in &artifacts {
        job.log()
            .line(format_args!("{}  {}", artifact.sha256, artifact.name));
    }
    Ok(Outcome::Succeeded {
        artifacts,
        facts: Facts::Nothing,
    })
}

async fn fetch(job: &Job, index: usize, recorded: &Recorded) -> Result<Fetched, Halt> {
    let artifact = recorded.artifact.clone();
    if !matches!(artifact.kind, ArtifactKind::Rpm | ArtifactKind::Srpm) {
        return Err(refused(format!(
            "Nothing is signed: {} is no RPM package. Debian packages carry no signature of their own.",
            artifact.name
        )));
    }
    // A directory of its own: two builds may have made files of one name.
    let folder = job.dir().join(index.to_string());
    tokio::fs::create_dir(&folder)
        .await
        .map_err(|cause| Halt::trouble(format!("create {}: {cause}", folder.display())))?;
    match job.fetch(&artifact, &folder).await {
        Ok(path) => Ok(Fetched { artifact, path }),
        Err(runner_agent::Error::Tampered {
            name,
            expected,
            found,
        }) => Err(refused(format!(
            "Nothing is signed: build {} recorded {name} as {expected}, but the store has {found}. Find out who changed the store, and build it again.",
            recorded.built_by
        ))),
        Err(error) => Err(error.into()),
    }
}

async fn sign_all(
    packages: Vec<Fetched>,
    key: SigningKey,
    time: u64,
    stop: CancellationToken,
) -> Result<Vec<Fetched>, Halt> {
    let packages = Arc::new(packages);
    let shared = Arc::clone(&packages);
    tokio::task::spawn_blocking(move || sign_in_parallel(&shared, &key, time, &stop))
        .await
        .map_err(|_| Halt::trouble("sign the packages: the signer panicked"))??;
    Ok(Arc::into_inner(packages).expect("the blocking task has ended and dropped its share"))
}

/// RSA takes its time, files wait for the disk, and remote keys for the network.
fn sign_in_parallel(
    packages: &[Fetched],
    key: &SigningKey,
    time: u64,
    stop: &CancellationToken,
) -> Result<(), Halt> {
    let threads = if key.is_remote() {
        QUESTIONS
    } else {
        std::thread::available_parallelism().map_or(1, usize::from)
    };
    let share = packages.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = packages
            .chunks(share)
            .map(|chunk| {
                scope.spawn(move || {
                    for package in chunk {
                        if stop.is_cancelled() {
                            return Err(runner_agent::Error::Stopped.into());
                        }
                        sign_one(package, key, time)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(Halt::trouble("sign the packages: the signer panicked")))
        })
    })
}

fn sign_one(package: &Fetched, key: &SigningKey, time: u64) -> Result<(), Halt> {
    let because = |error| explain(&package.artifact.name, error);
    let header = Package::read(open(package)?).map_err(because)?;
    check_claim(&package.artifact, &header)?;
    let before = content_digest(package)?;
    repo_rpm::sign_file(&package.path, key, time).map_err(because)?;
    let after = content_digest(package)?;
    if before != after {
        return Err(refused(format!(
            "Nothing is signed: signing {} changed its header or payload from {before} to {after}. This is a mistake in the signer.",
            package.artifact.name
        )));
    }
    Ok(())
}

/// The header's own words against what the build said.
fn check_claim(artifact: &Artifact, header: &Package) -> Result<(), Halt> {
    let Some(claim) = &artifact.package else {
        return Err(refused(format!(
            "Nothing is signed: the build recorded no package name for {}.",
            artifact.name
        )));
    };
    let recorded = format!("{}-{}.{}", claim.name, claim.version, claim.arch);
    let found = format!("{}-{}.{}", header.name, header.evr(), header.arch);
    if recorded != found {
        return Err(refused(format!(
            "Nothing is signed: {} was recorded as {recorded}, but its header says {found}.",
            artifact.name
        )));
    }
    Ok(())
}

fn content_digest(package: &Fetched) -> Result<Sha256, Halt> {
    unsigned_digest(open(package)?).map_err(|error| explain(&package.artifact.name, error))
}

fn open(package: &Fetched) -> Result<std::io::BufReader<File>, Halt> {
    File::open(&package.path)
        .map(std::io::BufReader::new)
        .map_err(|cause| Halt::trouble(format!("open {}: {cause}", package.path.display())))
}

fn explain(name: &str, error: repo_rpm::Error) -> Halt {
    match error {
        // The file is whole, its digest says so: one that ends too early was never a package.
        repo_rpm::Error::Io { ref source, .. }
            if source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            Halt::infrastructure(error)
        }
        repo_rpm::Error::Key(openpgp::Error::Elsewhere { .. }) => Halt::infrastructure(error),
        error => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            refused(format!(
                "Nothing is signed, because of {name}: failed to {error}{cause}."
            ))
        }
    }
}

async fn store(job: &Job, package: &Fetched) -> Result<Artifact, Halt> {
    let Artifact {
        name,
        kind,
        package: claim,
        ..
    } = &package.artifact;
    Ok(job.store(&package.path, name, *kind, claim.clone()).await?)
}
