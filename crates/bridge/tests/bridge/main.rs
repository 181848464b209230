//! The bridge before the judges that it is made for: apt, rpm, gpg, dnf, rpmbuild. Needs root and the network; the first run
//! makes `target/bridge`, which the tests of other crates use as well.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run real tools on real files, and fail where these fail"
)]

mod buildroot;
mod lab;
mod make;
