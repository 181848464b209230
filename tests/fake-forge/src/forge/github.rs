//! The REST API of GitHub: as much of it as a client of checks and pull requests needs.

pub(crate) mod checks;
pub(crate) mod hook;
pub(crate) mod show;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{Answer, Call, Reply, below_repository, paged};
use super::token::{self, Caller};
use super::world::{OWNER, Pull, World, time};

pub(crate) const DOCS: &str = "https://docs.github.com/rest";

pub(crate) fn route(world: &mut World, call: &Call) -> Reply {
    let parts: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), parts.as_slice()) {
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            let id = (*id).to_owned();
            return access_token(world, call, &id);
        }
        ("GET", ["rate_limit"]) => return Ok(Answer::new(200, rate_limit(world))),
        _ => {}
    }
    let rest = below_repository(world, &call.path, &call.method)
        .map_err(|moved| moved.unwrap_or_else(not_found))?;
    if let ("GET", ["installation"]) = (call.method.as_str(), rest.as_slice()) {
        app(call)?;
        installed(world)?;
        return Ok(Answer::new(200, show::installation(world)));
    }
    in_repository(world, call, &rest)
}

fn in_repository(world: &mut World, call: &Call, rest: &[&str]) -> Reply {
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            may(call, "metadata", "read")?;
            Ok(Answer::new(200, show::full_repository(world)))
        }
        ("GET", ["pulls"]) => pulls(world, call),
        ("GET", ["pulls", number]) => {
            may(call, "pull_requests", "read")?;
            let pull = number.parse().ok().and_then(|n: u64| world.pulls.get(&n));
            let pull = pull.ok_or_else(not_found)?;
            Ok(Answer::new(200, show::whole_pull(world, pull)))
        }
        ("GET", ["collaborators", login, "permission"]) => {
            may(call, "metadata", "read")?;
            let role = world.roles.get(*login).copied();
            let role = role.ok_or_else(|| refusal(404, &format!("{login} is not a user")))?;
            Ok(Answer::new(200, show::permission(world, login, role)))
        }
        ("POST", ["check-runs"]) => {
            may(call, "checks", "write")?;
            checks::create(world, &call.body)
        }
        ("PATCH", ["check-runs", id]) => {
            may(call, "checks", "write")?;
            checks::update(world, id, &call.body)
        }
        ("GET", ["check-runs", id]) => {
            may(call, "checks", "read")?;
            let run = world.runs.iter().find(|run| run.id.to_string() == *id);
            let run = run.ok_or_else(not_found)?;
            Ok(Answer::new(200, show::run(world, run)))
        }
        ("GET", ["check-runs", id, "annotations"]) => {
            may(call, "checks", "read")?;
            checks::annotations(world, call, id)
        }
        ("GET", ["issues", number, "comments"]) => {
            may(call, "pull_requests", "read")?;
            comments(world, call, number)
        }
        ("POST", ["issues", number, "comments"]) => {
            may(call, "pull_requests", "write")?;
            new_comment(world, number, &call.body)
        }
        ("GET", ["commits", name, "pulls"]) => {
            may(call, "pull_requests", "read")?;
            pulls_of(world, call, name)
        }
        ("GET", ["commits", name, "check-runs"]) => {
            may(call, "checks", "read")?;
            checks::list(world, call, name)
        }
        _ => Err(not_found()),
    }
}

fn issue(world: &World, number: &str) -> Result<u64, Answer> {
    let number = number.parse().ok();
    let number = number.filter(|number| world.pulls.contains_key(number));
    number.ok_or_else(not_found)
}

/// Oldest first; of a time `since` those that were changed then or later.
fn comments(world: &World, call: &Call, number: &str) -> Reply {
    let number = issue(world, number)?;
    let since = match call.asked("since") {
        "" => i64::MIN,
        since => {
            let since = since.parse::<jiff::Timestamp>();
            since
                .map_err(|_| invalid("since", "since is no time"))?
                .as_second()
        }
    };
    let meant = |c: &&super::world::Comment| c.pull == number && c.updated >= since;
    let list = world.comments.iter().filter(meant);
    let list = list.map(|comment| show::comment(world, comment)).collect();
    let url = show::api(world, &format!("/issues/{number}/comments"));
    Ok(paged(call, &url, list, "per_page"))
}

fn new_comment(world: &mut World, number: &str, body: &Value) -> Reply {
    let number = issue(world, number)?;
    let text = body["body"].as_str().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| invalid("body", "body is missing"))?;
    let bot = world.bot();
    let id = world.say(number, bot, text);
    let comment = world.comments.iter().find(|comment| comment.id == id);
    let comment = comment.ok_or_else(not_found)?;
    Ok(Answer::new(201, show::comment(world, comment)))
}

pub(crate) fn refusal(code: u16, message: &str) -> Answer {
    let body = json!({ "message": message, "documentation_url": DOCS, "status": code.to_string() });
    Answer::new(code, body)
}

