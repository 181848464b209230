//! What Gitea's API shows: its own field names.

use serde_json::{Value, json};

use super::super::Role;
use super::super::api::GITEA;
use super::super::world::{Comment, OWNER, Pull, REPOSITORY_ID, Status, World, time, user_id};

/// The address of something below the repository.
pub(crate) fn api(world: &World, rest: &str) -> String {
    format!("{}{GITEA}/repos/{OWNER}/{}{rest}", world.site, world.name)
}

pub(crate) fn user(site: &str, login: &str) -> Value {
    let id = user_id(login);
    json!({
        "id": id,
        "login": login,
        "login_name": "",
        "source_id": 0,
        "full_name": "",
        "email": format!("{login}@noreply.example.org"),
        "avatar_url": format!("{site}/avatars/{id}"),
        "html_url": format!("{site}/{login}"),
        "language": "",
        "is_admin": false,
        "last_login": "0001-01-01T00:00:00Z",
        "created": "2026-01-01T00:00:00Z",
        "restricted": false,
        "active": false,
        "prohibit_login": false,
        "location": "",
        "website": "",
        "description": "",
        "visibility": "public",
        "followers_count": 0,
        "following_count": 0,
        "starred_repos_count": 0,
        "username": login,
    })
}

/// The repository, or the fork that somebody has.
pub(crate) fn repository(world: &World, owner: &str) -> Value {
    let (site, name) = (&world.site, &world.name);
    let is_fork = owner != OWNER;
    let id = if is_fork {
        user_id(owner) + REPOSITORY_ID
    } else {
        REPOSITORY_ID
    };
    let page = format!("{site}/{owner}/{name}");
    let mut shown = json!({
        "id": id,
        "owner": user(site, owner),
        "name": name,
        "full_name": format!("{owner}/{name}"),
        "description": "",
        "empty": false,
        "private": false,
        "fork": is_fork,
        "template": false,
        "mirror": false,
        "size": 1,
        "language": "",
        "languages_url": format!("{site}{GITEA}/repos/{owner}/{name}/languages"),
        "html_url": page,
        "url": format!("{site}{GITEA}/repos/{owner}/{name}"),
        "link": "",
        "ssh_url": format!("ssh://git@127.0.0.1/{owner}/{name}.git"),
        "clone_url": format!("{page}.git"),
        "original_url": "",
        "website": "",
        "stars_count": 0,
        "forks_count": 0,
        "watchers_count": 0,
        "open_issues_count": 0,
        "open_pr_counter": world.pulls.values().filter(|pull| pull.is_open).count(),
        "release_counter": 0,
        "default_branch": "main",
        "archived": false,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": time(world.now()),
        "permissions": { "admin": true, "push": true, "pull": true },
        "has_issues": true,
        "has_pull_requests": true,
        "allow_merge_commits": true,
        "object_format_name": "sha1",
    });
    if is_fork {
        shown["parent"] = repository(world, OWNER);
    }
    shown
}

fn side(world: &World, owner: &str, branch: &str, sha: &str) -> Value {
    if world.lost_forks.contains(owner) {
        return json!({ "label": branch, "ref": branch, "sha": sha, "repo_id": 0, "repo": null });
    }
    let repo = repository(world, owner);
    json!({ "label": branch, "ref": branch, "sha": sha, "repo_id": repo["id"], "repo": repo })
}

pub(crate) fn pull(world: &World, pull: &Pull) -> Value {
    let (site, number) = (&world.site, pull.number);
    let page = format!("{site}/{OWNER}/{}/pulls/{number}", world.name);
    let merge_base = world.repo.merge_base(&pull.base_sha, &pull.head);
    let mergeable = pull.is_open
        && world
            .repo
            .merged_tree(&world.at(&pull.base), &pull.head)
            .is_ok();
    let (additions, deletions, files) = world.repo.size_of(&pull.base_sha, &pull.head);
    let comments = world.comments.iter().filter(|c| c.pull == number);
    let mut shown = json!({
        "id": 900 + number,
        "url": page,
        "number": number,
        "user": user(site, &pull.author),
        "title": pull.title,
        "body": pull.text,
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": null,
        "requested_reviewers": [],
        "requested_reviewers_teams": [],
        "state": if pull.is_open { "open" } else { "closed" },
        "draft": false,
        "is_locked": false,
        "comments": comments.count(),
        "review_comments": 0,
        "additions": additions,
        "deletions": deletions,
        "changed_files": files,
        "html_url": page,
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "mergeable": mergeable,
        "merged": pull.merged.is_some(),
        "merged_at": pull.merged.as_ref().and(pull.closed).map(time),
        "merge_commit_sha": pull.merged.as_ref().map(|merged| &merged.sha),
        "merged_by": pull.merged.as_ref().map(|merged| user(site, &merged.by)),
        "allow_maintainer_edit": false,
        "base": side(world, OWNER, &pull.base, &pull.base_sha),
        "head": side(world, &pull.head_owner, &pull.branch, &pull.head),
        "merge_base": merge_base,
        "due_date": null,
        "created_at": time(pull.created),
        "updated_at": time(pull.updated),
        "closed_at": pull.closed.map(time),
        "pin_order": 0,
    });
    if !world.is_branch_there(pull) {
        // What is left of it is the name that the repository keeps it under.
        shown["head"]["ref"] = format!("refs/pull/{number}/head").into();
    }
    shown
}

pub(crate) fn status(world: &World, status: &Status) -> Value {
    json!({
        "id": status.id,
        "status": status.state,
        "target_url": status.target_url,
        "description": status.description,
        "url": api(world, &format!("/statuses/{}", status.sha)),
        "context": status.context,
        "creator": user(&world.site, world.bot()),
        "created_at": time(status.created),
        "updated_at": time(status.created),
    })
}

pub(crate) fn comment(world: &World, comment: &Comment) -> Value {
    let (site, number) = (&world.site, comment.pull);
    let page = format!("{site}/{OWNER}/{}/pulls/{number}", world.name);
    json!({
        "id": comment.id,
        "html_url": format!("{page}#issuecomment-{}", comment.id),
        "pull_request_url": page,
        "issue_url": "",
        "user": user(site, &comment.author),
        "original_author": "",
        "original_author_id": 0,
        "body": comment.body,
        "assets": [],
        "created_at": time(comment.created),
        "updated_at": time(comment.updated),
    })
}

pub(crate) fn permission(world: &World, login: &str, role: Role) -> Value {
    let name = match role {
        _ if login == OWNER => "owner",
        Role::None => "none",
        Role::Read | Role::Triage => "read",
        Role::Write | Role::Maintain => "write",
        Role::Admin => "admin",
    };
    json!({ "permission": name, "role_name": name, "user": user(&world.site, login) })
}
