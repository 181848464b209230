//! Public keys and what they can verify.

use std::fmt;
use std::io::Cursor;

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey,
    SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, KeyVersion, PublicParams, RsaPublicParams, Tag};

use crate::cleartext::{self, Cleartext};
use crate::{Error, MAX_ARMOR_BYTES};

/// Shorter RSA keys are refused by rpm's and apt's default policies.
const MIN_RSA_BITS: usize = 2048;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// A public key (certificate) that clients install: primary key, user ids, signing subkeys.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    cert: SignedPublicKey,
    /// Of the primary key: its subkeys live no longer.
    life: Validity,
    /// The parts that may sign data: the primary key, or subkeys whose binding was verified.
    signers: Vec<Signer>,
}

#[derive(Clone, PartialEq, Eq)]
struct Signer {
    part: Part,
    fingerprint: String,
    validity: Validity,
}

/// Which part of a certificate a signature is made with or checked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Primary,
    Subkey(usize),
}

/// Seconds since 1970 between which a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) created: u64,
    pub(crate) expires: Option<u64>,
}

impl Validity {
    pub(crate) fn contains(self, time: u64) -> bool {
        time >= self.created && self.expires.is_none_or(|end| time < end)
    }
}

/// What a verified signature says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInfo {
    /// Fingerprint of the part that signed (primary key or subkey), 40 lower-case hex digits.
    pub fingerprint: String,
    /// When it says it was made, in seconds since 1970.
    pub time: u64,
}

impl SignatureInfo {
    /// What a signature packet says about itself, **unverified**: for listings, never for decisions.
    ///
    /// The fingerprint may be a key id of 16 digits, if the signature names no more.
    ///
    /// # Errors
    /// [`Error::Signature`] if it is no signature packet or names no key.
    pub fn claimed(packet: &[u8]) -> Result<Self, Error> {
        if packet.len() > MAX_ARMOR_BYTES {
            return Err(unreadable("it is larger than 1 MiB"));
        }
        let signature = DetachedSignature::from_bytes(Cursor::new(packet))
            .map_err(|cause| unreadable(&cause.to_string()))?
            .signature;
        let fingerprint = issuer(&signature).ok_or_else(|| unreadable("it names no key"))?;
        let time = signature.created().map_or(0, |at| u64::from(at.as_secs()));
        Ok(Self { fingerprint, time })
    }
}

impl PublicKey {
    /// Reads the first key of an armored file.
    ///
    /// # Errors
    /// [`Error::PublicKey`] if there is none, if it is revoked, v6, or of an algorithm that gpg 2.2 and rpm 4.18 do not know.
    pub fn from_armored(text: &str) -> Result<Self, Error> {
        Self::all_from_armored(text).map(|mut keys| keys.remove(0))
    }

    /// Reads every key of an armored file. Distributions ship the old key and the new one in one file.
    ///
    /// # Errors
    /// As [`PublicKey::from_armored`], for any of the keys.
    pub fn all_from_armored(text: &str) -> Result<Vec<Self>, Error> {
        let refuse = |reason: &str| Error::PublicKey {
            reason: reason.to_owned(),
        };
        if text.len() > MAX_ARMOR_BYTES {
            return Err(refuse("the file is larger than 1 MiB"));
        }
        if text.contains("PRIVATE KEY BLOCK") {
            return Err(refuse(
                "this is a private key; remove it from here and export the public half (gpg --export --armor)",
            ));
        }
        let mut keys = Vec::new();
        // One armor block may hold several keys, and a file several blocks.
        for block in text.split(BEGIN).skip(1) {
            let armored = format!("{BEGIN}{block}");
            let unreadable = |cause: pgp::errors::Error| Error::PublicKey {
                reason: cause.to_string(),
            };
            let (certs, _) = SignedPublicKey::from_string_many(&armored).map_err(unreadable)?;
            for cert in certs {
                keys.push(Self::from_cert(cert.map_err(unreadable)?)?);
            }
        }
        if keys.is_empty() {
            return Err(refuse(
                "no armored public key in it (-----BEGIN PGP PUBLIC KEY BLOCK-----)",
            ));
        }
        Ok(keys)
    }

