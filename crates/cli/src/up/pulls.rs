//! The forge: its words come in by webhooks, and it is told by checks.

mod secrets;

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::HeaderMap;
use control::Control;
use forge::webhook::{
    Deliveries, Event, FullName, Hook, Refusal, looked_at, messages, other_name, receive_http,
};
use forge::{AnyForge, ConfigError, Kind, Secret, Site};
use ledger::{Message, QueueName};
use platform_local::WallClock;
use ports::{Clock as _, Forge, Place, Platform, TaskQueue as _};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{ForgeArgs, ForgeKind};
use crate::failure::Failure;
use crate::failure::Kind::Usage;
use crate::state::{StatePlace, private_text};
use secrets::SecretFile;

/// How work goes is looked at this often. The forge is called for what has changed alone.
const TELL: Duration = Duration::from_secs(5);
/// Where a person writes the state repository's name.
const NAMED_BY: &str = "--state, and into --forge-repository if it is there";
/// Between two rounds, however much is told.
const PAUSE: Duration = Duration::from_millis(500);

/// What is told of the forge, by it and by others.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// To look at the forge.
    pub(crate) forge: Notify,
    /// To look at the state repository.
    pub(crate) pushed: Notify,
}

/// A forge, ready to be asked.
pub(crate) struct At {
    forge: AnyForge<WallClock>,
    names: Names,
}

/// Of a forge, for whoever reads the log.
struct Names {
    api: String,
    repository: String,
    login: String,
}

impl At {
    /// As `millrace up` was told; `None`: of no forge.
    pub(crate) fn told(args: &ForgeArgs, place: &StatePlace) -> anyhow::Result<Option<Self>> {
        let (Some(site), Some(file)) = (site(args), args.forge_token_file.as_deref()) else {
            return Ok(None);
        };
        let secret = Secret::new(&private_text(file)?);
        let forge = AnyForge::open(&site, &place.repository, secret, WallClock);
        let forge = forge.map_err(refused)?;
        let (api, repository) = site.place(&place.repository).map_err(refused)?;
        let login = match site.app {
            Some(id) => format!("App {id}"),
            None => format!("whose token is in {}", file.display()),
        };
        let names = Names {
            api,
            repository,
            login,
        };
        Ok(Some(Self { forge, names }))
    }

    /// Starts the loop that tells it. Asked this often when nothing tells of it.
    pub(crate) fn start<P: Platform>(
        self,
        loops: &mut JoinSet<anyhow::Result<()>>,
        control: Arc<Control<P>>,
        (news, poll): (Arc<News>, Duration),
    ) {
        loops.spawn(tell_loop(control, (self.forge, self.names), news, poll));
    }
}

impl Names {
    /// Once, since silence would look like a forge that is not asked.
    fn tell(&self, open: usize) {
        tracing::info!(
            forge = self.api,
            repository = self.repository,
            login = self.login,
            open,
            "the forge answers: its open pull requests get checks"
        );
    }
}

/// Where the forge's API begins, and the state repository there.
pub(crate) fn forge_address(
    args: &ForgeArgs,
    place: &StatePlace,
) -> anyhow::Result<(String, String)> {
    let site = site(args).context("find the forge: none was named")?;
    site.place(&place.repository).map_err(refused)
}

/// Words of the command line that no forge fits are the usage's fault; a file is this machine's.
fn refused(error: ConfigError) -> anyhow::Error {
    match &error {
        ConfigError::Key { .. } | ConfigError::Token(_) | ConfigError::Client(_) => error.into(),
        _ => Failure::new(Usage, format!("{error}")).into(),
    }
}

fn site(args: &ForgeArgs) -> Option<Site> {
    Some(Site {
        kind: match args.forge? {
            ForgeKind::Github => Kind::GitHub,
            ForgeKind::Gitea => Kind::Gitea,
        },
        api: args.forge_api.clone(),
        repository: args.forge_repository.clone(),
        app: args.forge_app,
    })
}

