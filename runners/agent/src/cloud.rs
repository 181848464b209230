//! Queues that the runner reads itself, and a store that it hands results in to: the control plane is asked for leases
//! alone, and nobody waits in a function for work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use runner_api::protocol::MAX_JSON_BYTES;
use runner_api::{Grant, LeaseReply, Offer, ResultManifest, handed, protocol};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::client::{Client, Trouble};
use crate::{Error, clock};

/// Lent credentials are asked for anew so long before they end.
const BEFORE_THE_END: Duration = Duration::from_secs(300);
/// So often a runner with its own credentials asks which queues are its own: they follow from a file that people edit.
const AGAIN: Duration = Duration::from_secs(300);
/// A lease is last asked for so long before its message comes back: the answer takes its time, and a wait before it.
const BEFORE_IT_IS_BACK: Duration = Duration::from_secs(5);
/// After the second failed lease in a row, though the control plane answers: until a next message is received.
const SHORTEST_PAUSE: Duration = Duration::from_secs(15);
/// After many: fifty runners that never get an answer make some hundred dead letters an hour so, of five receives each.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// For one put of a result. It is signed with the time before, and believed for [`runner_api::auth::MAX_SKEW_SECONDS`].
const PUT_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer that comes later; the words of an error tell no secret.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// What the daemon needs of a cloud. The program brings it: this room knows none.
pub trait Cloud: Send + Sync {
    /// A message of one of the runner's queues, hidden from others for a while; waits some 20 seconds for it.
    fn next(&self) -> Later<'_, Option<Found>>;

    /// Removes a message.
    fn remove<'a>(&'a self, receipt: &'a str) -> Later<'a, ()>;

    /// Puts a result at its place, unless something is there: that stays.
    fn hand_in<'a>(&'a self, place: &'a str, document: &'a [u8]) -> Later<'a, HandedIn>;
}

/// How a put ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedIn {
    /// It is there.
    Yes,
    /// Something was there before: an earlier put whose answer was lost, or what somebody else has put.
    Before,
}

/// A message, and what it offers.
#[derive(Debug, Clone)]
pub struct Found {
    /// For the control plane.
    pub offer: Offer,
    /// For [`Cloud::remove`].
    pub receipt: String,
    /// So long after it was received nobody else is offered it.
    pub hidden: Duration,
}

/// Whose credentials a runner uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// Its surroundings': on EC2 the instance's profile.
    Own,
    /// Those that the control plane lends it, for an hour each.
    Lent,
}

/// Opens a cloud as the control plane describes it.
pub type Open = Box<dyn Fn(protocol::Cloud) -> Result<Arc<dyn Cloud>, Error> + Send + Sync>;

/// The cloud of a daemon: opened when it is first needed, and again when credentials end.
pub(crate) struct Sessions {
    keys: Keys,
    open: Open,
    current: Mutex<Option<Session>>,
    brake: Mutex<Brake>,
}

/// Holds the next message back after one whose lease failed. Each receive counts against a message, and a queue gives
/// up what was received a few times in vain: a runner that went from one to the next while the control plane is in
/// trouble would empty the queue into its dead letters.
struct Brake {
    is_on: bool,
    pause: Backoff,
}

#[derive(Clone)]
struct Session {
    cloud: Arc<dyn Cloud>,
    ends: Instant,
}

impl Sessions {
    pub(crate) fn new(keys: Keys, open: Open) -> Self {
        Self {
            keys,
            open,
            current: Mutex::new(None),
            brake: Mutex::new(Brake {
                is_on: false,
                pause: Backoff::after_a_free_one(SHORTEST_PAUSE, LONGEST_PAUSE),
            }),
        }
    }