    pub(crate) fn from_cert(cert: SignedPublicKey) -> Result<Self, Error> {
        let fingerprint = cert.primary_key.fingerprint().to_string();
        let refuse = |reason: &str| Error::PublicKey {
            reason: format!("key {fingerprint}: {reason}"),
        };
        acceptable(&cert.primary_key).map_err(&refuse)?;
        let primary = &cert.primary_key;
        if cert
            .details
            .revocation_signatures
            .iter()
            .any(|s| s.verify_key(primary).is_ok())
        {
            return Err(refuse("it is revoked"));
        }
        let binding = primary_binding(&cert).ok_or_else(|| refuse("no valid self-signature"))?;
        let mut signers = Vec::new();
        if binding.key_flags().sign() || !has_key_flags(binding) {
            signers.push(signer(Part::Primary, primary, binding));
        }
        for (index, subkey) in cert.public_subkeys.iter().enumerate() {
            if acceptable(&subkey.key).is_ok()
                && let Some(binding) = subkey_binding(&cert, subkey)
            {
                signers.push(signer(Part::Subkey(index), &subkey.key, binding));
            }
        }
        if signers.is_empty() {
            return Err(refuse("no part of it may sign data"));
        }
        let life = signer(Part::Primary, primary, binding).validity;
        Ok(Self {
            life,
            cert,
            signers,
        })
    }

    /// Fingerprints of the parts that may sign data, 40 lower-case hex digits each.
    pub fn signing_fingerprints(&self) -> impl Iterator<Item = &str> {
        self.signers.iter().map(|signer| &*signer.fingerprint)
    }

    /// Whether the part with that fingerprint may sign at `time`, in seconds since 1970: neither it nor the
    /// primary key has ended by then.
    #[must_use]
    pub fn may_sign_at(&self, fingerprint: &str, time: u64) -> bool {
        let mut parts = self.signers.iter();
        let part = parts.find(|part| part.fingerprint == fingerprint);
        self.life.contains(time) && part.is_some_and(|part| part.validity.contains(time))
    }

    /// The key as clients import it (`rpmkeys --import`, apt's `signed-by`).
    #[must_use]
    pub fn to_armored(&self) -> String {
        self.cert
            .to_armored_string(ArmorOptions::default())
            .expect("writing to memory does not fail, and armor is ASCII")
    }

    /// The same, without armor, as apt's binary keyrings want it.
    #[must_use]
    pub fn to_binary(&self) -> Vec<u8> {
        self.cert
            .to_bytes()
            .expect("writing to memory does not fail")
    }