async fn tell_loop<P: Platform, F: Forge>(
    control: Arc<Control<P>>,
    (forge, names): (F, Names),
    news: Arc<News>,
    poll: Duration,
) -> anyhow::Result<()> {
    let mut looked: Option<Instant> = None;
    let mut is_known = false;
    let mut is_told = true;
    if let Err(error) = control.watch_open().await {
        tracing::warn!(%error, "failed to see which commits' work is open");
    }
    loop {
        match control.answer_forge(&forge, Duration::ZERO).await {
            Ok(answered) => tracing::debug!(?answered, "did what was asked for at the forge"),
            Err(error) => tracing::warn!(%error, "failed to do what was asked for at the forge"),
        }
        if is_told || looked.is_none_or(|looked| looked.elapsed() >= poll) {
            looked = Some(Instant::now());
            match control.review(&forge).await {
                Ok(reviewed) => {
                    if !is_known {
                        names.tell(reviewed.open);
                        is_known = true;
                    }
                    tracing::debug!(?reviewed, "looked at pull requests");
                }
                Err(error) => tracing::warn!(%error, "failed to look at pull requests"),
            }
        }
        match control.tell(&forge).await {
            Ok(told) => tracing::debug!(?told, "told how work goes"),
            Err(error) => tracing::warn!(%error, "failed to tell how work goes"),
        }
        is_told = tokio::time::timeout(TELL, news.forge.notified())
            .await
            .is_ok();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Who listens to the forge's webhooks.
pub(crate) struct Ears<P: Platform> {
    secrets: SecretFile,
    /// The state repository, if it is known what the forge calls it.
    own: Option<FullName>,
    control: Arc<Control<P>>,
    news: Arc<News>,
    deliveries: Mutex<Deliveries>,
}

/// What one has to know before there is a control plane.
pub(crate) struct Ear(SecretFile, Option<FullName>);

impl Ear {
    /// With the secrets in `file`.
    pub(crate) fn told(file: &Path, args: &ForgeArgs, place: &StatePlace) -> anyhow::Result<Self> {
        let secrets = SecretFile::open(file)?;
        let own = site(args).and_then(|site| site.full_name(&place.repository));
        Ok(Self(secrets, own))
    }

    /// What is asked for waits in the queue of `control`.
    pub(crate) fn listen<P: Platform>(self, control: Arc<Control<P>>, news: Arc<News>) -> Ears<P> {
        Ears {
            secrets: self.0,
            own: self.1,
            control,
            news,
            deliveries: Mutex::new(Deliveries::new(Deliveries::MOST)),
        }
    }
}

impl<P: Platform> Ears<P> {
    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        let deliveries = self.deliveries.lock();
        deliveries.unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<Hook, Refusal> {
        receive_http(&self.secrets.now(), headers, body)
    }

    async fn take(&self, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
        // A large one takes a while, and whoever else is served by this thread does not wait for it.
        let received = match tokio::runtime::Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(|| self.receive(headers, body))
            }
            _ => self.receive(headers, body),
        };
        let hook = match received {
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
        if self.deliveries().knows(&hook.delivery) {
            return (202, "this delivery was taken before".to_owned());
        }
        if let Err(error) = self.keep(&hook).await {
            tracing::warn!(%error, "failed to keep what was asked for at the forge");
            return (503, "it cannot be kept now: deliver it again".to_owned());
        }
        self.deliveries().remember(&hook.delivery);
        self.news.pushed.notify_one();
        self.news.forge.notify_one();
        match other_name(&hook, self.own.as_ref(), NAMED_BY) {
            Some(words) => {
                tracing::warn!("{words}");
                (202, words)
            }
            None => (202, looked_at(&hook, self.own.as_ref())),
        }
    }

    /// What people ask for is on the disk before the forge is answered. That something happened is looked for anyway.
    async fn keep(&self, hook: &Hook) -> ports::Result<()> {
        let platform = self.control.platform();
        let at = Place::at(platform.clock().now());
        for message in messages(hook, self.own.as_ref()) {
            if message != Message::Look {
                let queue = QueueName::forge();
                platform.queue().send(&queue, &message, &at).await?;
            }
        }
        Ok(())
    }
}

impl<P: Platform> server::Hear for Ears<P> {
    fn hear<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = (u16, String)> + Send + 'a>> {
        Box::pin(self.take(headers, body))
    }
}

#[cfg(test)]
mod door;

#[cfg(test)]
mod tests {
    use control::Options;
    use forge::webhook::signature;
    use memory::MemoryPlatform;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "a secret of the webhook";

    /// Of `acme/state`.
    fn ears() -> Ears<MemoryPlatform> {
        let control = Control::new(MemoryPlatform::new(), Options::default());
        let own = FullName::new("acme", "state");
        let ear = Ear(SecretFile::gone(SECRET), own);
        ear.listen(Arc::new(control), Arc::new(News::default()))
    }

    async fn waiting(ears: &Ears<MemoryPlatform>) -> u64 {
        let queue = ears.control.platform().queue();
        queue.depth(&QueueName::forge()).await.expect("no fault")
    }

    async fn status(ears: &Ears<MemoryPlatform>, id: &str, repository: &str) -> u16 {
        answer(ears, id, repository).await.0
    }

    /// To `/millrace retry`.
    async fn answer(ears: &Ears<MemoryPlatform>, id: &str, repository: &str) -> (u16, String) {
        let body = json!({
            "action": "created",
            "issue": {"number": 3, "pull_request": {}},
            "comment": {
                "id": 7, "body": "/millrace retry", "created_at": "2026-11-29T22:00:00Z",
                "user": {"login": "ada", "type": "User"},
            },
            "repository": {"full_name": repository},
        });
        let body = body.to_string();
        let signature = format!("sha256={}", signature(SECRET, body.as_bytes()));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-github-event", "issue_comment"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", signature.as_str()),
        ] {
            headers.insert(name, value.parse().expect("a header"));
        }
        ears.take(&headers, body.as_bytes()).await
    }

    #[tokio::test]
    async fn a_command_is_kept_before_the_forge_is_answered() {
        let ears = ears();
        assert_eq!(status(&ears, "one", "acme/state").await, 202);
        assert_eq!(waiting(&ears).await, 1);
        // The same delivery, and one of another repository.
        assert_eq!(status(&ears, "one", "acme/state").await, 202);
        assert_eq!(status(&ears, "two", "acme/other").await, 202);
        assert_eq!(waiting(&ears).await, 1);
    }

    #[tokio::test]
    async fn a_secret_that_is_added_is_known_to_the_next_delivery() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("secrets");
        std::fs::write(&file, "another one of the webhook").expect("a file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("a mode");
        let ears = Ears {
            secrets: SecretFile::open(&file).expect("secrets"),
            ..ears()
        };
        assert_eq!(status(&ears, "one", "acme/state").await, 401);
        std::fs::write(&file, format!("another one of the webhook\n{SECRET}\n")).expect("a file");
        assert_eq!(status(&ears, "one", "acme/state").await, 202);
    }

    #[tokio::test]
    async fn whoever_asks_under_another_name_is_told_so() {
        let ears = ears();
        let (status, words) = answer(&ears, "one", "acme/renamed").await;
        assert_eq!(status, 202);
        assert_eq!(
            words,
            "nothing is done: this is of acme/renamed, and the state repository is acme/state. If it was renamed, write the new name into --state, and into --forge-repository if it is there"
        );
        assert_eq!(waiting(&ears).await, 0);
    }
}
