//! A forge in a run: people open and merge pull requests there, processes review and tell, and in the end each page says
//! what the ledger says.

use std::time::Duration;

use control::Options;
use ledger::{Change, Key, PullRow, Row, WatchRow};
use memory::MemoryForge;
use ports::{Applied, Check, CheckState, Commit, Forge, Ledger as _, NewCommit, Permission};
use ports::{Platform, Pull, PullState, Reply, Result, StateRepo};

use crate::gate::Gate;
use crate::history::ADA;
use crate::run::{Run, block};
use crate::witness::Witness;

/// What people read of a commit's work.
const RESULTS: &str = "build and release";
/// Of a request that a later commit changed, or that was taken away: what becomes of tasks that were at work is not told.
const HISTORY: [&str; 2] = ["changed by", "removed"];
/// The title where there is no work.
const NOTHING: &str = "Nothing to build or release";
/// Pushes to the status branch in a minute: few, so that histories of minutes meet the limit.
const PUSHES: u32 = 3;
/// Rounds of telling after which nothing more is said.
const ROUNDS: usize = 60;

/// The forge in memory, behind the gate.
#[derive(Clone)]
pub(crate) struct GatedForge {
    inner: MemoryForge,
    gate: Gate,
    witness: Witness,
}

impl GatedForge {
    pub(crate) fn new(gate: &Gate, witness: &Witness) -> Self {
        Self {
            inner: MemoryForge::default(),
            gate: gate.clone(),
            witness: witness.clone(),
        }
    }
}

impl Forge for GatedForge {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        let work = self.inner.open_pulls(base);
        self.gate.call("forge.open_pulls", work).await
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        let work = self.inner.pull(number);
        self.gate.call("forge.pull", work).await
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        let work = self.inner.pull_of(commit);
        self.gate.call("forge.pull_of", work).await
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let work = async {
            self.witness.writes_at_the_forge();
            self.inner.write_check(check).await
        };
        self.gate.call("forge.write_check", work).await
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        let work = self.inner.permission(login);
        self.gate.call("forge.permission", work).await
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        let work = self.inner.is_program(login);
        self.gate.call("forge.is_program", work).await
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        let work = async {
            self.witness.writes_at_the_forge();
            self.inner.answer(reply).await
        };
        self.gate.call("forge.answer", work).await
    }
}

/// What processes of a run with a forge are told.
pub(crate) fn options(has_forge: bool) -> Options {
    if !has_forge {
        return Options::default();
    }
    Options {
        pushes_a_minute: PUSHES.try_into().ok(),
        checks: true,
        ..Options::default()
    }
}

impl Run {
    /// Somebody proposes what is about to be pushed.
    pub(crate) fn propose(&mut self, new: &NewCommit) -> Option<u64> {
        let forge = self.forge.clone()?;
        if self.rng.bool() {
            return None;
        }
        let repo = self.memory.state_repo();
        match block(repo.head("main")).expect("memory") {
            Some(tip) => repo.reset("topic", &tip),
            None => repo.delete("topic"),
        }
        let head = repo.push("topic", ADA, new.clone());
        let number = forge.inner.open_pull(Pull {
            number: 0,
            title: "a change".to_owned(),
            author: "ada".to_owned(),
            head,
            base: "main".to_owned(),
            is_own: true,
            state: PullState::Open,
        });
        // Perhaps it is seen before it is merged.
        if self.rng.bool() && !self.is_telling() {
            self.review();
        }
        Some(number)
    }

    /// It was pushed, or by force, which closes it.
    pub(crate) fn merged(&self, number: Option<u64>, merged: Option<&str>) {
        if let (Some(forge), Some(number)) = (&self.forge, number) {
            let state = match merged {
                Some(commit) => PullState::Merged(commit.to_owned()),
                None => PullState::Closed,
            };
            forge.inner.change_pull(number, |pull| pull.state = state);
        }
    }

    /// Whether the forge begins to be told, in the place of something else.
    pub(crate) fn tells(&mut self) -> bool {
        if self.forge.is_none() || self.rng.u32(..6) > 0 || self.is_telling() {
            return false;
        }
        if self.rng.bool() {
            self.review();
        } else {
            self.tell();
        }
        true
    }

    /// The last word is on each page, and it is what somebody says who looks for the first time.
    pub(crate) fn pages_are_told(&mut self) {
        let Some(forge) = self.forge.clone() else {
            return;
        };
        let control = self.control();
        // As whoever begins to tell does.
        if let Err(error) = block(control.watch_open()) {
            return self.trouble(&error);
        }
        let mut is_over = false;
        for _ in 0..ROUNDS {
            self.memory.clock().pass(Duration::from_secs(61));
            let round = block(async {
                let reviewed = control.review(&forge).await?;
                let told = control.tell(&forge).await?;
                Ok::<_, control::Error>((reviewed, told))
            });
            match round {
                Err(error) => return self.trouble(&error),
                Ok((reviewed, told)) => {
                    let left = reviewed.failed + reviewed.waiting + told.failed + told.waiting;
                    let moved = left + reviewed.written + told.written;
                    if std::mem::replace(&mut is_over, moved == 0) && moved == 0 {
                        return self.pages_are_true(&forge);
                    }
                }
            }
        }
        self.witness
            .violated("there is always more to say at the forge");
    }

