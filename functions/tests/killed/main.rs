//! The real programs over an emulator, started as AWS starts them: killed at their time limit in the middle of their work,
//! handed a message twice or one that nobody can read, and kept waiting by the service of parameters.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and this one starts programs"
)]

mod cloud;
mod collect;
mod dispatch;
mod end;
mod forge;
mod mapping;
mod plan;
// The faults of the adapters' own tests.
#[path = "../../../crates/platform-aws/tests/common/proxy.rs"]
#[allow(dead_code, reason = "not all of its faults are needed here")]
mod proxy;
mod report;
mod runtime;
mod stage;
mod sweep;
mod told;
