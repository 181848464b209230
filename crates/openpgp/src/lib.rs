//! OpenPGP keys and signatures for packages and repository indexes.
//!
//! Callers: the sign role (private keys), `repo-rpm` and `repo-deb` (signatures in packages and indexes), `millrace verify`.
//!
//! Invariants:
//! * Every signature is version 4, made with SHA-256, over v4 keys. That is what gpg 2.2, rpm 4.18 and apt all read;
//!   v6 packets look *unsigned* to rpm 4.18 and are refused here in both directions.
//! * Ed25519 keys are in the legacy EdDSA form (algorithm 22 of RFC 4880bis): gpg 2.2 and rpm 4.18 do not know algorithm 27.
//! * The time of a signature is an argument. v4 signatures carry no salt, and Ed25519 and RSA PKCS#1 v1.5 take no
//!   nonce, so the same key, bytes and time give the same signature.
//! * A private half that never leaves its place ([`DigestSigner`]) gives the same bytes as one that is here, and each of
//!   its answers is verified before it is used.
//! * No error, `Debug` or `Display` shows private key material.

mod cleartext;
mod error;
mod public;
mod remote;
mod secret;

pub use cleartext::Cleartext;
pub use error::Error;
pub use public::{PublicKey, SignatureInfo};
pub use remote::{BareKey, Cause, DigestSigner};
pub use secret::{KeyKind, SigningKey};

/// Key files and signatures larger than this are refused unread: a key with a thousand certifications is 300 KiB.
pub const MAX_ARMOR_BYTES: usize = 1 << 20;
