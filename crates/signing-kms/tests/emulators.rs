//! Against two emulators of KMS. ministack signs with both kinds of keys. moto has no Ed25519, and takes a digest for a
//! message, which it hashes again: a second opinion on the rest. The field's own tools judge the signatures in the
//! tests of `runner-sign`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::OnceLock;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use emulator::{Emulator, Kind};
use openpgp::{BareKey, PublicKey, SigningKey};
use signing_kms::{Access, Key, Kms, Patience, Place};

const REGION: &str = "eu-central-1";
const SIGNED: u64 = 4_000_000_000;

/// The emulator of this process. It ends with the process: see the room `emulator`.
fn endpoint(kind: Kind) -> String {
    static MINISTACK: OnceLock<Emulator> = OnceLock::new();
    static MOTO: OnceLock<Emulator> = OnceLock::new();
    let running = match kind {
        Kind::Ministack => &MINISTACK,
        Kind::Moto => &MOTO,
    };
    running
        .get_or_init(|| Emulator::start(kind).unwrap())
        .endpoint()
}

/// Who makes keys, as the Terraform does.
fn administrator(kind: Kind) -> Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint(kind))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    Client::from_conf(config.build())
}

async fn make(client: &Client, spec: KeySpec, usage: KeyUsageType) -> String {
    let create = client.create_key().key_spec(spec).key_usage(usage);
    let made = create.send().await.unwrap();
    made.key_metadata.unwrap().arn.unwrap()
}

async fn kms(kind: Kind, region: &str) -> Kms {
    let place = Place {
        region: Some(region.to_owned()),
        endpoint: Some(endpoint(kind)),
    };
    let (id, secret) = ("test".to_owned(), "test".to_owned());
    Kms::new(place, Access::Keys { id, secret }, Patience::default()).await
}

async fn open(kind: Kind, name: &str) -> Key {
    let kms = kms(kind, REGION).await;
    kms.key(&name.parse().unwrap()).await.unwrap()
}

async fn certify(key: &Key) -> Result<PublicKey, openpgp::Error> {
    let (key, created) = (key.clone(), key.created().await.unwrap());
    let certify = move || {
        key.public()
            .certify("Test <test@example.org>", created, &key)
    };
    tokio::task::spawn_blocking(certify).await.unwrap()
}

async fn sign(public: &PublicKey, key: Key) -> Result<String, openpgp::Error> {
    let key = SigningKey::remote(public.clone(), std::sync::Arc::new(key)).unwrap();
    let sign = move || key.sign_detached_armored(b"<repomd/>", SIGNED);
    tokio::task::spawn_blocking(sign).await.unwrap()
}

async fn makes_certificates_and_signatures(spec: KeySpec) {
    let client = administrator(Kind::Ministack);
    let arn = make(&client, spec, KeyUsageType::SignVerify).await;
    let key = open(Kind::Ministack, &arn).await;
    assert_eq!(key.arn(), arn);
    let public = certify(&key).await.unwrap();
    let again = certify(&key).await.unwrap();
    assert_eq!(again.to_armored(), public.to_armored());
    let read = PublicKey::from_armored(&public.to_armored()).unwrap();
    assert!(key.public().is_of(&read));
    let signature = sign(&public, key.clone()).await.unwrap();
    let info = public.verify_detached_armored(b"<repomd/>", &signature);
    assert_eq!(info.unwrap().fingerprint, public.fingerprint());
    let other = public.verify_detached_armored(b"<repomd></repomd>", &signature);
    assert!(other.is_err());
    let again = sign(&public, key).await.unwrap();
    assert_eq!(again, signature);
}

#[tokio::test]
async fn ed25519() {
    makes_certificates_and_signatures(KeySpec::EccNistEdwards25519).await;
}

#[tokio::test]
async fn rsa_4096() {
    makes_certificates_and_signatures(KeySpec::Rsa4096).await;
}

/// moto answers every request, and signs something else than it was asked for. That must be seen.
#[tokio::test]
async fn a_signature_over_something_else_makes_no_certificate() {
    let client = administrator(Kind::Moto);
    let arn = make(&client, KeySpec::Rsa4096, KeyUsageType::SignVerify).await;
    let key = open(Kind::Moto, &arn).await;
    // moto answers with the ARN's last part.
    assert!(arn.ends_with(key.arn()), "{}", key.arn());
    assert_eq!(key.public().kind(), openpgp::KeyKind::Rsa4096);
    let bare = key.sign(&[7; 32]).await.unwrap();
    assert_eq!(bare.len(), 512);
    let error = certify(&key).await.unwrap_err().to_string();
    assert!(error.ends_with("no valid self-signature"), "{error}");
}

