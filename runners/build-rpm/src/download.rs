//! Fetching over HTTP or from a file of the runner.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use runner_agent::Halt;

/// A server that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
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
    let advice = "correct the Source line of the spec, or put the file beside it";
    runner_build::transfer(url, target, advice).await.map(drop)
}
