//! A whole installation in memory: state repository, control plane, two runners.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use control::{Control, Options, Planned, Reported, StatusFile, Taken};
use ledger::{Key, Message, QueueName, Row, TaskRow};
use memory::MemoryPlatform;
use pipeline_spec::{RequestPath, RunnerId};
use ports::{ArtifactStore, NewCommit, Platform, StateRepo, TaskQueue};
use runner_api::{Grant, Outcome, Pointer, ResultManifest, ResultReply, Tree};

use crate::faults::{Faults, FaultyPlatform};
use crate::fixture::{CONFIG, url};
use crate::runners::{Upstream, Workshop, manifest};

/// What a runner does with what it was given.
pub(crate) enum Act {
    /// What a real one would.
    Work,
    /// Says this.
    Say(Outcome),
    /// Keeps it, and is silent.
    Hold,
}

type Script = Box<dyn FnMut(&Grant) -> Act>;

pub(crate) struct World {
    pub(crate) memory: MemoryPlatform,
    pub(crate) control: Control<FaultyPlatform>,
    pub(crate) faults: Faults,
    pub(crate) upstream: Upstream,
    /// What runners were given and keep.
    pub(crate) held: Vec<(RunnerId, Grant)>,
    /// Results that the control plane has not answered yet; a runner sends them again.
    unanswered: Vec<ResultManifest>,
    script: Script,
    commits: i64,
}

fn control(memory: &MemoryPlatform, faults: &Faults) -> Control<FaultyPlatform> {
    Control::new(FaultyPlatform::new(memory, faults), Options::default())
}

fn telling(memory: &MemoryPlatform, faults: &Faults) -> Control<FaultyPlatform> {
    let options = Options {
        checks: true,
        public_url: Some("https://build.example.org".to_owned()),
        ..Options::default()
    };
    Control::new(FaultyPlatform::new(memory, faults), options)
}

/// Of a scratch build, too.
pub(crate) fn path(text: &str) -> RequestPath {
    RequestPath::stored(text).expect("a request's path")
}

impl World {
    /// With the configuration pushed and planned.
    pub(crate) async fn new() -> Self {
        let (memory, faults) = (MemoryPlatform::new(), Faults::default());
        let mut world = Self {
            control: control(&memory, &faults),
            memory,
            faults,
            upstream: Upstream::default(),
            held: Vec::new(),
            unanswered: Vec::new(),
            script: Box::new(|_| Act::Work),
            commits: 0,
        };
        for package in ["app", "lib", "tool"] {
            world.source(package, "main", '1');
        }
        let files: Vec<(&str, Option<&str>)> = CONFIG
            .iter()
            .map(|(path, text)| (*path, Some(*text)))
            .collect();
        world.push(&files);
        let planned = world.control.plan_head().await.expect("no fault is armed");
        assert!(matches!(planned, Planned::New(_, 0)), "{planned:?}");
        world
    }

    /// The same, where somebody tells people by checks.
    pub(crate) async fn with_checks() -> Self {
        Self::new().await.telling()
    }

    /// A process that tells by checks comes in the place of the one that was there.
    pub(crate) fn telling(mut self) -> Self {
        self.control = telling(&self.memory, &self.faults);
        self
    }

    /// What a package's repository has under `git_ref`: a commit of one digit.
    pub(crate) fn source(&self, package: &str, git_ref: &str, digit: char) {
        let commit = digit.to_string().repeat(40);
        let repo = self.memory.state_repo();
        repo.set_ref(&url(package), git_ref, &commit);
    }

    pub(crate) fn script(&mut self, script: impl FnMut(&Grant) -> Act + 'static) {
        self.script = Box::new(script);
    }

    /// Another process of the control plane, whose calls never fail.
    pub(crate) fn another(&self) -> Control<FaultyPlatform> {
        control(&self.memory, &Faults::default())
    }

    /// The same, which tells by checks.
    pub(crate) fn another_telling(&self) -> Control<FaultyPlatform> {
        telling(&self.memory, &Faults::default())
    }

    pub(crate) fn next_commit(&mut self, files: &[(&str, Option<&str>)]) -> NewCommit {
        self.commits += 1;
        NewCommit {
            files: files
                .iter()
                .map(|(path, text)| {
                    let text = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
                    ((*path).to_owned(), text)
                })
                .collect(),
            message: format!("commit {}", self.commits),
            time: 1_782_000_000 + self.commits,
        }
    }

    pub(crate) fn push(&mut self, files: &[(&str, Option<&str>)]) -> String {
        let new = self.next_commit(files);
        let repo = self.memory.state_repo();
        repo.push("main", "Ada <ada@example.org>", new)
    }

    /// As [`World::push`], by somebody else.
    pub(crate) fn push_as(&mut self, author: &str, files: &[(&str, Option<&str>)]) {
        let new = self.next_commit(files);
        self.memory.state_repo().push("main", author, new);
    }

    /// Plans what was pushed and offers what is ready; no runner comes.
    pub(crate) async fn offer(&self) {
        let planned = self.control.plan_head().await;
        planned.expect("no fault is armed");
        let swept = self.control.sweep().await;
        swept.expect("no fault is armed");
    }

