//! A delivery of a forge that somebody has signed, and one that nobody has: never a panic, whatever is kept has a bound,
//! and both forges say the same by the same body.
//!
//! The input has two parts: the event's name, and the body. The body is read as the text of a comment, too.
#![no_main]

use forge::webhook::{Event, Hook, MAX_COMMAND_BYTES, MAX_COMMANDS, Refusal, Secrets, receive, signature};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "a secret";

/// What comes with a delivery that is signed with `secret`.
fn deliver(forge: &str, event: &str, body: &[u8], secret: &str) -> Result<Hook, Refusal> {
    let hex = signature(secret, body);
    let signed = format!("sha256={hex}");
    let is_gitea = forge == "gitea";
    let headers = |name: &str| match name {
        "content-type" => Some("application/json"),
        "x-github-event" => Some(event),
        "x-gitea-event" if is_gitea => Some(event),
        "x-github-delivery" => Some("1"),
        "x-gitea-delivery" if is_gitea => Some("1"),
        "x-hub-signature-256" => Some(&*signed),
        "x-gitea-signature" if is_gitea => Some(&*hex),
        _ => None,
    };
    receive(&Secrets::from_lines(SECRET), &headers, body)
}

/// Reads it as each forge would have sent it.
fn look(event: &str, body: &[u8]) -> Option<Event> {
    let [one, other] = ["github", "gitea"].map(|forge| {
        let forged = deliver(forge, event, body, "another secret");
        assert!(matches!(forged, Err(Refusal::NotSigned)), "forged: {forged:?}");
        let read = deliver(forge, event, body, SECRET);
        if let Err(refusal) = &read {
            assert!(refusal.to_string().len() < 2_000, "{refusal}");
        }
        read.ok().map(|hook| hook.event)
    });
    assert_eq!(one, other);
    one
}

fuzz_target!(|data: &[u8]| {
    let [event, body] = fuzz::parts::<2>(data);
    let event = String::from_utf8_lossy(event);
    if let Some(event) = look(&event, body) {
        assert!(format!("{event:?}").len() < 100_000);
    }
    let text = String::from_utf8_lossy(body);
    let comment = serde_json::json!({
        "action": "created",
        "issue": {"number": 1, "pull_request": {}},
        "comment": {"id": 1, "body": text, "created_at": "2026-11-28T09:00:00Z", "user": {"login": "ada"}},
    });
    match look("issue_comment", comment.to_string().as_bytes()) {
        Some(Event::Comment { commands, .. }) => {
            assert!((1..=MAX_COMMANDS).contains(&commands.len()));
            for word in commands.iter().flat_map(|command| &command.words) {
                assert!(word.len() < MAX_COMMAND_BYTES && text.contains(word.as_str()));
            }
        }
        // What begins as our own comments do is passed over.
        _ => assert!(text.starts_with("<!--") || !text.lines().any(|line| line.trim_end() == "/millrace plan")),
    }
});
