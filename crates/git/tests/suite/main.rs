//! The crate against git itself: `fsck`, `log` and `http-backend` are the judges.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start git, serve HTTP and write files; a test that cannot go on fails"
)]

mod blobless;
mod checkout;
mod commit;
mod hold;
mod killed;
mod merge_base;
mod packs;
mod push;
mod read;
mod resolve;
mod strangers;
mod support;
