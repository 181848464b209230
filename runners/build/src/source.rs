//! Fetching a pinned source into a directory of the job.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use git::{CommitId, Credentials, RemoteUrl};
use pipeline_spec::{Sha256Digest, SourceUrl};
use reqwest::StatusCode;
use runner_agent::{Halt, Job};
use runner_api::{FailureKind, Origin, Step};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

/// Bounds of a checkout: above the largest source trees of today's distributions.
const GIT_LIMITS: git::Limits = git::Limits {
    files: 1_000_000,
    bytes: 8 * 1024 * 1024 * 1024,
    fetch_bytes: 8 * 1024 * 1024 * 1024,
    time: Duration::from_secs(3600),
};
/// Largest file that is downloaded, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// A server that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);

/// A source on disk.
#[derive(Debug)]
pub enum Fetched {
    /// The package's directory of a git tree, and the commit's time in seconds since 1970.
    Tree(PathBuf, i64),
    /// A source RPM.
    Srpm(PathBuf),
    /// A .dsc; the files it lists are beside it.
    Dsc(PathBuf),
}

/// Fetches `origin` into `directory`, which exists. `listed` reads a .dsc and answers the files beside
/// it with their digests.
pub async fn fetch(
    job: &Job,
    origin: &Origin,
    directory: &Path,
    listed: impl Fn(&[u8]) -> Result<Vec<(String, Sha256Digest)>, Halt>,
) -> Result<Fetched, Halt> {
    job.step(Step::Fetching);
    match origin {
        Origin::Git {
            url,
            commit,
            subdir,
        } => {
            job.log().line(format!("fetching commit {commit} of {url}"));
            let tree = directory.join("tree");
            let time = checkout(url.as_str(), commit, &tree).await?;
            let package = match subdir {
                Some(subdir) => descend(&tree, subdir.as_str()).map_err(|reason| {
                    let message = format!("commit {commit} of {url}: {reason}");
                    Halt::failed(FailureKind::SourceMissing, message)
                })?,
                None => tree,
            };
            Ok(Fetched::Tree(package, time))
        }
        Origin::Srpm { url, sha256 } => Ok(Fetched::Srpm(
            download(job, url, url.last_part(), sha256, directory).await?,
        )),
        Origin::Dsc { url, sha256 } => {
            let dsc = download(job, url, url.last_part(), sha256, directory).await?;
            let bytes = tokio::fs::read(&dsc).await.map_err(Halt::infrastructure)?;
            for (name, digest) in listed(&bytes)? {
                let base = url.as_str();
                let folder = &base[..base.len() - url.last_part().len()];
                let beside: SourceUrl = format!("{folder}{name}").parse().map_err(|_| {
                    Halt::failed(
                        FailureKind::SourcePackage,
                        format!("{base} lists a file with an unusable name: {name:?}"),
                    )
                })?;
                download(job, &beside, &name, &digest, directory).await?;
            }
            Ok(Fetched::Dsc(dsc))
        }
    }
}

/// The directory `subdir` of a stranger's tree. A symbolic link is not followed: it could lead to a
/// directory of the runner.
fn descend(tree: &Path, subdir: &str) -> Result<PathBuf, String> {
    let mut path = tree.to_owned();
    for part in Path::new(subdir).components() {
        let found = match part {
            Component::Normal(name) => {
                path.push(name);
                std::fs::symlink_metadata(&path).ok()
            }
            _ => None,
        };
        if found.as_ref().is_some_and(|meta| meta.is_symlink()) {
            let link = path.strip_prefix(tree).unwrap_or(&path);
            return Err(format!(
                "{} is a symbolic link, which is not followed: write the directory that it leads to as `subdir` in the request",
                link.display()
            ));
        }
        if !found.is_some_and(|meta| meta.is_dir()) {
            return Err(format!(
                "it has no directory {subdir}: correct `subdir` in the request"
            ));
        }
    }
    Ok(path)
}

async fn checkout(url: &str, commit: &str, into: &Path) -> Result<i64, Halt> {
    let missing = |error: &dyn std::fmt::Display| {
        Halt::failed(
            FailureKind::SourceMissing,
            format!("failed to fetch the source: {error}"),
        )
    };
    let remote: RemoteUrl = url.parse().map_err(|error| missing(&error))?;
    let commit: CommitId = commit.parse().map_err(|error| missing(&error))?;
    let into = into.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        git::checkout(&remote, commit, &into, &Credentials::default(), &GIT_LIMITS)
    })
    .await
    .map_err(Halt::infrastructure)?;
    match done {
        Ok(checkout) => Ok(checkout.time),
        Err(error) => match error.class() {
            git::Class::User => Err(missing(&error)),
            // A server that breaks the protocol or a broken store is not the package's fault.
            git::Class::Transient | git::Class::Broken => Err(Halt::infrastructure(error)),
        },
    }
}

/// Downloads one file and holds it against its digest. Only then it is there.
async fn download(
    job: &Job,
    url: &SourceUrl,
    name: &str,
    expected: &Sha256Digest,
    directory: &Path,
) -> Result<PathBuf, Halt> {
    let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    if !plain {
        return Err(Halt::failed(
            FailureKind::SourcePackage,
            format!("{name:?} is no file name for a source"),
        ));
    }
    job.log().line(format!("fetching {url}"));
    let path = directory.join(name);
    let found = transfer(url.as_str(), &path, "correct the address in the request").await?;
    if found != *expected {
        tokio::fs::remove_file(&path)
            .await
            .map_err(Halt::infrastructure)?;
        let message = format!(
            "{url} has the SHA-256 {found}, but {expected} is written down: either the file was changed, or the digest is wrong; check before you correct it"
        );
        return Err(Halt::failed(FailureKind::ChecksumMismatch, message));
    }
    Ok(path)
}

