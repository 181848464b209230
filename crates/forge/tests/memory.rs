//! Memory that a delivery takes, however it is made. In a process of its own, whose peak is measured.
#![allow(
    clippy::disallowed_methods,
    reason = "a test reads what the kernel says of its process"
)]

use forge::webhook::{MAX_BODY_BYTES, Secrets, receive, signature};

/// Beyond the body itself, in bytes.
const MOST: usize = 48 * 1024 * 1024;

/// The most memory that this process has had so far, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.expect("a number") * 1024
}

/// The largest delivery that has as many of `piece` between `left` and `right` as fit.
fn largest(left: &str, piece: &str, right: &str) -> String {
    let room = MAX_BODY_BYTES - left.len() - right.len();
    format!("{left}{}{right}", piece.repeat(room / piece.len()))
}

fn receive_one(body: &str) {
    let signed = format!("sha256={}", signature("a secret", body.as_bytes()));
    let header = |name: &str| match name {
        "content-type" => Some("application/json"),
        "x-github-event" => Some("issue_comment"),
        "x-github-delivery" => Some("1"),
        "x-hub-signature-256" => Some(&*signed),
        _ => None,
    };
    // Read or refused: it is of the right signature, and was looked through.
    let _ = receive(&Secrets::from_lines("a secret"), &header, body.as_bytes());
}

#[test]
fn the_largest_delivery_takes_little_more_than_itself() {
    let end = r#"{}]}, "action": "created"}"#;
    for (left, piece, right) in [
        (r#"{"comment": {"body": ["#, r#"{"":0},"#, end),
        (r#"{"repository": {"owner": ["#, r#"{"":0},"#, end),
        (r#"{"issue": {"pull_request": ["#, "[],", end),
        (
            r#"{"repositories": ["#,
            r#"{"full_name":"a/b"},"#,
            r#"{}]}"#,
        ),
        (r#"{"ref": ""#, "a", r#""}"#),
        (r#"{"ref": ""#, r"\n", r#""}"#),
        (r#"{"comment": {"body": ""#, "/millrace plan ", r#""}}"#),
    ] {
        let body = largest(left, piece, right);
        let before = peak();
        receive_one(&body);
        let more = peak() - before;
        println!("{left}: {} MiB more", more >> 20);
        assert!(more < MOST, "{left}: {more} bytes more");
    }
}
