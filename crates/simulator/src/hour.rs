//! A mass rebuild at a forge, counted: how often is pushed to the status branch, and how many checks are written.
//!
//! Nothing fails here and nothing is random. Pull requests are merged one after another, runners end so many tasks each
//! second, and the control plane is started as in the cloud: messages in hundreds, by several processes, none of which
//! remembers anything.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use control::{Control, Options, Reported, Taken};
use ledger::{Message, Millis, QueueName, partition};
use memory::{ManualClock, MemoryForge, MemoryPlatform};
use pipeline_spec::{RequestPath, RunnerId};
use ports::{Check, CheckState, Clock, Forge, NewCommit, Permission, Platform, Pull, PullState};
use ports::{Reply, Result, StateRepo, TaskQueue};
use runner_api::ResultManifest;

use crate::history::{ADA, configuration};
use crate::run::block;
use crate::upstream::{commit, git_ref, url};
use crate::workshop::Workshop;

/// Packages of one request: each has a source task, and on two architectures a build and a test.
const PACKAGES: u64 = 100;
/// Seconds between two merges.
const MERGES: u64 = 35;
/// Tasks that end in a second.
const A_SECOND: usize = 14;
/// Messages that start a process, at most.
const MESSAGES: usize = 100;
/// They are hidden so long while it works.
const CLAIM: Duration = Duration::from_secs(360);
/// How work goes is told this often, in seconds.
const TELL: u64 = 5;
/// Pull requests are looked at this often, in seconds.
const REVIEW: u64 = 60;
/// Processes that write status.
const REPORTERS: usize = 4;
/// Seconds until all is told, at most.
const PATIENCE: u64 = 7_200;
/// What people read of a commit's work.
const RESULTS: &str = "build and release";

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Hour {
    /// Tasks that ended.
    pub tasks: usize,
    /// When a push to the status branch was made, oldest first, in milliseconds.
    pub pushes: Vec<i64>,
    /// When a check was written, oldest first, in milliseconds.
    pub checks: Vec<i64>,
    /// Of pull requests and commits that nothing is left to do for: those that people read something else of.
    pub stale: Vec<String>,
}

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pushes, checks) = (&self.pushes, &self.checks);
        write!(
            f,
            "{} tasks ended: at most {} pushes and {} checks in an hour, {} and {} in a minute",
            self.tasks,
            Self::most_in(pushes, HOUR),
            Self::most_in(checks, HOUR),
            Self::most_in(pushes, MINUTE),
            Self::most_in(checks, MINUTE),
        )
    }
}

impl Hour {
    /// What is wrong with it, if `tasks` were to end.
    pub fn violations(&self, tasks: usize) -> Vec<String> {
        let mut found = self.stale.clone();
        if self.tasks < tasks {
            found.push(format!("{} tasks ended, and not {tasks}", self.tasks));
        }
        let limits = [
            ("pushes", &self.pushes, HOUR, 360),
            ("checks", &self.checks, HOUR, 500),
            ("pushes", &self.pushes, MINUTE, 6),
            ("checks", &self.checks, MINUTE, 80),
        ];
        for (what, times, span, most) in limits {
            let made = Self::most_in(times, span);
            if made > most {
                let seconds = span / 1_000;
                found.push(format!(
                    "{made} {what} within {seconds} s: {most} are allowed"
                ));
            }
        }
        found
    }

    /// The most of `times` in any span of so many milliseconds.
    pub fn most_in(times: &[i64], milliseconds: i64) -> usize {
        let until = |start: &i64| times.partition_point(|at| *at < start + milliseconds);
        let starts = times.iter().enumerate();
        starts
            .map(|(nth, start)| until(start) - nth)
            .max()
            .unwrap_or(0)
    }
}

/// Works off what is merged in so many seconds, and then the rest.
pub fn hour(seconds: u64) -> Hour {
    let mut site = Site::new();
    for second in 0..seconds {
        if second % MERGES == 0 {
            site.merge();
        }
        site.second(second);
    }
    let tasks = site.ended;
    let mut second = seconds;
    while !site.is_done() && second < seconds + PATIENCE {
        site.second(second);
        second += 1;
    }
    Hour {
        tasks,
        pushes: site.pushes(),
        checks: site.forge.times(),
        stale: site.stale(),
    }
}

struct Site {
    memory: MemoryPlatform,
    forge: Counting,
    /// None remembers anything: each start is another process.
    options: Options,
    starts: usize,
    opened: u64,
    /// Open ones, the oldest first.
    pulls: Vec<(u64, NewCommit)>,
    heads: Vec<String>,
    ended: usize,
    commits: i64,
}

