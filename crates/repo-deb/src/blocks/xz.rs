//! One xz stream (the .xz file format, version 1.2.1) out of blocks that were compressed apart.
//!
//! A stream is a header, blocks, an index of the blocks' sizes, and a footer. Each block is taken out of a stream of
//! its own; index and footer are written here.

use std::io::Write;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;

/// Preset 6 would make the index 4 % smaller in twice the time.
const PRESET: u32 = 4;
/// A block has about 45 KB, so a larger dictionary only costs encoder and client memory.
const DICTIONARY_BYTES: u32 = 256 << 10;
/// Stream header and stream footer have the same length.
const EDGE_BYTES: usize = 12;
/// The header of a stream whose blocks carry a CRC-64, and the flags its footer repeats.
const FLAGS: [u8; 2] = [0x00, 0x04];
const HEADER_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0x00];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";

/// A block with its padding, and its length without, which the index gives.
pub(super) struct XzBlock {
    pub(super) bytes: Vec<u8>,
    pub(super) unpadded: u64,
}

/// Compresses one block.
pub(super) fn compress(text: &[u8]) -> XzBlock {
    let stream = single_block_stream(text);
    let (block, index) = split_stream(&stream).expect("the encoder writes a stream of one block");
    XzBlock {
        unpadded: first_unpadded_size(index).expect("the index has one record"),
        bytes: block.to_vec(),
    }
}

fn single_block_stream(text: &[u8]) -> Vec<u8> {
    const WHY: &str = "compressing from memory to memory with a preset has no way to fail";
    let mut options = LzmaOptions::new_preset(PRESET).expect(WHY);
    options.dict_size(DICTIONARY_BYTES);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).expect(WHY);
    let mut encoder = XzEncoder::new_stream(Vec::with_capacity(text.len() / 3 + 128), stream);
    encoder.write_all(text).expect(WHY);
    encoder.finish().expect(WHY)
}

/// The blocks and the index of a stream.
fn split_stream(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, footer) = stream.split_last_chunk::<EDGE_BYTES>()?;
    let (_, rest) = rest.split_first_chunk::<EDGE_BYTES>()?;
    let stored = u32::from_le_bytes(*footer.get(4..)?.first_chunk()?);
    let index_length = (usize::try_from(stored).ok()? + 1) * 4;
    rest.split_at_checked(rest.len().checked_sub(index_length)?)
}

/// Indicator, number of records, then the record's unpadded size.
fn first_unpadded_size(index: &[u8]) -> Option<u64> {
    let records = index.strip_prefix(&[0, 1])?;
    let mut value = 0;
    for (n, byte) in records.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Puts blocks together.
pub(crate) struct XzIndex {
    bytes: Vec<u8>,
    records: Vec<(u64, u64)>,
}

impl XzIndex {
    pub(crate) fn new() -> Self {
        let mut bytes = HEADER_MAGIC.to_vec();
        bytes.extend_from_slice(&FLAGS);
        bytes.extend_from_slice(&crc32_bytes(&FLAGS));
        Self {
            bytes,
            records: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, block: &super::Block) {
        self.bytes.extend_from_slice(block.xz());
        self.records
            .push((block.xz_unpadded, block.text().len() as u64));
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut index = vec![0];
        push_number(&mut index, self.records.len() as u64);
        for (unpadded, text) in &self.records {
            push_number(&mut index, *unpadded);
            push_number(&mut index, *text);
        }
        index.resize(index.len().next_multiple_of(4), 0);
        index.extend_from_slice(&crc32_bytes(&index));

        let stored = u32::try_from(index.len() / 4 - 1)
            .expect("an index of 16 GiB needs more blocks than memory holds");
        let mut tail = stored.to_le_bytes().to_vec();
        tail.extend_from_slice(&FLAGS);
        self.bytes.extend_from_slice(&index);
        self.bytes.extend_from_slice(&crc32_bytes(&tail));
        self.bytes.extend_from_slice(&tail);
        self.bytes.extend_from_slice(&FOOTER_MAGIC);
        self.bytes
    }
}

/// The format's variable-length integer: seven bits a byte, low ones first.
fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn crc32_bytes(bytes: &[u8]) -> [u8; 4] {
    super::crc32(bytes).to_le_bytes()
}
