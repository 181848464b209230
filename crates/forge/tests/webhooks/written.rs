//! What is kept of each event, from payloads that say no more than is needed.

use forge::webhook::{
    BranchChange, Checked, Command, Event, FullName, Hook, Kind, MAX_COMMANDS, Presence,
    PullAction, Verb, Writing,
};
use serde_json::{Value, json};

use crate::{deliver, gitea, github};

const COMMIT: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn hook(kind: Kind, event: &str, payload: &Value) -> Hook {
    let body = payload.to_string();
    let body = body.as_bytes();
    let pairs = match kind {
        Kind::GitHub => github(event, body),
        Kind::Gitea => gitea(event, body),
    };
    deliver(&pairs, body).unwrap()
}

/// The same of both forges.
fn both(event: &str, payload: Value, expected: Event) {
    for kind in [Kind::GitHub, Kind::Gitea] {
        let hook = hook(kind, event, &payload);
        assert_eq!(hook.kind, kind);
        assert_eq!(hook.event, expected, "{event}: {payload}");
    }
}

fn other(event: &str, payload: Value) {
    let name = match payload["action"].as_str() {
        Some(action) => format!("{event}.{action}"),
        None => event.to_owned(),
    };
    both(event, payload, Event::Other { name });
}

fn repository(name: &str) -> FullName {
    name.parse().unwrap()
}

