//! The front of a package file: lead, signature header, padding, header. The payload follows.

use std::io::{self, Read};
use std::ops::Range;

use crate::Error;
use crate::header::{Header, INTRO_BYTES, Intro};

/// The obsolete first 96 bytes. Only their magic number and kind of package still mean something.
pub(crate) const LEAD_BYTES: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// Everything before the payload, and where its parts are.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    signature_end: usize,
    header_start: usize,
}

impl Head {
    /// Reads up to where the payload begins. Memory grows with what arrives, not with what the package claims.
    pub(crate) fn read(reader: &mut impl Read) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(8 << 10);
        append(reader, LEAD_BYTES, &mut bytes)?;
        if bytes[..4] != LEAD_MAGIC {
            return Err(Error::malformed(
                "it is not an RPM package (bad lead magic)",
            ));
        }
        append_header(reader, &mut bytes)?;
        let signature_end = bytes.len();
        let header_start = padded(signature_end);
        append(reader, header_start - signature_end, &mut bytes)?;
        append_header(reader, &mut bytes)?;
        Ok(Self {
            bytes,
            signature_end,
            header_start,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn signature(&self) -> Result<Header<'_>, Error> {
        Header::parse(&self.bytes[LEAD_BYTES..self.signature_end])
    }

    pub(crate) fn header(&self) -> Result<Header<'_>, Error> {
        Header::parse(self.header_bytes())
    }

    /// What a header signature covers: the whole structure with its magic.
    pub(crate) fn header_bytes(&self) -> &[u8] {
        &self.bytes[self.header_start..]
    }

    /// Where the header is in the file; its end is where the payload begins.
    pub(crate) fn header_range(&self) -> Range<u64> {
        self.header_start as u64..self.bytes.len() as u64
    }
}

/// The signature header is padded so that the header begins at a multiple of eight.
pub(crate) fn padded(end: usize) -> usize {
    end.next_multiple_of(8)
}

fn append_header(reader: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let start = bytes.len();
    append(reader, INTRO_BYTES, bytes)?;
    let intro = bytes[start..]
        .first_chunk()
        .expect("16 bytes were just appended");
    let body = Intro::parse(intro)?.body_len();
    append(reader, body, bytes)
}

fn append(reader: &mut impl Read, count: usize, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let got = reader
        .take(count as u64)
        .read_to_end(bytes)
        .map_err(|source| Error::Io {
            what: "read the package".into(),
            source,
        })?;
    if got < count {
        let source = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(Error::Io {
            what: "read the package: the file ends inside its header".into(),
            source,
        });
    }
    Ok(())
}
