//! Webhooks as Gitea sends them for a repository.

use serde_json::{Value, json};

use super::super::event::{Act, Event};
use super::super::github::hook::kind_of;
use super::super::repo::{NOTHING, Told};
use super::super::world::{OWNER, World};
use super::show;

/// The event's name, its finer name, and the payload; nothing for what Gitea does not tell of.
pub(crate) fn payload(
    world: &World,
    event: &Event,
    sender: &str,
) -> Option<(&'static str, &'static str, Value)> {
    let (name, kind, mut payload) = match event {
        Event::Push {
            name,
            before,
            after,
        } if after != NOTHING => ("push", "push", push(world, name, [before, after], sender)),
        Event::Created { name } => {
            let (ref_type, short) = kind_of(name);
            let sha = world.repo.commit_of(name);
            let text = json!({ "sha": sha, "ref": short, "ref_type": ref_type });
            ("create", "create", text)
        }
        Event::Deleted { name } => {
            let (ref_type, short) = kind_of(name);
            let text = json!({ "ref": short, "ref_type": ref_type, "pusher_type": "user" });
            ("delete", "delete", text)
        }
        Event::Pull { number, act } => {
            let (action, kind) = match act {
                Act::Opened => ("opened", "pull_request"),
                Act::Pushed(_) => ("synchronized", "pull_request_sync"),
                Act::Closed => ("closed", "pull_request"),
                Act::Reopened => ("reopened", "pull_request"),
            };
            let shown = show::pull(world, &world.pulls[number]);
            let text = json!({
                "action": action, "number": number, "pull_request": shown,
                "requested_reviewer": null, "commit_id": "", "review": null,
            });
            ("pull_request", kind, text)
        }
        Event::Comment { id, action } => (
            "issue_comment",
            "pull_request_comment",
            comment(world, *id, action),
        ),
        // No checks, no Apps, and a new name is a matter of its owner alone.
        Event::Ping
        | Event::Push { .. }
        | Event::Suite { .. }
        | Event::Run { .. }
        | Event::Renamed { .. }
        | Event::Uninstalled => return None,
    };
    payload["repository"] = show::repository(world, OWNER);
    payload["sender"] = show::user(&world.site, sender);
    Some((name, kind, payload))
}

fn push(world: &World, name: &str, [before, after]: [&String; 2], sender: &str) -> Value {
    let page = format!("{}/{OWNER}/{}", world.site, world.name);
    // Gitea tells the newest first.
    let mut told = world.repo.told(before, after);
    told.reverse();
    json!({
        "ref": name,
        "before": before,
        "after": after,
        "compare_url": format!("{page}/compare/{before}...{after}"),
        "commits": told.iter().map(|told| commit(&page, told)).collect::<Vec<_>>(),
        "total_commits": told.len(),
        "head_commit": commit(&page, &world.repo.tell(after)),
        "pusher": show::user(&world.site, sender),
    })
}

fn commit(page: &str, told: &Told) -> Value {
    let who = json!({ "name": told.author, "email": told.email, "username": told.author });
    json!({
        "id": told.sha,
        "message": format!("{}\n", told.message),
        "url": format!("{page}/commit/{}", told.sha),
        "author": who,
        "committer": who,
        "verification": null,
        "timestamp": told.time,
        "added": told.added,
        "removed": told.removed,
        "modified": told.modified,
    })
}

fn comment(world: &World, id: u64, action: &str) -> Value {
    let comment = world
        .comments
        .iter()
        .find(|c| c.id == id)
        .expect("it was there");
    let pull = &world.pulls[&comment.pull];
    let shown = show::pull(world, pull);
    json!({
        "action": action,
        "issue": {
            "id": 900 + pull.number,
            "url": show::api(world, &format!("/issues/{}", pull.number)),
            "html_url": shown["html_url"],
            "number": pull.number,
            "user": shown["user"],
            "original_author": "",
            "original_author_id": 0,
            "title": pull.title,
            "body": "",
            "ref": "",
            "assets": [],
            "labels": [],
            "milestone": null,
            "assignee": null,
            "assignees": null,
            "state": shown["state"],
            "is_locked": false,
            "comments": shown["comments"],
            "created_at": shown["created_at"],
            "updated_at": shown["updated_at"],
            "closed_at": shown["closed_at"],
            "due_date": null,
            "pull_request": {
                "merged": shown["merged"],
                "merged_at": shown["merged_at"],
                "draft": false,
                "html_url": shown["html_url"],
            },
            "repository": {
                "id": super::super::world::REPOSITORY_ID,
                "name": world.name,
                "owner": OWNER,
                "full_name": format!("{OWNER}/{}", world.name),
            },
            "pin_order": 0,
        },
        "comment": show::comment(world, comment),
        "pull_request": shown,
        "is_pull": true,
    })
}
