//! The forge: its words come in by webhooks, and it is told by checks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::http::HeaderMap;
use control::{About, Answer, Asked, Control, Wish};
use forge::webhook::{Deliveries, Event, Secrets, Verb, receive};
use forge::{Address, GitHub, Gitea, Login, Secret};
use platform_local::WallClock;
use ports::{Forge, Platform};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{ForgeArgs, ForgeKind};
use crate::state::{StatePlace, private_text};

/// How work goes is looked at this often. The forge is called for what has changed alone.
const TELL: Duration = Duration::from_secs(5);
/// What was asked for and waits.
const MAX_ASKED: usize = 100;
/// Between two rounds, however much is told.
const PAUSE: Duration = Duration::from_millis(500);

/// What is told of the forge, by it and by others.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// To look at the forge.
    pub(crate) forge: Notify,
    /// To look at the state repository.
    pub(crate) pushed: Notify,
    /// What people ask for there, oldest first.
    asked: Mutex<VecDeque<Asked>>,
}

impl News {
    fn asked(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More than a few at a time is no person's doing: what is beyond that is dropped.
    fn ask(&self, asked: Asked) {
        let mut all = self.asked();
        if all.len() < MAX_ASKED {
            all.push_back(asked);
        } else {
            tracing::warn!(
                login = asked.login,
                "dropped what was asked for at the forge: too much waits"
            );
        }
    }
}

/// A forge, ready to be asked.
pub(crate) enum At {
    GitHub(Box<GitHub<WallClock>>),
    Gitea(Box<Gitea<WallClock>>),
}

impl At {
    /// As `millrace up` was told; `None`: of no forge.
    pub(crate) fn told(args: &ForgeArgs, place: &StatePlace) -> anyhow::Result<Option<Self>> {
        let (Some(kind), Some(file)) = (args.forge, args.forge_token_file.as_deref()) else {
            return Ok(None);
        };
        let repository = match &args.forge_repository {
            Some(repository) => repository.clone(),
            None => end_of(&place.repository).with_context(|| {
                format!("tell the forge's repository from {}: give it with --forge-repository OWNER/NAME", place.repository)
            })?,
        };
        let api = args.forge_api.as_deref().unwrap_or(Address::GITHUB);
        let address = Address::new(api, &repository)?;
        let secret = private_text(file)?;
        let secret = Secret::new(secret.trim());
        Ok(Some(match kind {
            ForgeKind::Github => {
                let login = match args.forge_app {
                    Some(app) => Login::App {
                        id: app,
                        key: secret,
                        installation: None,
                    },
                    None => Login::Token(secret),
                };
                Self::GitHub(Box::new(GitHub::new(address, login, WallClock)?))
            }
            ForgeKind::Gitea => {
                ensure!(
                    args.forge_app.is_none(),
                    "--forge-app is for GitHub: a Gitea has tokens of users"
                );
                Self::Gitea(Box::new(Gitea::new(address, secret, WallClock)?))
            }
        }))
    }

