//! A machine, its packages, and what people and clients see of it.

pub(crate) mod apt;
mod machine;
pub(crate) mod package;
mod seen;

pub(crate) use machine::{Machine, git, ok, program, said};
pub(crate) use seen::{artifact, find, text};
