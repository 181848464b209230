//! Webhooks as GitHub sends them to an App.

use serde_json::{Value, json};

use super::super::event::{Act, Event};
use super::super::repo::{NOTHING, Told};
use super::super::token::INSTALLATION;
use super::super::world::{OWNER, REPOSITORY_ID, World, time, user_id};
use super::show;

/// The event's name, twice (Gitea has two), and the payload; nothing for what GitHub does not tell of.
pub(crate) fn payload(
    world: &World,
    event: &Event,
    sender: &str,
) -> Option<(&'static str, &'static str, Value)> {
    let (name, mut payload) = match event {
        Event::Ping => ("ping", ping(world)),
        Event::Push {
            name,
            before,
            after,
        } => ("push", push(world, name, [before, after], sender)),
        Event::Created { name } => {
            let (ref_type, short) = kind_of(name);
            let text = json!({
                "ref": short, "ref_type": ref_type, "master_branch": "main",
                "description": null, "pusher_type": "user",
            });
            ("create", text)
        }
        Event::Deleted { name } => {
            let (ref_type, short) = kind_of(name);
            let text = json!({ "ref": short, "ref_type": ref_type, "pusher_type": "user" });
            ("delete", text)
        }
        Event::Pull { number, act } => ("pull_request", pull(world, *number, act)),
        Event::Suite {
            sha,
            before,
            action,
        } => ("check_suite", suite(world, sha, before, action)),
        Event::Run { id, action, asked } => ("check_run", run(world, *id, action, asked.as_ref())),
        Event::Comment { id, action } => ("issue_comment", comment(world, *id, action)),
        Event::Renamed { from } => {
            let changes = json!({ "repository": { "name": { "from": from } } });
            (
                "repository",
                json!({ "action": "renamed", "changes": changes }),
            )
        }
        Event::Uninstalled => ("installation", uninstalled(world)),
    };
    if name != "installation" {
        payload["repository"] = show::repository(world, OWNER);
    }
    if name != "installation" && name != "ping" {
        payload["installation"] = json!({
            "id": INSTALLATION, "node_id": format!("MDI_{INSTALLATION}"),
        });
    }
    if name == "push" {
        as_pushed(world, &mut payload["repository"]);
    }
    payload["sender"] = show::user(&world.site, sender);
    Some((name, name, payload))
}

/// A push tells of its repository in an older manner: times are numbers, some names are double.
fn as_pushed(world: &World, repository: &mut Value) {
    repository["created_at"] = CREATED.into();
    repository["pushed_at"] = world.now().into();
    repository["master_branch"] = "main".into();
    repository["stargazers"] = 0.into();
    repository["owner"]["name"] = OWNER.into();
    repository["owner"]["email"] = format!("{OWNER}@example.org").into();
}

/// 2026-01-01, when all that was there before any test was made.
const CREATED: i64 = 1_767_225_600;

pub(crate) fn kind_of(name: &str) -> (&'static str, &str) {
    match name.strip_prefix("refs/tags/") {
        Some(tag) => ("tag", tag),
        None => ("branch", name.trim_start_matches("refs/heads/")),
    }
}

fn ping(world: &World) -> Value {
    let url = format!("{}/repos/{OWNER}/{}/hooks/1", world.site, world.name);
    let stamp = time(world.now());
    json!({
        "zen": "Anything added dilutes everything else.",
        "hook_id": 1,
        "hook": {
            "type": "Repository",
            "id": 1,
            "name": "web",
            "active": true,
            "events": ["*"],
            "config": { "content_type": "json", "url": "https://example.org", "insecure_ssl": "0" },
            "updated_at": stamp,
            "created_at": stamp,
            "url": url,
            "test_url": format!("{url}/test"),
            "ping_url": format!("{url}/pings"),
            "last_response": { "code": null, "status": "unused", "message": null },
        },
    })
}

fn push(world: &World, name: &str, [before, after]: [&String; 2], sender: &str) -> Value {
    let page = format!("{}/{OWNER}/{}", world.site, world.name);
    let told = match after.as_str() {
        NOTHING => Vec::new(),
        _ => world.repo.told(before, after),
    };
    let head = (after != NOTHING).then(|| commit(&page, &world.repo.tell(after)));
    let forced = before != NOTHING && after != NOTHING && !world.repo.is_ancestor(before, after);
    json!({
        "ref": name,
        "before": before,
        "after": after,
        "created": before == NOTHING,
        "deleted": after == NOTHING,
        "forced": forced,
        "base_ref": null,
        "compare": format!("{page}/compare/{}...{}", &before[..12], &after[..12]),
        "commits": told.iter().map(|told| commit(&page, told)).collect::<Vec<_>>(),
        "head_commit": head,
        "pusher": { "name": sender, "email": format!("{sender}@example.org") },
    })
}

fn commit(page: &str, told: &Told) -> Value {
    let who = json!({ "name": told.author, "email": told.email, "username": told.author });
    json!({
        "id": told.sha,
        "tree_id": told.tree,
        "distinct": true,
        "message": told.message,
        "timestamp": told.time,
        "url": format!("{page}/commit/{}", told.sha),
        "author": who,
        "committer": who,
        "added": told.added,
        "removed": told.removed,
        "modified": told.modified,
    })
}

