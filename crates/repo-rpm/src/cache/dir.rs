#![allow(
    clippy::disallowed_methods,
    reason = "a directory is what this cache is"
)]

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Block, BlockCache, Part};
use crate::Sha256;

/// First bytes of an entry; the number changes with its layout.
const MAGIC: &[u8; 8] = b"MRBLOCK1";
/// Magic, digest of what follows, then open, zstd and gzip length of each part.
const INTRO_BYTES: usize = 8 + 32 + 3 * 8 * super::PARTS;

/// Blocks in a directory: one file each, named by its key, with a digest inside. A torn or changed file counts as absent.
#[derive(Debug, Clone)]
pub struct DirCache(PathBuf);

impl DirCache {
    /// A cache in `directory`, which is made when the first block is kept.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Removes every block that is not in `keep`. Run it after a publish with [`crate::repodata::Repodata::blocks`] of all repositories.
    ///
    /// # Errors
    /// If the directory cannot be read or a file cannot be removed.
    pub fn prune(&self, keep: &HashSet<Sha256>) -> io::Result<usize> {
        let mut removed = 0;
        let shards = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            shards => shards?,
        };
        for shard in shards {
            for file in fs::read_dir(shard?.path())? {
                let path = file?.path();
                let key = path
                    .file_name()
                    .and_then(|name| name.to_str()?.parse().ok());
                if key.is_some_and(|key: Sha256| !keep.contains(&key)) {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn path(&self, key: &Sha256) -> PathBuf {
        let name = key.to_string();
        self.0.join(&name[..2]).join(&name)
    }
}

impl BlockCache for DirCache {
    fn get(&self, key: &Sha256) -> Option<Block> {
        decode(&fs::read(self.path(key)).ok()?)
    }

    fn put(&self, key: &Sha256, block: &Block) {
        // Best effort by contract: a full disk must not fail a publish.
        let _ = store(&self.path(key), &encode(block));
    }
}

/// Writes beside the final name and renames, so that no reader sees half a file.
fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let shard = path.parent().expect("every block has a shard directory");
    fs::create_dir_all(shard)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(bytes));
    let kept = written.and_then(|()| fs::rename(&temporary, path));
    if kept.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    kept
}

fn encode(block: &Block) -> Vec<u8> {
    let mut body = Vec::new();
    for part in &block.parts {
        for length in [
            part.open_len,
            part.zstd.len() as u64,
            part.gzip.len() as u64,
        ] {
            body.extend_from_slice(&length.to_le_bytes());
        }
    }
    for part in &block.parts {
        body.extend_from_slice(&part.zstd);
        body.extend_from_slice(&part.gzip);
    }
    let digest = Sha256::of(&body);
    [MAGIC.as_slice(), &digest.0, &body].concat()
}

fn decode(bytes: &[u8]) -> Option<Block> {
    let body = bytes.strip_prefix(MAGIC)?;
    let (digest, body) = body.split_at_checked(32)?;
    if Sha256::of(body).0 != digest {
        return None;
    }
    let (lengths, mut rest) = body.split_at_checked(INTRO_BYTES - 40)?;
    let mut lengths = lengths
        .chunks_exact(8)
        .map(|eight| u64::from_le_bytes(eight.try_into().unwrap_or_default()));
    let mut take = |length: u64| {
        let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some(taken.to_vec())
    };
    let mut part = || {
        let open_len = lengths.next()?;
        let (zstd, gzip) = (lengths.next()?, lengths.next()?);
        Some(Part {
            open_len,
            zstd: take(zstd)?,
            gzip: take(gzip)?,
        })
    };
    let parts = [part()?, part()?, part()?];
    rest.is_empty().then_some(Block { parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_come_back() {
        let part = |n: u8| Part {
            open_len: n.into(),
            zstd: vec![n; 5],
            gzip: vec![n; usize::from(n)],
        };
        let block = Block {
            parts: [part(0), part(1), part(2)],
        };
        let bytes = encode(&block);
        assert_eq!(decode(&bytes), Some(block.clone()));
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "changed at {at}");
        }

        let dir = tempfile::tempdir().unwrap();
        let cache = DirCache::new(dir.path().join("blocks"));
        let (key, other) = (Sha256::of(b"a"), Sha256::of(b"b"));
        assert_eq!(cache.get(&key), None);
        cache.put(&key, &block);
        cache.put(&other, &block);
        assert_eq!(cache.get(&key), Some(block));
        assert_eq!(cache.prune(&HashSet::from([key])).unwrap(), 1);
        assert!(cache.get(&key).is_some() && cache.get(&other).is_none());
    }
}
