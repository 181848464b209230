//! A runner's own way to SQS and S3.
//!
//! Callers: `millrace-runner`. Invariants: it reads the queues that the control plane names, and puts results; it reads
//! no artifact here and knows no table. What its credentials reach is said by `terraform/`, not by this program.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Message, QueueName};
use platform_aws::{Access, Clients, Installation, Patience, S3Store, SqsQueue};
use ports::TaskQueue as _;
use runner_agent::{Cloud, Error, Found, HandedIn, Later};
use runner_api::{Offer, protocol};

/// A message is hidden this long while its lease is asked for.
const CLAIM: Duration = Duration::from_secs(30);
/// How long one question for work waits.
const WAIT: Duration = Duration::from_secs(20);

/// AWS, or an emulator of it.
struct Aws {
    queue: SqsQueue,
    store: S3Store,
    queues: Vec<QueueName>,
}

/// Opens the cloud of an answer of the control plane. Nothing is asked yet.
///
/// # Errors
/// When the answer makes no sense: the control plane is newer.
pub fn open(answer: protocol::Cloud) -> Result<Arc<dyn Cloud>, Error> {
    if answer.version > runner_api::VERSION {
        return Err(Error::Unusable(format!(
            "use the queues that the control plane names: its answer is of version {}, and this program knows {}; bring the runner to the control plane's version",
            answer.version,
            runner_api::VERSION
        )));
    }
    let queues = answer.queues.iter().map(|name| parse(name));
    let queues = queues.collect::<Result<_, _>>()?;
    let access = match answer.credentials {
        Some(lent) => Access::Keys {
            id: lent.id,
            secret: lent.secret,
            session: Some(lent.session),
        },
        None => Access::Surroundings,
    };
    let installation = Installation {
        version: 1,
        region: answer.region,
        // It is no business of a runner.
        table: String::new(),
        bucket: answer.bucket,
        queue_prefix: answer.queue_prefix,
        endpoint: answer.endpoint,
        patience: Patience::default(),
    };
    let clients = Clients::new(installation, access);
    Ok(Arc::new(Aws {
        queue: SqsQueue::new(clients.clone()),
        store: S3Store::new(clients),
        queues,
    }))
}

/// `build-rpm.x86_64`; `any` for what runs anywhere.
fn parse(name: &str) -> Result<QueueName, Error> {
    let parsed = || {
        let (role, arch) = name.split_once('.')?;
        let role = pipeline_spec::Role::ALL
            .into_iter()
            .find(|it| it.as_str() == role)?;
        if arch == "any" {
            return Some(QueueName::work(role, None));
        }
        Some(QueueName::work(role, Some(&arch.parse().ok()?)))
    };
    parsed().ok_or_else(|| {
        Error::Unusable(format!(
            "use the queue {name:?} that the control plane names: it is no role and architecture that this program knows; bring the runner to the control plane's version"
        ))
    })
}

impl Cloud for Aws {
    fn next(&self) -> Later<'_, Option<Found>> {
        Box::pin(async move {
            if self.queues.is_empty() {
                tokio::time::sleep(WAIT).await;
                return Err("there is no queue for the roles and architectures of this runner: make it with Terraform, or mend runners/<id>.yaml".to_owned());
            }
            let came = self.queue.receive(&self.queues, 1, CLAIM, WAIT).await;
            let Some(delivery) = came.map_err(|error| error.to_string())?.pop() else {
                return Ok(None);
            };
            let Message::Attempt { task, attempt } = delivery.message else {
                // It ends among the dead letters, where people see it.
                tracing::warn!(queue = %delivery.queue, "a message that is no attempt is left");
                return Ok(None);
            };
            Ok(Some(Found {
                offer: Offer {
                    task,
                    attempt,
                    priority: delivery.share.priority,
                },
                receipt: delivery.receipt,
                hidden: CLAIM,
            }))
        })
    }

    fn remove<'a>(&'a self, receipt: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            let removed = self.queue.acknowledge(receipt).await;
            removed.map_err(|error| error.to_string())
        })
    }

    fn hand_in<'a>(&'a self, place: &'a str, document: &'a [u8]) -> Later<'a, HandedIn> {
        Box::pin(async move {
            match self.store.hand_in(place, document.to_vec()).await {
                Ok(true) => Ok(HandedIn::Yes),
                Ok(false) => Ok(HandedIn::Before),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_those_of_the_ledger_or_refused() {
        let x86 = "x86_64".parse().expect("an architecture");
        let expect = QueueName::work(pipeline_spec::Role::BuildRpm, Some(&x86));
        assert_eq!(parse("build-rpm.x86_64").expect("known"), expect);
        let expect = QueueName::work(pipeline_spec::Role::Compose, None);
        assert_eq!(parse("compose.any").expect("known"), expect);
        for name in ["", "compose", "sing.any", "test.", "test./"] {
            let error = parse(name).expect_err("unknown").to_string();
            assert!(error.contains("bring the runner"), "{error}");
        }
    }
}
