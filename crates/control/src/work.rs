//! A runner's calls: take, heartbeat, finish.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::{Event, Message, Millis, QueueName, Refusal, TaskRow, transition};
use pipeline_spec::{Role, Runner, RunnerId};
use ports::{Applied, ArtifactStore, Delivery, Ledger as _, Platform, TaskQueue};
use runner_api::{
    ArtifactKind, Grant, Heartbeat, HeartbeatReply, Outcome, ResultManifest, ResultReply, TaskSpec,
    Tree,
};

use crate::publish::MAX_DOCUMENT_BYTES;
use crate::shape::{check_shape, is_plain_path};
use crate::{Control, MAX_TRIES, Result, contended};

/// A message is hidden this long while its lease is being written.
const CLAIM: Duration = Duration::from_secs(30);

/// What a take gave.
#[derive(Debug)]
pub enum Taken {
    /// A lease.
    Granted(Box<Grant>),
    /// No work in that time.
    Nothing,
}

/// A result that breaks the contract: the runner's fault, told to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl<P: Platform> Control<P> {
    /// An enrolled runner by the configuration of the newest planned commit.
    pub async fn runner(&self, id: &RunnerId) -> Result<Option<Runner>> {
        let (head, _) = self.head_row().await?;
        if head.commit.is_empty() {
            return Ok(None);
        }
        Ok(self
            .snapshot(&head.commit)
            .await?
            .config
            .runners
            .get(id)
            .cloned())
    }

    /// Waits up to `wait` for a task that `runner` may do, and leases it. Messages that turn out to be
    /// stale do not end the wait.
    pub async fn take(&self, id: &RunnerId, runner: &Runner, wait: Duration) -> Result<Taken> {
        let queues = queues(runner);
        let end = self.now().saturating_add(wait.as_millis() as Millis);
        loop {
            let left = end.saturating_sub(self.now()).max(0).unsigned_abs();
            // A clock that was set back must not make the wait longer.
            let left = Duration::from_millis(left).min(wait);
            let deliveries = self
                .platform
                .queue()
                .receive(&queues, 1, CLAIM, left)
                .await?;
            if deliveries.is_empty() {
                return Ok(Taken::Nothing);
            }
            for delivery in deliveries {
                match self.lease(id, &delivery).await {
                    Ok(None) => {}
                    Ok(Some(mut grant)) => {
                        grant.capacity = Some(runner.capacity);
                        return Ok(Taken::Granted(Box::new(grant)));
                    }
                    Err(error) => {
                        if !self.give_up(&delivery, &error).await? {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    async fn lease(&self, id: &RunnerId, delivery: &Delivery) -> Result<Option<Grant>> {
        let Message::Attempt { task, attempt } = &delivery.message else {
            tracing::warn!(queue = %delivery.queue, "a message that is no attempt is dropped");
            self.platform.queue().acknowledge(&delivery.receipt).await?;
            return Ok(None);
        };
        let event = Event::Lease {
            attempt: *attempt,
            runner: id,
            lease_millis: self.options.lease_seconds as i64 * 1000,
        };
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(task).await? else {
                break;
            };
            // Sent before its request became less urgent. Another message has the new place.
            if delivery.share.priority < row.share.priority {
                break;
            }
            let change = match transition(&row, version, &event, self.now()) {
                Ok(change) => change,
                // Too early: the message comes back by itself.
                Err(Refusal::NotDue { .. }) => return Ok(None),
                Err(refusal) => {
                    tracing::debug!(%task, %refusal, "a stale message is dropped");
                    break;
                }
            };
            // Made before the lease is taken: nobody holds a lease that he was not told of.
            let grant = self.grant(&row, *attempt).await?;
            if self.apply(change).await? == Applied::Done {
                // From here on the lease is the truth; a lost acknowledgement only makes a stale message.
                let acknowledged = self.platform.queue().acknowledge(&delivery.receipt).await;
                if let Err(error) = acknowledged {
                    tracing::debug!(%task, %error, "a taken message will come again");
                }
                return Ok(Some(grant));
            }
        }
        self.platform.queue().acknowledge(&delivery.receipt).await?;
        Ok(None)
    }

    async fn grant(&self, row: &TaskRow, attempt: u32) -> Result<Grant> {
        let mut inputs = BTreeMap::new();
        for input in row.spec.inputs() {
            let artifacts = match self.task_row(input).await? {
                Some((row, _)) => row.artifacts().to_vec(),
                None => Vec::new(),
            };
            inputs.insert(input.id.clone(), artifacts);
        }
        Ok(Grant {
            version: runner_api::VERSION,
            task: row.task.clone(),
            attempt,
            spec: row.spec.clone(),
            inputs,
            lease_seconds: self.options.lease_seconds,
            heartbeat_seconds: self.options.heartbeat_seconds,
            capacity: None,
            weight: row.weight,
        })
    }

    /// The runner is alive and asks whether to go on.
    pub async fn heartbeat(
        &self,
        id: &RunnerId,
        beat: impl Into<Heartbeat>,
    ) -> Result<HeartbeatReply> {
        let Heartbeat { attempt, step } = beat.into();
        let event = Event::Heartbeat {
            attempt: attempt.attempt,
            runner: id,
            lease_millis: self.options.lease_seconds as i64 * 1000,
            step,
        };
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(&attempt.task).await? else {
                return Ok(HeartbeatReply::Lost);
            };
            let Ok(change) = transition(&row, version, &event, self.now()) else {
                return Ok(HeartbeatReply::Lost);
            };
            if let ledger::TaskState::Leased {
                stop: Some(stop), ..
            } = &row.state
            {
                let reason = match stop {
                    ledger::Stop::Cancel { reason } => reason.clone(),
                    ledger::Stop::Supersede { by } => format!("superseded by {by}"),
                };
                return Ok(HeartbeatReply::Cancel { reason });
            }
            if self.platform.ledger().apply(change, self.now()).await? == Applied::Done {
                return Ok(HeartbeatReply::Continue);
            }
        }
        Err(contended(&ledger::Key::task(&attempt.task)))
    }

    /// The runner's last word on an attempt.
    pub async fn finish(
        &self,
        id: &RunnerId,
        result: &ResultManifest,
    ) -> Result<std::result::Result<ResultReply, Refused>> {
        if let Err(refused) = self.check_result(id, result).await? {
            return Ok(Err(refused));
        }
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(&result.task).await? else {
                return Ok(Ok(ResultReply::Stale {
                    reason: "the task is not known".to_owned(),
                }));
            };
            if let Err(why) = check_shape(&row.spec, &result.outcome) {
                return Ok(Err(Refused(why)));
            }
            if let Err(why) = self.check_tree(&row.spec, &result.outcome).await? {
                return Ok(Err(Refused(why)));
            }
            match transition(&row, version, &Event::Finish(result), self.now()) {
                Ok(change) => {
                    if self.apply(change).await? == Applied::Done {
                        return Ok(Ok(ResultReply::Accepted));
                    }
                }
                Err(Refusal::Repeated) => return Ok(Ok(ResultReply::Accepted)),
                Err(refusal) => {
                    return Ok(Ok(ResultReply::Stale {
                        reason: refusal.to_string(),
                    }));
                }
            }
        }
        Err(contended(&ledger::Key::task(&result.task)))
    }

    /// What a compose says that the repository holds: plain paths alone, and what clients do not see there
    /// yet is in the store. Renewed like the artifacts: nothing but the tree names an index.
    async fn check_tree(
        &self,
        spec: &TaskSpec,
        outcome: &Outcome,
    ) -> Result<std::result::Result<(), String>> {
        let (TaskSpec::Compose(compose), Outcome::Succeeded { artifacts, .. }) = (spec, outcome)
        else {
            return Ok(Ok(()));
        };
        let present = self.present_tree(compose.repository.as_str()).await?;
        for artifact in artifacts.iter().filter(|it| it.kind == ArtifactKind::Tree) {
            let store = self.platform.store();
            let bytes = store.get(&artifact.sha256, MAX_DOCUMENT_BYTES).await?;
            let tree: Option<Tree> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let Some(tree) = tree else {
                return Ok(Err(format!("{} is no tree of files", artifact.name)));
            };
            if let Some(path) = tree.files.keys().find(|path| !is_plain_path(path)) {
                return Ok(Err(format!(
                    "the tree names {path:?}, which is no plain path"
                )));
            }
            for (path, file) in tree.files {
                if present.files.get(&path) == Some(&file) {
                    continue;
                }
                if store.renew(&file.sha256).await? != Some(file.size) {
                    let digest = file.sha256;
                    return Ok(Err(format!(
                        "{path} ({digest}) of the tree is not in the store with the size that the tree says"
                    )));
                }
            }
        }
        Ok(Ok(()))
    }

    /// A stranger's word is checked before it becomes a row: version, identity, names, and that every
    /// artifact is in the store with the size it claims.
    async fn check_result(
        &self,
        id: &RunnerId,
        result: &ResultManifest,
    ) -> Result<std::result::Result<(), Refused>> {
        let refuse = |why: String| Ok(Err(Refused(why)));
        if result.version != runner_api::VERSION {
            return refuse(format!(
                "result version {} is not {}: bring the runner to the control plane's version",
                result.version,
                runner_api::VERSION
            ));
        }
        if result.runner != *id {
            return refuse(format!(
                "the result is signed by {id} but says {}",
                result.runner
            ));
        }
        let artifacts = match &result.outcome {
            Outcome::Succeeded { artifacts, .. } | Outcome::Failed { artifacts, .. } => {
                &artifacts[..]
            }
            _ => &[],
        };
        for artifact in artifacts.iter().chain(&result.log) {
            if !is_plain_path(&artifact.name) {
                return refuse(format!(
                    "the artifact name {:?} is not a plain path",
                    artifact.name
                ));
            }
            // Renewed, not only looked for: from here to the row that names it, it is not removed.
            match self.platform.store().renew(&artifact.sha256).await? {
                Some(size) if size == artifact.size => {}
                Some(size) => {
                    return refuse(format!(
                        "{} has {size} bytes in the store and {} in the result",
                        artifact.name, artifact.size
                    ));
                }
                None => {
                    return refuse(format!(
                        "{} ({}) was not uploaded",
                        artifact.name, artifact.sha256
                    ));
                }
            }
        }
        Ok(Ok(()))
    }
}

/// Queues that an enrolled runner may be served from.
fn queues(runner: &Runner) -> Vec<QueueName> {
    let mut queues = Vec::new();
    for role in &runner.roles {
        if matches!(role, Role::Sign | Role::Compose) {
            queues.push(QueueName::work(*role, None));
            continue;
        }
        for arch in runner.architectures.iter().chain(&runner.emulated) {
            queues.push(QueueName::work(*role, Some(arch)));
        }
    }
    queues
}
