//! Indexes made of blocks, so that one package more costs one block more and not the whole index.
//!
//! The sorted packages of an index are cut into runs of about [`MEAN_BLOCK_PACKAGES`] where a package's own digest says so.
//! A package that comes or goes changes its own run (at most its neighbour too), wherever it stands. Each run is
//! rendered and compressed on its own and kept in a [`BlockCache`] under a key made of all that goes into it. The
//! index is then the runs one after the other, as *one* gzip member ([`gzip`]) and *one* xz stream ([`xz`]): apt
//! reads only the first stream of a file of several.
//!
//! Invariant: the bytes depend on the sorted packages alone, never on the order they came in or on what was cached.

mod cache;
mod encode;
mod gzip;
mod xz;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};

use crate::digest::Sha256Digest;
use crate::fragment::STANZA_VERSION;

pub use cache::{BlockCache, DirectoryCache, MemoryCache, NoCache};
pub(crate) use encode::{Found, in_order};
pub(crate) use gzip::GzipIndex;
pub(crate) use xz::XzIndex;

/// Packages a run has on average. More makes smaller files and a dearer change; at 64 a run is about 45 KB, which is
/// all that gzip can look back on anyway.
pub const MEAN_BLOCK_PACKAGES: u64 = 64;
/// Packages a run has at most, whatever their digests: it bounds memory and what a hostile choice of digests costs.
pub const MAX_BLOCK_PACKAGES: usize = 512;

/// The lengths of the runs that a sorted list of packages is cut into.
pub(crate) fn cut<'a>(digests: impl Iterator<Item = &'a Sha256Digest>) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut length = 0;
    for digest in digests {
        length += 1;
        let (head, _) = digest
            .as_bytes()
            .split_first_chunk::<8>()
            .expect("a digest has 32 bytes");
        if length == MAX_BLOCK_PACKAGES || u64::from_be_bytes(*head) % MEAN_BLOCK_PACKAGES == 0 {
            lengths.push(length);
            length = 0;
        }
    }
    if length > 0 {
        lengths.push(length);
    }
    lengths
}

/// What a cached block is known by: a digest of its packages, their places, and the program that rendered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey(Sha256Digest);

impl fmt::Display for BlockKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Collects what goes into a [`BlockKey`].
pub(crate) struct KeyBuilder(Sha256);

impl KeyBuilder {
    pub(crate) fn new() -> Self {
        Self(Sha256::new_with_prefix(PROGRAM.as_bytes()))
    }

    /// A package and the line that says where it is; the line ends in `\n`, which keeps one pair from the next.
    pub(crate) fn package(&mut self, digest: &Sha256Digest, place: &str) {
        self.0.update(digest.as_bytes());
        self.0.update(place.as_bytes());
    }

    pub(crate) fn finish(self) -> BlockKey {
        BlockKey(<[u8; 32]>::from(self.0.finalize()).into())
    }
}

/// Stands for everything in this program that shapes a block. Compressors of another version, or another deflate
/// implementation chosen by a feature elsewhere in the build, give other bytes for the same text: a sample tells.
static PROGRAM: LazyLock<Sha256Digest> = LazyLock::new(|| {
    let sample: String = (0..40)
        .map(|n| {
            format!(
                "Package: sample-{}\nDepends: libc6 (>= 2.{n})\nSize: {}\n\n",
                n * n,
                n * 977
            )
        })
        .collect();
    let block = Block::encode(sample.as_bytes());
    let mut bytes = STANZA_VERSION.to_be_bytes().to_vec();
    bytes.extend_from_slice(block.as_bytes());
    Sha256Digest::of(&bytes)
});

/// A run of stanzas, as text and compressed both ways. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The form a store keeps; the parts are ranges of it.
    bytes: Arc<Vec<u8>>,
    text: Range<usize>,
    deflate: Range<usize>,
    xz: Range<usize>,
    /// Length of the xz block without its padding.
    xz_unpadded: u64,
}

/// Leads every block in a store.
const MAGIC: &[u8; 8] = b"debblk1\n";
/// After the mark, a CRC-32 of all that follows it: three lengths of 8 bytes, then text, deflate and xz.
const CRC_BYTES: usize = 4;

impl Block {
    /// Compresses stanzas, of which there must be some: xz makes no block of nothing.
    pub(crate) fn encode(text: &[u8]) -> Self {
        let deflate = gzip::deflate(text);
        let xz = xz::compress(text);
        let lengths = [text.len() as u64, deflate.len() as u64, xz.unpadded];
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; CRC_BYTES]);
        for length in lengths {
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        for part in [text, &deflate, &xz.bytes] {
            bytes.extend_from_slice(part);
        }
        let (head, covered) = bytes.split_at_mut(MAGIC.len() + CRC_BYTES);
        let (_, crc) = head.split_at_mut(MAGIC.len());
        crc.copy_from_slice(&crc32(covered).to_be_bytes());
        Self::from_bytes(bytes).expect("the form that is written is the form that is read")
    }

    /// The stanzas.
    pub(crate) fn text(&self) -> &[u8] {
        self.part(&self.text)
    }

    /// The text as deflate blocks that end on a byte and refer to nothing before them.
    pub(crate) fn deflate(&self) -> &[u8] {
        self.part(&self.deflate)
    }

    /// The text as one block of an xz stream, with its padding.
    pub(crate) fn xz(&self) -> &[u8] {
        self.part(&self.xz)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// The block as a store keeps it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what [`Block::as_bytes`] gave; `None` for anything else, a torn or damaged block among it.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, rest) = rest.split_first_chunk::<CRC_BYTES>()?;
        if crc32(rest) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (text, rest) = rest.split_first_chunk::<8>()?;
        let (deflate, rest) = rest.split_first_chunk::<8>()?;
        let (unpadded, rest) = rest.split_first_chunk::<8>()?;
        let part = |start: usize, length: &[u8; 8]| {
            let end = start.checked_add(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let text = part(bytes.len() - rest.len(), text)?;
        let deflate = part(text.end, deflate)?;
        Some(Self {
            xz: deflate.end..bytes.len(),
            text,
            deflate,
            xz_unpadded: u64::from_be_bytes(*unpadded),
            bytes: Arc::new(bytes),
        })
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests;
