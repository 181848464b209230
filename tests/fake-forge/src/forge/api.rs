//! The one door: faults, limits, git, and the API of the forge that is played.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fault::{self, Fault};
use super::token::{self, Caller};
use super::world::{OWNER, REPOSITORY_ID, World};
use super::{Kind, gitea, github};
use crate::git::{Dialect, backend};
use crate::http::{Request, Response};

/// Before the paths of Gitea's API.
pub(crate) const GITEA: &str = "/api/v1";

/// A request to the API, taken apart.
pub(crate) struct Call {
    pub(crate) method: String,
    /// The parts of its path, each decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: HashMap<String, String>,
    pub(crate) body: Value,
    pub(crate) caller: Caller,
}

impl Call {
    pub(crate) fn asked(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Which page, and how many on one.
    pub(crate) fn page(&self, size: &str, usual: usize, most: usize) -> (usize, usize) {
        let number = |name: &str| self.asked(name).parse::<usize>().ok().filter(|n| *n > 0);
        (
            number("page").unwrap_or(1),
            number(size).unwrap_or(usual).min(most),
        )
    }
}

/// An answer of the API.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn new(code: u16, body: Value) -> Self {
        Self {
            code,
            body,
            headers: Vec::new(),
        }
    }
}

/// What was asked for, or what is wrong.
pub(crate) type Reply = Result<Answer, Answer>;

/// One page of a list, and where the others are: RFC 8288.
pub(crate) fn paged(call: &Call, url: &str, list: Vec<Value>, size: &str) -> Answer {
    let (usual, most) = if size == "limit" { (30, 50) } else { (30, 100) };
    let (page, each) = call.page(size, usual, most);
    let last = list.len().div_ceil(each).max(1);
    let total = list.len();
    let part = list.into_iter().skip((page - 1) * each).take(each);
    let mut answer = Answer::new(200, part.collect());
    let mut query: Vec<String> = call
        .query
        .iter()
        .filter(|(name, _)| *name != "page")
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    query.sort();
    let link = |number: usize, rel: &str| {
        let mut query = query.clone();
        query.push(format!("page={number}"));
        format!("<{url}?{}>; rel=\"{rel}\"", query.join("&"))
    };
    let mut links = Vec::new();
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if page > 1 {
        links.extend([link(1, "first"), link(page - 1, "prev")]);
    }
    if !links.is_empty() {
        answer.headers.push(("Link", links.join(", ")));
    }
    answer.headers.push(("X-Total-Count", total.to_string()));
    answer
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(crate) fn answer(world: &Mutex<World>, request: &Request) -> Response {
    let fault = lock(world).faults.take(request);
    if let Some(Fault::Slow(while_)) = fault {
        std::thread::sleep(while_);
    }
    let now = lock(world).now();
    let refused = fault.and_then(|fault| fault::instead(fault, now));
    let is_git = request.path().contains(".git/");
    let response = match refused {
        Some(response) => {
            let mut world = lock(world);
            world.spent.counts.refused += 1;
            world.spent.counts.requests += usize::from(!is_git);
            response
        }
        None if is_git => git(world, request),
        None => api(&mut lock(world), request),
    };
    let response = match fault {
        Some(fault) => fault::spoil(fault, response),
        None => response,
    };
    let code = response.code();
    let mut world = lock(world);
    world.spent.lines.push(format!("{} {code}", request.line()));
    let date = jiff::Timestamp::from_second(now).unwrap_or_default();
    response.with(
        "Date",
        date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reading is open to all, as in a public repository; pushing wants a token that may write.
fn git(shared: &Mutex<World>, request: &Request) -> Response {
    let mut world = lock(shared);
    let owner = request
        .path()
        .split('/')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let name = request.path().split('/').nth(2).unwrap_or_default();
    if world.old_names.contains(name.trim_end_matches(".git")) {
        let new = request
            .target
            .replacen(name, &format!("{}.git", world.name), 1);
        let place = format!("{}{new}", world.site);
        return Response::new("301 Moved Permanently", b"").with("Location", place);
    }
    let is_push = request.target.contains("git-receive-pack");
    let caller = token::caller(&world, request.header("authorization"));
    let may = match &caller {
        Ok(Caller::Token(can)) => !is_push || can.get("contents").is_some_and(|c| c == "write"),
        Ok(_) => !is_push,
        Err(_) => false,
    };
    if !may {
        return Response::new("401 Unauthorized", b"no login")
            .with("WWW-Authenticate", "Basic realm=\"fake\"");
    }
    let root = world.root.clone();
    if !is_push || request.method != "POST" {
        drop(world);
        return backend(&root, request, request.body.len(), Dialect::New);
    }
    // Whoever asks the API meanwhile waits, so that all that follows from a push is there with it.
    let before = world.repo.refs();
    let response = backend(&root, request, request.body.len(), Dialect::New);
    let bot = world.bot();
    if owner != OWNER {
        fork_moved(&mut world, &owner);
    } else if world.repo.refs() != before {
        world.spent.counts.pushes += 1;
        world.moved(&before, bot);
    }
    response
}

fn fork_moved(world: &mut World, owner: &str) {
    let fork = world.fork(owner);
    for (name, sha) in fork.refs() {
        let Some(branch) = name.strip_prefix("refs/heads/") else {
            continue;
        };
        let is_asked = |p: &&super::world::Pull| p.head_owner == owner && p.branch == branch;
        if world.pulls.values().any(|p| is_asked(&p)) {
            world.bring(&fork.path, &sha);
            world.heads_follow(owner, branch, &sha, owner);
        }
    }
}

fn api(world: &mut World, request: &Request) -> Response {
    world.spent.counts.requests += 1;
    let reply = within_limits(world, request).unwrap_or_else(|refused| {
        world.spent.counts.refused += 1;
        refused
    });
    let remaining = world.limits.requests_an_hour.unwrap_or(5000);
    let used = world.spent.hour(world.now());
    match world.kind {
        Kind::Gitea => reply,
        // A refusal says its own.
        Kind::GitHub
            if reply
                .headers
                .iter()
                .any(|(n, _)| n.starts_with("X-RateLimit")) =>
        {
            reply
        }
        Kind::GitHub => reply
            .with("X-RateLimit-Limit", remaining.to_string())
            .with(
                "X-RateLimit-Remaining",
                remaining.saturating_sub(used).to_string(),
            )
            .with("X-RateLimit-Used", used.to_string())
            .with("X-RateLimit-Resource", "core")
            .with("X-RateLimit-Reset", (world.now() + 3600).to_string()),
    }
}

fn within_limits(world: &mut World, request: &Request) -> Result<Response, Response> {
    let now = world.now();
    let limits = world.limits;
    let refuse = |fault| fault::instead(fault, now).expect("a limit answers");
    let is_read = request.method == "GET" || request.method == "HEAD";
    // A token is no content.
    let is_write = !is_read && !request.path().ends_with("/access_tokens");
    world.spent.request(now, &limits).map_err(refuse)?;
    if is_write {
        world.spent.write(now, &limits).map_err(refuse)?;
    }
    let answer = routed(world, request).unwrap_or_else(|wrong| wrong);
    if is_write && answer.code < 300 {
        world.spent.counts.writes += 1;
    }
    let body = match answer.body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&body)[..8]));
    if is_read && answer.code == 200 && request.header("if-none-match") == tag {
        world.spent.forgive();
        return Ok(Response::new("304 Not Modified", b"").with("ETag", tag));
    }
    let mut response = Response::new(&format!("{} {}", answer.code, word(answer.code)), &body)
        .with("Content-Type", "application/json; charset=utf-8");
    if is_read && answer.code == 200 {
        response = response.with("ETag", tag);
    }
    for (name, value) in answer.headers {
        response = response.with(name, value);
    }
    Ok(response)
}