/// 422 as GitHub says it.
pub(crate) fn invalid(field: &str, message: &str) -> Answer {
    let body = json!({
        "message": format!("Invalid request.\n\n{message}"),
        "errors": [{ "resource": "CheckRun", "field": field, "code": "invalid", "message": message }],
        "documentation_url": DOCS,
        "status": "422",
    });
    Answer::new(422, body)
}

/// What is not there, and what the asker may not see: nobody is to learn which.
pub(crate) fn not_found() -> Answer {
    refusal(404, "Not Found")
}

fn app(call: &Call) -> Result<(), Answer> {
    match call.caller {
        Caller::App => Ok(()),
        _ => Err(refusal(401, "A JSON web token could not be decoded")),
    }
}

fn installed(world: &World) -> Result<(), Answer> {
    world.is_installed.then_some(()).ok_or_else(not_found)
}

fn may(call: &Call, what: &str, level: &str) -> Result<(), Answer> {
    let Caller::Token(permissions) = &call.caller else {
        return Err(not_found());
    };
    let has = permissions.get(what).map_or("", String::as_str);
    if has == level || has == "write" {
        return Ok(());
    }
    Err(refusal(403, "Resource not accessible by integration"))
}

fn access_token(world: &mut World, call: &Call, id: &str) -> Reply {
    app(call)?;
    installed(world)?;
    if id != token::INSTALLATION.to_string() {
        return Err(not_found());
    }
    let names = call.body["repositories"].as_array();
    if names.is_some_and(|names| names.iter().any(|name| *name != world.name.as_str())) {
        return Err(refusal(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        ));
    }
    let permissions = match &call.body["permissions"] {
        Value::Object(asked) => asked
            .iter()
            .map(|(name, level)| (name.clone(), level.as_str().unwrap_or_default().to_owned()))
            .collect(),
        _ => token::all_permissions(),
    };
    granted(&permissions)?;
    let ends = world.now() + token::TOKEN_LASTS;
    let token = token::give(world, Some(permissions.clone()));
    let body = json!({
        "token": token,
        "expires_at": time(ends),
        "permissions": permissions,
        "repository_selection": "selected",
    });
    Ok(Answer::new(201, body))
}

fn granted(asked: &BTreeMap<String, String>) -> Result<(), Answer> {
    let all = token::all_permissions();
    for (name, level) in asked {
        let has = all.get(name).map_or("", String::as_str);
        if has != level && has != "write" {
            return Err(refusal(
                422,
                "The permissions requested are not granted to this installation.",
            ));
        }
    }
    Ok(())
}

fn pulls(world: &World, call: &Call) -> Reply {
    may(call, "pull_requests", "read")?;
    let state = match call.asked("state") {
        "" => "open",
        state @ ("open" | "closed" | "all") => state,
        _ => return Err(refusal(422, "Validation Failed")),
    };
    let meant = |pull: &&Pull| {
        let is_meant = state == "all" || pull.is_open == (state == "open");
        let label = format!("{}:{}", pull.head_owner, pull.branch);
        is_meant
            && (call.asked("base").is_empty() || call.asked("base") == pull.base)
            && (call.asked("head").is_empty() || call.asked("head") == label)
    };
    let mut list: Vec<&Pull> = world.pulls.values().filter(meant).collect();
    if call.asked("sort") == "updated" {
        list.sort_by_key(|pull| pull.updated);
    }
    if call.asked("direction") != "asc" {
        list.reverse();
    }
    let list = list.into_iter().map(|pull| show::pull(world, pull));
    let url = format!("{}/repos/{OWNER}/{}/pulls", world.site, world.name);
    Ok(paged(call, &url, list.collect(), "per_page"))
}

/// The merged pull requests that brought a commit to `main`, or the open ones that have it.
fn pulls_of(world: &World, call: &Call, name: &str) -> Reply {
    let sha = world.repo.commit_of(name);
    let sha = sha.ok_or_else(|| refusal(422, &format!("No commit found for SHA: {name}")))?;
    let is_in_main = world.repo.is_ancestor(&sha, &world.at("main"));
    let meant = |pull: &&Pull| match &pull.merged {
        Some(merged) => is_in_main && [&merged.sha, &pull.head].contains(&&sha),
        None => !is_in_main && pull.is_open && pull.head == sha,
    };
    let list = world.pulls.values().filter(meant);
    let list = list.map(|pull| show::pull(world, pull));
    let url = format!(
        "{}/repos/{OWNER}/{}/commits/{name}/pulls",
        world.site, world.name
    );
    Ok(paged(call, &url, list.collect(), "per_page"))
}

fn rate_limit(world: &World) -> Value {
    let limit = world.limits.requests_an_hour.unwrap_or(5000);
    let used = world.spent.hour(world.now());
    let core = json!({
        "limit": limit,
        "used": used,
        "remaining": limit.saturating_sub(used),
        "reset": world.now() + 3600,
    });
    json!({ "resources": { "core": core, "search": core }, "rate": core })
}
