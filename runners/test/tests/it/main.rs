//! Test and smoke tasks with real apt and dpkg, dnf and rpm.

#![allow(
    clippy::disallowed_methods,
    reason = "packages are made with the host's tools"
)]

mod bench;
mod deb;
mod rpm;
