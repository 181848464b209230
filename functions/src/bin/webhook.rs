//! The door for the forge: it verifies a delivery and says where to look. A lost delivery costs time: the sweep and the
//! forge's timer look too.

use forge::webhook::{
    Event, FullName, Hook, Secrets, WeakSecret, looked_at, messages, other_name, receive_http,
};
use functions::{Boot, Secret, Settings};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use ledger::{Message, QueueName};
use platform_aws::{Access, Clients, Installation, Patience, SqsQueue, WallClock};
use ports::{Clock as _, Place, TaskQueue as _};

/// A forge waits some seconds, and so does Lambda.
const PATIENCE: Patience = Patience {
    attempts: 2,
    attempt_millis: 1_500,
    first_wait_millis: 50,
};

/// Where a person writes the state repository's name.
const NAMED_BY: &str =
    "`url` of the variable `state_repository`, and into its `forge_repository` if it is there";

/// What a delivery is held against, and whom it may wake.
struct Door {
    secrets: Secrets,
    branch: String,
    status_branch: String,
    /// Whether there is somebody who talks to the forge.
    has_forge: bool,
    /// What the forge calls the state repository, if that is known.
    own: Option<FullName>,
    queue: SqsQueue,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let secrets = boot.secret(Secret::WebhookSecret).await?;
    let installation = Installation {
        patience: PATIENCE,
        ..boot.settings.installation()
    };
    let clients = Clients::new(installation, Access::Surroundings);
    let door = Door::new(&boot.settings, &secrets, SqsQueue::new(clients))
        .map_err(|weak| format!("failed to read the parameter of webhook_secret: {weak}"))?;
    run(service_fn(|request| door.take(request))).await
}

impl Door {
    fn new(settings: &Settings, secrets: &str, queue: SqsQueue) -> Result<Self, WeakSecret> {
        let state = &settings.state_repository;
        let site = settings.forge.as_ref();
        Ok(Self {
            secrets: Secrets::strong(secrets)?,
            branch: state.branch.clone(),
            status_branch: state.status_branch.clone(),
            has_forge: site.is_some(),
            own: site.and_then(|site| site.full_name(&state.url)),
            queue,
        })
    }

    async fn take(&self, request: Request) -> Result<Response<String>, Error> {
        let body: &[u8] = match request.body() {
            Body::Text(text) => text.as_bytes(),
            Body::Binary(bytes) => bytes,
            _ => b"",
        };
        let hook = match receive_http(&self.secrets, request.headers(), body) {
            Ok(hook) => hook,
            Err(refusal) => return answer(refusal.status(), &refusal.to_string()),
        };
        match &hook.event {
            Event::Ping => {
                return answer(200, "this is Millrace, and the secret is the right one");
            }
            Event::Other { name } => {
                return answer(200, &format!("Millrace does nothing for `{name}`"));
            }
            _ => {}
        }
        let for_forge = self.for_forge(&hook);
        let other_name = other_name(&hook, self.own.as_ref(), NAMED_BY);
        for message in &for_forge {
            let at = Place::at(WallClock.now());
            self.queue.send(&QueueName::forge(), message, &at).await?;
        }
        let is_for_plan = self.is_for_plan(&hook.event);
        if is_for_plan {
            self.queue.wake().await?;
        }
        if let Some(words) = other_name {
            tracing::warn!("{words}");
            return answer(202, &words);
        }
        match (is_for_plan, for_forge.is_empty()) {
            (true, _) => answer(202, &looked_at(&hook, self.own.as_ref())),
            (false, false) => answer(202, "it will be looked at"),
            (false, true) => answer(200, "Millrace does nothing for this"),
        }
    }

    /// Whether the state repository's wishes may be others than before.
    fn is_for_plan(&self, event: &Event) -> bool {
        match event {
            Event::Push { branch, .. } | Event::Branch { branch, .. } => *branch == self.branch,
            Event::Installation { .. } | Event::Renamed { .. } => true,
            _ => !self.has_forge,
        }
    }

    /// What it says to whoever talks to the forge. Planning tells him what follows a push to the branch of wishes.
    fn for_forge(&self, hook: &Hook) -> Vec<Message> {
        let is_of_others = match &hook.event {
            // A pull request's, perhaps.
            Event::Push { branch, .. } => *branch != self.branch && *branch != self.status_branch,
            Event::Branch { .. } => false,
            _ => true,
        };
        match self.has_forge && is_of_others {
            true => messages(hook, self.own.as_ref()),
            false => Vec::new(),
        }
    }
}

