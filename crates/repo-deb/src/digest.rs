//! Digests of files: the three that Debian's control files carry, taken in one pass.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use md5::Md5;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::text::FromText;

/// A digest that is not lower-case hexadecimal of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} hexadecimal digits")]
pub struct Error(usize);

/// The value of each byte as a hexadecimal digit; `0xff` for all that are none.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// By table: a list of ten thousand packages has more than a million digits.
fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        if (high | low) == 0xff {
            return None;
        }
        *byte = high << 4 | low;
    }
    Some(())
}

macro_rules! hex_digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $hasher:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The digest of bytes held in memory.
            pub fn of(bytes: &[u8]) -> Self {
                Self(<$hasher>::digest(bytes).into())
            }

            /// The digest's bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl From<[u8; $bytes]> for $name {
            fn from(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let mut bytes = [0; $bytes];
                decode(text.as_bytes(), &mut bytes).ok_or(Error($bytes * 2))?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $bytes];
                hex::encode_to_slice(self.0, &mut text).expect("two digits for each byte");
                f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText::new())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

hex_digest!(
    /// MD5. Carried for old tools; nothing here trusts it.
    Md5Digest, 16, Md5
);
hex_digest!(
    /// SHA-1. Carried for old tools; nothing here trusts it.
    Sha1Digest, 20, Sha1
);
hex_digest!(
    /// SHA-256, by which files are known everywhere in the system.
    Sha256Digest, 32, Sha256
);

/// Size and digests of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// MD5 of the whole file.
    pub md5: Md5Digest,
    /// SHA-1 of the whole file.
    pub sha1: Sha1Digest,
    /// SHA-256 of the whole file.
    pub sha256: Sha256Digest,
}

impl Digests {
    /// Digests of bytes held in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = DigestRead::new(bytes);
        io::copy(&mut hasher, &mut io::sink())
            .expect("reading a slice and writing to nowhere cannot fail");
        hasher.finish()
    }

    /// Digests of all that a reader still holds.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut hasher = DigestRead::new(reader);
        io::copy(&mut hasher, &mut io::sink())?;
        Ok(hasher.finish())
    }
}

/// A reader that digests what passes through it.
#[derive(Debug)]
pub(crate) struct DigestRead<R> {
    inner: R,
    size: u64,
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

impl<R: Read> DigestRead<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            size: 0,
            md5: Md5::new(),
            sha1: Sha1::new(),
            sha256: Sha256::new(),
        }
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            size: self.size,
            md5: Md5Digest(self.md5.finalize().into()),
            sha1: Sha1Digest(self.sha1.finalize().into()),
            sha256: Sha256Digest(self.sha256.finalize().into()),
        }
    }
}

impl<R: Read> Read for DigestRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let (read, _) = buffer.split_at(count);
        self.size += count as u64;
        self.md5.update(read);
        self.sha1.update(read);
        self.sha256.update(read);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let digests = Digests::of(b"abc");
        assert_eq!(digests.size, 3);
        assert_eq!(digests.md5.to_string(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            digests.sha1.to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digests.sha256.to_string(), sha256);
        assert_eq!(sha256.parse(), Ok(digests.sha256));
        assert_eq!("ba78".parse::<Sha256Digest>(), Err(Error(64)));
    }
}
