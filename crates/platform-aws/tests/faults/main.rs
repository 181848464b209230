//! What the network, the services and strangers do to the adapters of AWS.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../common/mod.rs"]
mod common;
mod ledger_rows;
mod older;
mod queue;
mod slow;
mod store;
