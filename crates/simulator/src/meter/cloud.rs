//! An installation in the cloud, in miniature: what starts which function, and what runners do.
//!
//! Functions are warm: parameters are read, addresses of queues known, the configuration at hand. As `terraform/` has it:
//! the stream starts dispatch when the outbox has new rows; `advance` starts plan with up to ten messages at once;
//! `report` starts report with up to a hundred, which is what comes in while the last task's work is done; `results` starts
//! collect with up to ten. Runners read their queues themselves and hand results in, but for the signer, whose program
//! knows no queues.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use control::{Collected, Control, Leased, Options, Taken};
use cost::{Actor, Call, Usage};
use ledger::{Message, QueueName};
use memory::MemoryPlatform;
use pipeline_spec::{RequestPath, Runner, RunnerId, Sha256Digest};
use ports::{ArtifactStore, Clock, Delivery, NewCommit, Platform, TaskQueue};
use runner_api::protocol::Attempt;
use runner_api::{
    Artifact, ArtifactKind, Grant, HandedIn, Offer, Outcome, ResultManifest, TaskSpec,
};

use super::Meter;
use super::jobs::key;
use super::ports::MeteredPlatform;
use crate::history::ADA;
use crate::run::block;
use crate::workshop::Workshop;

/// Messages with which SQS starts plan, at most.
const ADVANCES: usize = 10;
/// Messages with which SQS starts report, at most.
const REPORTS: usize = 100;
/// Results with which SQS starts collect, at most.
const RESULTS: usize = 10;
/// A message is hidden this long while its lease is asked for.
const CLAIM: Duration = Duration::from_secs(30);
/// A message is hidden this long while its function works.
const HIDDEN: Duration = Duration::from_secs(360);
/// The longest that a runner waits for work in one call.
const WAIT: Duration = Duration::from_secs(20);

type Function = Control<MeteredPlatform>;

pub(super) struct Cloud {
    memory: MemoryPlatform,
    meter: Meter,
    functions: BTreeMap<Actor, Function>,
    runners: Vec<RunnerId>,
    /// What runners have on their disks.
    disk: MemoryPlatform,
    /// Of these, what the store has, too.
    shared: BTreeSet<Sha256Digest>,
    /// Places of results that were handed in.
    told: Vec<String>,
    commits: i64,
}

impl Cloud {
    /// With the configuration pushed and planned. Work is asked for by `runners`, in this order.
    pub(super) fn new(configuration: &[(String, String)], runners: &[&str]) -> Self {
        let (memory, meter) = (MemoryPlatform::new(), Meter::default());
        let function = |actor| {
            let platform = MeteredPlatform::new(&memory, &meter);
            (actor, Control::new(platform, Options::default()))
        };
        let functions = [
            Actor::Plan,
            Actor::Dispatch,
            Actor::RunnerApi,
            Actor::Collect,
            Actor::Runners,
            Actor::Report,
            Actor::Sweep,
        ];
        let mut cloud = Self {
            functions: functions.map(function).into(),
            memory,
            meter,
            runners: runners
                .iter()
                .map(|id| id.parse().expect("an id"))
                .collect(),
            disk: MemoryPlatform::new(),
            shared: BTreeSet::new(),
            told: Vec::new(),
            commits: 0,
        };
        cloud.push(configuration);
        cloud.settle();
        // The configuration is at hand from here on.
        let id = cloud.runners[0].clone();
        cloud.call(&id, async |_| ());
        cloud.start(Actor::Collect, async |collect| {
            collect.runner(&id).await.expect("nothing fails");
        });
        cloud.usage();
        cloud
    }

    /// What was used since the last time.
    pub(super) fn usage(&self) -> Usage {
        self.meter.take()
    }

    pub(super) fn memory(&self) -> &MemoryPlatform {
        &self.memory
    }

    /// Somebody merges files, and the forge's call wakes plan.
    pub(super) fn push(&mut self, files: &[(String, String)]) {
        self.commits += 1;
        let files = files.iter();
        let new = NewCommit {
            files: files
                .map(|(path, text)| (path.clone(), Some(Bytes::from(text.clone()))))
                .collect(),
            message: format!("commit {}", self.commits),
            time: 1_782_000_000 + self.commits,
        };
        self.memory.state_repo().push("main", ADA, new);
        self.mapped(1);
        self.start(Actor::Plan, async |plan| {
            plan.plan_head().await.expect("nothing fails");
        });
    }

    /// Runs until there is nothing to do: `at_once` tasks end at the same moment, each time.
    pub(super) fn work(&mut self, at_once: usize) {
        loop {
            self.settle();
            let grants = self.take_some(at_once);
            if grants.is_empty() {
                return;
            }
            for (id, grant) in grants {
                self.do_task(&id, &grant);
            }
            self.collect();
        }
    }

    /// What the store tells of new results.
    pub(super) fn collect(&mut self) {
        for places in std::mem::take(&mut self.told).chunks(RESULTS) {
            self.start(Actor::Collect, async |collect| {
                for place in places {
                    let collected = collect.collect(place).await;
                    assert_eq!(collected.expect("nothing fails"), Collected::Accepted);
                }
            });
            self.mapped(places.len() as u64);
        }
    }

