//! RPM packages and repositories: read, describe, sign, publish, verify.
//!
//! Callers: the build and test roles ([`Package`]), the sign role ([`sign_package`]), compose ([`repodata::write`]),
//! `millrace verify` ([`verify::verify`]).
//!
//! Invariants:
//! * Packages and metadata are strangers' bytes: every reader is bounded, returns errors and never panics.
//! * Repodata is a function of the set of packages and the revision: not of their order, of the clock, of the
//!   machine or of what a cache holds.
//! * Signing changes the signature header only: [`unsigned_digest`] of a package is the same before and after.

pub mod cache;
mod deps;
mod digest;
mod error;
mod fragment;
mod head;
mod header;
mod package;
pub mod repodata;
mod sign;

mod tags;
pub mod verify;

mod xml;

pub use deps::{Comparison, Dependency};
pub use digest::{Sha256, unsigned_digest};
pub use error::Error;
pub use fragment::Fragment;
pub use package::{Changelog, File, FileKind, Package, SignedBy, Sizes};
pub use sign::{sign_file, sign_package};