fn pull(world: &World, number: u64, act: &Act) -> Value {
    let pull = &world.pulls[&number];
    let action = match act {
        Act::Opened => "opened",
        Act::Pushed(_) => "synchronize",
        Act::Closed => "closed",
        Act::Reopened => "reopened",
    };
    let mut payload = json!({
        "action": action,
        "number": number,
        "pull_request": show::whole_pull(world, pull),
    });
    if let Act::Pushed(before) = act {
        payload["before"] = before.as_str().into();
        payload["after"] = pull.head.as_str().into();
    }
    payload
}

fn suite_of(world: &World, sha: &str, before: &str) -> Value {
    let id = World::suite_id(sha);
    let runs = world.latest_runs(sha);
    let is_done = !runs.is_empty() && runs.iter().all(|run| run.completed.is_some());
    let failed = runs
        .iter()
        .any(|r| r.conclusion.as_deref() == Some("failure"));
    let conclusion = if failed { "failure" } else { "success" };
    let branch = world.pulls_at(sha).map(|pull| pull.branch.clone()).next();
    let refs = world.repo.refs();
    let at = refs.iter().find(|(_, at)| *at == sha);
    let branch = branch.or_else(|| at.map(|(name, _)| kind_of(name).1.to_owned()));
    let stamp = time(world.now());
    json!({
        "id": id,
        "node_id": format!("CS_{id}"),
        "head_branch": branch,
        "head_sha": sha,
        "status": if is_done { "completed" } else { "queued" },
        "conclusion": is_done.then_some(conclusion),
        "url": format!("{}/repos/{OWNER}/{}/check-suites/{id}", world.site, world.name),
        "before": before,
        "after": sha,
        "pull_requests": show::pulls_of(world, sha),
        "app": show::app(world),
        "created_at": stamp,
        "updated_at": stamp,
    })
}

fn suite(world: &World, sha: &str, before: &str, action: &str) -> Value {
    let told = world.repo.tell(sha);
    let who = json!({ "name": told.author, "email": told.email });
    let mut suite = suite_of(world, sha, before);
    let url = suite["url"].as_str().unwrap_or_default();
    suite["check_runs_url"] = format!("{url}/check-runs").into();
    suite["latest_check_runs_count"] = world.latest_runs(sha).len().into();
    suite["head_commit"] = json!({
        "id": sha,
        "tree_id": told.tree,
        "message": told.message,
        "timestamp": told.time,
        "author": who,
        "committer": who,
    });
    json!({ "action": action, "check_suite": suite })
}

fn run(world: &World, id: u64, action: &str, asked: Option<&String>) -> Value {
    let run = world
        .runs
        .iter()
        .find(|run| run.id == id)
        .expect("it was there");
    let mut shown = show::run(world, run);
    shown["check_suite"] = suite_of(world, &run.sha, NOTHING);
    let mut payload = json!({ "action": action, "check_run": shown });
    if let Some(identifier) = asked {
        payload["requested_action"] = json!({ "identifier": identifier });
    }
    payload
}

fn comment(world: &World, id: u64, action: &str) -> Value {
    let comment = world
        .comments
        .iter()
        .find(|c| c.id == id)
        .expect("it was there");
    let pull = &world.pulls[&comment.pull];
    let repository = format!("{}/repos/{OWNER}/{}", world.site, world.name);
    let issue = format!("{repository}/issues/{}", pull.number);
    let page = format!("{}/{OWNER}/{}/pull/{}", world.site, world.name, pull.number);
    let shown = show::pull(world, pull);
    json!({
        "action": action,
        "issue": {
            "url": issue,
            "repository_url": repository,
            "labels_url": format!("{issue}/labels{{/name}}"),
            "comments_url": format!("{issue}/comments"),
            "events_url": format!("{issue}/events"),
            "html_url": page,
            "id": 900_000 + pull.number,
            "node_id": format!("PR_{}", pull.number),
            "number": pull.number,
            "title": pull.title,
            "user": shown["user"],
            "labels": [],
            "state": shown["state"],
            "locked": false,
            "assignee": null,
            "assignees": [],
            "milestone": null,
            "comments": world.comments.iter().filter(|c| c.pull == pull.number).count(),
            "created_at": shown["created_at"],
            "updated_at": shown["updated_at"],
            "closed_at": shown["closed_at"],
            "author_association": shown["author_association"],
            "active_lock_reason": null,
            "draft": false,
            "pull_request": {
                "url": shown["url"],
                "html_url": page,
                "diff_url": format!("{page}.diff"),
                "patch_url": format!("{page}.patch"),
            },
            "body": null,
            "reactions": show::reactions(&issue),
        },
        "comment": show::comment(world, comment),
    })
}

fn uninstalled(world: &World) -> Value {
    let mut installation = show::installation(world);
    // Webhooks tell these as numbers.
    installation["created_at"] = CREATED.into();
    installation["updated_at"] = world.now().into();
    installation["target_id"] = user_id(OWNER).into();
    json!({
        "action": "deleted",
        "installation": installation,
        "repositories": [{
            "id": REPOSITORY_ID,
            "node_id": format!("R_{REPOSITORY_ID}"),
            "name": world.name,
            "full_name": format!("{OWNER}/{}", world.name),
            "private": false,
        }],
    })
}
