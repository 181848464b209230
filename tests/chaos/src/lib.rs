//! The two halves of `cargo xtask chaos` that have to agree: what the pretended upstream offers, and the
//! runner that makes packages of it in milliseconds.
//!
//! Callers: `millrace-chaos`, which pushes wishes, hurts processes and judges; `millrace-chaos-runner`,
//! which the real `millrace up` starts in the place of `millrace-runner`. Invariants: a package is a
//! function of its name and version; everything around it, from the lease to the signature, is the real
//! code.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of developers: it asks git what a commit holds"
)]

mod deb;
mod rpm;
pub mod upstream;
pub mod workshop;
