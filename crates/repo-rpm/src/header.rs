//! One RPM header structure, read in place: an index of 16-byte entries and a data area.
//!
//! Format: rpm's `docs/manual/format_header.md`. The same structure holds the signatures and the metadata.

use std::borrow::Cow;

use crate::Error;

/// Magic number, version and reserved bytes that open a header.
pub(crate) const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// Magic, count of entries, length of the data area.
pub(crate) const INTRO_BYTES: usize = 16;
pub(crate) const ENTRY_BYTES: usize = 16;
/// rpm's own limit on the index (`hdrchkTags`).
const MAX_ENTRIES: u32 = 0xffff;
/// rpm allows 256 MiB; the largest headers of real distributions (firmware, debuginfo) are below 20 MiB.
const MAX_DATA_BYTES: u32 = 64 << 20;
/// Items of one array. The packages with most files have some 300,000.
const MAX_ITEMS: u32 = 1 << 20;

/// `HEADERIMAGE`, `HEADERSIGNATURES`, `HEADERIMMUTABLE`: they mark which entries belong together.
const REGIONS: std::ops::RangeInclusive<u32> = 61..=63;

pub(crate) mod kind {
    pub(crate) const INT16: u32 = 3;
    pub(crate) const INT32: u32 = 4;
    pub(crate) const INT64: u32 = 5;
    pub(crate) const STRING: u32 = 6;
    pub(crate) const BIN: u32 = 7;
    pub(crate) const STRING_ARRAY: u32 = 8;
    pub(crate) const I18N_STRING: u32 = 9;
}

/// How long a header is, read from its first 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intro {
    entries: u32,
    data: u32,
}

impl Intro {
    pub(crate) fn parse(bytes: &[u8; INTRO_BYTES]) -> Result<Self, Error> {
        // The four reserved bytes are zero in every package; rpm compares them too.
        if bytes[..8] != MAGIC {
            return Err(Error::malformed("bad header magic"));
        }
        let entries = be32(bytes, 8).unwrap_or_default();
        let data = be32(bytes, 12).unwrap_or_default();
        if entries > MAX_ENTRIES {
            return Err(Error::TooLarge {
                what: "number of tags",
                found: entries.into(),
                limit: MAX_ENTRIES.into(),
            });
        }
        if data > MAX_DATA_BYTES {
            return Err(Error::TooLarge {
                what: "size of the header",
                found: data.into(),
                limit: MAX_DATA_BYTES.into(),
            });
        }
        Ok(Self { entries, data })
    }

    /// Bytes that follow the first 16.
    pub(crate) fn body_len(self) -> usize {
        self.entries as usize * ENTRY_BYTES + self.data as usize
    }
}

/// A header in memory.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    /// Without the region tags, whose data is an index line and not in order.
    entries: Vec<Entry>,
    data: &'a [u8],
}

/// One line of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tag: u32,
    pub(crate) kind: u32,
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

impl Entry {
    fn parse(line: &[u8]) -> Self {
        let field = |at| be32(line, at).unwrap_or_default();
        Self {
            tag: field(0),
            kind: field(4),
            offset: field(8),
            count: field(12),
        }
    }
}

/// An entry and the bytes from its offset to the next entry's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) entry: Entry,
    room: &'a [u8],
}

impl<'a> Slot<'a> {
    /// The bytes of the entry alone, for copying it into another header. `None` if it does not fit its room.
    pub(crate) fn raw(self) -> Option<&'a [u8]> {
        let Self { entry, room } = self;
        let width = match entry.kind {
            0 => 0,
            1 | 2 | kind::BIN => 1,
            kind::INT16 => 2,
            kind::INT32 => 4,
            kind::INT64 => 8,
            other if is_text(other) => {
                let ends = room.iter().enumerate().filter(|&(_, &byte)| byte == 0);
                let last = (entry.count as usize).checked_sub(1)?;
                return ends.map(|(at, _)| &room[..=at]).nth(last);
            }
            _ => return None,
        };
        room.get(..(entry.count as usize).checked_mul(width)?)
    }
}

