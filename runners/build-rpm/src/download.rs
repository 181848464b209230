//! Fetching over HTTP or from a file of the runner.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use runner_agent::Halt;
use runner_api::FailureKind;
use tokio::io::AsyncWriteExt;

/// A server that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Largest source file, in bytes.
const MAX_SOURCE_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Largest repomd.xml or signature of one, in bytes; real ones have a few KiB.
const MAX_INDEX_BYTES: usize = 8 * 1024 * 1024;

fn client() -> Result<reqwest::Client, Halt> {
    reqwest::Client::builder()
        .connect_timeout(IDLE)
        .read_timeout(IDLE)
        .build()
        .map_err(Halt::infrastructure)
}

/// Lets the build user read a file that may have been copied with its owner's modes.
pub(crate) fn readable(file: &Path) -> Result<(), Halt> {
    let modes = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(file, modes).map_err(Halt::infrastructure)
}

/// A small file of a repository; `None` if it does not exist.
pub(crate) async fn small(url: &str) -> Result<Option<Vec<u8>>, Halt> {
    if let Some(path) = url.strip_prefix("file://") {
        return match tokio::fs::read(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Halt::trouble(format!("read {path}: {error}"))),
        };
    }
    let mut response = client()?
        .get(url)
        .send()
        .await
        .map_err(Halt::infrastructure)?;
    let status = response.status();
    if status == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        return Err(Halt::trouble(format!("fetch {url}: it answers {status}")));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Halt::infrastructure)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(Halt::trouble(format!(
                "fetch {url}: it has more than {MAX_INDEX_BYTES} bytes"
            )));
        }
    }
    Ok(Some(bytes))
}

/// A source file, as the new file `target`. The caller holds it against its digest.
pub(crate) async fn source(url: &str, target: &Path) -> Result<(), Halt> {
    let missing = |message: String| Halt::failed(FailureKind::SourceMissing, message);
    if let Some(path) = url.strip_prefix("file://") {
        return match tokio::fs::metadata(path).await {
            Ok(meta) if meta.is_file() && meta.len() <= MAX_SOURCE_BYTES => {
                tokio::fs::copy(path, target)
                    .await
                    .map_err(Halt::infrastructure)?;
                readable(target)
            }
            _ => Err(missing(format!(
                "{path} is no file of the runner that can be fetched"
            ))),
        };
    }
    let mut response = client()?
        .get(url)
        .send()
        .await
        .map_err(Halt::infrastructure)?;
    let status = response.status();
    if status.is_client_error() {
        return Err(missing(format!(
            "{url} answers {status}: correct the Source line of the spec, or put the file beside it"
        )));
    }
    if !status.is_success() {
        return Err(Halt::trouble(format!("fetch {url}: it answers {status}")));
    }
    let mut file = tokio::fs::File::create_new(target)
        .await
        .map_err(Halt::infrastructure)?;
    let mut size = 0u64;
    while let Some(chunk) = response.chunk().await.map_err(Halt::infrastructure)? {
        size += chunk.len() as u64;
        if size > MAX_SOURCE_BYTES {
            return Err(missing(format!(
                "{url} has more than {MAX_SOURCE_BYTES} bytes"
            )));
        }
        file.write_all(&chunk).await.map_err(Halt::infrastructure)?;
    }
    file.flush().await.map_err(Halt::infrastructure)
}
