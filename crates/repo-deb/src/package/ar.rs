//! The outer `ar` archive of a package: a magic line, then members with a 60-byte header each.

use std::io::{self, Read, Take};

use super::Error;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const PART: &str = "the outer archive";
/// Members whose name starts with `_` may stand between the three that count (deb(5)). None do; this many are read over.
const MAX_EXTRA_MEMBERS: usize = 16;

/// Reads members in order. What is between them, and after the last, passes through `reader` as well.
pub(super) struct Archive<R> {
    reader: R,
    /// Bytes of the current member that were not read yet, and its padding.
    left: u64,
    padding: u64,
}

/// One member and its bytes.
pub(super) struct Member<'a, R> {
    /// What follows the expected name: `.xz` for `control.tar.xz`, or nothing.
    pub(super) suffix: String,
    pub(super) body: Body<'a, R>,
}

/// The bytes of a member. Reading less than all of them is fine.
pub(super) struct Body<'a, R> {
    inner: Take<&'a mut R>,
    left: &'a mut u64,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && *self.left > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        *self.left -= count as u64;
        Ok(count)
    }
}

impl<R: Read> Archive<R> {
    pub(super) fn open(mut reader: R) -> Result<Self, Error> {
        let mut magic = [0; 8];
        read_exact(&mut reader, &mut magic)?;
        if &magic != MAGIC {
            return Err(Error::Layout(
                "it does not start as a package does".to_owned(),
            ));
        }
        Ok(Self {
            reader,
            left: 0,
            padding: 0,
        })
    }

    /// The next member, which must have the name `stem` and may have a suffix after a dot.
    pub(super) fn expect_member(&mut self, stem: &str) -> Result<Member<'_, R>, Error> {
        for _ in 0..=MAX_EXTRA_MEMBERS {
            self.skip_rest()?;
            let mut header = [0; 60];
            read_exact(&mut self.reader, &mut header)?;
            let (name, size) = parse_header(&header)?;
            self.left = size;
            self.padding = size % 2;
            if name.starts_with('_') {
                continue;
            }
            let suffix = name
                .strip_prefix(stem)
                .filter(|rest| rest.is_empty() || rest.starts_with('.'))
                .ok_or_else(|| {
                    Error::Layout(format!("expected member `{stem}`, found `{name}`"))
                })?;
            return Ok(Member {
                suffix: suffix.to_owned(),
                body: Body {
                    inner: (&mut self.reader).take(size),
                    left: &mut self.left,
                },
            });
        }
        Err(Error::Layout(format!("no member `{stem}`")))
    }

    /// Reads to the end of the file and gives the reader back.
    pub(super) fn close(mut self) -> Result<R, Error> {
        // A last member of odd size may come without its padding: dpkg accepts that.
        self.padding = 0;
        self.skip_rest()?;
        io::copy(&mut self.reader, &mut io::sink())
            .map_err(|source| Error::Io { part: PART, source })?;
        Ok(self.reader)
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        let want = self.left + self.padding;
        let got = io::copy(&mut (&mut self.reader).take(want), &mut io::sink())
            .map_err(|source| Error::Io { part: PART, source })?;
        if got < want {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Io { part: PART, source });
        }
        self.left = 0;
        self.padding = 0;
        Ok(())
    }
}

/// Name without its end marker (`/` in GNU's writing, blanks in both), and size in bytes.
fn parse_header(header: &[u8; 60]) -> Result<(String, u64), Error> {
    let broken = |what: &str| Error::Layout(format!("a member's header has a bad {what}"));
    let (name, rest) = header.split_at(16);
    let (_mtime_owner_mode, rest) = rest.split_at(32);
    let (size, end) = rest.split_at(10);
    if end != b"`\n" {
        return Err(broken("end"));
    }
    let name = name.trim_ascii_end();
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if !name.iter().all(u8::is_ascii_graphic) || name.is_empty() {
        return Err(broken("name"));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let size = size.trim_ascii_end();
    if size.is_empty() || !size.iter().all(u8::is_ascii_digit) {
        return Err(broken("size"));
    }
    let size = std::str::from_utf8(size)
        .ok()
        .and_then(|size| size.parse().ok());
    Ok((name, size.ok_or_else(|| broken("size"))?))
}

fn read_exact(reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), Error> {
    reader
        .read_exact(buffer)
        .map_err(|source| Error::Io { part: PART, source })
}
