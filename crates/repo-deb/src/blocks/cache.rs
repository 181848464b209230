//! Where finished blocks are kept between composes.

#![allow(
    clippy::disallowed_methods,
    reason = "the directory cache is files; everything else in the crate is pure"
)]

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, process};

use super::{Block, BlockKey};

/// A store of blocks. It only saves time: what it loses is made again, and it must give back what was put or nothing.
///
/// Whoever can write to it decides what is published, so it belongs to the composer alone.
pub trait BlockCache {
    /// The block of that key, if it is there and whole.
    fn get(&self, key: &BlockKey) -> Option<Block>;

    /// Keeps a block. A store that cannot (a full disk) forgets it silently: the next compose is slower, not wrong.
    fn put(&self, key: &BlockKey, block: &Block);
}

/// Keeps nothing: every compose is from scratch.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

impl BlockCache for NoCache {
    fn get(&self, _: &BlockKey) -> Option<Block> {
        None
    }

    fn put(&self, _: &BlockKey, _: &Block) {}
}

/// Keeps blocks for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryCache(Mutex<HashMap<BlockKey, Block>>);

impl BlockCache for MemoryCache {
    fn get(&self, key: &BlockKey) -> Option<Block> {
        self.0.lock().ok()?.get(key).cloned()
    }

    fn put(&self, key: &BlockKey, block: &Block) {
        if let Ok(mut blocks) = self.0.lock() {
            blocks.insert(*key, block.clone());
        }
    }
}

/// Keeps blocks as files `<first two digits>/<the others>` in a directory. Several processes may share it.
#[derive(Debug)]
pub struct DirectoryCache {
    root: PathBuf,
    next_temporary: AtomicU64,
}

impl DirectoryCache {
    /// Uses a directory, and makes it if need be.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            next_temporary: AtomicU64::new(0),
        })
    }

    /// Removes all blocks but those in `keep` ([`crate::Composition::blocks`] of what is still published).
    ///
    /// # Errors
    /// If the directory cannot be read or a file not be removed.
    pub fn retain(&self, keep: &HashSet<BlockKey>) -> io::Result<()> {
        let keep: HashSet<PathBuf> = keep.iter().map(|key| self.path(key)).collect();
        for shard in fs::read_dir(&self.root)? {
            for file in fs::read_dir(shard?.path())? {
                let path = file?.path();
                if !keep.contains(&path) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn path(&self, key: &BlockKey) -> PathBuf {
        let name = key.to_string();
        let (shard, rest) = name.split_at(2);
        self.root.join(shard).join(rest)
    }

    fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory)?;
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = directory.join(format!("{}-{number}.tmp", process::id()));
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, path).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }
}

impl BlockCache for DirectoryCache {
    fn get(&self, key: &BlockKey) -> Option<Block> {
        Block::from_bytes(fs::read(self.path(key)).ok()?)
    }

    fn put(&self, key: &BlockKey, block: &Block) {
        let _ = self.store(&self.path(key), block.as_bytes());
    }
}
