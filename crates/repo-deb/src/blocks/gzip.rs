//! One gzip member (RFC 1952) out of blocks that were deflated apart, the way pigz does it.
//!
//! Each block ends with a full flush: on a byte, and with nothing later referring back across it. A last empty block
//! closes the deflate stream. Readers see an ordinary file of one member.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Level 9: an index is made once and fetched often.
const LEVEL: u32 = 9;
/// Deflate, no name, no time, no word on the machine.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
/// The final empty block of fixed codes.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// Deflates one block.
pub(super) fn deflate(text: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let mut packed = Vec::with_capacity(text.len() / 3 + 64);
    loop {
        let rest = usize::try_from(compress.total_in())
            .ok()
            .and_then(|done| text.get(done..))
            .unwrap_or_default();
        let status = compress
            .compress_vec(rest, &mut packed, FlushCompress::Full)
            .expect("deflating from memory to memory has no way to fail");
        // Room left over means that the flush is complete.
        if status != Status::StreamEnd
            && packed.len() < packed.capacity()
            && compress.total_in() == text.len() as u64
        {
            return packed;
        }
        packed.reserve(packed.capacity().max(64));
    }
}

/// Puts blocks together.
pub(crate) struct GzipIndex {
    bytes: Vec<u8>,
    crc: Crc,
}

impl GzipIndex {
    pub(crate) fn new() -> Self {
        Self {
            bytes: HEADER.to_vec(),
            crc: Crc::new(),
        }
    }

    pub(crate) fn push(&mut self, block: &super::Block) {
        self.bytes.extend_from_slice(block.deflate());
        self.crc.update(block.text());
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&LAST_BLOCK);
        self.bytes.extend_from_slice(&self.crc.sum().to_le_bytes());
        // The length modulo 2^32, as the format has it; `Crc` counts it so.
        self.bytes
            .extend_from_slice(&self.crc.amount().to_le_bytes());
        self.bytes
    }
}