    /// What the builder is given next; it keeps it.
    pub(crate) async fn next_grant(&mut self) -> Option<Grant> {
        self.script(|_| Act::Hold);
        let taken = self.take("builder").await;
        taken
            .expect("no fault is armed")
            .then(|| self.held.last().expect("it was just given").1.clone())
    }

    pub(crate) fn force_push(&mut self, files: &[(&str, Option<&str>)]) -> String {
        let new = self.next_commit(files);
        let repo = self.memory.state_repo();
        repo.force_push("main", "Ada <ada@example.org>", new)
    }

    /// Pushes and works until nothing moves.
    pub(crate) async fn merge(&mut self, files: &[(&str, Option<&str>)]) {
        self.push(files);
        self.quiet().await;
    }

    /// The control plane is killed and started again: its memory is gone.
    pub(crate) fn restart(&mut self) {
        self.control = control(&self.memory, &self.faults);
    }

    /// The disk with ledger and queues is gone.
    pub(crate) fn lose(&mut self) {
        self.memory.ledger().lose();
        self.memory.queue().lose();
        self.restart();
    }

    /// As [`World::lose`]; both are made anew.
    pub(crate) async fn lose_ledger(&mut self) -> control::Recovered {
        self.lose();
        let recovered = self.control.recover(|_, _| {}).await;
        let recovered = recovered.expect("no fault is armed");
        assert_eq!(recovered.problems, []);
        recovered
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.memory.clock().pass(Duration::from_secs(seconds));
    }

    /// Works until nothing moves.
    pub(crate) async fn quiet(&mut self) {
        self.pump().await.expect("no fault is armed");
    }

    /// As [`World::quiet`]; a port's failure ends it.
    pub(crate) async fn pump(&mut self) -> control::Result<()> {
        // A request has a few stages, each some rounds.
        for _ in 0..200 {
            let mut moved = !matches!(
                self.control.plan_head().await?,
                Planned::UpToDate | Planned::Empty | Planned::Broken(_)
            );
            moved |= match self.control.dispatch().await {
                // What is left is for the queue that is not there.
                Err(_) if self.faults.has_taken_a_queue_away() => false,
                sent => sent? > 0,
            };
            moved |= self.advance().await?;
            moved |= self.answer().await?;
            for runner in ["builder", "signer"] {
                moved |= self.take(runner).await?;
            }
            let reported = self.control.report(Duration::ZERO).await?;
            moved |= matches!(reported, Reported::Commit(..));
            if !moved {
                return Ok(());
            }
        }
        panic!("it never comes to rest:\n{}", self.story().await);
    }

    async fn advance(&self) -> control::Result<bool> {
        let queue = self.control.platform().queue();
        let queues = [QueueName::advance()];
        let claim = Duration::from_secs(60);
        let deliveries = queue.receive(&queues, 100, claim, Duration::ZERO).await?;
        for delivery in &deliveries {
            if let Message::Advance { request } = &delivery.message {
                self.control.advance(request).await?;
            }
            queue.acknowledge(&delivery.receipt).await?;
        }
        Ok(!deliveries.is_empty())
    }

    async fn take(&mut self, name: &str) -> control::Result<bool> {
        let id: RunnerId = name.parse().expect("a runner's id");
        let Some(runner) = self.control.runner(&id).await? else {
            return Ok(false);
        };
        let Taken::Granted(grant) = self.control.take(&id, &runner, Duration::ZERO).await? else {
            return Ok(false);
        };
        let outcome = match (self.script)(&grant) {
            Act::Hold => {
                self.held.push((id, *grant));
                return Ok(true);
            }
            Act::Say(outcome) => outcome,
            Act::Work => self.workshop().work(&grant).await,
        };
        self.unanswered.push(manifest(&grant, &id, outcome));
        self.answer().await
    }

