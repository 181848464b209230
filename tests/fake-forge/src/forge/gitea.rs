//! The API of Gitea: as much of it as a client of statuses, comments and pull requests needs.

pub(crate) mod hook;
pub(crate) mod show;

use serde_json::{Value, json};

use super::Role;
use super::api::{Answer, Call, Reply, below_repository, paged};
use super::event::Event;
use super::token::Caller;
use super::world::{OWNER, Pull, Status, World};

const STATES: [&str; 5] = ["pending", "success", "error", "failure", "warning"];

pub(crate) fn route(world: &mut World, call: &Call) -> Reply {
    if !matches!(call.caller, Caller::Token(_)) {
        return Err(refusal(401, "token is required"));
    }
    let parts: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), parts.as_slice()) {
        ("GET", ["user"]) => return Ok(Answer::new(200, show::user(&world.site, world.bot()))),
        ("GET", ["version"]) => return Ok(Answer::new(200, json!({ "version": "1.27.0" }))),
        _ => {}
    }
    let rest = below_repository(world, &call.path, &call.method)
        .map_err(|moved| moved.unwrap_or_else(not_found))?;
    match (call.method.as_str(), rest.as_slice()) {
        ("GET", []) => Ok(Answer::new(200, show::repository(world, OWNER))),
        ("GET", ["pulls"]) => pulls(world, call),
        ("GET", ["pulls", number]) => {
            let pull = pull_of(world, number)?;
            Ok(Answer::new(200, show::pull(world, &world.pulls[&pull])))
        }
        ("GET", ["commits", sha, "pull"]) => {
            let is_of = |pull: &&Pull| {
                let merged = pull.merged.as_ref();
                merged.is_some_and(|merged| [merged.sha.as_str(), &pull.head].contains(sha))
            };
            let pull = world.pulls.values().find(is_of).ok_or_else(not_found)?;
            Ok(Answer::new(200, show::pull(world, pull)))
        }
        ("POST", ["statuses", sha]) => new_status(world, sha, &call.body),
        ("GET", ["commits", name, "statuses"] | ["statuses", name]) => statuses(world, call, name),
        ("GET", ["issues", number, "comments"]) => comments(world, call, number),
        ("GET", ["issues", "comments", id]) => {
            let comment = world.comments.iter().find(|c| c.id.to_string() == *id);
            let comment = comment.ok_or_else(not_found)?;
            Ok(Answer::new(200, show::comment(world, comment)))
        }
        ("POST", ["issues", number, "comments"]) => new_comment(world, number, &call.body),
        ("PATCH", ["issues", "comments", id]) => edit_comment(world, id, &call.body),
        ("GET", ["collaborators", login, "permission"]) => permission(world, login),
        _ => Err(not_found()),
    }
}

fn refusal(code: u16, message: &str) -> Answer {
    Answer::new(
        code,
        json!({ "message": message, "url": format!("{DOCS}/api/swagger") }),
    )
}

const DOCS: &str = "https://gitea.example.org";

fn not_found() -> Answer {
    let mut answer = refusal(404, "The target couldn't be found.");
    answer.body["errors"] = json!([]);
    answer
}

fn pull_of(world: &World, number: &str) -> Result<u64, Answer> {
    let number = number.parse().ok();
    let number = number.filter(|number| world.pulls.contains_key(number));
    number.ok_or_else(not_found)
}

fn bot_may(world: &World, role: Role, message: &str) -> Result<(), Answer> {
    let has = world.roles.get(world.bot()).copied();
    if has >= Some(role) {
        return Ok(());
    }
    Err(refusal(403, message))
}

fn pulls(world: &World, call: &Call) -> Reply {
    let state = match call.asked("state") {
        "" => "open",
        state => state,
    };
    let meant = |pull: &&Pull| {
        (state == "all" || pull.is_open == (state == "open"))
            && (call.asked("base_branch").is_empty() || call.asked("base_branch") == pull.base)
    };
    let mut list: Vec<&Pull> = world.pulls.values().filter(meant).collect();
    if call.asked("sort") != "oldest" {
        list.reverse();
    }
    let list = list.into_iter().map(|pull| show::pull(world, pull));
    let url = show::api(world, "/pulls");
    Ok(paged(call, &url, list.collect(), "limit"))
}