#[tokio::test]
async fn the_key_is_as_old_as_kms_says() {
    let client = administrator(Kind::Ministack);
    let arn = make(
        &client,
        KeySpec::EccNistEdwards25519,
        KeyUsageType::SignVerify,
    )
    .await;
    let told = client.describe_key().key_id(&arn).send().await.unwrap();
    let told = told.key_metadata.unwrap().creation_date.unwrap().secs();
    let key = open(Kind::Ministack, &arn).await;
    let created = key.created().await.unwrap();
    assert_eq!(i64::try_from(created).unwrap(), told);
    let public = certify(&key).await.unwrap();
    let older = SigningKey::remote(public, std::sync::Arc::new(key)).unwrap();
    let error = older.sign_detached_binary(b"x", created - 1).unwrap_err();
    assert!(
        matches!(error, openpgp::Error::NotValidThen { .. }),
        "{error}"
    );
}

/// In the middle of a task somebody may point the alias elsewhere.
#[tokio::test]
async fn an_alias_is_resolved_once() {
    let client = administrator(Kind::Ministack);
    let spec = || {
        make(
            &client,
            KeySpec::EccNistEdwards25519,
            KeyUsageType::SignVerify,
        )
    };
    let (first, second) = (spec().await, spec().await);
    let alias = "alias/moving";
    let create = client
        .create_alias()
        .alias_name(alias)
        .target_key_id(&first);
    create.send().await.unwrap();
    let key = open(Kind::Ministack, alias).await;
    assert_eq!(key.arn(), first);
    let public = certify(&key).await.unwrap();
    let moved = client
        .update_alias()
        .alias_name(alias)
        .target_key_id(&second);
    moved.send().await.unwrap();
    sign(&public, key).await.unwrap();
    let now: BareKey = open(Kind::Ministack, alias).await.public().clone();
    assert!(!now.is_of(&public), "the alias is another key now");
}

#[tokio::test]
async fn an_arn_names_its_own_region() {
    let client = administrator(Kind::Ministack);
    let arn = make(
        &client,
        KeySpec::EccNistEdwards25519,
        KeyUsageType::SignVerify,
    )
    .await;
    let elsewhere = kms(Kind::Ministack, "us-east-1").await;
    let key = elsewhere.key(&arn.parse().unwrap()).await.unwrap();
    assert_eq!(key.arn(), arn);
}

#[tokio::test]
async fn a_disabled_key_signs_nothing_and_says_why() {
    let client = administrator(Kind::Ministack);
    let arn = make(&client, KeySpec::Rsa4096, KeyUsageType::SignVerify).await;
    let key = open(Kind::Ministack, &arn).await;
    let public = certify(&key).await.unwrap();
    let disable = client.disable_key().key_id(&arn);
    disable.send().await.unwrap();
    let error = sign(&public, key.clone()).await.unwrap_err();
    let openpgp::Error::Elsewhere { source, .. } = error else {
        panic!("{error}");
    };
    let expect = format!("sign with the KMS key {arn}: it is disabled;");
    assert!(source.to_string().starts_with(&expect), "{source}");
    let enable = client.enable_key().key_id(&arn);
    enable.send().await.unwrap();
    sign(&public, key).await.unwrap();
}

#[tokio::test]
async fn keys_that_sign_nothing_for_clients_are_refused() {
    let client = administrator(Kind::Ministack);
    let check = async |spec: KeySpec, usage: KeyUsageType, expect: &str| {
        let arn = make(&client, spec, usage).await;
        let kms = kms(Kind::Ministack, REGION).await;
        let error = kms.key(&arn.parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        KeySpec::EccNistP256,
        KeyUsageType::SignVerify,
        "it is ECC_NIST_P256 for SIGN_VERIFY; make one of",
    )
    .await;
    check(
        KeySpec::SymmetricDefault,
        KeyUsageType::EncryptDecrypt,
        "it makes no such signatures; make one of",
    )
    .await;
    let kms = kms(Kind::Ministack, REGION).await;
    let missing = kms.key(&"alias/nobody".parse().unwrap()).await;
    let error = missing.unwrap_err().to_string();
    let expect = "read the public half of the KMS key alias/nobody: there is none in this region and account;";
    assert!(error.starts_with(expect), "{error}");
}
