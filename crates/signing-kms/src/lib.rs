//! Signing keys in AWS KMS: their public halves, and signatures over digests. The private halves never leave it.
//!
//! Caller: `millrace-signer`, and that only when it was told that keys are in KMS: nothing here asks for anything before.
//!
//! Invariants:
//! * This is the only room that knows the SDK of KMS.
//! * A signature is asked of the key that was looked at: an alias is resolved once, and its key's ARN is used then.
//! * Every call ends within its [`Patience`], retries included. The SDK's own retries do: the same key and digest give the
//!   same signature, so that nobody has to know whether an earlier request was done.
//! * An error names the key, the cause and what to do. None has credentials.
//!
//! Why it is made like this: `docs/adr/0017-signing-by-kms.md`.

mod error;
mod key;
mod name;
mod service;

pub use error::{Error, Why};
pub use key::Key;
pub use name::KeyName;
pub use service::{Access, Kms, Patience, Place};