    /// Starts the loop that tells it. Asked this often when nothing tells of it.
    pub(crate) fn start<P: Platform>(
        self,
        loops: &mut JoinSet<anyhow::Result<()>>,
        control: Arc<Control<P>>,
        (news, poll): (Arc<News>, Duration),
    ) {
        match self {
            Self::GitHub(forge) => loops.spawn(tell_loop(control, forge, news, poll)),
            Self::Gitea(forge) => loops.spawn(tell_loop(control, forge, news, poll)),
        };
    }
}

/// `owner/name` at the end of a repository's address.
fn end_of(address: &str) -> Option<String> {
    let (_, path) = address.split_once("://")?;
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    // The first part is the host.
    parts.next()?;
    Some(format!("{owner}/{name}"))
}

async fn tell_loop<P: Platform, F: Forge>(
    control: Arc<Control<P>>,
    forge: Box<F>,
    news: Arc<News>,
    poll: Duration,
) -> anyhow::Result<()> {
    let mut looked: Option<Instant> = None;
    let mut is_told = true;
    if let Err(error) = control.watch_open().await {
        tracing::warn!(%error, "failed to see which commits' work is open");
    }
    loop {
        answer_all(&control, &*forge, &news).await;
        if is_told || looked.is_none_or(|looked| looked.elapsed() >= poll) {
            looked = Some(Instant::now());
            match control.review(&*forge).await {
                Ok(reviewed) => tracing::debug!(?reviewed, "looked at pull requests"),
                Err(error) => tracing::warn!(%error, "failed to look at pull requests"),
            }
        }
        match control.tell(&*forge).await {
            Ok(told) => tracing::debug!(?told, "told how work goes"),
            Err(error) => tracing::warn!(%error, "failed to tell how work goes"),
        }
        is_told = tokio::time::timeout(TELL, news.forge.notified())
            .await
            .is_ok();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Does what people ask for. In trouble of the world's it waits for the next round.
async fn answer_all<P: Platform, F: Forge>(control: &Control<P>, forge: &F, news: &News) {
    for _ in 0..MAX_ASKED {
        let Some(asked) = news.asked().pop_front() else {
            return;
        };
        match control.ask(forge, &asked).await {
            Ok(Answer::Done(_) | Answer::Before) => {}
            Ok(Answer::Refused(permission)) => {
                let login = &asked.login;
                tracing::warn!(login, %permission, "asked for something at the forge, and may not push");
            }
            Err(error) => {
                tracing::warn!(%error, "failed to do what was asked for at the forge");
                news.asked().push_front(asked);
                return;
            }
        }
    }
}

/// What a delivery asks for, beside looking.
fn asked(event: &Event) -> Vec<Asked> {
    match event {
        Event::Comment {
            id,
            pull,
            login,
            commands,
            ..
        } => {
            let known = commands.iter().enumerate().filter_map(|(i, command)| {
                let wish = match command.verb {
                    Verb::Retry => Wish::Retry,
                    Verb::Cancel => Wish::Cancel,
                    Verb::Plan | Verb::Scratch | Verb::Unknown(_) => return None,
                };
                Some(Asked {
                    id: format!("comment {id} {i}"),
                    login: login.clone(),
                    about: About::Pull(*pull),
                    wish,
                })
            });
            known.collect()
        }
        Event::Action { name, on, login } => {
            let wish = match name.as_str() {
                "retry" => Wish::Retry,
                "cancel" => Wish::Cancel,
                _ => return Vec::new(),
            };
            // The button of one text is pressed once: a text that says something else has another digest.
            let text = on.digest.as_deref().unwrap_or_default();
            let check = on.check.as_deref().unwrap_or_default();
            vec![Asked {
                id: format!("button {name} {} {check} {text}", on.commit),
                login: login.clone(),
                about: About::Commit(on.commit.clone()),
                wish,
            }]
        }
        _ => Vec::new(),
    }
}

/// Who listens to the forge's webhooks.
pub(crate) struct Ears {
    secrets: Secrets,
    news: Arc<News>,
    deliveries: Mutex<Deliveries>,
}

impl Ears {
    /// With the secrets in `file`.
    pub(crate) fn open(file: &Path, news: Arc<News>) -> anyhow::Result<Self> {
        let text = private_text(file)?;
        ensure!(
            text.lines().any(|line| line.trim().len() >= 16),
            "{} has no secret of 16 characters or more: `openssl rand -hex 32` makes one",
            file.display()
        );
        Ok(Self {
            secrets: Secrets::from_lines(&text),
            news,
            deliveries: Mutex::new(Deliveries::new(Deliveries::MOST)),
        })
    }
}

impl server::Hear for Ears {
    fn hear(&self, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let hook = match receive(&self.secrets, &header, body) {
            Ok(hook) => hook,
            Err(refusal) => return (refusal.status(), refusal.to_string()),
        };
        match &hook.event {
            Event::Ping => {
                let words = "this is Millrace, and the secret is the right one";
                return (200, words.to_owned());
            }
            Event::Other { name } => return (200, format!("Millrace does nothing for `{name}`")),
            _ => {}
        }
        let deliveries = self.deliveries.lock();
        let mut deliveries = deliveries.unwrap_or_else(PoisonError::into_inner);
        if deliveries.knows(&hook.delivery) {
            return (202, "this delivery was taken before".to_owned());
        }
        deliveries.remember(&hook.delivery);
        asked(&hook.event)
            .into_iter()
            .for_each(|it| self.news.ask(it));
        self.news.pushed.notify_one();
        self.news.forge.notify_one();
        (202, "the state repository will be looked at".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_told_by_its_address() {
        let check = |address: &str, expect: Option<&str>| {
            assert_eq!(end_of(address).as_deref(), expect, "{address}");
        };
        check("https://github.com/acme/state.git", Some("acme/state"));
        check("https://git.example.org/a/acme/state/", Some("acme/state"));
        check("https://github.com/state", None);
        check("/srv/state.git", None);
    }
}
