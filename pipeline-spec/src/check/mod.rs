//! What files say about each other. Types are right by now; names may still point nowhere.

mod build;
mod configuration;
pub(crate) mod cycle;
mod place;
mod release;

pub use build::check_build;
pub(crate) use configuration::check_configuration;
pub(crate) use place::{File, Step};
pub use release::check_release;
