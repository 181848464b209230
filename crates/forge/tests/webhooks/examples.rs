//! What others have recorded: all of it is read, or is refused with a reason, and is counted.

use std::collections::BTreeMap;
use std::fs;

use forge::webhook::{BranchChange, Event, Hook, Kind, PullAction, Verb};
use serde_json::{Value, json};

use fake_forge::judge::{gitea_webhooks, tools};

use crate::{Pairs, deliver, gitea, github, judge};

type Sender = fn(&str, &[u8]) -> Pairs;

fn read(sender: Sender, event: &str, payload: &Value) -> Hook {
    let body = payload.to_string();
    deliver(&sender(event, body.as_bytes()), body.as_bytes())
        .unwrap_or_else(|refusal| panic!("{event}: {refusal}"))
}

fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Push { .. } => "push",
        Event::PullRequest { .. } => "pull request",
        Event::Rerequested(_) => "rerequested",
        Event::Action { .. } => "action",
        Event::Comment { .. } => "comment",
        Event::Branch { .. } => "branch",
        Event::Ping => "ping",
        Event::Installation { .. } => "installation",
        Event::Renamed { .. } => "renamed",
        Event::Other { .. } => "other",
    }
}

/// Event → examples, of one product of GitHub's.
pub(crate) fn examples(product: &str) -> Option<Vec<(String, Value)>> {
    let place = judge("webhooks of GitHub", tools())?;
    let place = place.join("node_modules/@octokit/webhooks-examples");
    let text = fs::read(place.join(product).join("index.json")).unwrap();
    let list: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let pairs = list.iter().flat_map(|event| {
        let name = event["name"].as_str().unwrap();
        let examples = event["examples"].as_array().unwrap();
        examples.iter().map(|it| (name.to_owned(), it.clone()))
    });
    Some(pairs.collect())
}

#[test]
fn all_329_of_github_are_read() {
    let Some(examples) = examples("api.github.com") else {
        return;
    };
    let mut counts = BTreeMap::new();
    for (event, payload) in &examples {
        let hook = read(github, event, payload);
        assert_eq!(hook.kind, Kind::GitHub);
        assert_eq!(hook.repository.is_some(), payload["repository"].is_object());
        assert_eq!(hook.sender.is_some(), payload["sender"].is_object());
        *counts.entry(kind_of(&hook.event)).or_insert(0) += 1;
    }
    assert_eq!(examples.len(), 329);
    let expected = BTreeMap::from([
        // A button that says `lgtm`.
        ("action", 1),
        // Six of the suite and the App: created, deleted, suspended; three of its repositories.
        ("installation", 10),
        ("ping", 4),
        // 9 of 29: labels, reviews and drafts move nothing.
        ("pull request", 9),
        // 2 of 7: the others are of tags.
        ("push", 2),
        ("renamed", 4),
        // 2 of a check, 2 of a suite.
        ("rerequested", 4),
        // No comment of these is below a pull request, and no branch comes or goes.
        ("other", 295),
    ]);
    assert_eq!(counts, expected);
}

/// The older products that are still run by somebody.
#[test]
fn all_of_github_enterprise_server_are_read() {
    let versions = ["ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"];
    let all: Option<Vec<_>> = versions.into_iter().map(examples).collect();
    let Some(all) = all else {
        return;
    };
    for (event, payload) in all.iter().flatten() {
        assert_eq!(read(github, event, payload).kind, Kind::GitHub);
    }
    assert_eq!(all.iter().flatten().count(), 397);
}

/// The examples have none of these: one thing is changed in each.
#[test]
fn what_the_examples_lack() {
    let Some(examples) = examples("api.github.com") else {
        return;
    };
    let (mut comments, mut branches) = (0, 0);
    for (event, mut payload) in examples {
        match (event.as_str(), payload["action"].as_str()) {
            ("issue_comment", action) => {
                let is_new = action == Some("created");
                payload["issue"]["pull_request"] = json!({"url": "https://example.org"});
                payload["comment"]["body"] = json!("Yes\r\n/millrace plan\r\n");
                let hook = read(github, &event, &payload);
                let is_comment = matches!(&hook.event, Event::Comment { commands, .. }
                    if commands.len() == 1 && commands[0].verb == Verb::Plan);
                assert_eq!(is_comment, is_new, "{hook:?}");
                comments += usize::from(is_comment);
            }
            ("create" | "delete", _) => {
                payload["ref_type"] = json!("branch");
                let hook = read(github, &event, &payload);
                let change = match event.as_str() {
                    "create" => BranchChange::Created,
                    _ => BranchChange::Deleted,
                };
                let branch = "simple-tag".to_owned();
                assert_eq!(hook.event, Event::Branch { branch, change });
                branches += 1;
            }
            _ => {}
        }
    }
    assert_eq!((comments, branches), (5, 9));
}

#[test]
fn all_of_gitea_are_read() {
    let Some(place) = judge("webhooks of Gitea", gitea_webhooks()) else {
        return;
    };
    let feature = || "2eba238e33607c1fa49253182e9fff42baafa1eb".to_owned();
    let pull = |action| Event::PullRequest {
        number: 1,
        action,
        head: feature(),
    };
    let other = |name: &str| Event::Other {
        name: name.to_owned(),
    };
    let expected = [
        (
            "branch_create",
            "create",
            Event::Branch {
                branch: "feature".to_owned(),
                change: BranchChange::Created,
            },
        ),
        // Below an issue.
        (
            "issue_comment_created",
            "issue_comment",
            other("issue_comment.created"),
        ),
        (
            "pull_request_merged",
            "pull_request",
            pull(PullAction::Closed),
        ),
        (
            "pull_request_opened",
            "pull_request",
            pull(PullAction::Opened),
        ),
        (
            "pull_request_synchronized",
            "pull_request",
            pull(PullAction::Pushed),
        ),
        (
            "push",
            "push",
            Event::Push {
                branch: "master".to_owned(),
                after: Some("4522cbcefc20728a5b72b3a86af35e608622c514".to_owned()),
            },
        ),
        ("tag_create", "create", other("create")),
    ];
    assert_eq!(fs::read_dir(&place).unwrap().count(), expected.len());
    for (file, event, expected) in expected {
        let text = fs::read(place.join(format!("{file}.json"))).unwrap();
        let hook = read(gitea, event, &serde_json::from_slice(&text).unwrap());
        assert_eq!(hook.kind, Kind::Gitea);
        assert!(hook.repository.is_some() && hook.sender.is_some(), "{file}");
        assert_eq!(hook.event, expected, "{file}");
        // And as it was sent, byte for byte.
        assert_eq!(deliver(&gitea(event, &text), &text).unwrap(), hook);
    }
}
