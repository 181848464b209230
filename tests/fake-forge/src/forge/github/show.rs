//! What GitHub's API shows: its own field names, whole enough for its own description.

use serde_json::{Map, Value, json};

use super::super::Role;
use super::super::token;
use super::super::world::{Comment, OWNER, Pull, REPOSITORY_ID, Run, World, time, user_id};

/// `{base}` with each of these endings, by name.
fn urls(map: &mut Map<String, Value>, base: &str, endings: &[(&str, &str)]) {
    for (name, ending) in endings {
        map.insert((*name).to_owned(), format!("{base}{ending}").into());
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn user(site: &str, login: &str) -> Value {
    let id = user_id(login);
    let mut map = object(json!({
        "login": login,
        "id": id,
        "node_id": format!("U_{id}"),
        "avatar_url": format!("{site}/avatars/{id}"),
        "gravatar_id": "",
        "html_url": match login.strip_suffix("[bot]") {
            Some(app) => format!("{site}/apps/{app}"),
            None => format!("{site}/{login}"),
        },
        "type": if login.ends_with("[bot]") { "Bot" } else { "User" },
        "site_admin": false,
    }));
    // A bot's brackets are no part of an address.
    let login = login.replace('[', "%5B").replace(']', "%5D");
    urls(
        &mut map,
        &format!("{site}/users/{login}"),
        &[
            ("url", ""),
            ("followers_url", "/followers"),
            ("following_url", "/following{/other_user}"),
            ("gists_url", "/gists{/gist_id}"),
            ("starred_url", "/starred{/owner}{/repo}"),
            ("subscriptions_url", "/subscriptions"),
            ("organizations_url", "/orgs"),
            ("repos_url", "/repos"),
            ("events_url", "/events{/privacy}"),
            ("received_events_url", "/received_events"),
        ],
    );
    Value::Object(map)
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
    let open = world.pulls.values().filter(|pull| pull.is_open).count();
    let stamp = time(world.now());
    let mut map = object(json!({
        "id": id,
        "node_id": format!("R_{id}"),
        "name": name,
        "full_name": format!("{owner}/{name}"),
        "private": false,
        "owner": user(site, owner),
        "html_url": page,
        "description": null,
        "fork": is_fork,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": stamp,
        "pushed_at": stamp,
        "git_url": format!("git://127.0.0.1/{owner}/{name}.git"),
        "ssh_url": format!("git@127.0.0.1:{owner}/{name}.git"),
        "clone_url": format!("{page}.git"),
        "svn_url": page,
        "homepage": null,
        "size": 1,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": null,
        "has_issues": true,
        "has_projects": false,
        "has_downloads": true,
        "has_wiki": false,
        "has_pages": false,
        "has_discussions": false,
        "forks_count": 0,
        "mirror_url": null,
        "archived": false,
        "disabled": false,
        "open_issues_count": open,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "custom_properties": {},
        "visibility": "public",
        "forks": 0,
        "open_issues": open,
        "watchers": 0,
        "default_branch": "main",
    }));
    urls(
        &mut map,
        &format!("{site}/repos/{owner}/{name}"),
        REPOSITORY_URLS,
    );
    Value::Object(map)
}

const REPOSITORY_URLS: &[(&str, &str)] = &[
    ("url", ""),
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    (
        "notifications_url",
        "/notifications{?since,all,participating}",
    ),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
];

/// As `GET /repos/{owner}/{repo}` has it.
pub(crate) fn full_repository(world: &World) -> Value {
    let mut repository = repository(world, OWNER);
    repository["network_count"] = 0.into();
    repository["subscribers_count"] = 0.into();
    repository
}

fn side(world: &World, owner: &str, branch: &str, sha: &str) -> Value {
    let is_lost = world.lost_forks.contains(owner);
    json!({
        "label": format!("{owner}:{branch}"),
        "ref": branch,
        "sha": sha,
        "user": user(&world.site, owner),
        "repo": (!is_lost).then(|| repository(world, owner)),
    })
}

/// As lists have it.
pub(crate) fn pull(world: &World, pull: &Pull) -> Value {
    let (site, number) = (&world.site, pull.number);
    let api = format!("{site}/repos/{OWNER}/{}", world.name);
    let page = format!("{site}/{OWNER}/{}/pull/{number}", world.name);
    let (own, issue) = (
        format!("{api}/pulls/{number}"),
        format!("{api}/issues/{number}"),
    );
    let mut map = object(json!({
        "id": 900_000 + number,
        "node_id": format!("PR_{number}"),
        "html_url": page,
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "issue_url": issue,
        "number": number,
        "state": if pull.is_open { "open" } else { "closed" },
        "locked": false,
        "title": pull.title,
        "user": user(site, &pull.author),
        "body": (!pull.text.is_empty()).then_some(&pull.text),
        "created_at": time(pull.created),
        "updated_at": time(pull.updated),
        "closed_at": pull.closed.map(time),
        "merged_at": pull.merged.as_ref().and(pull.closed).map(time),
        "merge_commit_sha": pull.merged.as_ref().map(|merged| &merged.sha),
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [],
        "milestone": null,
        "comments_url": format!("{issue}/comments"),
        "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
        "statuses_url": format!("{api}/statuses/{}", pull.head),
        "head": side(world, &pull.head_owner, &pull.branch, &pull.head),
        "base": side(world, OWNER, &pull.base, &pull.base_sha),
        "author_association": if pull.is_from_fork() { "NONE" } else { "COLLABORATOR" },
        "auto_merge": null,
        "active_lock_reason": null,
        "draft": false,
    }));
    let own_urls = [
        ("url", ""),
        ("commits_url", "/commits"),
        ("review_comments_url", "/comments"),
    ];
    urls(&mut map, &own, &own_urls);
    let links = [
        ("self", "url"),
        ("html", "html_url"),
        ("issue", "issue_url"),
        ("comments", "comments_url"),
        ("review_comments", "review_comments_url"),
        ("review_comment", "review_comment_url"),
        ("commits", "commits_url"),
        ("statuses", "statuses_url"),
    ];
    let links: Map<String, Value> = links
        .iter()
        .map(|(name, field)| ((*name).to_owned(), json!({ "href": map[*field] })))
        .collect();
    map.insert("_links".to_owned(), Value::Object(links));
    Value::Object(map)
}

/// As it is by itself, and in webhooks.
pub(crate) fn whole_pull(world: &World, pull: &Pull) -> Value {
    let (base, head) = (&pull.base_sha, &pull.head);
    let (additions, deletions, files) = world.repo.size_of(base, head);
    let comments = world.comments.iter().filter(|c| c.pull == pull.number);
    let mergeable = pull
        .is_open
        .then(|| world.repo.merged_tree(&world.at(&pull.base), head).is_ok());
    let state = match mergeable {
        Some(true) => "clean",
        Some(false) => "dirty",
        None => "unknown",
    };
    let mut whole = self::pull(world, pull);
    let by = pull
        .merged
        .as_ref()
        .map(|merged| user(&world.site, &merged.by));
    for (name, value) in object(json!({
        "merged": pull.merged.is_some(),
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": state,
        "merged_by": by,
        "comments": comments.count(),
        "review_comments": 0,
        "maintainer_can_modify": pull.is_from_fork(),
        "commits": world.repo.count(&format!("{base}..{head}")),
        "additions": additions,
        "deletions": deletions,
        "changed_files": files,
    })) {
        whole[name] = value;
    }
    whole
}

pub(crate) fn permission(world: &World, login: &str, role: Role) -> Value {
    // GitHub folds the finer roles into the old four.
    let (permission, name) = match role {
        Role::None => ("none", ""),
        Role::Read => ("read", "read"),
        Role::Triage => ("read", "triage"),
        Role::Write => ("write", "write"),
        Role::Maintain => ("write", "maintain"),
        Role::Admin => ("admin", "admin"),
    };
    let mut user = user(&world.site, login);
    user["role_name"] = name.into();
    user["permissions"] = json!({
        "admin": role >= Role::Admin,
        "maintain": role >= Role::Maintain,
        "push": role >= Role::Write,
        "triage": role >= Role::Triage,
        "pull": true,
    });
    json!({ "permission": permission, "role_name": name, "user": user })
}

pub(crate) fn app(world: &World) -> Value {
    json!({
        "id": token::APP,
        "client_id": token::CLIENT,
        "slug": "millrace",
        "node_id": "A_4242",
        "owner": user(&world.site, OWNER),
        "name": "Millrace",
        "description": "",
        "external_url": "https://example.org",
        "html_url": format!("{}/apps/millrace", world.site),
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "permissions": token::all_permissions(),
        "events": EVENTS,
    })
}

/// What the App wants to hear of.
const EVENTS: [&str; 8] = [
    "check_run",
    "check_suite",
    "create",
    "delete",
    "issue_comment",
    "pull_request",
    "push",
    "repository",
];

pub(crate) fn installation(world: &World) -> Value {
    let site = &world.site;
    let id = token::INSTALLATION;
    json!({
        "id": id,
        "client_id": token::CLIENT,
        "account": user(site, OWNER),
        "repository_selection": "selected",
        "access_tokens_url": format!("{site}/app/installations/{id}/access_tokens"),
        "repositories_url": format!("{site}/installation/repositories"),
        "html_url": format!("{site}/settings/installations/{id}"),
        "app_id": token::APP,
        "app_slug": "millrace",
        "target_id": user_id(OWNER),
        "target_type": "User",
        "permissions": token::all_permissions(),
        "events": EVENTS,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "single_file_name": null,
        "suspended_by": null,
        "suspended_at": null,
    })
}

/// Pull requests beside a check.
pub(crate) fn pulls_of(world: &World, sha: &str) -> Vec<Value> {
    let api = format!("{}/repos/{OWNER}/{}", world.site, world.name);
    let repo = json!({ "id": REPOSITORY_ID, "url": api, "name": world.name });
    let pulls = world.pulls_at(sha).map(|pull| {
        json!({
            "url": format!("{api}/pulls/{}", pull.number),
            "id": 900_000 + pull.number,
            "number": pull.number,
            "head": { "ref": pull.branch, "sha": pull.head, "repo": repo },
            "base": { "ref": pull.base, "sha": pull.base_sha, "repo": repo },
        })
    });
    pulls.collect()
}

pub(crate) fn run(world: &World, run: &Run) -> Value {
    let api = format!(
        "{}/repos/{OWNER}/{}/check-runs/{}",
        world.site, world.name, run.id
    );
    let page = format!("{}/{OWNER}/{}/runs/{}", world.site, world.name, run.id);
    let details = Some(&run.details_url).filter(|url| !url.is_empty());
    json!({
        "id": run.id,
        "name": run.name,
        "node_id": format!("CR_{}", run.id),
        "head_sha": run.sha,
        "external_id": run.external_id,
        "url": api,
        "html_url": page,
        "details_url": details.unwrap_or(&page),
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started,
        "completed_at": run.completed,
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": run.annotations.len(),
            "annotations_url": format!("{api}/annotations"),
        },
        "check_suite": { "id": World::suite_id(&run.sha) },
        "app": app(world),
        "pull_requests": pulls_of(world, &run.sha),
    })
}

pub(crate) fn annotation(world: &World, run: &Run, given: &Value) -> Value {
    let path = given["path"].as_str().unwrap_or_default();
    let page = format!("{}/{OWNER}/{}", world.site, world.name);
    let mut shown = json!({ "blob_href": format!("{page}/blob/{}/{path}", run.sha) });
    for name in [
        "path",
        "start_line",
        "end_line",
        "start_column",
        "end_column",
        "annotation_level",
        "title",
        "message",
        "raw_details",
    ] {
        shown[name] = given[name].clone();
    }
    shown
}

pub(crate) fn reactions(url: &str) -> Value {
    json!({
        "url": format!("{url}/reactions"), "total_count": 0, "+1": 0, "-1": 0, "laugh": 0,
        "hooray": 0, "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
    })
}

/// An address of the API below the repository.
pub(crate) fn api(world: &World, below: &str) -> String {
    format!("{}/repos/{OWNER}/{}{below}", world.site, world.name)
}

/// A comment on a pull request, by itself and in webhooks.
pub(crate) fn comment(world: &World, comment: &Comment) -> Value {
    let (id, number) = (comment.id, comment.pull);
    let own = api(world, &format!("/issues/comments/{id}"));
    let page = format!("{}/{OWNER}/{}/pull/{number}", world.site, world.name);
    json!({
        "url": own,
        "html_url": format!("{page}#issuecomment-{id}"),
        "issue_url": api(world, &format!("/issues/{number}")),
        "id": id,
        "node_id": format!("IC_{id}"),
        "user": user(&world.site, &comment.author),
        "created_at": time(comment.created),
        "updated_at": time(comment.updated),
        "author_association": "NONE",
        "performed_via_github_app": null,
        "body": comment.body,
        "reactions": reactions(&own),
    })
}
