//! Signs a composed suite, apart from composing it: the sign role has the key and gets `Release` alone.

use openpgp::SigningKey;

/// The two signed forms of one `Release` file. The caller publishes both beside it, `InRelease` last: it is the
/// file that makes clients see the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRelease {
    /// The text with its signature around it.
    pub in_release: Vec<u8>,
    /// The detached signature, armored, for clients older than 2012 and mirrors.
    pub release_gpg: Vec<u8>,
}

/// Why a suite cannot be signed. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These are not the bytes of a `Release` file.
    #[error("sign Release: it is not UTF-8")]
    NotText,
    /// The key did not sign.
    #[error("sign Release")]
    Key(#[from] openpgp::Error),
}

/// Signs the bytes of a `Release` file. `time` is in seconds since 1970.
///
/// # Errors
/// Bytes that no `Release` file has, or a key that is not valid at that time.
pub fn sign_release(release: &[u8], key: &SigningKey, time: u64) -> Result<SignedRelease, Error> {
    let text = std::str::from_utf8(release).map_err(|_| Error::NotText)?;
    Ok(SignedRelease {
        in_release: key.sign_cleartext(text, time)?.into_bytes(),
        release_gpg: key.sign_detached_armored(release, time)?.into_bytes(),
    })
}
