//! Private keys and the signatures they make.

use std::fmt;
use std::sync::Arc;

use pgp::composed::{
    ArmorOptions, Deserializable, DetachedSignature, KeyType, SignedKeyDetails, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    self, KeyFlags, PacketTrait, PubKeyInner, Signature, SignatureConfig, SignatureType, Subpacket,
    SubpacketData, UserId,
};
use pgp::types::{KeyDetails, KeyVersion, Password, SecretParams, Tag, Timestamp};
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::cleartext::{covered, dash_escaped};
use crate::public::{Part, Validity};
use crate::remote::{self, DigestSigner};
use crate::{Error, MAX_ARMOR_BYTES, PublicKey};

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The default: small, fast, without the timing advisory that the RSA implementation carries.
    Ed25519,
    /// For clients and policies that want RSA. Making one takes seconds.
    Rsa4096,
}

/// A private key that can sign. What of it is in memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey {
    half: Half,
    validity: Validity,
    public: PublicKey,
}

/// Where the private half is.
#[derive(Clone)]
enum Half {
    Here(Box<SignedSecretKey>, Part),
    Elsewhere(Arc<dyn DigestSigner>),
}

impl SigningKey {
    /// Makes a v4 key that signs and certifies, without subkeys or end, bound to `user_id` (`Name <mail@example.org>`).
    ///
    /// `created` is in seconds since 1970; signatures cannot be older than it.
    ///
    /// # Errors
    /// [`Error::Time`] beyond 2106, [`Error::Generate`] if the user id is too long for a packet.
    pub fn generate(kind: KeyKind, user_id: &str, created: u64) -> Result<Self, Error> {
        let created = timestamp(created)?;
        let key = generate(kind, user_id, created).map_err(Error::Generate)?;
        Self::from_key(key)
    }

    /// Reads an unprotected private key, as `gpg --export-secret-keys --armor` writes it.
    ///
    /// Signs with the primary key, or with its signing subkey where the primary key is kept offline (`sec#`).
    ///
    /// # Errors
    /// [`Error::SecretKey`]; never with key material in it.
    pub fn from_armored(text: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::SecretKey { reason };
        if text.len() > MAX_ARMOR_BYTES {
            return Err(refuse("the file is larger than 1 MiB"));
        }
        if text.contains("PUBLIC KEY BLOCK") {
            return Err(refuse(
                "this is a public key; export the private half (gpg --export-secret-keys --armor)",
            ));
        }
        // The parser's own message may quote packets, so it is dropped.
        let (key, _) = SignedSecretKey::from_string(text).map_err(|_| {
            refuse(
                "it is not an armored OpenPGP private key (-----BEGIN PGP PRIVATE KEY BLOCK-----)",
            )
        })?;
        Self::from_key(key)
    }

    fn from_key(key: SignedSecretKey) -> Result<Self, Error> {
        let public = PublicKey::from_cert(key.to_public_key())?;
        let usable = public.signing_parts().find_map(|(part, validity)| {
            let part = match part {
                Part::Primary => Some(Part::Primary),
                // The certificate lists secret and public subkeys together; this one's index is among the secret ones.
                Part::Subkey(index) => secret_subkey(&key, index).map(Part::Subkey),
            }?;
            unlocked(&key, part).then_some((part, validity))
        });
        let Some((part, validity)) = usable else {
            return Err(Error::SecretKey {
                reason: "no unprotected private part that may sign; remove the passphrase (gpg --edit-key KEY passwd) \
                         and protect the file by its permissions",
            });
        };
        Ok(Self {
            half: Half::Here(Box::new(key), part),
            validity,
            public,
        })
    }

