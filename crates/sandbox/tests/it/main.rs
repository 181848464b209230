//! The sandbox against the real kernel: what a build sees, what stops it, and what is left of it.
//!
//! All tests run as whoever started them. [`users`] runs them again as an ordinary user, and as root of a place without user
//! namespaces.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of processes, mounts and files"
)]

mod isolation;
mod lifetime;
mod limits;
mod roots;
mod stage;
mod users;
