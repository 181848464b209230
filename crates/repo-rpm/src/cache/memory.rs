use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Block, BlockCache};
use crate::Sha256;

/// Blocks in memory, for as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryCache(Mutex<HashMap<Sha256, Block>>);

impl BlockCache for MemoryCache {
    fn get(&self, key: &Sha256) -> Option<Block> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    fn put(&self, key: &Sha256, block: &Block) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(*key, block.clone());
    }
}
