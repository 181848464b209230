//! `millrace up` as the network sees it: those who connect and say nothing, a state repository's server that is
//! gone, and words and files that it refuses.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files of its own"
)]

mod away;
mod files;
mod forge;
mod up;
mod words;
