//! From headers and a body to a [`Hook`].

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::text::{HIDDEN, PREFIX};

use super::command::commands;
use super::payload::{MAX_LIST, Payload};
use super::{
    BranchChange, Checked, Event, FullName, Hook, Kind, Presence, PullAction, Refusal, Secrets,
    Writing,
};

/// GitHub's largest delivery, in bytes. A larger body is of nobody, and is not looked through.
pub const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// Bytes of the name of an event, and of the id of a delivery. Those of forges have 40.
const MAX_HEADER_BYTES: usize = 100;

/// All headers that are looked at.
const HEADERS: [&str; 8] = [
    "content-type",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-gitea-event-type",
    "x-gitea-signature",
    "x-github-delivery",
    "x-github-event",
    "x-hub-signature-256",
];

/// A header by its name in small letters.
pub type Headers<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

/// Reads a delivery as it came by HTTP, if one of `secrets` has signed it.
pub fn receive_http(secrets: &Secrets, headers: &HeaderMap, body: &[u8]) -> Result<Hook, Refusal> {
    let is_doubtful = |name: &&&str| {
        let mut all = headers.get_all(**name).iter();
        let is_text = all.next().is_none_or(|value| value.to_str().is_ok());
        !is_text || all.next().is_some()
    };
    if let Some(name) = HEADERS.iter().find(is_doubtful) {
        return Err(Refusal::Doubtful { name });
    }
    let header = |name: &str| headers.get(name)?.to_str().ok();
    receive(secrets, &header, body)
}

/// Reads a delivery that one of `secrets` has signed.
pub fn receive(secrets: &Secrets, headers: &Headers<'_>, body: &[u8]) -> Result<Hook, Refusal> {
    is_json(headers, body)?;
    secrets.verify(headers, body)?;
    read(headers, body)
}

/// Reads a delivery, whoever sent it. [`receive`] is the door; this is for judges that have no signatures.
pub fn read(headers: &Headers<'_>, body: &[u8]) -> Result<Hook, Refusal> {
    is_json(headers, body)?;
    let (kind, event, delivery) = sender(headers)?;
    let body = str::from_utf8(body).map_err(|error| Refusal::NotText {
        at: error.valid_up_to(),
    })?;
    let payload = Payload::parse(event, body)?;
    Ok(Hook {
        kind,
        delivery: delivery.to_owned(),
        repository: payload.repository().ok(),
        sender: payload.login("/sender/login").ok(),
        event: self::event(&payload)?,
    })
}

/// Looked at before the signature: Gitea signs another text than it sends as a form, and what is to be mended then is
/// not the secret.
fn is_json(headers: &Headers<'_>, body: &[u8]) -> Result<(), Refusal> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Refusal::TooLarge);
    }
    let found = headers("content-type").unwrap_or("none");
    let media = found.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = found.chars().take(MAX_HEADER_BYTES).collect();
    Err(Refusal::ContentType { found })
}