fn is_text(kind: u32) -> bool {
    matches!(kind, kind::STRING | kind::STRING_ARRAY | kind::I18N_STRING)
}

impl<'a> Header<'a> {
    /// Reads a header that fills `bytes` exactly.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let short = || Error::malformed("the header is cut off");
        let (intro, body) = bytes.split_first_chunk::<INTRO_BYTES>().ok_or_else(short)?;
        let intro = Intro::parse(intro)?;
        if body.len() != intro.body_len() {
            return Err(short());
        }
        let (index, data) = body.split_at(intro.entries as usize * ENTRY_BYTES);
        let entries = index.chunks_exact(ENTRY_BYTES).map(Entry::parse);
        let entries: Vec<Entry> = entries
            .filter(|entry| !REGIONS.contains(&entry.tag))
            .collect();
        // As rpm checks: in order, none inside another. So all reads together cannot exceed the data area.
        if !entries.is_sorted_by_key(|entry| entry.offset) {
            return Err(Error::malformed(
                "the tags of its header overlap or are out of order",
            ));
        }
        Ok(Self { entries, data })
    }

    /// Every entry with the part of the data area that it may use: up to where the next one begins.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot<'a>> {
        (0..self.entries.len()).map(|index| self.slot(index))
    }

    fn slot(&self, index: usize) -> Slot<'a> {
        let entry = self.entries[index];
        let next = self.entries.get(index + 1);
        let end = next.map_or(self.data.len(), |next| next.offset as usize);
        let room = self
            .data
            .get(entry.offset as usize..end)
            .unwrap_or_default();
        Slot { entry, room }
    }

    fn find(&self, tag: u32) -> Option<Slot<'a>> {
        let index = self.entries.iter().position(|entry| entry.tag == tag)?;
        Some(self.slot(index))
    }

    pub(crate) fn has(&self, tag: u32) -> bool {
        self.find(tag).is_some()
    }

    pub(crate) fn binary(&self, tag: u32) -> Option<&'a [u8]> {
        self.find(tag)
            .filter(|slot| slot.entry.kind == kind::BIN)?
            .raw()
    }

    /// A string, or the first of several (the C locale of a translated one).
    pub(crate) fn string(&self, tag: u32) -> Option<Cow<'a, str>> {
        self.strings(tag).next()
    }

    /// The items of a string array; none if the tag is missing, of another kind or runs out of the data area.
    pub(crate) fn strings(&self, tag: u32) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        self.byte_strings(tag).map(text)
    }

    fn byte_strings(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (count, mut rest) = match self.find(tag) {
            Some(Slot { entry, room }) if entry.kind == kind::STRING => (entry.count.min(1), room),
            Some(Slot { entry, room }) if is_text(entry.kind) => (entry.count.min(MAX_ITEMS), room),
            _ => (0, [].as_slice()),
        };
        (0..count).map_while(move |_| {
            let end = rest.iter().position(|&byte| byte == 0)?;
            let item = &rest[..end];
            rest = &rest[end + 1..];
            Some(item)
        })
    }

    /// The items of an integer array of any width.
    pub(crate) fn numbers(&self, tag: u32) -> impl Iterator<Item = u64> + use<'a> {
        let slot = self.find(tag).filter(|slot| slot.entry.count <= MAX_ITEMS);
        let width = match slot.map(|slot| slot.entry.kind) {
            Some(kind::INT16) => 2,
            Some(kind::INT32) => 4,
            Some(kind::INT64) => 8,
            _ => 0,
        };
        let bytes = slot
            .filter(|_| width > 0)
            .and_then(Slot::raw)
            .unwrap_or_default();
        bytes
            .chunks_exact(width.max(1))
            .map(|item| item.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    pub(crate) fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).next()
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}

/// Old packages hold Latin-1; createrepo_c reads what is not UTF-8 that way too.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}