    /// A key whose private half is elsewhere: `signer` is asked for every signature of the primary key of `public`.
    ///
    /// Every answer is verified before it is used: who is elsewhere may have another key by now.
    ///
    /// # Errors
    /// [`Error::PublicKey`] if the primary key may not sign data.
    pub fn remote(public: PublicKey, signer: Arc<dyn DigestSigner>) -> Result<Self, Error> {
        let primary = public
            .signing_parts()
            .find(|(part, _)| *part == Part::Primary);
        let Some((_, validity)) = primary else {
            let reason = format!(
                "key {}: its primary key may not sign data",
                public.fingerprint()
            );
            return Err(Error::PublicKey { reason });
        };
        Ok(Self {
            half: Half::Elsewhere(signer),
            validity,
            public,
        })
    }

    /// The private key, armored, for the key file; wiped from memory when dropped. `None`: it is elsewhere.
    #[must_use]
    pub fn to_armored_secret(&self) -> Option<Zeroizing<String>> {
        let Half::Here(key, _) = &self.half else {
            return None;
        };
        let armored = key
            .to_armored_string(ArmorOptions::default())
            .expect("writing to memory does not fail, and armor is ASCII");
        Some(Zeroizing::new(armored))
    }

    /// Whether a signature is a question to somebody else: signing waits then, and takes no processor.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.half, Half::Elsewhere(_))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// When the signing part came to be, seconds since 1970: no signature is older.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.validity.created
    }

    /// A detached armored signature over `data`: `repomd.xml.asc`, `Release.gpg`. `time` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::NotValidThen`] if the key does not exist yet or is expired at `time`; [`Error::Sign`];
    /// [`Error::Elsewhere`] of a remote key.
    pub fn sign_detached_armored(&self, data: &[u8], time: u64) -> Result<String, Error> {
        let signature = DetachedSignature::new(self.sign(SignatureType::Binary, data, time)?);
        signature
            .to_armored_string(ArmorOptions::default())
            .map_err(|source| self.sign_error(source))
    }

    /// A detached signature over `data` as one packet without armor, as an RPM header carries it.
    ///
    /// # Errors
    /// As [`SigningKey::sign_detached_armored`].
    pub fn sign_detached_binary(&self, data: &[u8], time: u64) -> Result<Vec<u8>, Error> {
        let signature = self.sign(SignatureType::Binary, data, time)?;
        let mut bytes = Vec::with_capacity(signature.write_len_with_header());
        signature
            .to_writer_with_header(&mut bytes)
            .map_err(|source| self.sign_error(source))?;
        Ok(bytes)
    }

    /// `text` inside the cleartext signature framework: `InRelease`. Line ends become `\n`.
    ///
    /// # Errors
    /// As [`SigningKey::sign_detached_armored`].
    pub fn sign_cleartext(&self, text: &str, time: u64) -> Result<String, Error> {
        let signature = self.sign(SignatureType::Text, covered(text).as_bytes(), time)?;
        let armored = DetachedSignature::new(signature)
            .to_armored_string(ArmorOptions::default())
            .map_err(|source| self.sign_error(source))?;
        let body = dash_escaped(text);
        Ok(format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{body}{armored}"
        ))
    }

    fn sign(&self, kind: SignatureType, data: &[u8], time: u64) -> Result<Signature, Error> {
        let at = timestamp(time)?;
        let Validity { created, expires } = self.validity;
        if !self.validity.contains(time) {
            return Err(Error::NotValidThen {
                key: self.public.fingerprint(),
                time,
                created,
                expires,
            });
        }
        let signed = match &self.half {
            Half::Here(key, Part::Primary) => sign_with(&key.primary_key, kind, data, at),
            Half::Here(key, Part::Subkey(index)) => {
                sign_with(&key.secret_subkeys[*index].key, kind, data, at)
            }
            Half::Elsewhere(signer) => return self.ask(signer.as_ref(), kind, data, at),
        };
        signed.map_err(|source| self.sign_error(source))
    }

    fn ask(
        &self,
        signer: &dyn DigestSigner,
        kind: SignatureType,
        data: &[u8],
        at: Timestamp,
    ) -> Result<Signature, Error> {
        let signature = remote::handed(self.public.primary(), signer, |key| {
            sign_with(key, kind, data, at)
        })?;
        match self.public.verify(&signature, kind, data) {
            Ok(_) => Ok(signature),
            Err(source) => Err(Error::Elsewhere {
                key: self.public.fingerprint(),
                source: Box::new(source),
            }),
        }
    }

    fn sign_error(&self, source: pgp::errors::Error) -> Error {
        Error::Sign {
            key: self.public.fingerprint(),
            source,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

pub(crate) fn timestamp(seconds: u64) -> Result<Timestamp, Error> {
    u32::try_from(seconds)
        .map(Timestamp::from_secs)
        .map_err(|_| Error::Time { seconds })
}

/// Index among the secret subkeys of the subkey that the certificate has at `index`, if its private half is there.
fn secret_subkey(key: &SignedSecretKey, index: usize) -> Option<usize> {
    let public = key.to_public_key();
    let wanted = public.public_subkeys.get(index)?.key.fingerprint();
    key.secret_subkeys
        .iter()
        .position(|subkey| subkey.key.fingerprint() == wanted)
}

/// Whether the private half is there and without passphrase. An offline primary key is a stub that counts as encrypted.
fn unlocked(key: &SignedSecretKey, part: Part) -> bool {
    let params = match part {
        Part::Primary => key.primary_key.secret_params(),
        Part::Subkey(index) => key.secret_subkeys[index].key.secret_params(),
    };
    matches!(params, SecretParams::Plain(_))
}

fn sign_with(
    key: &impl pgp::types::SigningKey,
    kind: SignatureType,
    data: &[u8],
    at: Timestamp,
) -> pgp::errors::Result<Signature> {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = stamp(key, at)?;
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    config.sign(key, &Password::empty(), data)
}

fn stamp(key: &impl KeyDetails, at: Timestamp) -> pgp::errors::Result<Vec<Subpacket>> {
    Ok(vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(at))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ])
}

