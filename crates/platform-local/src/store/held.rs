//! What is held and since when, and the removal of what is old.
//!
//! The time of an object's file says when it was put or renewed last. A kill between any two steps leaves
//! an object as it was, or younger, or gone; a removal that a power cut undoes is made again.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger::Millis;
use pipeline_spec::Sha256Digest;
use ports::Held;

use super::{SHARDS, Shared, found};

/// A renewal that makes a file younger by less than this is not synced: what a power cut takes back is
/// little beside the days that a file is kept for.
const UNSYNCED: Duration = Duration::from_secs(3600);

/// Makes the file at `path` one of now; its size. Called with the shard's lock.
pub(super) fn renew(path: &Path) -> io::Result<Option<u64>> {
    let Some(file) = found(File::open(path))? else {
        return Ok(None);
    };
    let (metadata, now) = (file.metadata()?, SystemTime::now());
    file.set_modified(now)?;
    let age = now.duration_since(metadata.modified()?);
    if age.is_ok_and(|age| age > UNSYNCED) {
        file.sync_all()?;
    }
    Ok(Some(metadata.len()))
}

fn put_at(metadata: &Metadata) -> io::Result<Millis> {
    let since = metadata.modified()?.duration_since(UNIX_EPOCH);
    Ok(Millis::try_from(since.unwrap_or_default().as_millis()).unwrap_or(Millis::MAX))
}

impl Shared {
    pub(super) fn held(&self, after: Option<&Sha256Digest>, limit: usize) -> io::Result<Vec<Held>> {
        let mut held = Vec::new();
        let first = after.map_or(0, |after| usize::from(after.as_bytes()[0]));
        for shard in first..SHARDS {
            for digest in self.names(shard, after)? {
                // One that is removed meanwhile is not held.
                let Some(metadata) = found(fs::metadata(self.path(&digest)))? else {
                    continue;
                };
                held.push(Held {
                    digest,
                    size: metadata.len(),
                    put: put_at(&metadata)?,
                });
                if held.len() == limit {
                    return Ok(held);
                }
            }
        }
        Ok(held)
    }

    /// Digests of one shard behind `after`, in order. A file of another name is nobody's artifact.
    fn names(&self, shard: usize, after: Option<&Sha256Digest>) -> io::Result<Vec<Sha256Digest>> {
        let shard = format!("{shard:02x}");
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("objects").join(&shard))? {
            let name = entry?.file_name();
            let Some(Ok(digest)) = name.to_str().map(|rest| format!("{shard}{rest}").parse())
            else {
                continue;
            };
            if after.is_none_or(|after| digest > *after) {
                names.push(digest);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn remove_if_older(&self, digest: &Sha256Digest, than: Millis) -> io::Result<bool> {
        let path = self.path(digest);
        let _guard = self.shard(digest);
        let Some(metadata) = found(fs::metadata(&path))? else {
            return Ok(false);
        };
        if put_at(&metadata)? >= than {
            return Ok(false);
        }
        fs::remove_file(&path)?;
        Ok(true)
    }
}
