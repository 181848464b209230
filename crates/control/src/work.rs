//! A runner's calls: take, heartbeat, finish.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::{Event, HeadRow, Message, Millis, QueueName, Refusal, TaskRow, TaskState, transition};
use pipeline_spec::{Role, Runner, RunnerId, Sha256Digest};
use ports::{Applied, ArtifactStore, Delivery, Ledger as _, Platform, TaskQueue};
use runner_api::auth::MAX_SKEW_SECONDS;
use runner_api::{
    Artifact, ArtifactKind, Grant, Heartbeat, HeartbeatReply, Link, Offer, Outcome, ResultManifest,
    ResultReply, TaskId, TaskSpec, Tree,
};

use crate::publish::MAX_DOCUMENT_BYTES;
use crate::shape::{check_shape, is_plain_path};
use crate::{Control, Error, MAX_TRIES, Result, contended};

/// A message is hidden this long while its lease is being written.
const CLAIM: Duration = Duration::from_secs(30);

/// How long an address for a blob is good: until a transfer begins, not until it ends. A runner whose
/// address has run out asks for another.
pub const LINK_LASTS: Duration = Duration::from_secs(900);
/// Links in a grant, each some hundred bytes to two thousand: an answer of a function has 6 MB at most. What has
/// none is asked for.
const MAX_LINKS: usize = 500;

/// What a take gave.
#[derive(Debug)]
pub enum Taken {
    /// A lease.
    Granted(Box<Grant>),
    /// No work in that time.
    Nothing,
}

/// What became of an [`Offer`].
#[derive(Debug)]
pub enum Leased {
    /// A lease.
    Granted(Box<Grant>),
    /// It is another's, or nobody's any more: its message is of no use.
    Gone,
    /// It is too early: the message comes back by itself.
    Later,
    /// The runner may not do such tasks.
    Foreign,
}

/// A result that breaks the contract: the runner's fault, told to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// Files that one result names, at most: far more than any package has. Each is looked for in the store.
const MAX_ARTIFACTS: usize = 10_000;
/// How long a process goes by the enrolments that it has read: a runner whose file was removed is served so much
/// longer. Each call of a runner would read the ledger's head otherwise.
const ENROLLED_MILLIS: Millis = 5_000;

/// Runners as they were enrolled a moment ago.
#[derive(Clone)]
pub(crate) struct Enrolment {
    read: Millis,
    commit: String,
}

impl<P: Platform> Control<P> {
    /// An enrolled runner, by the configuration of the newest planned commit or of one that was it some seconds
    /// ago. One that is not known is looked for in the newest.
    pub async fn runner(&self, id: &RunnerId) -> Result<Option<Runner>> {
        let known = self.enrolment.lock().await.clone();
        let read = self.now();
        // A clock that was set back makes nothing young.
        if let Some(known) = known
            && (0..ENROLLED_MILLIS).contains(&read.saturating_sub(known.read))
            && let Some(runner) = self.runner_at(&known.commit, id).await?
        {
            return Ok(Some(runner));
        }
        let (HeadRow { commit, .. }, _) = self.head_row().await?;
        if commit.is_empty() {
            return Ok(None);
        }
        let runner = self.runner_at(&commit, id).await?;
        *self.enrolment.lock().await = Some(Enrolment { read, commit });
        Ok(runner)
    }

    async fn runner_at(&self, commit: &str, id: &RunnerId) -> Result<Option<Runner>> {
        let snapshot = self.snapshot(commit).await?;
        Ok(snapshot.config.runners.get(id).cloned())
    }