fn word(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        422 => "Unprocessable Entity",
        _ => "Other",
    }
}

fn routed(world: &mut World, request: &Request) -> Reply {
    let path = match world.kind {
        Kind::GitHub => Some(request.path()),
        Kind::Gitea => request.path().strip_prefix(GITEA),
    };
    let Some(path) = path else {
        return Err(Answer::new(404, json!({ "message": "Not Found" })));
    };
    let body = match request.body.as_slice() {
        b"" => Value::Null,
        bytes => serde_json::from_slice(bytes)
            .map_err(|_| Answer::new(400, json!({ "message": "Problems parsing JSON" })))?,
    };
    let caller = token::caller(world, request.header("authorization")).map_err(|why| {
        Answer::new(
            401,
            json!({ "message": why, "documentation_url": github::DOCS }),
        )
    })?;
    let pairs = request.query().split('&').filter_map(|p| p.split_once('='));
    let call = Call {
        method: request.method.clone(),
        path: path.split('/').skip(1).map(decode).collect(),
        query: pairs
            .map(|(name, value)| (decode(name), decode(&value.replace('+', " "))))
            .collect(),
        body,
        caller,
    };
    match world.kind {
        Kind::GitHub if request.header("user-agent").is_empty() => Err(Answer::new(
            403,
            json!({ "message": "Request forbidden by administrative rules. Please make sure your request has a User-Agent header" }),
        )),
        Kind::GitHub => github::route(world, &call),
        Kind::Gitea => gitea::route(world, &call),
    }
}

/// The rest of a path below the repository, once it is known to be the one that is here.
pub(crate) fn below_repository<'a>(
    world: &World,
    path: &'a [String],
    method: &str,
) -> Result<Vec<&'a str>, Option<Answer>> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["repos", OWNER, name, rest @ ..] if *name == world.name => Ok(rest.to_vec()),
        ["repositories", id, rest @ ..] if *id == REPOSITORY_ID.to_string() => Ok(rest.to_vec()),
        ["repos", OWNER, name, rest @ ..] if world.old_names.contains(*name) => {
            let (code, place) = match (world.kind, method) {
                (Kind::GitHub, "GET") => (301, format!("/repositories/{REPOSITORY_ID}")),
                (Kind::GitHub, _) => (307, format!("/repositories/{REPOSITORY_ID}")),
                (Kind::Gitea, _) => (307, format!("{GITEA}/repos/{OWNER}/{}", world.name)),
            };
            let rest: String = rest
                .iter()
                .map(|part| format!("/{}", encode(part)))
                .collect();
            let url = format!("{}{place}{rest}", world.site);
            let body = json!({
                "message": "Moved Permanently", "url": url, "documentation_url": github::DOCS,
            });
            let mut answer = Answer::new(code, body);
            answer.headers.push(("Location", url));
            Err(Some(answer))
        }
        _ => Err(None),
    }
}
