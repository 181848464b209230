//! What Millrace's GitHub App asks for: its permissions, its events, and the manifest that GitHub makes the App of.
//!
//! Callers: `millrace init`, which writes the manifest, and `github`, which says what an App lacks. Invariant: it asks for
//! no more than is used. Tests hold the permissions against what the double of GitHub asks of each call, and the events
//! against those that [`webhook`](crate::webhook) understands.

use serde_json::{Map, Value, json};

/// A permission on the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// As manifests and tokens spell it.
    pub name: &'static str,
    /// As the page of settings spells it.
    pub label: &'static str,
    /// `read` or `write`; the latter has the former in it.
    pub level: &'static str,
    /// What it is for.
    pub why: &'static str,
}

/// All that the App may do.
pub const PERMISSIONS: [Permission; 5] = [
    Permission {
        name: "checks",
        label: "Checks",
        level: "write",
        why: "to write plans and results",
    },
    Permission {
        name: "contents",
        label: "Contents",
        level: "write",
        why: "to read main and push the branch status",
    },
    Permission {
        name: "issues",
        label: "Issues",
        level: "read",
        why: "to be told of comments below pull requests",
    },
    Permission {
        name: "metadata",
        label: "Metadata",
        level: "read",
        why: "to see who may push",
    },
    Permission {
        name: "pull_requests",
        label: "Pull requests",
        level: "write",
        why: "to find what is proposed, and to answer comments",
    },
];

/// What the App is told of. Pings and its own installation it is told of anyway.
pub const EVENTS: [&str; 8] = [
    "check_run",
    "check_suite",
    "create",
    "delete",
    "issue_comment",
    "pull_request",
    "push",
    "repository",
];

/// Characters of an App's name; it is unique at GitHub, and can be changed there before the App is made.
const MAX_NAME_CHARS: usize = 34;

/// The manifest of an App that calls `url`, where people and GitHub reach the control plane.
pub fn manifest(name: &str, url: &str) -> Value {
    let permissions = PERMISSIONS.map(|it| (it.name.to_owned(), json!(it.level)));
    let permissions: Map<String, Value> = permissions.into_iter().collect();
    let url = url.trim_end_matches('/');
    json!({
        "name": name.chars().take(MAX_NAME_CHARS).collect::<String>(),
        "description": "Says in each pull request what merging would do, and follows the work.",
        "url": url,
        "redirect_url": url,
        "hook_attributes": { "url": webhook_url(url), "active": true },
        "public": false,
        "default_permissions": permissions,
        "default_events": EVENTS,
    })
}

/// What a forge calls.
pub fn webhook_url(url: &str) -> String {
    format!("{}/webhook", url.trim_end_matches('/'))
}

/// All permissions in words.
pub(crate) fn wanted() -> String {
    let each = PERMISSIONS.map(|it| format!("\"{}: {}\"", it.label, it.level));
    let (last, others) = each.split_last().expect("there are some");
    format!("{} and {last}", others.join(", "))
}