    fn pages_are_true(&mut self, forge: &GatedForge) {
        let watched = self.witness.watched();
        let is_watched = |commit: &str| self.memory.ledger().row(&Key::watch(commit)).is_some();
        let under_way: Vec<String> = watched
            .iter()
            .map(|(commit, _)| commit.clone())
            .filter(|commit| !is_watched(commit))
            .filter(|commit| {
                self.results(&forge.inner, commit)
                    .is_some_and(|it| !it.state.is_done())
            })
            .collect();
        for commit in under_way {
            self.witness
                .violated(format!("the page of {commit} is under way for ever"));
        }
        self.forget_pages();
        let fresh = self.told_for_the_first_time(&watched);
        for (commit, _) in &watched {
            let (is, should) = (
                self.results(&forge.inner, commit),
                self.results(&fresh, commit),
            );
            let (is, should) = match (is, should) {
                (Some(is), Some(should)) => (is, should),
                (None, Some(should))
                    if should.title == NOTHING && self.witness.has_mended(commit) =>
                {
                    continue;
                }
                (is, should) => {
                    let title = |check: Option<Check>| check.map(|check| check.title);
                    let (is, should) = (title(is), title(should));
                    self.witness
                        .violated(format!("of {commit} was told {is:?}, and it is {should:?}"));
                    continue;
                }
            };
            // Beside the commit's stands what else its pull request is about, of which nobody knows any more.
            if is.pull.is_some() {
                let missing =
                    rows(&should).find(|row| !is.summary.contains(row) && !is_history(row));
                if let Some(row) = missing {
                    self.witness.violated(format!(
                        "the page of {commit} lacks\n{row}\nand says\n{}\n{}",
                        is.title, is.summary
                    ));
                }
                continue;
            }
            // What was told before a later commit changed it was true.
            let is_past = is_history(&should.summary) || is_history(&is.summary);
            if !is_past && of_work(&is) != of_work(&should) {
                self.witness.violated(format!(
                    "the page of {commit} says\n{}\n{}\nand it is\n{}\n{}",
                    is.title, is.summary, should.title, should.summary
                ));
            }
        }
        let open = block(forge.inner.open_pulls("main")).expect("memory");
        for pull in open {
            let plan = forge.inner.checks(&pull.head);
            if !plan
                .iter()
                .any(|it| it.name == "plan" && it.state != CheckState::Running)
            {
                self.witness
                    .violated(format!("#{} has no plan", pull.number));
            }
        }
    }

    fn results(&self, forge: &MemoryForge, commit: &str) -> Option<Check> {
        let mut checks = forge.checks(commit).into_iter();
        checks.find(|it| it.name == RESULTS)
    }

    /// What was said on the pages of pull requests is forgotten.
    fn forget_pages(&self) {
        let mut change = Change::default();
        for (key, record) in self.memory.ledger().rows() {
            if let Row::Pull(row) = record.row {
                let digest = String::new();
                change.put(key, Row::Pull(PullRow { digest, ..row }));
            }
        }
        let applied = block(self.store.rows.apply(change, 0));
        assert_eq!(applied.expect("memory"), Applied::Done);
    }

    /// What another forge is told of commits, by a ledger that remembers nothing said.
    fn told_for_the_first_time(&mut self, watched: &[(Commit, Commit)]) -> MemoryForge {
        let fresh = MemoryForge::default();
        let control = self.control();
        for some in watched.chunks(20) {
            let mut change = Change::default();
            change.delete(Key::forge_writes());
            for (commit, from) in some {
                let row = WatchRow {
                    from: from.clone(),
                    ..WatchRow::new(commit)
                };
                change.put(Key::watch(commit), Row::Watch(row));
            }
            let applied = block(self.store.rows.apply(change, 0));
            assert_eq!(applied.expect("memory"), Applied::Done);
            if let Err(error) = block(control.tell(&fresh)) {
                self.trouble(&error);
            }
        }
        let mut change = Change::default();
        for (commit, _) in watched.iter().take(Change::MAX_ROWS) {
            change.delete(Key::watch(commit));
        }
        let applied = block(self.store.rows.apply(change, 0));
        assert_eq!(applied.expect("memory"), Applied::Done);
        fresh
    }
}

fn is_history(text: &str) -> bool {
    HISTORY.iter().any(|history| text.contains(history))
}

/// The requests of a page: which columns there are beside their state depends on all of them.
fn rows(check: &Check) -> impl Iterator<Item = &str> {
    let rows = check.summary.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| match row.match_indices('|').nth(3) {
        Some((end, _)) => &row[..end],
        None => row,
    })
}

/// What a page says of the work: not of the pull request whose head the commit is, and of which nobody knows any more.
fn of_work(check: &Check) -> (CheckState, &str, &str) {
    let table = check.summary.find("| request |").unwrap_or(0);
    (check.state, &check.title, &check.summary[table..])
}
