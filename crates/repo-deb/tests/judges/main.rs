//! The crate against tools that others wrote: dpkg, apt, apt-ftparchive, gpg, gzip and xz.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start the real tools on real files"
)]

mod apt;
mod common;
mod composing;
mod packages;
mod verifying;