    /// The machine's own work, until it waits for runners.
    pub(super) fn settle(&self) {
        loop {
            let outbox = |key: &ledger::Key| key.partition == ledger::partition::OUTBOX;
            let has_news = self.memory.ledger().rows().keys().any(outbox);
            if has_news {
                self.start(Actor::Dispatch, async |dispatch| {
                    dispatch.dispatch().await.expect("nothing fails");
                });
            }
            if !self.advance() && !has_news {
                break;
            }
        }
        while self.report() {}
    }

    fn advance(&self) -> bool {
        let messages = self.messages(QueueName::advance(), ADVANCES);
        let paths: BTreeSet<RequestPath> = messages
            .iter()
            .filter_map(|it| match &it.message {
                Message::Advance { request } => Some(request.clone()),
                _ => None,
            })
            .collect();
        if !paths.is_empty() {
            self.start(Actor::Plan, async |plan| {
                for path in &paths {
                    plan.advance(path).await.expect("nothing fails");
                }
            });
        }
        self.done(&messages)
    }

    fn report(&self) -> bool {
        let messages = self.messages(QueueName::report(), REPORTS);
        if !messages.is_empty() {
            self.start(Actor::Report, async |report| {
                let reported = report.report_received(&messages).await;
                reported.expect("nothing fails");
            });
        }
        self.done(&messages)
    }

    /// What AWS receives to start a function.
    fn messages(&self, queue: QueueName, most: usize) -> Vec<Delivery> {
        let queues = [queue];
        let received = self
            .memory
            .queue()
            .receive(&queues, most, HIDDEN, Duration::ZERO);
        block(received).expect("memory")
    }

    /// AWS deletes what a function was started with, whether or not the function did so itself.
    fn done(&self, messages: &[Delivery]) -> bool {
        for message in messages {
            block(self.memory.queue().acknowledge(&message.receipt)).expect("memory");
        }
        if !messages.is_empty() {
            self.mapped(messages.len() as u64);
        }
        !messages.is_empty()
    }

    /// The requests of AWS itself for a start with so many messages.
    fn mapped(&self, messages: u64) {
        let looked = messages.div_ceil(10);
        let received = Call::Receive { looked, waited: 0 };
        let queues = vec![messages];
        for call in [received, Call::AcknowledgeAll { queues }] {
            self.meter.note_of(Actor::Mappings, &call);
        }
    }

    fn start<T>(&self, actor: Actor, work: impl AsyncFnOnce(&Function) -> T) -> T {
        self.started(actor, false, work)
    }

    fn started<T>(
        &self,
        actor: Actor,
        is_api_call: bool,
        work: impl AsyncFnOnce(&Function) -> T,
    ) -> T {
        self.meter.start(actor, is_api_call);
        let done = block(work(&self.functions[&actor]));
        self.meter.end();
        done
    }

    /// A runner's call, which begins with the question who he is.
    fn call<T>(&self, id: &RunnerId, work: impl AsyncFnOnce(&Function) -> T) -> T {
        self.started(Actor::RunnerApi, true, async |api| {
            let runner = api.runner(id).await.expect("nothing fails");
            runner.expect("he is enrolled");
            work(api).await
        })
    }

    /// Up to `most` grants. Nobody asks in vain: waits are counted by themselves.
    fn take_some(&self, most: usize) -> Vec<(RunnerId, Grant)> {
        let mut grants = Vec::new();
        for id in &self.runners {
            while grants.len() < most && self.has_work(id) {
                match self.take(id) {
                    Taken::Granted(grant) => grants.push((id.clone(), *grant)),
                    Taken::Nothing => break,
                }
            }
        }
        grants
    }

    fn has_work(&self, id: &RunnerId) -> bool {
        let waiting = self.memory.queue().messages();
        let mine = super::jobs::queues(id);
        waiting
            .iter()
            .any(|(queue, _)| mine.contains(&queue.as_str()))
    }

    /// A runner looks for work, or asks for it, and waits.
    pub(super) fn take(&self, id: &RunnerId) -> Taken {
        if key(id).is_some() {
            return self.take_from_queue(id);
        }
        self.started(Actor::RunnerApi, true, async |api| {
            let runner = api.runner(id).await.expect("nothing fails");
            let runner = runner.expect("he is enrolled");
            api.take(id, &runner, WAIT).await.expect("nothing fails")
        })
    }

    fn take_from_queue(&self, id: &RunnerId) -> Taken {
        let runner = self.call_uncounted(id);
        let queues = control::queues(&runner);
        let found = self.as_runner(async |own| {
            let found = own.queue().receive(&queues, 1, CLAIM, WAIT).await;
            found.expect("nothing fails").pop()
        });
        let Some(found) = found else {
            return Taken::Nothing;
        };
        let Message::Attempt { task, attempt } = found.message else {
            panic!("{:?}", found.message);
        };
        let offer = Offer {
            task,
            attempt,
            priority: found.share.priority,
        };
        let leased = self.call(id, async |api| {
            let leased = api.lease(id, &runner, &offer).await;
            leased.expect("nothing fails")
        });
        self.as_runner(async |own| {
            let removed = own.queue().acknowledge(&found.receipt).await;
            removed.expect("nothing fails");
        });
        match leased {
            Leased::Granted(grant) => Taken::Granted(grant),
            other => panic!("{other:?}"),
        }
    }

