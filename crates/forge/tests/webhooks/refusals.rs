//! What is not taken: the status, and the sentence that a forge shows to whoever set the webhook up.

use std::fmt::Write as _;

use forge::webhook::{Event, MAX_BODY_BYTES, signature};
use serde_json::json;

use crate::{Pairs, deliver, gitea, github};

const PUSH: &str =
    r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;

/// The status and the sentence.
fn refused(pairs: &Pairs, body: &[u8]) -> String {
    match deliver(pairs, body) {
        Ok(hook) => format!("taken: {:?}", hook.event),
        Err(refusal) => format!("{} {refusal}", refusal.status()),
    }
}

fn with(mut pairs: Pairs, name: &str, value: &str) -> Pairs {
    let header = pairs.iter_mut().find(|(known, _)| *known == name);
    header.expect("a forge sends it").1 = value.to_owned();
    pairs
}

fn without(mut pairs: Pairs, names: &[&str]) -> Pairs {
    pairs.retain(|(known, _)| !names.contains(known));
    pairs
}

#[test]
fn in_which_words() {
    let push = PUSH.as_bytes();
    let hub = github("push", push);
    let form = format!("payload={PUSH}");
    // Gitea signs the text that is in the form, and sends the form.
    let gitea_form = with(
        gitea("push", push),
        "content-type",
        "application/x-www-form-urlencoded",
    );
    let no_secret = with(gitea("push", push), "x-gitea-signature", "");
    let no_secret = with(no_secret, "x-hub-signature-256", "sha256=");
    let other = signature("other", push);
    let cases: Vec<(&str, Pairs, Vec<u8>)> = vec![
        (
            "a form",
            with(
                github("push", form.as_bytes()),
                "content-type",
                "application/x-www-form-urlencoded",
            ),
            form.clone().into(),
        ),
        ("a form of Gitea", gitea_form, form.into()),
        (
            "no type",
            without(hub.clone(), &["content-type"]),
            push.into(),
        ),
        (
            "no signature",
            without(hub.clone(), &["x-hub-signature-256"]),
            push.into(),
        ),
        ("Gitea without a secret", no_secret, push.into()),
        (
            "another secret",
            with(
                hub.clone(),
                "x-hub-signature-256",
                &format!("sha256={other}"),
            ),
            push.into(),
        ),
        (
            "one of two is wrong",
            with(gitea("push", push), "x-gitea-signature", &other),
            push.into(),
        ),
        ("another body", hub.clone(), b"{}".into()),
        (
            "no event",
            without(hub.clone(), &["x-github-event"]),
            push.into(),
        ),
        (
            "no delivery",
            without(hub.clone(), &["x-github-delivery"]),
            push.into(),
        ),
        (
            "no event of Gitea",
            without(
                with(gitea("push", push), "x-gitea-event", ""),
                &["x-gitea-event-type"],
            ),
            push.into(),
        ),
        (
            "no delivery of Gitea",
            without(gitea("push", push), &["x-gitea-delivery"]),
            push.into(),
        ),
        (
            "an event with a space",
            with(hub.clone(), "x-github-event", "pu sh"),
            push.into(),
        ),
        (
            "a long delivery",
            with(hub, "x-github-delivery", &"1".repeat(101)),
            push.into(),
        ),
    ];
    let mut said = String::new();
    for (what, pairs, body) in cases {
        writeln!(said, "{what}: {}", refused(&pairs, &body)).unwrap();
    }
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"".into()),
        ("no UTF-8", b"{\"ref\":\"\xff\"}".into()),
        ("no UTF-8 where nobody looks", b"{\"x\":\"\xff\"}".into()),
        ("a cut one", PUSH[..40].into()),
        ("two", format!("{PUSH}{PUSH}").into()),
        ("a list", format!("[{PUSH}]").into()),
        ("a text", json!("x".repeat(10_000)).to_string().into()),
        (
            "a deep one",
            format!("{{\"repository\":{}", "[".repeat(1_000)).into(),
        ),
        ("no branch", b"{}".into()),
        (
            "a branch without a commit",
            PUSH.replace("6113", "refs").into(),
        ),
        ("a short commit", PUSH.replace("6113728f", "").into()),
    ];
    for (what, body) in bodies {
        let pairs = github("push", &body);
        writeln!(said, "{what}: {}", refused(&pairs, &body)).unwrap();
    }
    let body = json!({"action": "opened", "number": "1"}).to_string();
    let body = body.as_bytes();
    writeln!(
        said,
        "a number that is none: {}",
        refused(&gitea("pull_request", body), body)
    )
    .unwrap();
    insta::assert_snapshot!(said);
}

/// The largest is read, and where nobody looks it costs neither memory nor stack.
#[test]
fn how_large_and_how_deep() {
    let end = format!(",{}", &PUSH[1..]);
    let inside = |left: &str, right: &str, size: usize| {
        let depth = (size - "{\"x\":".len() - end.len()) / (left.len() + right.len());
        let body = format!("{{\"x\":{}{}{end}", left.repeat(depth), right.repeat(depth));
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    let deep = inside("[", "]", MAX_BODY_BYTES);
    assert_eq!(deep.len(), MAX_BODY_BYTES);
    let hook = deliver(&github("push", deep.as_bytes()), deep.as_bytes()).unwrap();
    assert!(matches!(hook.event, Event::Push { .. }));

    let larger = format!("{deep} ");
    let said = refused(&github("push", larger.as_bytes()), larger.as_bytes());
    assert_eq!(
        said,
        "413 the delivery is larger than 25 MiB: no forge sends that much"
    );
}