impl Site {
    fn new() -> Self {
        let memory = MemoryPlatform::new();
        for number in 0..PACKAGES {
            let name = format!("package{number:03}");
            let repo = memory.state_repo();
            repo.set_ref(&url(&name), &git_ref(1), &commit(1, 0));
        }
        let forge = Counting {
            inner: MemoryForge::default(),
            clock: memory.clock().clone(),
            written: Arc::default(),
        };
        let options = Options {
            pushes_a_minute: NonZeroU32::new(6),
            checks: true,
            ..Options::default()
        };
        let mut site = Self {
            memory,
            forge,
            options,
            starts: 0,
            opened: 0,
            pulls: Vec::new(),
            heads: Vec::new(),
            ended: 0,
            commits: 0,
        };
        let files = configuration().into_iter();
        let files = files.map(|(path, text)| (path, Some(Bytes::from(text))));
        let new = site.commit(files.collect());
        site.memory.state_repo().push("main", ADA, new);
        block(site.plane().plan_head()).expect("nothing fails");
        // The first one is there when the first is merged.
        site.open();
        site
    }

    fn plane(&self) -> Control<MemoryPlatform> {
        Control::new(self.memory.clone(), self.options.clone())
    }

    fn commit(&mut self, files: Vec<(String, Option<Bytes>)>) -> NewCommit {
        self.commits += 1;
        NewCommit {
            files,
            message: format!("commit {}", self.commits),
            time: 1_782_000_000 + self.commits,
        }
    }

    fn open(&mut self) {
        self.opened += 1;
        let mut text = "reason: all anew\nplatforms:\n  el-10:\npackages:\n".to_owned();
        for number in 0..PACKAGES {
            let (url, git_ref) = (url(&format!("package{number:03}")), git_ref(1));
            text += &format!("  - source: {{git: \"{url}\", ref: {git_ref}}}\n");
        }
        let path = format!("builds/2026/11/r{}.yaml", self.opened);
        let new = self.commit(vec![(path, Some(Bytes::from(text)))]);
        let repo = self.memory.state_repo();
        let tip = block(repo.head("main"))
            .expect("memory")
            .expect("it is there");
        repo.reset("topic", &tip);
        let head = repo.push("topic", ADA, new.clone());
        self.heads.push(head.clone());
        let number = self.forge.inner.open_pull(Pull {
            number: 0,
            title: "all anew".to_owned(),
            author: "ada".to_owned(),
            head,
            base: "main".to_owned(),
            is_own: true,
            state: PullState::Open,
        });
        self.pulls.push((number, new));
    }

    /// The pull request that is open is merged, and the next one opened; the forge tells of both.
    fn merge(&mut self) {
        for (number, new) in std::mem::take(&mut self.pulls) {
            let merged = self.memory.state_repo().push("main", ADA, new);
            let state = PullState::Merged(merged.clone());
            self.heads.push(merged);
            self.forge
                .inner
                .change_pull(number, |pull| pull.state = state);
        }
        self.open();
        block(self.plane().plan_head()).expect("nothing fails");
        self.review();
    }

    fn review(&self) {
        let reviewed = block(self.plane().review(&self.forge)).expect("nothing fails");
        assert_eq!(reviewed.failed, 0);
    }

    /// What happens in a second.
    fn second(&mut self, second: u64) {
        self.settle();
        self.work();
        self.settle();
        self.report();
        if second.is_multiple_of(REVIEW) {
            self.review();
        }
        if second.is_multiple_of(TELL) {
            let told = block(self.plane().tell(&self.forge)).expect("nothing fails");
            assert_eq!(told.failed, 0);
        }
        self.memory.clock().pass(Duration::from_secs(1));
    }

    fn settle(&self) {
        let plane = self.plane();
        loop {
            block(plane.dispatch()).expect("nothing fails");
            let queue = self.memory.queue();
            let queues = [QueueName::advance()];
            let received = queue.receive(&queues, MESSAGES, CLAIM, Duration::ZERO);
            let received = block(received).expect("memory");
            if received.is_empty() {
                return;
            }
            let requests: BTreeSet<&RequestPath> = received
                .iter()
                .filter_map(|it| match &it.message {
                    Message::Advance { request } => Some(request),
                    _ => None,
                })
                .collect();
            for request in requests {
                block(plane.advance(request)).expect("nothing fails");
            }
            for it in &received {
                block(queue.acknowledge(&it.receipt)).expect("memory");
            }
        }
    }

