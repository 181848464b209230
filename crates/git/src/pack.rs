//! Packs: objects as one stream, the shape they have on the wire and on disk. See `gitformat-pack(5)`.

use std::io::{self, Write};

use gix::odb::pack::data;

use crate::build::NewObject;
use crate::{Error, Result};

/// Level 6, as git writes packs.
const COMPRESSION: gix::zlib::Compression = gix::zlib::Compression::DEFAULT;

/// A pack of these objects, as bytes.
pub(crate) fn encode(objects: &[NewObject]) -> Result<Vec<u8>> {
    let mut writer = Writer::start(Vec::new(), objects.len())?;
    for object in objects {
        writer.add(object.kind, &object.data)?;
    }
    writer.finish()
}

/// Writes whole objects, without deltas.
pub(crate) struct Writer<W> {
    out: gix::hash::io::Write<W>,
}

impl<W: Write> Writer<W> {
    /// Starts a pack that must get exactly `count` objects.
    pub(crate) fn start(out: W, count: usize) -> Result<Self> {
        let count = u32::try_from(count).map_err(|_| Error::Limit {
            operation: "write a pack".to_owned(),
            limit: u64::from(u32::MAX),
            unit: "objects",
        })?;
        let mut out = gix::hash::io::Write::new(out, gix::hash::Kind::Sha1);
        out.write_all(&data::header::encode(data::Version::V2, count))
            .map_err(failed)?;
        Ok(Self { out })
    }

    pub(crate) fn add(&mut self, kind: gix::objs::Kind, data: &[u8]) -> Result<()> {
        use gix::objs::Kind;
        let header = match kind {
            Kind::Blob => data::entry::Header::Blob,
            Kind::Tree => data::entry::Header::Tree,
            Kind::Commit => data::entry::Header::Commit,
            Kind::Tag => data::entry::Header::Tag,
        };
        header
            .write_to(data.len() as u64, &mut self.out)
            .map_err(failed)?;
        let mut deflate = gix::zlib::stream::deflate::Write::new(&mut self.out, COMPRESSION);
        deflate
            .write_all(data)
            .and_then(|()| deflate.flush())
            .map_err(failed)
    }

    /// Writes the checksum; gives back what was written to.
    pub(crate) fn finish(self) -> Result<W> {
        let checksum = self
            .out
            .hash
            .try_finalize()
            .map_err(|error| Error::Corrupt {
                operation: "write a pack".to_owned(),
                reason: error.to_string(),
            })?;
        let mut out = self.out.inner;
        out.write_all(checksum.as_slice())
            .and_then(|()| out.flush())
            .map_err(failed)?;
        Ok(out)
    }
}

fn failed(error: io::Error) -> Error {
    Error::Corrupt {
        operation: "write a pack".to_owned(),
        reason: error.to_string(),
    }
}