/// Which forge, what it calls the event, and the delivery's id. Gitea sends GitHub's headers too.
fn sender<'a>(headers: &Headers<'a>) -> Result<(Kind, &'a str, &'a str), Refusal> {
    let header = |name: &str| {
        let is_one = |text: &&str| {
            (1..=MAX_HEADER_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        headers(name).filter(is_one)
    };
    let wrong = |name: &'static str| Refusal::Header { name };
    if headers("x-gitea-event").is_some() {
        // Gitea leaves the first one empty for events that are younger than it.
        let event = header("x-gitea-event").or_else(|| header("x-gitea-event-type"));
        let event = event.ok_or_else(|| wrong("X-Gitea-Event"))?;
        let delivery = header("x-gitea-delivery").ok_or_else(|| wrong("X-Gitea-Delivery"))?;
        return Ok((Kind::Gitea, event, delivery));
    }
    let event = header("x-github-event");
    let event = event.ok_or_else(|| wrong("X-GitHub-Event (or X-Gitea-Event)"))?;
    let delivery = header("x-github-delivery").ok_or_else(|| wrong("X-GitHub-Delivery"))?;
    Ok((Kind::GitHub, event, delivery))
}

/// What happened. An action that moves nothing of what Millrace looks at is another event.
fn event(payload: &Payload<'_>) -> Result<Event, Refusal> {
    let action = payload.text("/action").unwrap_or_default();
    let known = match (payload.event, action) {
        ("push", _) => push(payload)?,
        ("pull_request", action) => pull_request(payload, action)?,
        (at @ ("check_run" | "check_suite"), "rerequested") => {
            Some(Event::Rerequested(checked(payload, at)?))
        }
        ("check_run", "requested_action") => Some(self::action(payload)?),
        ("issue_comment", "created") => comment(payload)?,
        ("create", _) => branch(payload, BranchChange::Created)?,
        ("delete", _) => branch(payload, BranchChange::Deleted)?,
        ("ping", _) => Some(Event::Ping),
        ("installation" | "installation_repositories", action) => installation(payload, action)?,
        ("repository", "renamed" | "transferred") => Some(renamed(payload)?),
        _ => None,
    };
    Ok(known.unwrap_or_else(|| Event::Other {
        name: payload.name(),
    }))
}

/// None of a tag.
fn push(payload: &Payload<'_>) -> Result<Option<Event>, Refusal> {
    let Some(branch) = payload.text("/ref")?.strip_prefix("refs/heads/") else {
        return Ok(None);
    };
    Ok(Some(Event::Push {
        branch: branch.to_owned(),
        after: payload.commit_or_none("/after")?,
    }))
}

fn pull_request(payload: &Payload<'_>, action: &str) -> Result<Option<Event>, Refusal> {
    let action = match action {
        "opened" | "reopened" => PullAction::Opened,
        // GitHub, and Gitea.
        "synchronize" | "synchronized" => PullAction::Pushed,
        "edited" => PullAction::Edited,
        "closed" => PullAction::Closed,
        _ => return Ok(None),
    };
    Ok(Some(Event::PullRequest {
        number: payload.number("/number")?,
        action,
        head: payload.commit("/pull_request/head/sha")?,
    }))
}

/// `at`: a check run, or a suite, which is all of an App's checks of a commit.
fn checked(payload: &Payload<'_>, at: &str) -> Result<Checked, Refusal> {
    let pulls = payload.list(&format!("/{at}/pull_requests"));
    let name = payload.text(&format!("/{at}/name")).ok();
    let digest = payload.text(&format!("/{at}/external_id")).ok();
    let run = payload.number(&format!("/{at}/id"));
    let writing = run.ok().filter(|_| at == "check_run").map(|run| Writing {
        run,
        completed: payload.time(&format!("/{at}/completed_at")).ok(),
    });
    Ok(Checked {
        commit: payload.commit(&format!("/{at}/head_sha"))?,
        check: name.and_then(|name| Some(name.strip_prefix(PREFIX)?.to_owned())),
        digest: digest.map(str::to_owned),
        writing,
        pulls: pulls
            .iter()
            .filter_map(|pull| pull["number"].as_u64())
            .collect(),
    })
}

/// Somebody pressed one of the buttons that Millrace gave to a check.
fn action(payload: &Payload<'_>) -> Result<Event, Refusal> {
    Ok(Event::Action {
        name: payload.text("/requested_action/identifier")?.to_owned(),
        on: checked(payload, "check_run")?,
        login: payload.login("/sender/login")?,
    })
}

/// None below an issue, of an app, without a command, or with the line that our own comments begin with.
fn comment(payload: &Payload<'_>) -> Result<Option<Event>, Refusal> {
    // GitHub's sign, and Gitea's.
    let is_pull = payload.at("/issue/pull_request").is_some()
        || payload.at("/is_pull").and_then(Value::as_bool) == Some(true);
    let is_app = payload.text("/comment/user/type").ok() == Some("Bot");
    let body = payload.at("/comment/body").and_then(Value::as_str);
    let body = body.unwrap_or_default();
    let (commands, left_out) = commands(body);
    if !is_pull || is_app || body.starts_with(HIDDEN) || commands.is_empty() {
        return Ok(None);
    }
    Ok(Some(Event::Comment {
        id: payload.number("/comment/id")?,
        pull: payload.number("/issue/number")?,
        login: payload.login("/comment/user/login")?,
        written: payload.time("/comment/created_at")?,
        commands,
        left_out,
    }))
}

/// None of a tag.
fn branch(payload: &Payload<'_>, change: BranchChange) -> Result<Option<Event>, Refusal> {
    if payload.text("/ref_type").ok() != Some("branch") {
        return Ok(None);
    }
    let name = payload.text("/ref")?;
    let branch = name.strip_prefix("refs/heads/").unwrap_or(name).to_owned();
    Ok(Some(Event::Branch { branch, change }))
}

fn installation(payload: &Payload<'_>, action: &str) -> Result<Option<Event>, Refusal> {
    let (presence, list) = match action {
        "created" | "unsuspend" | "new_permissions_accepted" => (Presence::There, "/repositories"),
        "added" => (Presence::There, "/repositories_added"),
        "deleted" | "suspend" => (Presence::Gone, "/repositories"),
        "removed" => (Presence::Gone, "/repositories_removed"),
        _ => return Ok(None),
    };
    // Ours may be among those that were cut off.
    let listed = Some(payload.list(list)).filter(|listed| listed.len() < MAX_LIST);
    let names = listed.unwrap_or_default().iter();
    let names = names.filter_map(|it| it["full_name"].as_str());
    let repositories: Vec<FullName> = names.filter_map(|name| name.parse().ok()).collect();
    Ok(Some(Event::Installation {
        id: payload.number("/installation/id")?,
        presence,
        repositories,
    }))
}

fn renamed(payload: &Payload<'_>) -> Result<Event, Refusal> {
    let now = payload.repository()?;
    let name = payload.text("/changes/repository/name/from").ok();
    let owner = ["user", "organization"].iter().find_map(|kind| {
        payload
            .text(&format!("/changes/owner/from/{kind}/login"))
            .ok()
    });
    let from = FullName::new(owner.unwrap_or(now.owner()), name.unwrap_or(now.name()));
    let from = from.filter(|_| owner.or(name).is_some());
    Ok(Event::Renamed {
        from: from.ok_or_else(|| payload.lacks("/changes", "an older name"))?,
    })
}