    fn work(&mut self) {
        let plane = self.plane();
        let id: RunnerId = "builder".parse().expect("an id");
        let runner = block(plane.runner(&id)).expect("nothing fails");
        let runner = runner.expect("he is enrolled");
        for _ in 0..A_SECOND {
            let taken = block(plane.take(&id, &runner, Duration::ZERO));
            let Taken::Granted(grant) = taken.expect("nothing fails") else {
                return;
            };
            let memory = &self.memory;
            let outcome = block(Workshop { memory }.work(&grant));
            let result = ResultManifest {
                version: runner_api::VERSION,
                task: grant.task.clone(),
                attempt: grant.attempt,
                runner: id.clone(),
                outcome,
                log: None,
                started: 1_782_864_000,
                finished: 1_782_864_060,
            };
            let answer = block(plane.finish(&id, &result)).expect("nothing fails");
            answer.unwrap_or_else(|refused| panic!("refused: {}", refused.0));
            self.ended += 1;
        }
    }

    /// Processes are started with what there is, side by side.
    fn report(&mut self) {
        let reporters: Vec<_> = (0..REPORTERS).map(|_| self.plane()).collect();
        loop {
            let queues = [QueueName::report()];
            let received = self.memory.queue();
            let received = received.receive(&queues, MESSAGES, CLAIM, Duration::ZERO);
            let received = block(received).expect("memory");
            if received.is_empty() {
                return;
            }
            self.starts += 1;
            let reporter = &reporters[self.starts % REPORTERS];
            let reported = block(reporter.report_received(&received));
            let _told: Reported = reported.expect("nothing fails");
        }
    }

    /// Nothing is left to do or to say.
    fn is_done(&self) -> bool {
        let left = [partition::OPEN, partition::OUTBOX, partition::WATCHED];
        let mut has_left = false;
        let ledger = self.memory.ledger();
        ledger.visit(|key, _| has_left |= left.contains(&&*key.partition));
        !has_left && self.memory.queue().is_empty()
    }

    fn pushes(&self) -> Vec<Millis> {
        let repo = self.memory.state_repo();
        let mut times = Vec::new();
        let mut next = block(repo.head("status")).expect("memory");
        while let Some(commit) = next {
            let info = block(repo.info(&commit)).expect("memory");
            times.push(info.time * 1_000);
            next = info.parents.into_iter().next();
        }
        times.reverse();
        times
    }

    /// Pages and status files that do not say that all is done.
    fn stale(&self) -> Vec<String> {
        let mut stale = Vec::new();
        // Nobody has merged the last one.
        let still_open = self.heads.last().cloned();
        let heads = self
            .heads
            .iter()
            .filter(|it| Some(*it) != still_open.as_ref());
        for head in heads {
            let mut checks = self.forge.inner.checks(head).into_iter();
            let state = checks.find(|it| it.name == RESULTS).map(|it| it.state);
            if state != Some(CheckState::Passed) {
                stale.push(format!("the check of {head} is {state:?}"));
            }
        }
        let repo = self.memory.state_repo();
        let tip = block(repo.head("status"))
            .expect("memory")
            .unwrap_or_default();
        for number in 1..self.opened {
            let path = format!("builds/2026/11/r{number}.yaml");
            let file = block(repo.read(&tip, &path)).expect("memory");
            let text = file.map(|it| String::from_utf8_lossy(&it).into_owned());
            if !text.is_some_and(|it| it.contains("phase: succeeded")) {
                stale.push(format!("{path} on the status branch"));
            }
        }
        stale
    }
}

/// A forge that notes when it was written to.
#[derive(Clone)]
struct Counting {
    inner: MemoryForge,
    clock: ManualClock,
    written: Arc<Mutex<Vec<Millis>>>,
}

impl Counting {
    fn times(&self) -> Vec<Millis> {
        let written = self.written.lock();
        written.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Forge for Counting {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        self.inner.open_pulls(base).await
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        self.inner.pull(number).await
    }
    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        self.inner.pull_of(commit).await
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let before = self.inner.checks_written();
        self.inner.write_check(check).await?;
        if self.inner.checks_written() > before {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.push(self.clock.now());
        }
        Ok(())
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        self.inner.permission(login).await
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        self.inner.is_program(login).await
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        self.inner.answer(reply).await
    }
}
