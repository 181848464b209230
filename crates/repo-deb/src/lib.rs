//! Debian packages and repositories: reads `.deb`, `.dsc`, `.changes` and `.buildinfo`, composes suites, signs and
//! verifies them.
//!
//! Callers: the runners' build, sign and compose roles, and `millrace verify`. The way of a package through here:
//! [`package::read`] → [`Fragment`] (kept by digest) → [`compose`] → [`sign_release`] → published → [`verify()`].
//!
//! Invariants:
//! * The bytes of packages, control files and repositories are a stranger's: readers are bounded and never panic.
//! * Composing is a function of its arguments: same packages in, same bytes out, cached or not.
//! * Files, clock and environment are the caller's, [`DirectoryCache`] excepted.

mod blocks;
mod clearsigned;
mod compose;
pub mod deb822;
mod digest;
mod fragment;
pub mod names;
pub mod package;
mod release;
mod sign;
pub mod source;
mod text;
mod unpack;
mod verify;

pub use blocks::{
    Block, BlockCache, BlockKey, DirectoryCache, MAX_BLOCK_PACKAGES, MEAN_BLOCK_PACKAGES,
    MemoryCache, NoCache,
};
pub use clearsigned::{Error as ClearsignedError, signed_text};
pub use compose::{
    Composition, Content, Error as ComposeError, File, Fragments, Placed, StoreError, compose,
};
pub use digest::{Digests, Error as DigestError, Md5Digest, Sha1Digest, Sha256Digest};
pub use fragment::{Entry, Error as FragmentError, Fragment, Kind, PoolFile, STANZA_VERSION};
pub use release::{Suite, Upgrades};
pub use sign::{Error as SignError, SignedRelease, sign_release};
pub use verify::{Finding, MAX_FINDINGS, MAX_INDEX_BYTES, ReadFile, Report, verify};
