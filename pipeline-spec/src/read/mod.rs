//! From bytes to typed values, with a diagnostic for each mistake on the way: [`text`] checks the
//! bytes, [`yaml`] makes a tree that knows where everything stands, [`decode`] and its siblings turn
//! the tree into the types. A file is read to its end, so that one run shows all mistakes.

pub(crate) mod configuration;
pub(crate) mod decode;
mod open;
pub(crate) mod platform;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod scalar;
mod syntax;
pub(crate) mod text;
pub(crate) mod yaml;
