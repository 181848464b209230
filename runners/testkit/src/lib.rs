//! What the tests of the runners' roles share: a role's desk with a folder in the place of the store,
//! sandboxes whose roots are kept between runs, the bridge, and real tools.
//!
//! Callers: tests of `runners/*` alone, as a dev-dependency. Nothing that ships knows this crate.
//!
//! Invariants: what is missing fails a test with the Debian package that has it; everything that a test
//! writes goes when the test ends, except roots and the bridge, which are named by their content.

#![allow(
    clippy::disallowed_methods,
    reason = "tests lay out files and ask real tools"
)]

mod desk;
mod host;

pub use desk::{Desk, artifacts_of, assert_failed, assert_trouble, limits, named, task_ref};
pub use host::{bridge, cache, run, sandbox, write};