fn new_status(world: &mut World, sha: &str, body: &Value) -> Reply {
    bot_may(
        world,
        Role::Write,
        "user should have a permission to write to the repo",
    )?;
    if world.repo.commit_of(sha).as_deref() != Some(sha) {
        return Err(refusal(404, "object does not exist"));
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let state = text("state");
    if !STATES.contains(&state.as_str()) {
        return Err(refusal(422, &format!("unknown state {state:?}")));
    }
    let context = match text("context") {
        context if context.is_empty() => "default".to_owned(),
        context => context,
    };
    let status = Status {
        id: world.id(),
        sha: sha.to_owned(),
        context,
        state,
        description: text("description"),
        target_url: text("target_url"),
        created: world.now(),
    };
    let shown = show::status(world, &status);
    world.statuses.push(status);
    Ok(Answer::new(201, shown))
}

fn statuses(world: &World, call: &Call, name: &str) -> Reply {
    let sha = world.repo.tip(name).or_else(|| world.repo.commit_of(name));
    let sha = sha.ok_or_else(not_found)?;
    let mut list: Vec<&Status> = world.statuses.iter().filter(|s| s.sha == sha).collect();
    if !matches!(call.asked("sort"), "oldest" | "leastindex") {
        list.reverse();
    }
    let list = list
        .into_iter()
        .filter(|s| call.asked("state").is_empty() || call.asked("state") == s.state)
        .map(|status| show::status(world, status));
    let url = show::api(world, &format!("/commits/{name}/statuses"));
    Ok(paged(call, &url, list.collect(), "limit"))
}

/// Oldest first; of a time `since` those that were changed then or later. Gitea has no pages here.
fn comments(world: &World, call: &Call, number: &str) -> Reply {
    let pull = pull_of(world, number)?;
    let since = match call.asked("since") {
        "" => i64::MIN,
        since => {
            let since = since.parse::<jiff::Timestamp>();
            since
                .map_err(|_| refusal(422, "since is no time"))?
                .as_second()
        }
    };
    let comments = world.comments.iter();
    let meant = comments.filter(|c| c.pull == pull && c.updated >= since);
    let list: Vec<Value> = meant.map(|c| show::comment(world, c)).collect();
    Ok(Answer::new(200, list.into()))
}

/// Gitea wants text in a comment.
fn text_of(body: &Value) -> Result<&str, Answer> {
    let text = body["body"].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| refusal(422, "[Body]: Required"))
}

fn new_comment(world: &mut World, number: &str, body: &Value) -> Reply {
    let pull = pull_of(world, number)?;
    let bot = world.bot();
    let id = world.say(pull, bot, text_of(body)?);
    let comment = world.comments.iter().find(|c| c.id == id);
    let comment = comment.ok_or_else(not_found)?;
    Ok(Answer::new(201, show::comment(world, comment)))
}

fn edit_comment(world: &mut World, id: &str, body: &Value) -> Reply {
    let text = text_of(body)?;
    let at = world.comments.iter().position(|c| c.id.to_string() == id);
    let at = at.ok_or_else(not_found)?;
    if world.comments[at].author != world.bot() {
        bot_may(world, Role::Admin, "Forbidden")?;
    }
    let (now, bot) = (world.now(), world.bot());
    let comment = &mut world.comments[at];
    text.clone_into(&mut comment.body);
    comment.updated = now;
    let id = comment.id;
    let action = "edited";
    world.emit(&Event::Comment { id, action }, bot);
    Ok(Answer::new(200, show::comment(world, &world.comments[at])))
}

fn permission(world: &World, login: &str) -> Reply {
    if login != world.bot() {
        bot_may(
            world,
            Role::Admin,
            "Only admins can query all permissions, repo admins can query all repo permissions, users can query their own",
        )?;
    }
    let role = world.roles.get(login).copied().ok_or_else(not_found)?;
    Ok(Answer::new(200, show::permission(world, login, role)))
}