/// Fetches an http(s) or file URL as the new file `target`, and answers its digest, which the caller
/// holds against the recorded one. `advice`: what to do when it is not there.
pub async fn transfer(url: &str, target: &Path, advice: &str) -> Result<Sha256Digest, Halt> {
    match url.strip_prefix("file://") {
        Some(local) => copy(local, target, advice).await,
        None => get(url, target, advice).await,
    }
}

async fn copy(local: &str, target: &Path, advice: &str) -> Result<Sha256Digest, Halt> {
    let source = PathBuf::from(local);
    match tokio::fs::metadata(&source).await {
        Ok(meta) if meta.is_file() && meta.len() <= MAX_DOWNLOAD_BYTES => {}
        Ok(_) => {
            let message = format!(
                "{local} is not a regular file of at most {MAX_DOWNLOAD_BYTES} bytes: {advice}"
            );
            return Err(Halt::failed(FailureKind::SourceMissing, message));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("{local} does not exist on the runner: {advice}");
            return Err(Halt::failed(FailureKind::SourceMissing, message));
        }
        Err(error) => return Err(Halt::infrastructure(error)),
    }
    tokio::fs::copy(&source, target)
        .await
        .map_err(Halt::infrastructure)?;
    // The copy has the original's mode, and the sandbox's users must be able to read it.
    tokio::fs::set_permissions(target, Permissions::from_mode(0o644))
        .await
        .map_err(Halt::infrastructure)?;
    let target = target.to_owned();
    let digest = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(target)?, &mut hash)?;
        Ok::<_, std::io::Error>(Sha256Digest::new(hash.finalize().into()))
    });
    digest
        .await
        .map_err(Halt::infrastructure)?
        .map_err(Halt::infrastructure)
}

async fn get(url: &str, target: &Path, advice: &str) -> Result<Sha256Digest, Halt> {
    let unreachable = |cause: reqwest::Error| {
        let mut words = format!("fetch {url}");
        let cause = cause.without_url();
        let mut next: Option<&dyn std::error::Error> = Some(&cause);
        while let Some(error) = next {
            words.push_str(&format!(": {error}"));
            next = error.source();
        }
        Halt::trouble(words)
    };
    let client = reqwest::Client::builder()
        .connect_timeout(IDLE)
        .read_timeout(IDLE)
        .build()
        .map_err(unreachable)?;
    let mut response = client.get(url).send().await.map_err(unreachable)?;
    let status = response.status();
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    if status.is_client_error() && !passing.contains(&status) {
        let message = format!("{url} answers {status}: {advice}");
        return Err(Halt::failed(FailureKind::SourceMissing, message));
    }
    if !status.is_success() {
        return Err(Halt::trouble(format!("fetch {url}: it answers {status}")));
    }
    let mut file = tokio::fs::File::create_new(target)
        .await
        .map_err(Halt::infrastructure)?;
    let (mut hash, mut size) = (Sha256::new(), 0u64);
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        size += chunk.len() as u64;
        if size > MAX_DOWNLOAD_BYTES {
            let message = format!("{url} has more than {MAX_DOWNLOAD_BYTES} bytes");
            return Err(Halt::failed(FailureKind::SourceMissing, message));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(Halt::infrastructure)?;
    }
    file.flush().await.map_err(Halt::infrastructure)?;
    Ok(Sha256Digest::new(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdir_goes_through_directories_only() {
        let tree = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(tree.path().join("a/b")).expect("directories");
        std::fs::write(tree.path().join("a/file"), "").expect("a file");
        for (link, target) in [("out", "/etc"), ("a/up", ".."), ("gone", "nowhere")] {
            std::os::unix::fs::symlink(target, tree.path().join(link)).expect("a link");
        }
        let check = |subdir: &str, expect: &str| {
            let found = match descend(tree.path(), subdir) {
                Ok(path) => path.strip_prefix(tree.path()).expect("inside").to_owned(),
                Err(reason) => PathBuf::from(reason),
            };
            let found = found.to_string_lossy();
            assert!(found.starts_with(expect), "{subdir}: {found}");
        };
        check("a/b", "a/b");
        check("a/c", "it has no directory a/c: correct `subdir`");
        check("a/file", "it has no directory a/file");
        check("..", "it has no directory ..");
        check("/etc", "it has no directory /etc");
        check("out", "out is a symbolic link");
        check("out/ssl", "out is a symbolic link");
        check("a/up/a", "a/up is a symbolic link");
        check("gone", "gone is a symbolic link");
    }

    #[tokio::test]
    async fn a_copied_file_can_be_read_in_the_sandbox() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::write(&from, "x").expect("a file");
        std::fs::set_permissions(&from, Permissions::from_mode(0o600)).expect("a mode");
        copy(from.to_str().expect("utf-8"), &to, "")
            .await
            .map_err(runner_api::Outcome::from)
            .expect("a copy");
        let mode = std::fs::metadata(&to).expect("the copy").permissions();
        assert_eq!(mode.mode() & 0o777, 0o644);
    }
}
