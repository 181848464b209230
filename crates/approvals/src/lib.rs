//! Approvals: which people have signed what is about to be released, read from git's objects alone.
//!
//! Callers: the control plane, before it plans a release or another configuration; the signer, before it signs for
//! a repository whose rules it knows itself; `millrace lint`, about people's keys.
//!
//! Invariants:
//! * Nothing is believed but bytes: an object by its name, which is their hash; a signature by a key that is listed. What
//!   a forge says of a commit is never asked.
//! * What two readers could read differently counts for nothing: two signatures, two entries of one name, a NUL,
//!   headers in disorder.
//! * A signature counts for what its commit made, or names in a line `Approve: …`. Who signs everything that
//!   he commits has not approved what others put beside it.
//! * Pure: objects are asked for ([`Walk::needs`]) and given; the time is an argument. Each bound has a name.

mod commit;
mod object;
mod people;
mod proof;
mod rules;
mod walk;

pub use object::{BadId, Entry, Error, Id, Kind, MAX_COMMIT_BYTES, MAX_TREE_BYTES, Objects};
pub use people::People;
pub use proof::{MAX_PROOF_BYTES, Proven, check, prove};
pub use rules::{Lack, lacking, lacking_for_configuration, rules_for};
pub use walk::{
    APPROVE, Approval, CONFIGURATION, Found, Ignored, MAX_COMMITS, State, Subject, Walk,
};
