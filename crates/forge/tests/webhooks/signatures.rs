//! `@octokit/webhooks-methods` and ours agree on signatures.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use forge::webhook::{Secrets, signature};
use serde_json::{Value, json};

use fake_forge::judge::tools;

use crate::judge;

const SECRETS: [&str; 4] = ["secret", "It's a Secret to Everybody", "ключ 🔑", LONG];
/// HMAC hashes a key that is longer than a block of 64 bytes.
const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef and more";

fn bodies() -> Vec<String> {
    let mut bodies: Vec<String> = ["{}", "Hello, World!", "\u{0}", "ü🦀\r\n", " "]
        .map(str::to_owned)
        .into();
    bodies.push(json!({"text": "x".repeat(100_000)}).to_string());
    bodies
}

/// What it signs, and what it says of `signature`, for each.
fn ask(judge: &Path, questions: &[Value]) -> Vec<(String, bool)> {
    let mut node = Command::new("node");
    node.arg("sign.mjs").current_dir(judge);
    node.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("Debian's package: nodejs");
    let mut stdin = node.stdin.take().unwrap();
    let text = serde_json::to_vec(questions).unwrap();
    stdin.write_all(&text).unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let pair = |it: &Value| {
        let signature = it["signature"].as_str().unwrap().to_owned();
        (signature, it["isRight"].as_bool().unwrap())
    };
    answers.iter().map(pair).collect()
}

fn ours(secret: &str, body: &str, hub: &str) -> bool {
    let header = |name: &str| (name == "x-hub-signature-256").then_some(hub);
    Secrets::from_lines(secret)
        .verify(&header, body.as_bytes())
        .is_ok()
}

#[test]
fn each_verifies_what_the_other_signs() {
    let Some(judge) = judge("signatures", tools()) else {
        return;
    };
    let mut questions = Vec::new();
    for secret in SECRETS {
        for body in bodies() {
            let signature = format!("sha256={}", signature(secret, body.as_bytes()));
            questions.push(json!({"secret": secret, "body": body, "signature": signature}));
        }
    }
    assert_eq!(questions.len(), 24);
    let answers = ask(&judge, &questions);
    assert_eq!(answers.len(), questions.len());
    for (question, (theirs, is_right)) in questions.iter().zip(answers) {
        let text = |name: &str| question[name].as_str().unwrap();
        assert!(is_right, "it refuses ours: {question}");
        assert!(
            ours(text("secret"), text("body"), &theirs),
            "we refuse its: {question}"
        );
        // The other way to say the same.
        assert!(!ours("another", text("body"), &theirs));
    }
}

/// Each bit of a signature and of a body, and what else is nearly one.
#[test]
fn both_refuse_the_same() {
    let Some(judge) = judge("signatures", tools()) else {
        return;
    };
    let (secret, body) = ("secret", r#"{"ref":"refs/heads/main"}"#);
    let right = format!("sha256={}", signature(secret, body.as_bytes()));
    let mut cases = vec![(right.clone(), body.to_owned())];
    cases.extend(flips(&right).map(|text| (text, body.to_owned())));
    cases.extend(flips(body).map(|text| (right.clone(), text)));
    cases.extend(
        [
            &right[7..],
            &right[..70],
            "sha256=",
            "sha1=00",
            &right.to_uppercase(),
            " ",
        ]
        .map(|text| (text.to_owned(), body.to_owned())),
    );
    let questions: Vec<Value> = cases
        .iter()
        .map(|(signature, body)| json!({"secret": secret, "body": body, "signature": signature}))
        .collect();
    let answers = ask(&judge, &questions);
    assert_eq!(answers.len(), 1 + 7 * right.len() + 7 * body.len() + 6);
    for (at, ((hub, body), (_, is_right))) in cases.iter().zip(answers).enumerate() {
        assert_eq!(is_right, at == 0, "{hub} {body}");
        assert_eq!(ours(secret, body, hub), at == 0, "{hub} {body}");
    }
}

/// `text` with each bit changed that leaves it a text of ASCII.
fn flips(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter(|bit| bit % 8 != 7).map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(bytes).unwrap()
    })
}