fn answer(status: u16, words: &str) -> Result<Response<String>, Error> {
    Ok(Response::builder()
        .status(status)
        .body(format!("{words}\n"))?)
}

#[cfg(test)]
mod tests {
    use forge::webhook::{BranchChange, Checked, PullAction, signature};

    use super::*;

    const OLD: &str = "the secret of last year";
    const NEW: &str = "the secret of this year";

    /// Nobody listens there: whoever calls the queue fails.
    fn no_queue() -> SqsQueue {
        let installation = serde_json::json!({
            "version": 1, "region": "us-east-1", "table": "t", "bucket": "b", "queue_prefix": "q",
            "endpoint": "http://127.0.0.1:9",
            "patience": {"attempts": 1, "attempt_millis": 1_000, "first_wait_millis": 1},
        });
        let installation = serde_json::from_value(installation).expect("an installation");
        let access = Access::Keys {
            id: "id".to_owned(),
            secret: "none".to_owned(),
            session: None,
        };
        SqsQueue::new(Clients::new(installation, access))
    }

    fn door(forge: &str) -> Door {
        let document = format!(
            r#"{{"version": 1, "region": "us-east-1", "table": "table", "bucket": "bucket", "queue_prefix": "queue",
            "state_repository": {{"url": "https://git.example.org/acme/state.git"}}, "forge": {forge}}}"#
        );
        let settings = Settings::parse(&document).expect("a document");
        Door::new(&settings, &format!("{OLD}\n{NEW}"), no_queue()).expect("secrets")
    }

    /// The status, or `None` if the queue was called.
    async fn status(event: &str, secret: &str, body: &'static str) -> Option<u16> {
        let request = lambda_http::http::Request::builder()
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", "1")
            .header(
                "X-Hub-Signature-256",
                format!("sha256={}", signature(secret, body.as_bytes())),
            )
            .body(Body::Text(body.to_owned()))
            .expect("a request");
        let answer = door("null").take(request).await;
        Some(answer.ok()?.status().as_u16())
    }

    #[tokio::test]
    async fn only_what_moves_something_wakes() {
        let push =
            r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;
        let status_push =
            r#"{"ref":"refs/heads/status","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;
        assert_eq!(status("push", OLD, push).await, None);
        assert_eq!(status("push", NEW, push).await, None);
        assert_eq!(status("push", NEW, status_push).await, Some(200));
        assert_eq!(status("push", "another", push).await, Some(401));
        assert_eq!(status("push", NEW, "{}").await, Some(422));
        assert_eq!(status("push", NEW, "Hello").await, Some(400));
        assert_eq!(status("ping", NEW, "{}").await, Some(200));
        assert_eq!(status("star", NEW, "{}").await, Some(200));
    }

    #[test]
    fn each_is_told_what_is_his() {
        let github = r#"{"kind": "github", "app": 7}"#;
        let check = |forge: &str, event: Event, expect: (bool, &[&str])| {
            let door = door(forge);
            let hook = Hook {
                kind: forge::Kind::GitHub,
                delivery: "1".to_owned(),
                repository: "acme/state".parse().ok(),
                sender: None,
                event,
            };
            let messages = door.for_forge(&hook);
            let names: Vec<String> = messages.iter().map(Message::name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let said = (door.is_for_plan(&hook.event), &*names);
            assert_eq!(said, expect, "{:?} with {forge}", hook.event);
        };
        let push = |branch: &str| Event::Push {
            branch: branch.to_owned(),
            after: None,
        };
        let pull = || Event::PullRequest {
            number: 1,
            action: PullAction::Opened,
            head: "a".repeat(40),
        };
        let deleted = |branch: &str| Event::Branch {
            branch: branch.to_owned(),
            change: BranchChange::Deleted,
        };
        let pressed = || Event::Action {
            name: "retry".to_owned(),
            on: Checked {
                commit: "a".repeat(40),
                check: Some("plan".to_owned()),
                digest: Some("d".to_owned()),
                writing: None,
                pulls: Vec::new(),
            },
            login: "ada".to_owned(),
        };
        check(github, push("main"), (true, &[]));
        check(github, push("status"), (false, &[]));
        check(github, push("topic"), (false, &["look"]));
        check(github, pull(), (false, &["look"]));
        check(github, deleted("topic"), (false, &[]));
        check(github, deleted("main"), (true, &[]));
        let button = format!("asked button retry {} plan d 0 0", "a".repeat(40));
        check(github, pressed(), (false, &["look", &button]));
        check("null", push("main"), (true, &[]));
        check("null", push("topic"), (false, &[]));
        check("null", pull(), (true, &[]));
    }
}
