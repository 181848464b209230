//! Keys whose private half never leaves its place: it is handed digests, and answers with numbers.

use std::cell::OnceCell;
use std::fmt;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use pgp::composed::SignedPublicKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{self, PubKeyInner};
use pgp::types::{
    EddsaLegacyPublicParams, Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, Password,
    PublicParams, RsaPublicParams, SignatureBytes, Timestamp,
};
use rsa::RsaPublicKey;

use crate::secret::{self_signed, timestamp};
use crate::{Error, KeyKind, PublicKey};

/// Bytes of R, and of S, in a signature of Ed25519 (RFC 8032, section 5.1.6).
const ED25519_HALF_BYTES: usize = 32;
/// Bits of the modulus of [`KeyKind::Rsa4096`].
const RSA_BITS: usize = 4096;

/// Why somebody else did not sign. Reads after "failed to"; holds no secret.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A private half that is elsewhere: in a key service, on a token. Its `Debug` shows no secret.
pub trait DigestSigner: fmt::Debug + Send + Sync {
    /// The bare signature over a SHA-256 digest: of an RSA key PKCS #1 v1.5 (RFC 8017, section 8.2), as long as the
    /// modulus; of an Ed25519 key 64 bytes, R and S, over the digest as the message (RFC 9580, section 5.2.3.3).
    ///
    /// It blocks until there is an answer, so it is not for threads of an async runtime.
    ///
    /// # Errors
    /// Whatever kept it from signing.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Cause>;
}

/// The numbers of a public key, without the time, name and signature that make it a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareKey(PublicParams);

impl BareKey {
    /// Reads a `SubjectPublicKeyInfo` in DER (RFC 5280, section 4.1), as key services export it.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for what is neither Ed25519 (RFC 8410) nor RSA with 4096 bits.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        if let Ok(key) = VerifyingKey::from_public_key_der(der) {
            let params = EddsaLegacyPublicParams::Ed25519 { key };
            return Ok(Self(PublicParams::EdDSALegacy(params)));
        }
        match RsaPublicKey::from_public_key_der(der) {
            Ok(key) if bits(&key) == RSA_BITS => {
                Ok(Self(PublicParams::RSA(RsaPublicParams::from(key))))
            }
            _ => Err(Error::PublicKey {
                reason: "it is neither Ed25519 nor RSA-4096".to_owned(),
            }),
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.algorithm() {
            PublicKeyAlgorithm::RSA => KeyKind::Rsa4096,
            _ => KeyKind::Ed25519,
        }
    }

    /// Whether `certificate` is this key's: its primary key has the same numbers.
    #[must_use]
    pub fn is_of(&self, certificate: &PublicKey) -> bool {
        certificate.primary().public_params() == &self.0
    }

    /// Makes the certificate that clients install: a v4 key that signs and certifies, bound to `user_id` (`Name
    /// <mail@example.org>`) by a signature of `signer`.
    ///
    /// `created` is in seconds since 1970. It is part of the fingerprint: the same key, user id and time give the same
    /// certificate, byte for byte, and no signature can be older.
    ///
    /// # Errors
    /// [`Error::Time`] beyond 2106, [`Error::Generate`] if the user id is too long for a packet, [`Error::Elsewhere`] if
    /// `signer` does not sign, [`Error::PublicKey`] if it signs with another key.
    pub fn certify(
        &self,
        user_id: &str,
        created: u64,
        signer: &dyn DigestSigner,
    ) -> Result<PublicKey, Error> {
        let created = timestamp(created)?;
        let public = self.packet(created).map_err(Error::Generate)?;
        let details = handed(&public, signer, |key| {
            self_signed(key, &public, user_id, created)
        })?;
        PublicKey::from_cert(SignedPublicKey::new(public, details, vec![]))
    }

    fn packet(&self, created: Timestamp) -> pgp::errors::Result<packet::PublicKey> {
        let params = self.0.clone();
        let inner = PubKeyInner::new(KeyVersion::V4, self.algorithm(), created, None, params)?;
        packet::PublicKey::from_inner(inner)
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        match self.0 {
            PublicParams::RSA(_) => PublicKeyAlgorithm::RSA,
            _ => PublicKeyAlgorithm::EdDSALegacy,
        }
    }
}

fn bits(key: &RsaPublicKey) -> usize {
    use rsa::traits::PublicKeyParts as _;
    key.n().bits()
}

/// Does `work` with a key that rpgp takes for a private one. What the signer said, if it failed, is in the error: rpgp's
/// own errors cannot carry it.
pub(crate) fn handed<T>(
    public: &packet::PublicKey,
    signer: &dyn DigestSigner,
    work: impl FnOnce(&Handed<'_>) -> pgp::errors::Result<T>,
) -> Result<T, Error> {
    let handed = Handed {
        public,
        signer,
        said: OnceCell::new(),
    };
    let done = work(&handed);
    let key = public.fingerprint().to_string();
    done.map_err(|source| match handed.said.into_inner() {
        Some(source) => Error::Elsewhere { key, source },
        None => Error::Sign { key, source },
    })
}

/// A public key, and who signs for it.
#[derive(Debug)]
pub(crate) struct Handed<'a> {
    public: &'a packet::PublicKey,
    signer: &'a dyn DigestSigner,
    said: OnceCell<Cause>,
}

impl Handed<'_> {
    fn refuse(&self, cause: impl Into<Cause>) -> pgp::errors::Error {
        let cause = cause.into();
        let error = std::io::Error::other(cause.to_string());
        // Set once: one signature is asked for, and the first refusal ends it.
        let _ = self.said.set(cause);
        error.into()
    }
}

impl pgp::types::SigningKey for Handed<'_> {
    fn sign(
        &self,
        _: &Password,
        hash: HashAlgorithm,
        digest: &[u8],
    ) -> pgp::errors::Result<SignatureBytes> {
        let digest = match <&[u8; 32]>::try_from(digest) {
            Ok(digest) if hash == HashAlgorithm::Sha256 => digest,
            _ => return Err(self.refuse(format!("sign a digest of {hash}: only SHA-256 is used"))),
        };
        let bare = self.signer.sign_digest(digest);
        let bare = bare.map_err(|cause| self.refuse(cause))?;
        if self.public.algorithm() == PublicKeyAlgorithm::RSA {
            return Ok(SignatureBytes::Mpis(vec![Mpi::from_slice(&bare)]));
        }
        if bare.len() != 2 * ED25519_HALF_BYTES {
            let length = bare.len();
            let cause = format!("read the signature: Ed25519 has 64 bytes, the answer {length}");
            return Err(self.refuse(cause));
        }
        let (r, s) = bare.split_at(ED25519_HALF_BYTES);
        let numbers = vec![Mpi::from_slice(r), Mpi::from_slice(s)];
        Ok(SignatureBytes::Mpis(numbers))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HashAlgorithm::Sha256
    }
}

impl KeyDetails for Handed<'_> {
    fn version(&self) -> KeyVersion {
        self.public.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.public.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.public.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.public.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.public.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.public.public_params()
    }
}