#[test]
fn who_and_where() {
    let payload =
        json!({"repository": {"full_name": "octo/state"}, "sender": {"login": "renovate[bot]"}});
    let of_github = hook(Kind::GitHub, "ping", &payload);
    assert_eq!(of_github.delivery, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(of_github.repository, Some(repository("octo/state")));
    assert_eq!(of_github.sender.as_deref(), Some("renovate[bot]"));
    let of_gitea = hook(Kind::Gitea, "ping", &payload);
    assert_eq!(of_gitea.delivery, "f6266f16-1bf3-46a5-9ea4-602e06ead473");
    // What can be no name is none: both go into addresses.
    let payload = json!({"repository": {"full_name": "octo/.."}, "sender": {"login": "a/../b"}});
    let strange = hook(Kind::GitHub, "ping", &payload);
    assert_eq!((strange.repository, strange.sender), (None, None));
    for login in ["", ".", "..", "a b", "ü", &"a".repeat(101)] {
        let payload = json!({"sender": {"login": login}});
        assert_eq!(hook(Kind::Gitea, "ping", &payload).sender, None, "{login}");
    }
}

#[test]
fn pushes() {
    let push = |name: &str, after: &str| json!({"ref": name, "after": after});
    let event = |branch: &str, after: Option<&str>| Event::Push {
        branch: branch.to_owned(),
        after: after.map(str::to_owned),
    };
    both(
        "push",
        push("refs/heads/main", COMMIT),
        event("main", Some(COMMIT)),
    );
    let sha256 = COMMIT.repeat(2)[..64].to_owned();
    both(
        "push",
        push("refs/heads/a/b", &sha256),
        event("a/b", Some(&sha256)),
    );
    both(
        "push",
        push("refs/heads/gone", &"0".repeat(40)),
        event("gone", None),
    );
    other("push", push("refs/tags/v1", COMMIT));
}

#[test]
fn pull_requests() {
    let payload = |action: &str| {
        json!({
            "action": action, "number": 7,
            // A fork that is gone.
            "pull_request": {"head": {"sha": COMMIT, "repo": null}},
        })
    };
    for (word, action) in [
        ("opened", PullAction::Opened),
        ("reopened", PullAction::Opened),
        ("synchronize", PullAction::Pushed),
        ("synchronized", PullAction::Pushed),
        ("edited", PullAction::Edited),
        ("closed", PullAction::Closed),
    ] {
        let head = COMMIT.to_owned();
        let number = 7;
        both(
            "pull_request",
            payload(word),
            Event::PullRequest {
                number,
                action,
                head,
            },
        );
    }
    other("pull_request", payload("labeled"));
    other("pull_request", payload("reviewed"));
    other("pull_request_review", payload("submitted"));
}

#[test]
fn checks() {
    let plan = || Checked {
        commit: COMMIT.to_owned(),
        check: Some("plan".to_owned()),
        digest: Some("d1".to_owned()),
        writing: Some(Writing {
            run: 4,
            completed: Some(1_795_989_600_000),
        }),
        pulls: vec![7, 8],
    };
    let all = Checked {
        commit: COMMIT.to_owned(),
        check: None,
        digest: None,
        writing: None,
        pulls: vec![],
    };
    let run = json!({"id": 4, "completed_at": "2026-11-29T22:00:00Z", "head_sha": COMMIT, "name": "millrace / plan", "external_id": "d1", "pull_requests": [{"number": 7}, {"number": 8}]});
    both(
        "check_run",
        json!({"action": "rerequested", "check_run": run}),
        Event::Rerequested(plan()),
    );
    both(
        "check_suite",
        json!({"action": "rerequested", "check_suite": {"id": 5, "head_sha": COMMIT, "pull_requests": []}}),
        Event::Rerequested(all),
    );
    let login = "octo".to_owned();
    let name = "retry".to_owned();
    let on = plan();
    both(
        "check_run",
        json!({
            "action": "requested_action", "check_run": run,
            "requested_action": {"identifier": "retry"}, "sender": {"login": "octo"},
        }),
        Event::Action { name, on, login },
    );
    other(
        "check_run",
        json!({"action": "completed", "check_run": run}),
    );
    other("check_suite", json!({"action": "requested"}));
}

fn comment(issue: Value, body: &str) -> Value {
    let user = json!({"login": "octo", "type": "User"});
    let written = "2026-11-29T22:00:00Z";
    let comment = json!({"id": 11, "body": body, "user": user, "created_at": written});
    json!({"action": "created", "issue": issue, "comment": comment})
}

#[test]
fn commands_below_pull_requests() {
    let asked = |verb, words: &[&str]| Command {
        verb,
        words: words.iter().map(|it| (*it).to_owned()).collect(),
    };
    let event = |commands: Vec<Command>, left_out| Event::Comment {
        id: 11,
        pull: 7,
        login: "octo".to_owned(),
        written: 1_795_989_600_000,
        commands,
        left_out,
    };
    let of_github = json!({"number": 7, "pull_request": {"url": "https://example.org"}});
    let text = "Twice:\r\n/millrace retry curl\r\n/millrace merge\r\n";
    let expected = event(
        vec![
            asked(Verb::Retry, &["curl"]),
            asked(Verb::Unknown("merge".to_owned()), &[]),
        ],
        0,
    );
    both(
        "issue_comment",
        comment(of_github.clone(), text),
        expected.clone(),
    );
    // Gitea of today says so in another place.
    let mut of_gitea = comment(json!({"number": 7, "pull_request": null}), text);
    of_gitea["is_pull"] = json!(true);
    both("issue_comment", of_gitea, expected);
    let many = "/millrace plan\n".repeat(MAX_COMMANDS + 5);
    let expected = event(vec![asked(Verb::Plan, &[]); MAX_COMMANDS], 5);
    both("issue_comment", comment(of_github, &many), expected);
}

#[test]
fn comments_that_ask_for_nothing() {
    let pull = json!({"number": 7, "pull_request": {}});
    let asks = comment(pull.clone(), "/millrace retry");
    let with = |pointer: &str, value: Value| {
        let mut payload = asks.clone();
        *payload.pointer_mut(pointer).unwrap() = value;
        payload
    };
    assert!(matches!(
        hook(Kind::GitHub, "issue_comment", &asks).event,
        Event::Comment { .. }
    ));
    // It would run twice.
    other("issue_comment", with("/action", json!("edited")));
    other("issue_comment", with("/action", json!("deleted")));
    other(
        "issue_comment",
        with("/comment/body", json!("> /millrace retry")),
    );
    other("issue_comment", with("/comment/body", json!(null)));
    let own = "<!-- millrace -->\n/millrace retry";
    other("issue_comment", with("/comment/body", json!(own)));
    // Our own answer may show a command.
    other("issue_comment", with("/comment/user/type", json!("Bot")));
    other("issue_comment", with("/issue", json!({"number": 7})));
    other(
        "issue_comment",
        with("/issue", json!({"number": 7, "pull_request": null})),
    );
    other("pull_request_review_comment", asks.clone());
    other("commit_comment", asks);
}

#[test]
fn branches() {
    for (event, change) in [
        ("create", BranchChange::Created),
        ("delete", BranchChange::Deleted),
    ] {
        for name in ["stable", "refs/heads/stable"] {
            let branch = "stable".to_owned();
            both(
                event,
                json!({"ref": name, "ref_type": "branch"}),
                Event::Branch { branch, change },
            );
        }
        other(event, json!({"ref": "v1", "ref_type": "tag"}));
        other(event, json!({"ref_type": "repository"}));
    }
}

#[test]
fn installations() {
    let list = json!([{"full_name": "octo/state"}]);
    let (all, state) = (vec![], vec![repository("octo/state")]);
    for (event, action, field, presence, repositories) in [
        (
            "installation",
            "created",
            "repositories",
            Presence::There,
            &state,
        ),
        ("installation", "unsuspend", "", Presence::There, &all),
        ("installation", "suspend", "", Presence::Gone, &all),
        (
            "installation",
            "deleted",
            "repositories",
            Presence::Gone,
            &state,
        ),
        (
            "installation_repositories",
            "added",
            "repositories_added",
            Presence::There,
            &state,
        ),
        (
            "installation_repositories",
            "removed",
            "repositories_removed",
            Presence::Gone,
            &state,
        ),
    ] {
        let repositories = repositories.clone();
        both(
            event,
            json!({"action": action, "installation": {"id": 5}, field: list}),
            Event::Installation {
                id: 5,
                presence,
                repositories,
            },
        );
    }
    // Whose name would be cut off may be among them.
    let many: Vec<Value> = (0..200)
        .map(|n| json!({"full_name": format!("octo/{n}")}))
        .collect();
    both(
        "installation",
        json!({"action": "deleted", "installation": {"id": 5}, "repositories": many}),
        Event::Installation {
            id: 5,
            presence: Presence::Gone,
            repositories: vec![],
        },
    );
}

#[test]
fn renames() {
    let now = json!({"full_name": "octo/state"});
    let changed =
        |changes: Value| json!({"action": "renamed", "repository": now, "changes": changes});
    let was = |name: &str| Event::Renamed {
        from: repository(name),
    };
    let name = json!({"repository": {"name": {"from": "distro"}}});
    both("repository", changed(name), was("octo/distro"));
    for kind in ["user", "organization"] {
        let owner = json!({"owner": {"from": {kind: {"login": "hubot"}}}});
        both("repository", changed(owner), was("hubot/state"));
    }
    other("repository", json!({"action": "archived"}));
}

/// Whatever it holds, as long as it is an object.
#[test]
fn unknown_events_are_not_refused() {
    other("star", json!({"action": "created"}));
    other(
        "star",
        json!({"repository": 1, "sender": [], "number": "x", "action": null}),
    );
    other("something_of_tomorrow", json!({}));
}

/// Events that are younger than a list of Gitea's have no name in the first header.
#[test]
fn an_event_without_a_name() {
    let body = b"{}";
    let mut pairs = gitea("package", body);
    for pair in &mut pairs {
        if ["x-gitea-event", "x-github-event"].contains(&pair.0) {
            pair.1.clear();
        }
    }
    let name = "package".to_owned();
    assert_eq!(deliver(&pairs, body).unwrap().event, Event::Other { name });
}
