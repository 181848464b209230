//! What the functions share: each is one thin binary that reads its event, calls one use case and maps the error.
//!
//! | function | started by | calls |
//! |---|---|---|
//! | `webhook` | the forge, over HTTP | `forge::webhook::receive`, and says on queues where to look |
//! | `plan` | the queues `wake` and `advance` | `plan_head`, `advance` |
//! | `dispatch` | the table's stream, when the outbox has something new | `dispatch` |
//! | `runner-api` | runners and people, over HTTP | `server::changing` |
//! | `collect` | the queue `results`, when the bucket has a new result | `collect` |
//! | `report` | the queue `report` | `report_received` |
//! | `sweep` | a timer, each minute | `plan_head`, `sweep`, `report_received` |
//! | `forge` | the queue `forge`, and a timer, each minute | `answer_forge_received`, `review`, `tell`; lends the others an App's token for git |
//! | `read-api` | people and clients, over HTTP | `server::reading` |
//!
//! Callers: the binaries. Invariants: one environment variable, the name of the document that says all else; what
//! is killed at its time limit is done again by its queue or by the sweep; no secret is in a log.
#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it reads the environment"
)]

mod batch;
mod boot;
mod cloud;
mod login;
mod notification;
mod settings;

pub use batch::Batch;
pub use boot::{Boot, Plane};
pub use cloud::Own;
pub use login::{Lending, app_login};
pub use notification::places;
pub use settings::{Secret, Settings, StateRepository};
