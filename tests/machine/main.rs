//! Machines, whole and real: `millrace up` with its processes, killed, lied to and reverted.
//!
//! The packages are tiny, everything else is as in production: mmdebstrap and dnf, the sandbox, rpgp, and
//! apt as the judge. Scenarios share a machine because its roots take longest.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and reads their files"
)]

mod bad_input;
mod bad_release;
mod forge;
mod killed;
mod life;
mod lost;
mod support;