    fn call_uncounted(&self, id: &RunnerId) -> Runner {
        let runner = block(self.functions[&Actor::RunnerApi].runner(id));
        runner.expect("nothing fails").expect("he is enrolled")
    }

    /// What a runner does with its own rights.
    fn as_runner<T>(&self, work: impl AsyncFnOnce(&MeteredPlatform) -> T) -> T {
        self.meter.acts(Actor::Runners);
        let done = block(work(self.functions[&Actor::Runners].platform()));
        self.meter.end();
        done
    }

    /// Some work that a runner keeps.
    pub(super) fn take_one(&self) -> (RunnerId, Grant) {
        let grant = self.take_some(1).pop();
        grant.expect("there is work")
    }

    pub(super) fn heartbeat(&self, id: &RunnerId, grant: &Grant) {
        let attempt = Attempt {
            task: grant.task.clone(),
            attempt: grant.attempt,
        };
        self.call(id, async |api| {
            api.heartbeat(id, &attempt).await.expect("nothing fails");
        });
    }

    /// A function has no disk that lasts, and says so before it looks for the lease.
    pub(super) fn log_piece(&self, id: &RunnerId) {
        self.call(id, async |_| ());
    }

    /// The timer's minute.
    pub(super) fn sweep(&self) {
        self.start(Actor::Sweep, async |sweep| {
            sweep.plan_head().await.expect("nothing fails");
            sweep.sweep().await.expect("nothing fails");
            sweep.report_received(&[]).await.expect("nothing fails");
        });
    }

    /// Fetches, works, uploads, and says so; then the machine goes on.
    pub(super) fn do_task(&mut self, id: &RunnerId, grant: &Grant) {
        for digest in wanted(grant) {
            self.fetch(grant, &digest);
        }
        let workshop = Workshop { memory: &self.disk };
        let outcome = block(workshop.work(grant));
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        let log = self.log(grant);
        self.upload(id);
        let result = ResultManifest {
            version: runner_api::VERSION,
            task: grant.task.clone(),
            attempt: grant.attempt,
            runner: id.clone(),
            outcome,
            log: Some(log),
            started: 1_782_864_000,
            finished: 1_782_864_060,
        };
        let Some(key) = key(id) else {
            return self.call(id, async |api| {
                let reply = api.finish(id, &result).await.expect("nothing fails");
                reply.unwrap_or_else(|refused| panic!("refused: {}", refused.0));
            });
        };
        let now = self.memory.clock().now() / 1_000;
        let (place, document) = HandedIn::sign(&key, &result, now);
        self.memory.store().hand_in(&place, document);
        self.meter.note_of(Actor::Runners, &Call::Put);
        self.told.push(place);
    }

    /// The grant says where the file is.
    fn fetch(&mut self, grant: &Grant, digest: &Sha256Digest) {
        assert!(grant.links.contains_key(digest), "each has a link");
        self.meter.note_of(Actor::Runners, &Call::Read);
        let bytes = self.memory.store().bytes(digest).expect("the store has it");
        block(self.disk.store().put(bytes)).expect("memory");
        self.shared.insert(*digest);
    }

    fn log(&self, grant: &Grant) -> Artifact {
        let text = format!("log of {} #{}", grant.task, grant.attempt);
        let size = text.len() as u64;
        let sha256 = block(self.disk.store().put(Bytes::from(text))).expect("memory");
        Artifact {
            name: "log".to_owned(),
            sha256,
            size,
            kind: ArtifactKind::Log,
            package: None,
        }
    }

    /// Everything new: the runner asks where to, and puts it into the store itself. Files of 8 MiB and more would be
    /// looked for first.
    fn upload(&mut self, id: &RunnerId) {
        for digest in self.disk.store().digests() {
            if !self.shared.insert(digest) {
                continue;
            }
            self.call(id, async |_| ());
            self.meter.note_of(Actor::Runners, &Call::Put);
            let bytes = self.disk.store().bytes(&digest).expect("it was made");
            block(self.memory.store().put(bytes)).expect("memory");
        }
    }
}

/// What a runner fetches for a task.
fn wanted(grant: &Grant) -> BTreeSet<Sha256Digest> {
    let inputs = grant.inputs.values().flatten();
    let mut digests: BTreeSet<_> = inputs.map(|artifact| artifact.sha256).collect();
    match &grant.spec {
        TaskSpec::Compose(task) => _ = digests.insert(task.content),
        TaskSpec::SignPackages(task) => {
            digests.extend(task.packages.iter().map(|it| it.artifact.sha256));
        }
        _ => {}
    }
    digests
}
