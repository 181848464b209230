//! Keys that never leave their place, judged by rpm and gpg: in an emulator of KMS, and in a vault of this test's own.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "real tools on real files; the bench's helpers are part of the tests"
)]

#[path = "bench/aws.rs"]
mod aws;
mod bench;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kms::types::KeySpec;
use bench::{Bench, gpgv_accepts, made, refusal, rpm_accepts, trouble};
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use openpgp::{BareKey, Cause, DigestSigner};
use runner_api::{KeyFiles, PrivateHalf};
use runner_sign::{Opening, RemoteKey, Vault};
use signing_kms::{Access, Kms, Patience, Place};

const CREATED: u64 = 1_700_000_000;
const USER_ID: &str = "Test <test@example.org>";

/// A vault with one key, `alias/main`, which signs while it is awake.
#[derive(Debug, Clone)]
struct Own {
    key: SigningKey,
    awake: Arc<AtomicBool>,
}

impl Own {
    fn new() -> Self {
        Self {
            key: SigningKey::from_bytes(&[7; 32]),
            awake: Arc::new(AtomicBool::new(true)),
        }
    }

    fn public(&self) -> BareKey {
        let der = self.key.verifying_key().to_public_key_der().unwrap();
        BareKey::from_spki(der.as_bytes()).unwrap()
    }

    fn halves(&self) -> Option<KeyFiles> {
        let public = self.public().certify(USER_ID, CREATED, self).unwrap();
        halves("alias/main", public.to_armored())
    }
}

impl DigestSigner for Own {
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Cause> {
        if !self.awake.load(Ordering::Relaxed) {
            return Err("sign with alias/main: it is asleep".into());
        }
        Ok(self.key.sign(digest).to_vec())
    }
}

impl Vault for Own {
    fn open<'a>(&'a self, name: &'a str) -> Opening<'a> {
        Box::pin(async move {
            if name != "alias/main" {
                return Err(format!("find {name}: it is not here").into());
            }
            Ok(RemoteKey {
                public: self.public(),
                signer: Arc::new(self.clone()),
            })
        })
    }
}

fn halves(kms: &str, public: String) -> Option<KeyFiles> {
    let private = PrivateHalf::Kms {
        kms: kms.to_owned(),
    };
    Some(KeyFiles { private, public })
}

fn bench(vault: impl Vault + 'static) -> Bench {
    let mut bench = Bench::new();
    bench.vault = Some(Arc::new(vault));
    bench
}

/// Packages and metadata by the key of these halves; the same again gives the same bytes.
async fn signs_all(bench: &Bench, halves: Option<KeyFiles>) {
    let public = bench.path("vault.asc");
    std::fs::write(&public, &halves.as_ref().unwrap().public).unwrap();
    let packages = vec![bench.package("aa"), bench.package("bb")];
    let sign = async || {
        made(
            bench
                .sign_by("main", halves.clone(), packages.clone())
                .await,
        )
    };
    let signed = sign().await;
    for (before, after) in packages.iter().zip(&signed) {
        let (old, new) = (bench.bytes(&before.artifact), bench.bytes(after));
        let digest = |bytes: &[u8]| repo_rpm::unsigned_digest(bytes).unwrap();
        assert_eq!(digest(&old), digest(&new));
        rpm_accepts(bench, &public, &new);
    }
    assert_eq!(sign().await, signed);
    let sign = async || {
        made(
            bench
                .sign_metadata_by(halves.clone(), bench.unsigned())
                .await,
        )
    };
    let signed = sign().await;
    gpgv_accepts(bench, &public, &signed);
    assert_eq!(sign().await, signed);
}

#[tokio::test]
async fn a_vault_signs_what_clients_accept() {
    let own = Own::new();
    signs_all(&bench(own.clone()), own.halves()).await;
}

async fn kms_signs_what_clients_accept(spec: KeySpec) {
    let (arn, _) = aws::make_key(spec).await;
    let place = Place {
        region: Some(aws::REGION.to_owned()),
        endpoint: Some(aws::endpoint()),
    };
    let (id, secret) = ("test".to_owned(), "test".to_owned());
    let kms = Kms::new(place, Access::Keys { id, secret }, Patience::default()).await;
    let key = kms.key(&arn.parse().unwrap()).await.unwrap();
    let certify = move || key.public().certify(USER_ID, CREATED, &key).unwrap();
    let public = tokio::task::spawn_blocking(certify).await.unwrap();
    signs_all(&bench(kms), halves(&arn, public.to_armored())).await;
}

#[tokio::test]
async fn ed25519_in_kms_signs_what_clients_accept() {
    kms_signs_what_clients_accept(KeySpec::EccNistEdwards25519).await;
}

#[tokio::test]
async fn rsa_4096_in_kms_signs_what_clients_accept() {
    kms_signs_what_clients_accept(KeySpec::Rsa4096).await;
}

#[tokio::test]
async fn a_signer_without_a_vault_says_what_to_do() {
    let bench = Bench::new();
    let packages = vec![bench.package("aa")];
    let words = trouble(bench.sign_by("main", Own::new().halves(), packages).await);
    assert_eq!(
        words,
        "use the KMS key alias/main for main: this signer uses files alone; start it with --kms, and with the rights of \
         the signer's role"
    );
}

#[tokio::test]
async fn a_key_of_another_certificate_signs_nothing() {
    let own = Own::new();
    let bench = bench(own);
    let file = bench.path("main.key.public");
    let public = std::fs::read_to_string(file).unwrap();
    let fingerprint = openpgp::PublicKey::from_armored(&public)
        .unwrap()
        .fingerprint();
    let package = bench.package("aa");
    let before = bench.stored();
    let words = refusal(
        bench
            .sign_by("main", halves("alias/main", public), vec![package])
            .await,
    );
    assert_eq!(
        words,
        format!(
            "Nothing is signed with main: alias/main is another key than keys/main.asc, which is {fingerprint}. Correct \
             `private` in keys/main.yaml, or write keys/main.asc anew with: millrace-signer certificate --kms alias/main"
        )
    );
    assert_eq!(bench.stored(), before);
}

/// Whoever has the key is at fault then, for now, and never the package.
#[tokio::test]
async fn a_vault_that_does_not_sign_is_no_refusal_and_nothing_is_uploaded() {
    let own = Own::new();
    let halves = own.halves();
    let bench = bench(own.clone());
    let (packages, unsigned) = (vec![bench.package("aa")], bench.unsigned());
    let before = bench.stored();
    let public = &halves.as_ref().unwrap().public;
    let fingerprint = openpgp::PublicKey::from_armored(public)
        .unwrap()
        .fingerprint();

    own.awake.store(false, Ordering::Relaxed);
    let asleep = format!("sign with key {fingerprint}: sign with alias/main: it is asleep");
    let words = trouble(
        bench
            .sign_by("main", halves.clone(), packages.clone())
            .await,
    );
    assert_eq!(words, format!("sign the package: {asleep}"));
    let words = trouble(bench.sign_metadata_by(halves.clone(), unsigned).await);
    assert_eq!(words, asleep);

    let mut gone = halves;
    gone.as_mut().unwrap().private = PrivateHalf::Kms {
        kms: "alias/gone".to_owned(),
    };
    let words = trouble(bench.sign_by("main", gone, packages).await);
    assert_eq!(words, "open the key main: find alias/gone: it is not here");
    assert_eq!(bench.stored(), before);
}