    async fn cloud(&self, client: &Client) -> Result<Arc<dyn Cloud>, Trouble> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        if let Some(Session { cloud, ends }) = &*current
            && now < *ends
        {
            return Ok(Arc::clone(cloud));
        }
        let answer = client.cloud(self.keys == Keys::Lent).await?;
        let lent = answer.credentials.as_ref();
        // However short they last, they are used once.
        let lasts = lent.map_or(AGAIN, |lent| {
            Duration::from_secs(lent.lasts_seconds).saturating_sub(BEFORE_THE_END)
        });
        let opened = (self.open)(answer).map_err(|error| Trouble::Passing(error.to_string()))?;
        *current = Some(Session {
            cloud: Arc::clone(&opened),
            ends: now + lasts,
        });
        Ok(opened)
    }

    /// Asks for what the control plane says anew, the next time: credentials may have been taken away, or roles changed.
    async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Waits for a message, and leases what it offers.
    pub(crate) async fn take(&self, client: &Client) -> Result<Option<Box<Grant>>, Trouble> {
        let mut brake = self.brake.lock().await;
        brake.release(client).await?;
        let cloud = self.cloud(client).await?;
        let found = match cloud.next().await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(words) => {
                self.forget().await;
                return Err(Trouble::Away(words));
            }
        };
        // Whatever goes wrong from here on, the message comes back.
        let reply = lease(client, &found).await;
        brake.learn(&reply);
        let grant = match reply {
            Ok(LeaseReply::Granted(grant)) => Some(grant),
            Ok(LeaseReply::Gone) => None,
            Ok(LeaseReply::Later) => return Ok(None),
            Err(trouble) => {
                // One that is away has taken nothing from us.
                if trouble.is_refusal() {
                    self.forget().await;
                }
                return Err(trouble);
            }
        };
        // With the lease the message has done its work; left, it is found to be stale. Nobody waits for it: the lease runs.
        tokio::spawn(async move {
            if let Err(words) = cloud.remove(&found.receipt).await {
                tracing::debug!(task = %found.offer.task, "a taken message will come again: {words}");
            }
        });
        Ok(grant)
    }

    /// Hands a result in. What is too large for that is refused by the runner API, with a reason.
    pub(crate) async fn hand_in(
        &self,
        client: &Client,
        manifest: &ResultManifest,
    ) -> Result<HandedIn, Trouble> {
        let cloud = self.cloud(client).await?;
        let (place, document) = handed::HandedIn::sign(client.key(), manifest, clock::now());
        if document.len() > MAX_JSON_BYTES {
            return Err(Trouble::Passing("it is too large".to_owned()));
        }
        // A put that is done later than it is believed would be a result that is lost.
        let put = tokio::time::timeout(PUT_TIMEOUT, cloud.hand_in(&place, &document)).await;
        let put = put.unwrap_or_else(|_| Err("the store does not answer".to_owned()));
        match put {
            Ok(handed_in) => Ok(handed_in),
            Err(words) => {
                self.forget().await;
                Err(Trouble::Passing(words))
            }
        }
    }
}

impl Brake {
    fn learn<T>(&mut self, reply: &Result<T, Trouble>) {
        self.is_on = reply.is_err();
        if !self.is_on {
            self.pause.reset();
        }
    }

    /// Waits until a next message may be received. Trouble, while the control plane does not answer.
    async fn release(&mut self, client: &Client) -> Result<(), Trouble> {
        if !self.is_on {
            return Ok(());
        }
        // Of all its questions the cheapest.
        client.cloud(false).await?;
        self.pause.wait().await;
        self.is_on = false;
        Ok(())
    }
}

/// Asks for a lease on what was found, again and again while nobody else is offered it.
async fn lease(client: &Client, found: &Found) -> Result<LeaseReply, Trouble> {
    let last = Instant::now() + found.hidden.saturating_sub(BEFORE_IT_IS_BACK);
    let mut backoff = Backoff::new();
    loop {
        match client.lease(&found.offer).await {
            Err(trouble) if !trouble.is_refusal() && Instant::now() < last => {
                tracing::debug!(task = %found.offer.task, "failed to lease it, trying again: {trouble}");
            }
            reply => return reply,
        }
        backoff.wait().await;
    }
}
