//! Webhooks of both forges: what is kept of them, what is refused and in which words, and who judges that.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are outside of the tests"
)]
#![allow(clippy::disallowed_methods, reason = "a test reads payloads")]

mod app;
mod arbitrary;
mod examples;
mod refusals;
mod signatures;
mod written;

use std::path::PathBuf;

use fake_forge::judge::Missing;
use forge::webhook::{Hook, Refusal, Secrets, receive, signature};

/// As forges send them, and a name in small letters for each.
type Pairs = Vec<(&'static str, String)>;

/// What GitHub sends with `body`.
fn github(event: &str, body: &[u8]) -> Pairs {
    vec![
        ("content-type", "application/json".to_owned()),
        ("x-github-event", event.to_owned()),
        (
            "x-github-delivery",
            "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
        ),
        (
            "x-hub-signature-256",
            format!("sha256={}", signature("secret", body)),
        ),
    ]
}

/// What Gitea sends with `body`: GitHub's headers too.
fn gitea(event: &str, body: &[u8]) -> Pairs {
    let mut pairs = github(event, body);
    pairs.extend([
        ("x-gitea-event", event.to_owned()),
        ("x-gitea-event-type", event.to_owned()),
        (
            "x-gitea-delivery",
            "f6266f16-1bf3-46a5-9ea4-602e06ead473".to_owned(),
        ),
        ("x-gitea-signature", signature("secret", body)),
    ]);
    pairs
}

/// The judge's folder. Where it is missing, its tests say so on the terminal, also when they pass, and look at nothing.
fn judge(what: &str, found: Result<PathBuf, Missing>) -> Option<PathBuf> {
    found.inspect_err(|missing| missing.tell(what)).ok()
}

/// Through the door. The secret is being changed.
fn deliver(pairs: &Pairs, body: &[u8]) -> Result<Hook, Refusal> {
    let header = |name: &str| {
        let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
        Some(value.as_str())
    };
    receive(&Secrets::from_lines("new\nsecret"), &header, body)
}
