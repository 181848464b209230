//! Webhooks out: signed, and delivered in the manner that a test asks for.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::Kind;
use crate::http;

/// How webhooks are delivered from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Each once, in order.
    Once,
    /// Not at all.
    Never,
    /// Each twice, as one delivery.
    Twice,
    /// Not before [`super::Forge::release`] sends them in another order.
    Held,
}

/// A webhook as it was sent, or would have been.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What the forge calls the event, as `pull_request`.
    pub event: String,
    /// The payload's `action`, or nothing.
    pub action: String,
    /// Unique, and the same when it is sent again.
    pub id: String,
    /// All headers, signatures included.
    pub headers: Vec<(String, String)>,
    /// The bytes that are signed.
    pub body: Vec<u8>,
    /// The status that the receiver answered with, each time.
    pub answers: Vec<u16>,
}

pub(crate) struct Hooks {
    kind: Kind,
    to: Option<(String, String)>,
    pub(crate) manner: Manner,
    held: Vec<usize>,
    post: Arc<Post>,
    queue: Sender<usize>,
}

/// What the sending thread shares.
#[derive(Default)]
struct Post {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    deliveries: Vec<Delivery>,
    url: String,
    waiting: usize,
}

impl Hooks {
    pub(crate) fn new(kind: Kind) -> Self {
        let (queue, work) = channel();
        let post = Arc::new(Post::default());
        let shared = Arc::clone(&post);
        // One thread: in the order of the queue, as a receiver that answers at once sees them.
        std::thread::spawn(move || {
            for at in work {
                shared.deliver(at);
            }
        });
        Self {
            kind,
            to: None,
            manner: Manner::Once,
            held: Vec::new(),
            post,
            queue,
        }
    }

    pub(crate) fn set(&mut self, url: &str, secret: &str) {
        self.to = Some((url.to_owned(), secret.to_owned()));
        url.clone_into(&mut self.post.state.lock().unwrap().url);
    }

    pub(crate) fn rotate(&mut self, secret: &str) {
        if let Some((_, old)) = &mut self.to {
            secret.clone_into(old);
        }
    }

    pub(crate) fn send(&mut self, event: &str, kind_of_event: &str, payload: &Value) {
        let Some((_, secret)) = &self.to else {
            return;
        };
        let body = payload.to_string().into_bytes();
        let mut state = self.post.state.lock().unwrap();
        let at = state.deliveries.len();
        let id = format!("{:08x}-0000-4000-8000-{at:012x}", std::process::id());
        let signature = sign(secret, &body);
        state.deliveries.push(Delivery {
            event: event.to_owned(),
            action: payload["action"].as_str().unwrap_or_default().to_owned(),
            headers: headers(self.kind, [event, kind_of_event, &id, &signature]),
            id,
            body,
            answers: Vec::new(),
        });
        drop(state);
        match self.manner {
            Manner::Never => {}
            Manner::Once => self.enqueue(at),
            Manner::Twice => {
                self.enqueue(at);
                self.enqueue(at);
            }
            Manner::Held => self.held.push(at),
        }
    }

    fn enqueue(&self, at: usize) {
        self.post.state.lock().unwrap().waiting += 1;
        self.queue.send(at).unwrap();
    }

    /// Sends what is held, in an order that the seed says.
    pub(crate) fn release(&mut self, seed: u64) {
        let mut held = std::mem::take(&mut self.held);
        fastrand::Rng::with_seed(seed).shuffle(&mut held);
        for at in held {
            self.enqueue(at);
        }
    }

    pub(crate) fn again(&self, id: &str) {
        let at = self.deliveries().iter().position(|d| d.id == id);
        self.enqueue(at.unwrap_or_else(|| panic!("there was no delivery {id}")));
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.post.state.lock().unwrap().deliveries.clone()
    }

    /// Whom to ask until nothing is on its way.
    pub(crate) fn settled(&self) -> impl FnOnce() + use<> {
        let post = Arc::clone(&self.post);
        move || {
            let state = post.state.lock().unwrap();
            drop(post.idle.wait_while(state, |state| state.waiting > 0));
        }
    }
}

impl Post {
    fn deliver(&self, at: usize) {
        let (url, delivery) = {
            let state = self.state.lock().unwrap();
            (state.url.clone(), state.deliveries[at].clone())
        };
        // A receiver that is down has lost it: neither forge tries by itself again.
        let got = http::send("POST", &url, &delivery.headers, &delivery.body);
        let answer = got.map_or(0, |got| got.status);
        let mut state = self.state.lock().unwrap();
        state.deliveries[at].answers.push(answer);
        state.waiting -= 1;
        self.idle.notify_all();
    }
}

/// HMAC-SHA256 in hexadecimal digits.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn headers(kind: Kind, [event, event_type, id, signature]: [&str; 4]) -> Vec<(String, String)> {
    let hub = format!("sha256={signature}");
    let mut list = vec![
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", id),
        ("X-Hub-Signature-256", &hub),
    ];
    match kind {
        Kind::GitHub => list.extend([
            ("User-Agent", "GitHub-Hookshot/fake"),
            ("X-GitHub-Hook-ID", "1"),
            ("X-GitHub-Hook-Installation-Target-Type", "integration"),
        ]),
        Kind::Gitea => list.extend([
            ("X-GitHub-Event-Type", event_type),
            ("X-Gitea-Event", event),
            ("X-Gitea-Event-Type", event_type),
            ("X-Gitea-Delivery", id),
            ("X-Gitea-Signature", signature),
            ("X-Gogs-Event", event),
            ("X-Gogs-Event-Type", event_type),
            ("X-Gogs-Delivery", id),
            ("X-Gogs-Signature", signature),
        ]),
    }
    list.into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