    /// Waits up to `wait` for a task that `runner` may do, and leases it. Messages that turn out to be
    /// stale do not end the wait.
    pub async fn take(&self, id: &RunnerId, runner: &Runner, wait: Duration) -> Result<Taken> {
        self.heard.note(id, self.now());
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
                match self.lease_delivered(id, &queues, &delivery).await {
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

    async fn lease_delivered(
        &self,
        id: &RunnerId,
        queues: &[QueueName],
        delivery: &Delivery,
    ) -> Result<Option<Grant>> {
        let queue = self.platform.queue();
        let Message::Attempt { task, attempt } = &delivery.message else {
            tracing::warn!(queue = %delivery.queue, "a message that is no attempt is dropped");
            queue.acknowledge(&delivery.receipt).await?;
            return Ok(None);
        };
        let offer = Offer {
            task: task.clone(),
            attempt: *attempt,
            priority: delivery.share.priority,
        };
        match self.lease_offer(id, queues, &offer).await? {
            Leased::Granted(grant) => {
                // From here on the lease is the truth; a lost acknowledgement only makes a stale message.
                if let Err(error) = queue.acknowledge(&delivery.receipt).await {
                    tracing::debug!(%task, %error, "a taken message will come again");
                }
                Ok(Some(*grant))
            }
            Leased::Gone => {
                queue.acknowledge(&delivery.receipt).await?;
                Ok(None)
            }
            // The message comes back by itself.
            Leased::Later | Leased::Foreign => Ok(None),
        }
    }

    /// Leases what `runner` has found in a queue that it reads itself. It removes the message when the answer is a
    /// grant, or that the offer is gone.
    pub async fn lease(&self, id: &RunnerId, runner: &Runner, offer: &Offer) -> Result<Leased> {
        self.heard.note(id, self.now());
        let mut leased = self.lease_offer(id, &queues(runner), offer).await?;
        if let Leased::Granted(grant) = &mut leased {
            grant.capacity = Some(runner.capacity);
        }
        Ok(leased)
    }

    async fn lease_offer(
        &self,
        id: &RunnerId,
        queues: &[QueueName],
        offer: &Offer,
    ) -> Result<Leased> {
        let event = Event::Lease {
            attempt: offer.attempt,
            runner: id,
            lease_millis: self.options.lease_seconds as i64 * 1000,
        };
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(&offer.task).await? else {
                return Ok(Leased::Gone);
            };
            if let Err(why) = stands_apart(&row) {
                return Err(Error::Inconsistent(why));
            }
            // Who says what it has found may say anything.
            if !queues.contains(&QueueName::work(row.spec.role(), row.spec.arch())) {
                return Ok(Leased::Foreign);
            }
            // Sent before its request became less urgent. Another message has the new place.
            if offer.priority < row.share.priority {
                return Ok(Leased::Gone);
            }
            let change = match transition(&row, version, &event, self.now()) {
                Ok(change) => change,
                Err(Refusal::NotDue { .. }) => return Ok(Leased::Later),
                Err(refusal) => {
                    tracing::debug!(task = %offer.task, %refusal, "a stale message is dropped");
                    return Ok(Leased::Gone);
                }
            };
            // Made before the lease is taken: nobody holds a lease that he was not told of.
            let grant = self.grant(&row, offer.attempt).await?;
            if self.apply(change).await? == Applied::Done {
                return Ok(Leased::Granted(Box::new(grant)));
            }
        }
        Ok(Leased::Gone)
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
        let links = self.links(&row.spec, &inputs).await?;
        let proof = self.proof(row).await?;
        Ok(Grant {
            version: runner_api::VERSION,
            task: row.task.clone(),
            attempt,
            spec: row.spec.clone(),
            inputs,
            links,
            proof,
            lease_seconds: self.options.lease_seconds,
            heartbeat_seconds: self.options.heartbeat_seconds,
            capacity: None,
            weight: row.weight,
        })
    }

    /// Where the files that a task names can be read, so that nobody asks for each. Empty where the store gives none.
    async fn links(
        &self,
        spec: &TaskSpec,
        inputs: &BTreeMap<TaskId, Vec<Artifact>>,
    ) -> Result<BTreeMap<Sha256Digest, Link>> {
        let named: BTreeSet<Sha256Digest> = match spec {
            TaskSpec::Compose(task) => [task.content].into(),
            TaskSpec::SignPackages(task) => {
                task.packages.iter().map(|it| it.artifact.sha256).collect()
            }
            _ => inputs.values().flatten().map(|it| it.sha256).collect(),
        };
        let mut links = BTreeMap::new();
        for digest in named.into_iter().take(MAX_LINKS) {
            let store = self.platform.store();
            let Some(link) = store.download_link(&digest, LINK_LASTS).await? else {
                break;
            };
            let ports::Link { url, headers } = link;
            links.insert(digest, Link { url, headers });
        }
        Ok(links)
    }

    /// The runner is alive and asks whether to go on.
    pub async fn heartbeat(
        &self,
        id: &RunnerId,
        beat: impl Into<Heartbeat>,
    ) -> Result<HeartbeatReply> {
        self.heard.note(id, self.now());
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
        self.heard.note(id, self.now());
        self.finish_put(id, result, None).await
    }

    /// The same of one that was `put` into the store then, by the store's clock.
    pub(crate) async fn finish_put(
        &self,
        id: &RunnerId,
        result: &ResultManifest,
        put: Option<Millis>,
    ) -> Result<std::result::Result<ResultReply, Refused>> {
        let stale = |reason: String| Ok(Ok(ResultReply::Stale { reason }));
        if let Err(refused) = check_claim(id, result) {
            return Ok(Err(refused));
        }
        let mut is_checked = false;
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(&result.task).await? else {
                return stale("the task is not known".to_owned());
            };
            if let (TaskState::Leased { since, .. }, Some(put)) = (&row.state, put)
                && put < since.saturating_sub(MAX_SKEW_SECONDS * 1_000)
            {
                return stale("it is older than the attempt: of a life that was lost".to_owned());
            }
            // Before anything is asked about its files: who has no attempt makes no work.
            match transition(&row, version, &Event::Finish(result), self.now()) {
                Ok(_) => {}
                Err(Refusal::Repeated) => return Ok(Ok(ResultReply::Accepted)),
                Err(refusal) => return stale(refusal.to_string()),
            }
            if !is_checked && let Err(refused) = self.check_files(result).await? {
                return Ok(Err(refused));
            }
            is_checked = true;
            if let Err(why) = check_shape(&row.spec, &result.outcome) {
                return Ok(Err(Refused(why)));
            }
            if let Err(why) = self.check_tree(&row.spec, &result.outcome).await? {
                return Ok(Err(Refused(why)));
            }
            match transition(&row, version, &Event::Finish(result), self.now()) {
                Ok(change) => match self.apply(change).await {
                    Ok(Applied::Done) => return Ok(Ok(ResultReply::Accepted)),
                    Ok(Applied::Conflict(_)) => {}
                    // What no row can hold, it cannot hold the next time.
                    Err(Error::Port(error @ ports::Error::Corrupt { .. })) => {
                        return Ok(Err(Refused(error.to_string())));
                    }
                    Err(error) => return Err(error),
                },
                Err(Refusal::Repeated) => return Ok(Ok(ResultReply::Accepted)),
                Err(refusal) => return stale(refusal.to_string()),
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
            let mut files = tree.files;
            files.retain(|path, file| present.files.get(path) != Some(file));
            let wanted: Vec<_> = files.values().map(|it| (it.sha256, it.size)).collect();
            if let Some((at, _)) = self.renew_all(&wanted).await?
                && let Some((path, file)) = files.iter().nth(at)
            {
                let digest = file.sha256;
                return Ok(Err(format!(
                    "{path} ({digest}) of the tree is not in the store with the size that the tree says"
                )));
            }
        }
        Ok(Ok(()))
    }

    /// A stranger's word is checked before it becomes a row: that every artifact is in the store with the size it
    /// claims.
    async fn check_files(
        &self,
        result: &ResultManifest,
    ) -> Result<std::result::Result<(), Refused>> {
        let refuse = |why: String| Ok(Err(Refused(why)));
        // Renewed, not only looked for: from here to the row that names it, it is not removed.
        let wanted: Vec<_> = artifacts(result).map(|it| (it.sha256, it.size)).collect();
        let wrong = self.renew_all(&wanted).await?;
        let wrong = wrong.and_then(|(at, size)| Some((artifacts(result).nth(at)?, size)));
        match wrong {
            None => Ok(Ok(())),
            Some((artifact, Some(size))) => refuse(format!(
                "{} has {size} bytes in the store and {} in the result",
                artifact.name, artifact.size
            )),
            Some((artifact, None)) => refuse(format!(
                "{} ({}) was not uploaded",
                artifact.name, artifact.sha256
            )),
        }
    }
}

/// Scratch builds are built and tested, and no more; nothing else is made with them.
fn stands_apart(row: &TaskRow) -> std::result::Result<(), String> {
    let refuse = |why: &str| Err(format!("lease {}: {why}", row.task));
    if row.task.request.is_scratch() {
        return match row.spec {
            TaskSpec::Source(_) | TaskSpec::Build(_) | TaskSpec::Test(_) => Ok(()),
            _ => refuse("nothing of a scratch build is ever released"),
        };
    }
    let signed = match &row.spec {
        TaskSpec::SignPackages(task) => &task.packages[..],
        _ => &[],
    };
    let signed = signed.iter().map(|package| &package.built_by);
    match row
        .spec
        .inputs()
        .into_iter()
        .chain(signed)
        .any(|input| input.request.is_scratch())
    {
        true => refuse("it would be made with a scratch build"),
        false => Ok(()),
    }
}

/// What a result names.
fn artifacts(result: &ResultManifest) -> impl Iterator<Item = &Artifact> {
    let made = match &result.outcome {
        Outcome::Succeeded { artifacts, .. } | Outcome::Failed { artifacts, .. } => &artifacts[..],
        _ => &[],
    };
    made.iter().chain(&result.log)
}

/// What can be said of a result by itself: version, identity, number and names of its files.
fn check_claim(id: &RunnerId, result: &ResultManifest) -> std::result::Result<(), Refused> {
    if result.version != runner_api::VERSION {
        return Err(Refused(format!(
            "result version {} is not {}: bring the runner to the control plane's version",
            result.version,
            runner_api::VERSION
        )));
    }
    if result.runner != *id {
        return Err(Refused(format!(
            "the result is signed by {id} but says {}",
            result.runner
        )));
    }
    let count = artifacts(result).count();
    if count > MAX_ARTIFACTS {
        return Err(Refused(format!(
            "it names {count} files; a task makes {MAX_ARTIFACTS} at most"
        )));
    }
    match artifacts(result).find(|artifact| !is_plain_path(&artifact.name)) {
        Some(artifact) => Err(Refused(format!(
            "the artifact name {:?} is not a plain path",
            artifact.name
        ))),
        None => Ok(()),
    }
}

/// Queues that an enrolled runner may be served from.
pub fn queues(runner: &Runner) -> Vec<QueueName> {
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
