//! What the App asks for is what is used: no event that nobody reads, none that is read and not asked for, and the
//! permissions that the double of GitHub wants.

use std::collections::BTreeSet;

use fake_forge::forge::Forge;
use fake_forge::judge::tools;
use forge::app::{EVENTS, PERMISSIONS, manifest};
use forge::webhook::Event;
use serde_json::{Value, json};

use crate::examples::examples;
use crate::{deliver, github, judge};

/// What every App is told of, and cannot ask for.
const UNASKED: [&str; 3] = ["installation", "installation_repositories", "ping"];
/// Each action that some event may matter with, and none.
const ACTIONS: [&str; 6] = ["", "added", "created", "opened", "renamed", "rerequested"];

/// Whether Millrace does something for one of its actions. The payload has what any of them needs.
fn is_understood(event: &str) -> bool {
    let commit = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
    let login = json!({"login": "ann"});
    let run = json!({"head_sha": commit, "name": "millrace / plan", "pull_requests": []});
    let read = |action: &str| {
        let payload = json!({
            "action": action, "repository": {"full_name": "acme/state"}, "sender": login,
            "ref": "refs/heads/main", "ref_type": "branch", "after": commit,
            "number": 1, "pull_request": {"head": {"sha": commit}},
            "check_run": run, "check_suite": run, "installation": {"id": 1},
            "issue": {"number": 1, "pull_request": {}},
            "comment": {"id": 1, "user": login, "created_at": "2026-11-29T12:00:00Z", "body": "/millrace retry"},
            "changes": {"repository": {"name": {"from": "old"}}},
        });
        let body = payload.to_string();
        deliver(&github(event, body.as_bytes()), body.as_bytes()).unwrap()
    };
    let events = ACTIONS.map(|action| read(action).event);
    events.iter().any(|it| !matches!(it, Event::Other { .. }))
}

#[test]
fn each_event_that_is_asked_for_is_understood() {
    for event in EVENTS.iter().chain(&UNASKED) {
        assert!(is_understood(event), "{event}");
    }
    assert!(!is_understood("star"));
}

/// Of all that GitHub has.
#[test]
fn each_event_that_is_understood_is_asked_for() {
    let Some(_) = judge("the App's events", tools()) else {
        return;
    };
    let all = examples("api.github.com").unwrap();
    let all: BTreeSet<String> = all.into_iter().map(|(event, _)| event).collect();
    assert!(all.len() > 50, "{all:?}");
    let understood: BTreeSet<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|it| is_understood(it))
        .collect();
    assert_eq!(understood, EVENTS.into_iter().chain(UNASKED).collect());
}

#[test]
fn the_permissions_are_those_that_the_double_gives_and_wants() {
    let asked = PERMISSIONS.map(|it| (it.name, it.level));
    assert_eq!(asked, Forge::PERMISSIONS);
}

#[test]
fn the_manifest() {
    let long = "Millrace of a distribution with a very long name";
    let made = manifest(long, "https://build.example.org/");
    let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).unwrap();
    assert_eq!(
        text("/hook_attributes/url"),
        "https://build.example.org/webhook"
    );
    assert_eq!(text("/name"), "Millrace of a distribution with a ");
    assert_eq!(made["public"], json!(false));
    assert_eq!(
        made["default_events"].as_array().unwrap().len(),
        EVENTS.len()
    );
    let permissions = json!({
        "checks": "write", "contents": "write", "issues": "read", "metadata": "read", "pull_requests": "write",
    });
    assert_eq!(made["default_permissions"], permissions);
}

/// The page that people click by lists the same.
#[test]
fn the_how_to_lists_what_the_app_asks_for() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/how-to/on-a-forge.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    for it in PERMISSIONS {
        let level = match it.level {
            "write" => "read and write",
            _ => "read",
        };
        let row = format!("| {} | {level} | {} |", it.label, it.why);
        assert!(page.contains(&row), "{row}");
    }
    let list = EVENTS.map(|event| event.replace('_', " ")).join(", ");
    assert!(page.contains(&format!("Events: {list}.")), "{list}");
}