/// rpgp's own builder reads the clock for the self-signature, which then could be older than a key "made" later.
fn generate(
    kind: KeyKind,
    user_id: &str,
    created: Timestamp,
) -> pgp::errors::Result<SignedSecretKey> {
    let kind = match kind {
        KeyKind::Ed25519 => KeyType::Ed25519Legacy,
        KeyKind::Rsa4096 => KeyType::Rsa(4096),
    };
    let (public, secret) = kind.generate(OsRng)?;
    let inner = PubKeyInner::new(KeyVersion::V4, kind.to_alg(), created, None, public)?;
    let public = packet::PublicKey::from_inner(inner)?;
    let key = packet::SecretKey::new(public.clone(), secret)?;

    let details = self_signed(&key, &public, user_id, created)?;
    Ok(SignedSecretKey::new(key, details, vec![], vec![]))
}

/// What makes a bare key a certificate that signs and certifies: its user id under its own signature, which is as old
/// as the key, so that the same key gives the same bytes.
pub(crate) fn self_signed(
    key: &impl pgp::types::SigningKey,
    public: &packet::PublicKey,
    user_id: &str,
    created: Timestamp,
) -> pgp::errors::Result<SignedKeyDetails> {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let mut config = SignatureConfig::v4(
        SignatureType::CertPositive,
        key.algorithm(),
        HashAlgorithm::Sha256,
    );
    config.hashed_subpackets = stamp(key, created)?;
    config
        .hashed_subpackets
        .push(Subpacket::regular(SubpacketData::KeyFlags(flags))?);
    config
        .hashed_subpackets
        .push(Subpacket::regular(SubpacketData::IsPrimary(true))?);
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    let user = UserId::from_str(Default::default(), user_id)?;
    let binding = config.sign_certification(key, public, &Password::empty(), Tag::UserId, &user)?;
    let users = vec![user.into_signed(binding)];
    Ok(SignedKeyDetails::new(vec![], vec![], users, vec![]))
}