    /// Fingerprint of the primary key, 40 lower-case hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.cert.primary_key.fingerprint().to_string()
    }

    /// Key id of the primary key, 16 lower-case hex digits: the end of the fingerprint.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.cert.primary_key.legacy_key_id().to_string()
    }

    /// First user id, as in `Name <mail@example.org>`.
    #[must_use]
    pub fn user_id(&self) -> String {
        let first = self.cert.details.users.first();
        first
            .map(|user| String::from_utf8_lossy(user.id.id()).into_owned())
            .unwrap_or_default()
    }

    /// Verifies a detached signature without armor: one signature packet, as in an RPM header.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::OtherKey`] or [`Error::Mismatch`].
    pub fn verify_detached_binary(
        &self,
        data: &[u8],
        signature: &[u8],
    ) -> Result<SignatureInfo, Error> {
        if signature.len() > MAX_ARMOR_BYTES {
            return Err(unreadable("it is larger than 1 MiB"));
        }
        let signature = DetachedSignature::from_bytes(Cursor::new(signature))
            .map_err(|cause| unreadable(&cause.to_string()))?;
        self.verify(&signature.signature, SignatureType::Binary, data)
    }

    /// Verifies a detached armored signature: `repomd.xml.asc`, `Release.gpg`. Any one good signature of this key suffices.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::OtherKey`] or [`Error::Mismatch`].
    pub fn verify_detached_armored(
        &self,
        data: &[u8],
        armored: &str,
    ) -> Result<SignatureInfo, Error> {
        if armored.len() > MAX_ARMOR_BYTES {
            return Err(unreadable("it is larger than 1 MiB"));
        }
        let (signatures, _) = DetachedSignature::from_string_many(armored)
            .map_err(|cause| unreadable(&cause.to_string()))?;
        let tried = signatures.map(|signature| {
            let signature = signature.map_err(|cause| unreadable(&cause.to_string()))?;
            self.verify(&signature.signature, SignatureType::Binary, data)
        });
        first_good(tried)
    }

    /// Verifies a cleartext-signed file such as `InRelease` and returns the text that is really signed.
    ///
    /// # Errors
    /// [`Error::Signature`] also for bytes before or after the signed part; [`Error::OtherKey`] or [`Error::Mismatch`].
    pub fn verify_cleartext(&self, file: &str) -> Result<Cleartext, Error> {
        let (message, _) = CleartextSignedMessage::from_string(file)
            .map_err(|cause| unreadable(&cause.to_string()))?;
        let signed = message.signed_text();
        let signature = first_good(
            message
                .signatures()
                .iter()
                .map(|signature| self.verify(signature, SignatureType::Text, signed.as_bytes())),
        )?;
        let text = cleartext::covered(&signed).replace("\r\n", "\n") + "\n";
        Ok(Cleartext { text, signature })
    }

    pub(crate) fn primary(&self) -> &pgp::packet::PublicKey {
        &self.cert.primary_key
    }

    pub(crate) fn verify(
        &self,
        signature: &Signature,
        wanted: SignatureType,
        data: &[u8],
    ) -> Result<SignatureInfo, Error> {
        check_kind(signature, wanted)?;
        let time = u64::from(
            signature
                .created()
                .ok_or_else(|| unreadable("it has no time"))?
                .as_secs(),
        );
        let Some(signer) = self.signers.iter().find(|signer| names(signature, signer)) else {
            return Err(Error::OtherKey {
                issuer: issuer(signature).unwrap_or_else(|| "unknown".into()),
                wanted: self.fingerprint(),
            });
        };
        let checked = match signer.part {
            Part::Primary => signature.verify(&self.cert.primary_key, data),
            Part::Subkey(index) => signature.verify(&self.cert.public_subkeys[index].key, data),
        };
        checked.map_err(|_| Error::Mismatch {
            key: signer.fingerprint.clone(),
        })?;
        if !signer.validity.contains(time) {
            return Err(unreadable(&format!(
                "its time {time} is outside the life of key {}",
                signer.fingerprint
            )));
        }
        Ok(SignatureInfo {
            fingerprint: signer.fingerprint.clone(),
            time,
        })
    }

    /// The parts that may sign data, the primary key first.
    pub(crate) fn signing_parts(&self) -> impl Iterator<Item = (Part, Validity)> + '_ {
        self.signers
            .iter()
            .map(|signer| (signer.part, signer.validity))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

fn unreadable(reason: &str) -> Error {
    Error::Signature {
        reason: reason.to_owned(),
    }
}

/// The first success; else the failure that says most (a mismatch rather than "another key").
fn first_good(
    tried: impl Iterator<Item = Result<SignatureInfo, Error>>,
) -> Result<SignatureInfo, Error> {
    let mut worst = unreadable("there is none in it");
    for result in tried {
        match result {
            Ok(info) => return Ok(info),
            Err(error @ Error::Mismatch { .. }) => worst = error,
            Err(error) if !matches!(worst, Error::Mismatch { .. }) => worst = error,
            Err(_) => {}
        }
    }
    Err(worst)
}

fn check_kind(signature: &Signature, wanted: SignatureType) -> Result<(), Error> {
    let version = signature.version();
    if version != SignatureVersion::V4 {
        return Err(unreadable(&format!(
            "it is {version:?}; rpm 4.18 and gpg 2.2 read version 4"
        )));
    }
    if signature.typ() != Some(wanted) {
        return Err(unreadable(&format!(
            "it is of type {:?}, not {wanted:?}",
            signature.typ()
        )));
    }
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha224,
        ) => Ok(()),
        other => Err(unreadable(&format!(
            "its hash {other:?} is not accepted; sign with SHA-256"
        ))),
    }
}

