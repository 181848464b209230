//! Where rendered and compressed blocks of repodata are kept between two publishes.
//!
//! A block is a function of its key, so a cache may forget anything at any time and be shared by all repositories.

mod dir;
mod memory;

pub use dir::DirCache;
pub use memory::MemoryCache;

use crate::Sha256;

/// The files that a block has a part of: primary, filelists, other.
pub const PARTS: usize = 3;

/// One run of packages in each of the three files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Primary, filelists, other.
    pub parts: [Part; PARTS],
}

/// One run of packages in one file, compressed so that runs can be concatenated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Bytes before compression.
    pub open_len: u64,
    /// One zstd frame (RFC 8878: a stream is a sequence of frames).
    pub zstd: Vec<u8>,
    /// One gzip member (RFC 1952: a file is a sequence of members).
    pub gzip: Vec<u8>,
}

/// Keeps blocks by key. Called from several threads.
///
/// A cache gives back exactly what was put, or nothing. One that may be torn or tampered with checks that itself, as
/// [`DirCache`] does: the writer trusts it.
pub trait BlockCache: Sync {
    /// The block of that key, if it is there and whole.
    fn get(&self, key: &Sha256) -> Option<Block>;
    /// Keeps a block. A failure to keep it costs time at the next publish and nothing else.
    fn put(&self, key: &Sha256, block: &Block);
}
