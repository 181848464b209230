//! The crate against git itself: `fsck`, `log` and `http-backend` are the judges.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start git, serve HTTP and write files"
)]

mod commit;
mod read;
mod support;
