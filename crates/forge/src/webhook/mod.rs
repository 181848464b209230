//! What a forge sends: who signed it, and where to look now.
//!
//! Callers: the function `webhook`, and the control plane on one machine. [`receive_http`] is the door.
//!
//! Invariants: nothing is read for a caller that is not signed. A delivery is a hint: what is kept of it says where to
//! look and who asked, and the forge is asked for all else. So a lost, doubled, late or replayed one changes no final
//! state: a sweep looks as well. The headers are not signed, the body is: nothing but work may hang on an event's name
//! or a delivery's id, and a command is done once by the id of its comment. Bytes of strangers never panic, and all that
//! is kept has a bound.

mod command;
mod deliveries;
mod hook;
mod payload;
mod read;
mod refusal;
mod secrets;
mod wanted;

pub use command::{Command, MAX_COMMAND_BYTES, MAX_COMMANDS, Verb};
pub use deliveries::Deliveries;
pub use hook::{BranchChange, Checked, Event, FullName, Hook, Kind, Presence, PullAction, Writing};
pub use read::{Headers, MAX_BODY_BYTES, read, receive, receive_http};
pub use refusal::Refusal;
pub use secrets::{Secrets, WeakSecret, signature};
pub use wanted::{looked_at, messages, other_name};
