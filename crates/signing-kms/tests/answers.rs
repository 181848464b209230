//! What KMS may answer, and what is made of it: a service on this machine says the lines.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use signing_kms::{Access, Error, Kms, Patience, Place, Why};

const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd";
/// The first public key of RFC 8032, section 7.1.
const ED25519: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcvpDBQFTW1l0iEY7XYPgEjuNs+f7JWSdLmUtXGE+ew8T4nDQjpNzMsyz16G7a6FKG+IAt0GH\
                    wmgKACmezvVmrA==";
const SECRET: &str = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY";

/// Quick to try again, and soon at the end of it.
const QUICK: Patience = Patience {
    attempts: 3,
    attempt: Duration::from_secs(10),
    first_wait: Duration::from_millis(1),
};

/// Gives the answers in turn, and the last one again and again. Counts the questions.
#[derive(Clone)]
struct Service {
    answers: Arc<Vec<(u16, Value)>>,
    asked: Arc<AtomicUsize>,
}

impl Service {
    fn new(answers: &[(u16, Value)]) -> Self {
        Self {
            answers: Arc::new(answers.to_vec()),
            asked: Arc::default(),
        }
    }

    async fn start(&self) -> String {
        let service = self.clone();
        let answer = move || {
            let service = service.clone();
            async move { service.answer() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        endpoint
    }

    fn answer(&self) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = &self.answers[number.min(self.answers.len() - 1)];
        let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
        (
            StatusCode::from_u16(*status).unwrap(),
            kind,
            body.to_string(),
        )
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn kms(endpoint: String, patience: Patience) -> Kms {
    let place = Place {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(endpoint),
    };
    let (id, secret) = ("AKIAIOSFODNN7EXAMPLE".to_owned(), SECRET.to_owned());
    Kms::new(place, Access::Keys { id, secret }, patience).await
}

fn public_half() -> Value {
    json!({"KeyId": ARN, "KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY", "PublicKey": ED25519})
}

fn refusal(code: &str, message: &str) -> (u16, Value) {
    (400, json!({"__type": code, "message": message}))
}

/// What opening `name` fails with, after how many questions.
async fn fails(name: &str, answer: (u16, Value)) -> (Error, usize) {
    let service = Service::new(&[answer]);
    let kms = kms(service.start().await, QUICK).await;
    let error = kms.key(&name.parse().unwrap()).await.unwrap_err();
    let debug = format!("{error} {error:?} {kms:?}");
    assert!(!debug.contains(SECRET), "{debug}");
    (error, service.asked())
}

#[tokio::test]
async fn refusals_name_key_cause_and_fix_and_are_not_asked_again() {
    let check = async |code: &str, expect: &str| {
        let (error, asked) = fails("alias/main", refusal(code, "So it is.")).await;
        let expect = format!(
            "read the public half of the KMS key alias/main: {expect}. KMS: {code}: So it is."
        );
        assert_eq!((error.to_string(), asked), (expect, 1));
    };
    check(
        "DisabledException",
        "it is disabled; find out by whom and why, then: aws kms enable-key",
    )
    .await;
    check(
        "KMSInvalidStateException",
        "its state forbids it; look: aws kms describe-key. Of a key that is to be deleted: aws kms cancel-key-deletion, \
         then enable-key",
    )
    .await;
    check(
        "NotFoundException",
        "there is none in this region and account; correct `private.kms` of its file in keys/, or write its ARN there",
    )
    .await;
    check(
        "AccessDeniedException",
        "the signer's role may not; grant it kms:GetPublicKey, kms:DescribeKey and kms:Sign in the key's policy",
    )
    .await;
    check(
        "UnsupportedOperationException",
        "it makes no such signatures; make one of ECC_NIST_EDWARDS25519 or RSA_4096 for SIGN_VERIFY",
    )
    .await;
    check(
        "UnrecognizedClientException",
        "AWS does not know who asks; give the machine the signer's instance profile, or the program credentials of the \
         signer's role, and a right clock",
    )
    .await;
    check("DryRunOperationException", "it is refused").await;
}

#[tokio::test]
async fn a_key_of_another_account_says_so() {
    let (error, _) = fails(ARN, refusal("AccessDeniedException", "You may not.")).await;
    let expect = format!(
        "read the public half of the KMS key {ARN}: the signer's role may not; grant it kms:GetPublicKey, \
         kms:DescribeKey and kms:Sign in the key's policy. The key is of account 123456789012: a role of another \
         account needs the same in its own policy too. KMS: AccessDeniedException: You may not."
    );
    assert_eq!(error.to_string(), expect);
}

#[tokio::test]
async fn what_passes_is_tried_again_within_bounds() {
    let check = async |answer: (u16, Value), expect: Why| {
        let (error, asked) = fails("alias/main", answer).await;
        let Error::Refused { why, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((why, asked), (expect, 3));
    };
    check(
        refusal("ThrottlingException", "Rate exceeded"),
        Why::Throttled,
    )
    .await;
    let internal = json!({"__type": "KMSInternalException"});
    check((500, internal), Why::Unreachable).await;
    let slow = json!({"__type": "DependencyTimeoutException"});
    check((503, slow), Why::Unreachable).await;
}

#[tokio::test]
async fn a_busy_moment_is_not_seen() {
    let busy = refusal("ThrottlingException", "Rate exceeded");
    let service = Service::new(&[busy.clone(), busy, (200, public_half())]);
    let kms = kms(service.start().await, QUICK).await;
    let key = kms.key(&"alias/main".parse().unwrap()).await.unwrap();
    assert_eq!((key.arn(), service.asked()), (ARN, 3));
    assert_eq!(format!("{key:?}"), format!("Key({ARN:?})"));
}

#[tokio::test]
async fn a_silent_service_does_not_hold_for_ever() {
    // It accepts, and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let patience = Patience {
        attempts: 2,
        attempt: Duration::from_millis(50),
        ..QUICK
    };
    let kms = kms(endpoint, patience).await;
    let name = "alias/main".parse().unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(60), kms.key(&name));
    let error = asked.await.expect("it ends by itself").unwrap_err();
    let Error::Refused { why, said, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(why, Why::Unreachable, "{said}");
    drop(listener);
}

#[tokio::test]
async fn keys_of_other_kinds_are_refused() {
    let check = async |spec: &str, usage: &str, public: &str| {
        let mut half = public_half();
        half["KeySpec"] = json!(spec);
        half["KeyUsage"] = json!(usage);
        half["PublicKey"] = json!(public);
        let (error, _) = fails("alias/main", (200, half)).await;
        let expect = format!(
            "use the KMS key {ARN}: it is {spec} for {usage}; make one of ECC_NIST_EDWARDS25519 or RSA_4096 for SIGN_VERIFY"
        );
        assert_eq!(error.to_string(), expect);
    };
    check("ECC_NIST_P256", "SIGN_VERIFY", P256).await;
    check("ECC_NIST_EDWARDS25519", "ENCRYPT_DECRYPT", ED25519).await;
    check("SM2", "SIGN_VERIFY", "AA==").await;
}

#[tokio::test]
async fn half_an_answer_is_an_error() {
    let check = async |without: &str, expect: &str| {
        let mut half = public_half();
        half.as_object_mut().unwrap().remove(without);
        let (error, _) = fails("alias/main", (200, half)).await;
        assert!(error.to_string().contains(expect), "{error}");
    };
    check("KeyId", "the answer lacks the key's ARN").await;
    check("PublicKey", "the answer lacks the public key").await;
    check("KeyUsage", "it is ECC_NIST_EDWARDS25519 for unknown").await;
}

#[tokio::test]
async fn an_alias_without_a_region_asks_nobody() {
    let place = Place {
        region: Some(String::new()),
        endpoint: None,
    };
    let kms = Kms::new(place, Access::default(), QUICK).await;
    let error = kms.key(&"alias/main".parse().unwrap()).await.unwrap_err();
    let expect = "find the KMS key alias/main: no region is known; write the key's ARN in its place, or start the signer \
                  with AWS_REGION";
    assert_eq!(error.to_string(), expect);
}

/// The service has what it is asked by, and no more.
#[tokio::test]
async fn a_signature_by_somebody_else_is_not_used() {
    let signed = json!({"KeyId": ARN, "Signature": "AA==", "SigningAlgorithm": "ED25519_SHA_512"});
    let service = Service::new(&[(200, public_half()), (200, signed)]);
    let kms = kms(service.start().await, QUICK).await;
    let key = kms.key(&"alias/main".parse().unwrap()).await.unwrap();
    let certify = move || key.public().certify("Test", 1_700_000_000, &key);
    let error = tokio::task::spawn_blocking(certify).await.unwrap();
    let error = error.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let expect = "read the signature: Ed25519 has 64 bytes, the answer 1";
    assert_eq!(cause, expect, "{error}");
}
