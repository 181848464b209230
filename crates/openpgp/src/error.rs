use thiserror::Error as ThisError;

/// Why a key or signature was refused. Fragments that read after "failed to".
///
/// Causes from private key parsing are fixed sentences, because a parser's message may quote what it parsed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A key could not be made.
    #[error("generate an OpenPGP key")]
    Generate(#[source] pgp::errors::Error),

    /// A private key could not be read or is of a kind that the clients do not accept.
    #[error("read the private key: {reason}")]
    SecretKey {
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },

    /// A public key could not be read or may not be used.
    #[error("read the public key: {reason}")]
    PublicKey {
        /// What is wrong, and what to do about it.
        reason: String,
    },

    /// The time of a signature or key is outside what a v4 packet can hold (1970 to 2106).
    #[error("use {seconds} as the time of a signature: OpenPGP times are 0 to 4294967295 seconds")]
    Time {
        /// Seconds since 1970, as given.
        seconds: u64,
    },

    /// gpg and apt refuse a signature that is older than its key or made after its end.
    #[error("sign with key {key} at {time}: the key is valid from {created}{}; use a key that is valid then", until(*.expires))]
    NotValidThen {
        /// Fingerprint of the key.
        key: String,
        /// Seconds since 1970 of the wanted signature.
        time: u64,
        /// Seconds since 1970 of the key's creation.
        created: u64,
        /// Seconds since 1970 of the key's end, if it has one.
        expires: Option<u64>,
    },

    /// Signing itself failed.
    #[error("sign with key {key}")]
    Sign {
        /// Fingerprint of the key.
        key: String,
        /// What the OpenPGP library said. It never quotes key material.
        source: pgp::errors::Error,
    },

    /// Who has the private half did not sign. It may another time, or once somebody mends it: the data is not at fault.
    #[error("sign with key {key}")]
    Elsewhere {
        /// Fingerprint of the key.
        key: String,
        /// What it said.
        source: crate::Cause,
    },

    /// Something that should be a signature is not, or is of a kind that proves nothing.
    #[error("read the signature: {reason}")]
    Signature {
        /// What is wrong with it.
        reason: String,
    },

    /// The signature is well formed, but by another key.
    #[error("verify the signature: it is by key {issuer}, not by {wanted}")]
    OtherKey {
        /// Key id or fingerprint that the signature names.
        issuer: String,
        /// Fingerprint of the key that was asked.
        wanted: String,
    },

    /// The signature names this key, and does not match the data.
    #[error(
        "verify the signature of key {key}: it does not match the data; one of them was changed"
    )]
    Mismatch {
        /// Fingerprint of the key.
        key: String,
    },
}

fn until(expires: Option<u64>) -> String {
    expires.map(|at| format!(" to {at}")).unwrap_or_default()
}
