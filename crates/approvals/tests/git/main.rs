//! Approvals against git and gpg themselves (Debian packages: git, gpg): they sign, and they judge.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the judges are programs"
)]

mod attacks;
mod bits;
mod counts;
mod proof;
mod scene;
