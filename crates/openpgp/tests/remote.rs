//! A private half that is elsewhere gives what the same one gives here. gpg judges those bytes in `gpg.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use openpgp::{BareKey, Cause, DigestSigner, Error, KeyKind, SigningKey};
use pgp::composed::{Deserializable as _, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::{
    EddsaLegacyPublicParams, KeyDetails as _, Password, PublicParams, SignatureBytes,
    SigningKey as _,
};

const ED25519: &str = include_str!("data/ed25519.key");
const RSA4096: &str = include_str!("data/rsa4096.key");
const CREATED: u64 = 1_700_000_000;
const SIGNED: u64 = 1_700_000_100;

/// A key service: it has the private half, and tells digests signed and numbers.
#[derive(Debug)]
struct Service(SignedSecretKey);

impl Service {
    fn of(armored: &str) -> Self {
        Self(SignedSecretKey::from_string(armored).unwrap().0)
    }

    fn spki(&self) -> Vec<u8> {
        let der = match self.0.primary_key.public_params() {
            PublicParams::RSA(rsa) => rsa.key.to_public_key_der(),
            PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => {
                key.to_public_key_der()
            }
            other => panic!("{other:?}"),
        };
        der.unwrap().into_vec()
    }

    fn bare(&self) -> BareKey {
        BareKey::from_spki(&self.spki()).unwrap()
    }
}

impl DigestSigner for Service {
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Cause> {
        let key = &self.0.primary_key;
        let signed = key.sign(&Password::empty(), HashAlgorithm::Sha256, digest)?;
        let SignatureBytes::Mpis(numbers) = signed else {
            panic!("{signed:?}");
        };
        // OpenPGP writes numbers without leading zeros; services do not.
        let bytes = if numbers.len() == 1 { 512 } else { 32 };
        let padded = numbers.iter().flat_map(|number| {
            let zeros = bytes - number.as_ref().len();
            [&vec![0; zeros], number.as_ref()].concat()
        });
        Ok(padded.collect())
    }
}

/// One that answers with these words, or these bytes.
#[derive(Debug)]
struct Says(Result<Vec<u8>, &'static str>);

impl DigestSigner for Says {
    fn sign_digest(&self, _: &[u8; 32]) -> Result<Vec<u8>, Cause> {
        self.0.clone().map_err(Into::into)
    }
}

fn both(armored: &str) -> (SigningKey, SigningKey) {
    let here = SigningKey::from_armored(armored).unwrap();
    let service = Arc::new(Service::of(armored));
    let elsewhere = SigningKey::remote(here.public().clone(), service).unwrap();
    (here, elsewhere)
}

#[test]
fn the_same_bytes_as_from_a_file() {
    for armored in [ED25519, RSA4096] {
        let (here, elsewhere) = both(armored);
        assert!(elsewhere.is_remote() && !here.is_remote());
        assert!(elsewhere.to_armored_secret().is_none());
        assert_eq!(elsewhere.created(), here.created());
        assert_eq!(
            elsewhere.sign_detached_binary(b"header", SIGNED).unwrap(),
            here.sign_detached_binary(b"header", SIGNED).unwrap()
        );
        assert_eq!(
            elsewhere
                .sign_detached_armored(b"<repomd/>", SIGNED)
                .unwrap(),
            here.sign_detached_armored(b"<repomd/>", SIGNED).unwrap()
        );
        let text = "Suite: x \r\n- dash\n";
        assert_eq!(
            elsewhere.sign_cleartext(text, SIGNED).unwrap(),
            here.sign_cleartext(text, SIGNED).unwrap()
        );
    }
}

/// One number of 128 has a leading zero byte, which OpenPGP leaves out.
#[test]
fn numbers_of_any_length() {
    let (here, elsewhere) = both(ED25519);
    let lengths = (0..1_000_u32).map(|number| {
        let data = number.to_be_bytes();
        let signature = elsewhere.sign_detached_binary(&data, SIGNED).unwrap();
        here.public()
            .verify_detached_binary(&data, &signature)
            .unwrap();
        signature.len()
    });
    let lengths: std::collections::BTreeSet<_> = lengths.collect();
    assert!(lengths.len() > 1, "{lengths:?}");
}

#[test]
fn the_certificate_is_the_one_that_a_file_has() {
    for (armored, kind) in [(ED25519, KeyKind::Ed25519), (RSA4096, KeyKind::Rsa4096)] {
        let here = SigningKey::from_armored(armored).unwrap();
        let service = Service::of(armored);
        let bare = service.bare();
        assert_eq!(bare.kind(), kind);
        let made = bare
            .certify(&here.public().user_id(), CREATED, &service)
            .unwrap();
        assert_eq!(made.to_armored(), here.public().to_armored());
        assert!(bare.is_of(&made));
        let later = bare.certify("Later", CREATED + 1, &service).unwrap();
        assert_ne!(later.fingerprint(), made.fingerprint());
        assert!(bare.is_of(&later), "the same numbers");
    }
    let (one, other) = (Service::of(ED25519), Service::of(RSA4096));
    let certificate = one.bare().certify("One", CREATED, &one).unwrap();
    assert!(!other.bare().is_of(&certificate));
}

#[test]
fn what_the_service_says_is_kept() {
    let public = SigningKey::from_armored(ED25519).unwrap().public().clone();
    let check = |says, expect: &str| {
        let key = SigningKey::remote(public.clone(), Arc::new(Says(says))).unwrap();
        let error = key.sign_detached_binary(b"data", SIGNED).unwrap_err();
        let Error::Elsewhere { key, source } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*key, public.fingerprint());
        assert_eq!(source.to_string(), expect);
    };
    check(
        Err("reach the service: it is asleep"),
        "reach the service: it is asleep",
    );
    check(
        Ok(vec![7; 63]),
        "read the signature: Ed25519 has 64 bytes, the answer 63",
    );
    let another = format!(
        "verify the signature of key {}: it does not match the data; one of them was changed",
        public.fingerprint()
    );
    check(Ok(vec![7; 64]), &another);
}

#[test]
fn a_service_with_another_key_makes_no_certificate() {
    let (asked, other) = (Service::of(ED25519), Says(Ok(vec![7; 64])));
    let error = asked.bare().certify("One", CREATED, &other).unwrap_err();
    assert!(matches!(error, Error::PublicKey { .. }), "{error}");
    let silent = Says(Err("reach the service: it is asleep"));
    let error = asked.bare().certify("One", CREATED, &silent).unwrap_err();
    assert!(matches!(error, Error::Elsewhere { .. }), "{error}");
}

#[test]
fn other_kinds_of_keys_are_refused() {
    let check = |der: &[u8]| {
        let error = BareKey::from_spki(der).unwrap_err().to_string();
        let expect = "read the public key: it is neither Ed25519 nor RSA-4096";
        assert_eq!(error, expect);
    };
    check(b"");
    check(&[0x30; 91]);
    let whole = Service::of(RSA4096).spki();
    check(&whole[..whole.len() - 1]);
    let check = |base64: &str| check(&STANDARD.decode(base64).unwrap());
    check(P256);
    check(RSA2048);
}

const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcvpDBQFTW1l0iEY7XYPgEjuNs+f7JWSdLmUtXGE+ew8T4nDQjpNzMsyz16G7a6FKG+IAt0GH\
                    wmgKACmezvVmrA==";
const RSA2048: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0ZxxNGG3zMzmZGeYWFmx9mb/DusWX/dXGrYutpV8p71oWqR0T81pzyPI\
                       FFIV6PtZyBj4F+En5Lrokn3rwXvs/PZEMLOYRfPaLhN1RgRch0L4OCst8qDSC3i1L0gg7C1HUDexIq301x9cG3VB9uBh67G1bkYM\
                       cBEUWYPdo57b8ani7zma+hHiA8BqMt+VryFupRIEu2Ohl0GLN0T6C8X0A0iekBX1/h28En+mHZeh6fkpus/Dni07cG3e3+cgC1lK\
                       z8yD9L79/Mb362n24Ur/Mw7BWysoHZRHBdzLRXZCsnqjqH890678HEFRTdHo0iis/HYI7Cxlqxt1wCRTVizpTwIDAQAB";