    pub(crate) fn workshop(&self) -> Workshop<'_> {
        Workshop {
            memory: &self.memory,
            upstream: &self.upstream,
        }
    }

    async fn answer(&mut self) -> control::Result<bool> {
        let mut moved = false;
        while let Some(result) = self.unanswered.last().cloned() {
            let answer = self.control.finish(&result.runner, &result).await?;
            answer.unwrap_or_else(|refused| panic!("refused: {}", refused.0));
            self.unanswered.pop();
            moved = true;
        }
        Ok(moved)
    }

    /// A held task ends as a real one would.
    pub(crate) async fn finish_held(&mut self) -> ResultReply {
        let (runner, grant) = self.held.remove(0);
        let outcome = self.workshop().work(&grant).await;
        let result = manifest(&grant, &runner, outcome);
        let answer = self.control.finish(&runner, &result).await;
        answer
            .expect("no fault is armed")
            .expect("it keeps the contract")
    }

    /// A held task ends with these words.
    pub(crate) async fn say_held(&mut self, outcome: Outcome) -> ResultReply {
        let (runner, grant) = self.held.remove(0);
        let result = manifest(&grant, &runner, outcome);
        let answer = self.control.finish(&runner, &result).await;
        answer
            .expect("no fault is armed")
            .expect("it keeps the contract")
    }

    /// What the timers do, until everything is at rest or waits for a person.
    pub(crate) async fn heal(&mut self) {
        self.quiet().await;
        for _ in 0..8 {
            if self.is_settled() {
                return;
            }
            self.pass(121);
            self.control
                .expire_leases()
                .await
                .expect("no fault is armed");
            self.control.sweep().await.expect("no fault is armed");
            self.quiet().await;
        }
    }

    /// Nothing is open, and nothing is on its way.
    fn is_settled(&self) -> bool {
        let moving = [
            ledger::partition::OPEN,
            ledger::partition::LEASES,
            ledger::partition::OUTBOX,
        ];
        let keys = self.rows().into_keys();
        self.memory.queue().messages().is_empty()
            && keys
                .into_iter()
                .all(|key| !moving.contains(&key.partition.as_str()))
    }

    pub(crate) fn rows(&self) -> BTreeMap<Key, ledger::Record> {
        self.memory.ledger().rows()
    }

    pub(crate) fn tasks(&self, request: &str) -> Vec<TaskRow> {
        let partition = Key::request_partition(&path(request));
        let rows = self.rows().into_iter();
        rows.filter(|(key, _)| key.partition == partition)
            .filter_map(|(_, record)| match record.row {
                Row::Task(row) => Some(*row),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn task(&self, request: &str, title: &str) -> TaskRow {
        let tasks = self.tasks(request);
        let titles: Vec<String> = tasks.iter().map(|row| row.spec.title()).collect();
        let found = tasks.into_iter().find(|row| row.spec.title() == title);
        found.unwrap_or_else(|| panic!("no {title:?} among {titles:?}"))
    }

    pub(crate) async fn status(&self, request: &str) -> StatusFile {
        let status = self.control.request_status(&path(request)).await;
        status.expect("no fault is armed").expect("it is known")
    }

    pub(crate) async fn phase(&self, request: &str) -> String {
        self.status(request).await.phase
    }

    /// Where a branch is.
    pub(crate) async fn tip(&self, branch: &str) -> String {
        let tip = self.memory.state_repo().head(branch).await;
        tip.expect("memory").expect("it is there")
    }

    /// The file on the status branch.
    pub(crate) async fn written(&self, request: &str) -> Option<String> {
        let repo = self.memory.state_repo();
        let tip = repo.head("status").await.expect("memory")?;
        let bytes = repo.read(&tip, request).await.expect("memory")?;
        Some(String::from_utf8(bytes.to_vec()).expect("YAML is UTF-8"))
    }

    pub(crate) async fn pointer(&self, repository: &str) -> Option<Pointer> {
        let bytes = self
            .memory
            .store()
            .pointer(repository)
            .await
            .expect("memory")?;
        Some(serde_json::from_slice(&bytes).expect("a pointer"))
    }

    /// `1: app-1.0-1.src.rpm …`: the generation and the packages that clients see.
    pub(crate) async fn repository(&self, name: &str) -> String {
        let Some(pointer) = self.pointer(name).await else {
            return "nothing".to_owned();
        };
        let tree = self.memory.store().get(&pointer.tree, u64::MAX).await;
        let tree = tree.expect("memory").expect("a published tree is there");
        let tree: Tree = serde_json::from_slice(&tree).expect("a tree");
        let names = tree
            .files
            .keys()
            .filter_map(|path| path.strip_prefix("Packages/"));
        let names: Vec<&str> = names.collect();
        format!("{}: {}", pointer.generation, names.join(" "))
    }

    /// All that people could see, and all that should not be left behind.
    pub(crate) async fn story(&self) -> String {
        let (mut text, mut left) = (String::new(), String::new());
        for (key, record) in self.rows() {
            match record.row {
                Row::Request(row) => {
                    let status = self.control.request_status(&row.path).await;
                    let status = status.expect("no fault is armed").expect("it is known");
                    let _ = writeln!(text, "{} is {}", status.request, status.phase);
                    for problem in &status.problems {
                        let _ =
                            writeln!(text, "  problem: {}: {}", problem.subject, problem.message);
                    }
                    for note in &status.notes {
                        let _ = writeln!(text, "  note: {}: {}", note.subject, note.why);
                    }
                    for task in &status.tasks {
                        let reason = task.reason.as_deref();
                        let reason = reason
                            .map(|reason| format!(" ({reason})"))
                            .unwrap_or_default();
                        let _ = writeln!(text, "  {} {}{reason}", task.state, task.title);
                    }
                }
                Row::Lease(_) | Row::Outbox(_) => {
                    let _ = writeln!(left, "left: {key}");
                }
                Row::Index { request } if key.sort == "turn" => {
                    let _ = writeln!(left, "left: {request} has the turn of {}", key.partition);
                }
                Row::Index { .. } if key.partition == ledger::partition::OPEN => {
                    let _ = writeln!(left, "open: {}", key.sort);
                }
                _ => {}
            }
        }
        for name in ["base", "extra", "debian"] {
            let _ = writeln!(text, "{name} {}", self.repository(name).await);
        }
        text + &left
    }
}
