//! The bridge: a real RPM repository for machines that can reach no mirror of an RPM distribution.
//!
//! It repacks a closed set of Debian 12 packages as signed RPMs, so that real `dnf`, `rpm` and `rpmbuild` can be used on a
//! fresh Debian 12 machine or in CI: `dnf --installroot` makes a build root from it, `dnf builddep` resolves real
//! BuildRequires against it, and a missing one fails as it would elsewhere. It is for tests, never a distribution to ship.
//!
//! Callers: `cargo xtask bridge`, end-to-end tests, the demo, through [`make`] or the binary `millrace-bridge`.
//!
//! The way of a package: [`apt`] resolves the closure of a pinned seed list on an empty machine and fetches it, signatures
//! checked; [`plan`] maps its control data; [`convert`] turns the data archive into an RPM; [`repository`] indexes all.
//!
//! Invariants:
//! * The same packages and the same key give the same bytes.
//! * What is in the repository can be installed together: apt proved it for the whole set.
//! * The second run with the same input does nothing and needs no network; an interrupted run goes on where it stopped.
//! * No maintainer script runs, neither here nor in a root.
#![allow(
    clippy::disallowed_methods,
    reason = "the bridge's business is files of the host and the programs apt, dpkg-deb and createrepo_c"
)]

mod apt;
mod base;
mod cache;
mod control;
mod convert;
mod data;
mod deb;
mod elf;
mod error;
mod evr;
mod key;
mod make;
mod place;
mod plan;
mod provides;
mod repository;
mod sources;
mod usrmerge;

pub use error::Error;
pub use make::{Bridge, Outcome, Request, Resolve, make};
pub(crate) use plan::PackagePlan;

/// When the bridge's own key was made, and the time of its own files, in seconds since 1970: 2020-01-01, before the
/// packages of Debian 12, whose signatures carry the time of their newest file.
pub(crate) const KEY_CREATED: u32 = 1_577_836_800;
