//! GitHub and Gitea: webhooks in, checks and statuses out. The only room that knows their JSON.
//!
//! Callers: the functions and the command line. Invariants: nothing that a forge says is believed where git or a
//! signature can be asked instead; a webhook is a hint, and decides nothing.

mod address;
mod answer;
pub mod app;
mod gitea;
mod github;
mod limits;
mod line;
mod pages;
mod reply;
mod site;
mod text;
pub mod webhook;

pub use address::{Address, ConfigError, Secret, shown};
pub use gitea::Gitea;
pub use github::{GitHub, Login};
pub use site::{AnyForge, Site};
pub use webhook::Kind;