fn names(signature: &Signature, signer: &Signer) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if !fingerprints.is_empty() {
        return fingerprints
            .iter()
            .any(|f| f.to_string() == signer.fingerprint);
    }
    signature
        .issuer_key_id()
        .iter()
        .any(|id| signer.fingerprint.ends_with(&id.to_string()))
}

fn issuer(signature: &Signature) -> Option<String> {
    let fingerprint = signature
        .issuer_fingerprint()
        .first()
        .map(ToString::to_string);
    fingerprint.or_else(|| signature.issuer_key_id().first().map(ToString::to_string))
}

/// Whether gpg 2.2, rpm 4.18 and apt all accept signatures of such a key.
pub(crate) fn acceptable(key: &impl KeyDetails) -> Result<(), &'static str> {
    if key.version() != KeyVersion::V4 {
        return Err("it is not a v4 key; rpm 4.18 and gpg 2.2 read only those");
    }
    match (key.algorithm(), key.public_params()) {
        (PublicKeyAlgorithm::RSA, PublicParams::RSA(rsa)) => {
            if modulus_bits(rsa) < MIN_RSA_BITS {
                return Err("its RSA modulus is shorter than 2048 bits");
            }
            Ok(())
        }
        (PublicKeyAlgorithm::EdDSALegacy, _) => Ok(()),
        (PublicKeyAlgorithm::Ed25519, _) => Err(
            "it is in the Ed25519 form of RFC 9580, which gpg 2.2 and rpm 4.18 do not read; make an EdDSA (ed25519) key with gpg or `millrace init`",
        ),
        _ => {
            Err("its algorithm is not one that rpm 4.18 verifies; use Ed25519 (EdDSA) or RSA-4096")
        }
    }
}

/// An OpenPGP integer starts with its length in bits (RFC 9580, section 3.2), and the modulus comes first.
fn modulus_bits(rsa: &RsaPublicParams) -> usize {
    let bytes = rsa.to_bytes().unwrap_or_default();
    match bytes[..] {
        [high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}

fn has_key_flags(binding: &Signature) -> bool {
    let Some(config) = binding.config() else {
        return false;
    };
    config
        .hashed_subpackets()
        .any(|sub| matches!(sub.data, SubpacketData::KeyFlags(_)))
}

/// The newest self-signature of the primary key that verifies. Certifications by strangers are not looked at.
fn primary_binding(cert: &SignedPublicKey) -> Option<&Signature> {
    let primary = &cert.primary_key;
    let users = cert.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(move |sig| {
            sig.is_certification()
                && sig
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        })
    });
    let direct = cert
        .details
        .direct_signatures
        .iter()
        .filter(|sig| sig.verify_key(primary).is_ok());
    users.chain(direct).max_by_key(|sig| sig.created())
}

/// The newest binding of a subkey that verifies and allows signing; `None` if it is revoked or may not sign.
fn subkey_binding<'a>(
    cert: &SignedPublicKey,
    subkey: &'a SignedPublicSubKey,
) -> Option<&'a Signature> {
    let primary = &cert.primary_key;
    let valid = |sig: &&Signature| sig.verify_subkey_binding(primary, &subkey.key).is_ok();
    if subkey
        .signatures
        .iter()
        .any(|sig| sig.typ() == Some(SignatureType::SubkeyRevocation))
    {
        return None;
    }
    let newest = subkey
        .signatures
        .iter()
        .filter(|sig| sig.typ() == Some(SignatureType::SubkeyBinding))
        .filter(valid)
        .max_by_key(|sig| sig.created())?;
    // Without the subkey's own signature over the primary key, anyone could adopt a stranger's subkey.
    let back = newest.embedded_signature()?;
    let owned = back
        .verify_primary_key_binding(&subkey.key, primary)
        .is_ok();
    (newest.key_flags().sign() && owned).then_some(newest)
}

fn signer(part: Part, key: &impl KeyDetails, binding: &Signature) -> Signer {
    let created = u64::from(key.created_at().as_secs());
    let life = binding
        .key_expiration_time()
        .map(|life| u64::from(life.as_secs()))
        .filter(|life| *life > 0);
    Signer {
        part,
        fingerprint: key.fingerprint().to_string(),
        validity: Validity {
            created,
            expires: life.map(|life| created + life),
        },
    }
}
