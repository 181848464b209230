//! Bytes of strangers never panic, and what is kept of them has a bound.

use forge::webhook::{Event, Hook, MAX_COMMANDS, Refusal, read};
use proptest::prelude::*;
use serde_json::{Value, json};

/// All that is looked at, of all events at once.
fn everything() -> Value {
    let commit = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
    let check = json!({"head_sha": commit, "name": "millrace / plan", "external_id": "d1", "pull_requests": [{"number": 2}]});
    let repositories = json!([{"full_name": "octo/state"}]);
    json!({
        "action": "created", "after": commit, "ref": "refs/heads/main", "ref_type": "branch", "number": 1,
        "changes": {
            "repository": {"name": {"from": "old"}},
            "owner": {"from": {"user": {"login": "a"}, "organization": {"login": "b"}}},
        },
        "check_run": check, "check_suite": check, "requested_action": {"identifier": "retry"},
        "comment": {"id": 3, "created_at": "2026-11-29T12:00:00Z", "body": "/millrace plan", "user": {"login": "octo", "type": "User"}},
        "issue": {"number": 4, "pull_request": {}}, "is_pull": true,
        "pull_request": {"head": {"sha": commit}},
        "installation": {"id": 5}, "repositories": repositories,
        "repositories_added": repositories, "repositories_removed": repositories,
        "repository": {"full_name": "octo/state"}, "sender": {"login": "octo"},
    })
}

/// Pairs that are read, each.
const EVENTS: [(&str, &str); 17] = [
    ("push", ""),
    ("pull_request", "opened"),
    ("pull_request", "synchronized"),
    ("check_run", "rerequested"),
    ("check_suite", "rerequested"),
    ("check_run", "requested_action"),
    ("issue_comment", "created"),
    ("create", ""),
    ("delete", ""),
    ("ping", ""),
    ("installation", "created"),
    ("installation", "deleted"),
    ("installation_repositories", "added"),
    ("installation_repositories", "removed"),
    ("repository", "renamed"),
    ("repository", "transferred"),
    ("star", "created"),
];

fn look(event: &str, body: &[u8]) -> Result<Hook, Refusal> {
    let hook = read(
        &|name| match name {
            "content-type" => Some("application/json"),
            "x-github-event" => Some(event),
            "x-github-delivery" => Some("1"),
            _ => None,
        },
        body,
    );
    match &hook {
        // Two hundred characters of a parser, or an event and a field.
        Err(refusal) => assert!(refusal.to_string().len() < 2_000),
        Ok(Hook { event, .. }) => {
            if let Event::Comment { commands, .. } = event {
                assert!((1..=MAX_COMMANDS).contains(&commands.len()));
            }
            assert!(format!("{event:?}").len() < 100_000);
        }
    }
    hook
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "/millrace( [a-z]{0,9}){0,3}\n?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,9}", inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Every place in `value`, as pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                places(value, &format!("{at}/{key}"), all);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn all_places() -> Vec<String> {
    let mut all = Vec::new();
    places(&everything(), "", &mut all);
    all
}

/// The seed of the properties below is one that is read.
#[test]
fn everything_is_read() {
    for (event, action) in EVENTS {
        let mut payload = everything();
        payload["action"] = json!(action);
        let hook = look(event, payload.to_string().as_bytes()).unwrap();
        let is_other = matches!(hook.event, Event::Other { .. });
        assert_eq!(is_other, event == "star", "{event}: {hook:?}");
    }
}

proptest! {
    #[test]
    fn bytes_never_panic(event in 0..EVENTS.len(), body: Vec<u8>) {
        let _ = look(EVENTS[event].0, &body);
    }

    #[test]
    fn json_never_panics(event in 0..EVENTS.len(), body in any_json()) {
        let hook = look(EVENTS[event].0, body.to_string().as_bytes());
        prop_assert!(body.is_object() || hook.is_err());
    }

    #[test]
    fn a_changed_payload_never_panics(
        event in 0..EVENTS.len(),
        place in prop::sample::select(all_places()),
        other in any_json(),
    ) {
        let (event, action) = EVENTS[event];
        let mut payload = everything();
        payload["action"] = json!(action);
        *payload.pointer_mut(&place).unwrap() = other;
        let hook = look(event, payload.to_string().as_bytes());
        // What Millrace does nothing for is never refused.
        prop_assert!(event != "star" || !payload.is_object() || hook.is_ok());
    }

    #[test]
    fn a_cut_payload_is_refused(event in 0..EVENTS.len(), cut: prop::sample::Index) {
        let body = everything().to_string();
        let end = cut.index(body.len());
        prop_assert!(look(EVENTS[event].0, &body.as_bytes()[..end]).is_err());
    }
}
