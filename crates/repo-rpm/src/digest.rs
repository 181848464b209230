//! SHA-256 as a value, and the digest that signing does not change.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::Error;
use crate::head::Head;

/// How much of a payload is read at once, in bytes. On the stack: most packages are smaller than a large buffer
/// costs to allocate.
const CHUNK_BYTES: usize = 32 << 10;

/// A SHA-256 digest; 64 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256(pub [u8; 32]);

/// A text that is not 64 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("read {0:?} as SHA-256: 64 lower-case hex digits are needed")]
pub struct NotSha256(String);

impl Sha256 {
    /// Digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Self, NotSha256> {
        let refuse = || NotSha256(text.chars().take(80).collect());
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| refuse())?;
        Ok(Self(bytes))
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = NotSha256;

    fn try_from(text: String) -> Result<Self, NotSha256> {
        text.parse()
    }
}

/// SHA-256 of a package's header and payload, without lead and signature header.
///
/// Signing and re-signing leave it as it is, so anyone can check that a signed package is the one that was built:
/// record this digest after the build, compare it after signing.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::TooLarge`] for what is no package, [`Error::Io`] if `package` cannot be read.
pub fn unsigned_digest(mut package: impl Read) -> Result<Sha256, Error> {
    let head = Head::read(&mut package)?;
    let mut hasher = sha2::Sha256::new();
    hasher.update(head.header_bytes());
    each_chunk(package, |chunk| hasher.update(chunk))?;
    Ok(Sha256(hasher.finalize().into()))
}

/// Feeds the rest of `reader` to `take` and returns how many bytes there were.
pub(crate) fn each_chunk(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> Result<u64, Error> {
    let mut chunk = [0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let got = match reader.read(&mut chunk) {
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(Error::Io {
                    what: "read the package".into(),
                    source,
                });
            }
        };
        if got == 0 {
            return Ok(total);
        }
        take(&chunk[..got]);
        total += got as u64;
    }
}
