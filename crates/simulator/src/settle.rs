//! The calm after the faults: everything must end, be what the newest commit wants, and stay so.

use std::time::Duration;

use ledger::{Key, Phase, Row, partition};
use pipeline_spec::RequestPath;
use ports::{Platform, StateRepo};

use crate::gate::Counts;
use crate::run::{Run, block};

/// Rounds of the timers until everything has ended.
const ROUNDS: usize = 40;
/// Looks in a row that find nothing to do, after which nothing will be: twenty minutes, more than any
/// wait of the product's but that for a person.
const IDLE: u32 = 4;
/// Looks and reports before the ledger is lost, at most.
const WAY: usize = 60;
/// In one run of so many the ledger is lost when nothing else fails.
const LOSSES: u32 = 3;
/// In one run of so many all that nothing names is removed in the end.
const PRUNINGS: u32 = 4;
/// How often everything is looked at in the hour of rest.
const LOOKS: u64 = 3;

impl Run {
    /// Lets everything end, then judges.
    pub(crate) fn settle(&mut self) {
        self.calm();
        self.set_clocks();
        if self.rng.u32(..LOSSES) == 0 {
            self.lose_on_the_way();
        }
        self.heal();
        if self.rng.bool() {
            self.status_rival();
        }
        // What failed by the world's fault, or was stopped by hand, is asked for again: then nothing
        // is left but what the newest commit wants.
        if self.ask_again() {
            self.heal();
        }
        let before = self.story();
        // Messages that were thirteen hours late find everything done.
        self.memory.clock().pass(Duration::from_secs(14 * 3600));
        self.heal();
        let after = self.story();
        if before != after {
            self.witness
                .violated(format!("late messages changed\n{before}\ninto\n{after}"));
        }
        if self.rng.u32(..PRUNINGS) == 0 {
            self.prune_at_last();
        }
        self.judge();
    }

    /// Among faults little is published: here work goes on, is reported now and then, and at some moment
    /// the ledger is lost.
    fn lose_on_the_way(&mut self) {
        for _ in 0..self.rng.usize(..WAY) {
            match self.rng.u32(..8) {
                0..=5 => _ = self.round(),
                6 => self.report(),
                _ => self.timers(),
            }
        }
        self.lose_ledger();
    }

    fn report(&mut self) {
        let control = self.control();
        if let Err(error) = block(control.report(Duration::ZERO)) {
            self.trouble(&error);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.quiet();
        let mut idle = 0;
        for _ in 0..ROUNDS {
            if self.is_done() || idle == IDLE {
                return;
            }
            let before = self.memory.ledger().writes();
            self.timers();
            self.quiet();
            self.who_waits_holds_no_turn();
            let is_idle = self.memory.ledger().writes() == before;
            idle = if is_idle { idle + 1 } else { 0 };
        }
    }

    /// Time passes, and everything is looked at.
    pub(crate) fn timers(&mut self) {
        self.memory.clock().pass(Duration::from_secs(301));
        let control = self.control();
        if let Err(error) = block(control.sweep()) {
            self.trouble(&error);
        }
    }

    /// Where nothing fails, every event is told of: nobody has to wait for a timer.
    pub(crate) fn needs_no_timer(&mut self) {
        let waits = self.waiting();
        for left in self.left() {
            if !waits.iter().any(|path| left.contains(path)) {
                self.witness
                    .violated(format!("not done without a timer: {left}"));
            }
        }
    }

    /// A release that waits for a person would hold up all others. One with work under way may hold its
    /// turns, also when a part of it has failed. A process may have died just after it took them: the next
    /// sweep goes on from there.
    fn who_waits_holds_no_turn(&self) {
        let mut waits = self.waiting();
        self.memory.ledger().visit(|_, record| {
            if let Row::Task(row) = &record.row
                && !row.state.is_closed()
            {
                waits.retain(|path| path != row.task.request.as_str());
            }
        });
        self.memory.ledger().visit(|key, record| {
            if let Row::Index { request } = &record.row
                && key.sort == "turn"
                && waits.iter().any(|path| path == request.as_str())
            {
                let name = &key.partition;
                self.witness
                    .violated(format!("{request} waits, and keeps its turn of {name}"));
            }
        });
    }

    fn ask_again(&mut self) -> bool {
        let mut asked = false;
        let control = self.control();
        let mut ended = Vec::new();
        self.memory.ledger().visit(|_, record| {
            if let Row::Request(row) = &record.row
                && matches!(row.phase, Phase::Failed | Phase::Canceled)
            {
                ended.push(row.path.clone());
            }
        });
        for path in ended {
            asked |= block(control.retry_request(&path)).is_ok();
        }
        asked
    }

    /// What should not be there once all has ended.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        self.memory.ledger().visit(|key, _| {
            if is_moving(key) {
                left.push(key.to_string());
            }
        });
        let messages = self.store.mail.messages().into_iter();
        left.extend(messages.map(|(queue, message)| format!("{queue}: {}", message.name())));
        left
    }

    fn is_done(&self) -> bool {
        let mut is_done = self.store.mail.is_empty();
        self.memory
            .ledger()
            .visit(|key, _| is_done &= !is_moving(key));
        is_done
    }

    pub(crate) fn judge(&mut self) {
        let waits: Vec<String> = self.waiting();
        for left in self.left() {
            // A release of a build that failed waits for a person, and says so.
            if !waits.iter().any(|path| left.contains(path)) {
                self.witness.violated(format!("left behind: {left}"));
            }
        }
        self.head_is_planned();
        self.wishes_are_planned();
        self.status_is_written();
        self.nothing_more_to_do();
        self.rest_costs_nothing();
        self.pages_are_told();
    }

    /// Open requests that say what they wait for.
    fn waiting(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        self.memory.ledger().visit(|_, record| {
            if let Row::Request(row) = &record.row
                && row.phase == Phase::Open
                && !row.notes.is_empty()
            {
                waiting.push(row.path.to_string());
            }
        });
        waiting
    }

    fn head_is_planned(&self) {
        let tip = block(self.memory.state_repo().head("main")).expect("memory");
        let head = self.memory.ledger().row(&Key::head());
        let planned = match head.as_ref().map(|record| &record.row) {
            // Recovered where there was nothing yet.
            Some(Row::Head(row)) => Some(row.commit.clone()).filter(|it| !it.is_empty()),
            _ => None,
        };
        if tip != planned {
            self.witness
                .violated(format!("the branch is at {tip:?}, planned is {planned:?}"));
        }
    }

    /// Each request's file on the status branch is what the ledger says now.
    fn status_is_written(&mut self) {
        let repo = self.memory.state_repo().clone();
        let Some(tip) = block(repo.head("status")).expect("memory") else {
            return;
        };
        let control = self.control();
        for path in self.tree().keys() {
            let Ok(request) = path.parse() else { continue };
            let status = block(control.request_status(&request)).expect("calm weather");
            let bytes = block(repo.read(&tip, path)).expect("memory");
            let written = bytes.map(|bytes| without_record(&String::from_utf8_lossy(&bytes)));
            let status = status.map(|status| serde_saphyr::to_string(&status).expect("a status"));
            if written != status {
                self.witness
                    .violated(format!("the status branch tells another story of {path}"));
            }
        }
    }

    /// Looking at everything once more writes nothing.
    fn nothing_more_to_do(&mut self) {
        let before = self.memory.ledger().writes();
        let control = self.control();
        for request in self.requests() {
            if let Err(error) = block(control.advance(&request)) {
                self.witness.violated(format!("in calm weather: {error}"));
            }
            if self.memory.ledger().writes() != before {
                return self
                    .witness
                    .violated(format!("another look changed {request}"));
            }
        }
    }

    fn requests(&self) -> Vec<RequestPath> {
        let mut requests = Vec::new();
        self.memory.ledger().visit(|key, _| {
            if key.partition == partition::REQUESTS {
                requests.push(key.sort.parse().expect("a request's path"));
            }
        });
        requests
    }

    /// An hour in which nobody wants anything: every timer looks, and nothing is written, sent or stored;
    /// the state repository is asked for the heads of two branches.
    fn rest_costs_nothing(&mut self) {
        for _ in 0..LOOKS {
            self.memory.clock().pass(Duration::from_secs(3600 / LOOKS));
            let before = self.gate().counts();
            let control = self.control();
            let looked = block(async {
                control.plan_head().await?;
                control.expire_leases().await?;
                control.sweep().await?;
                control.report(Duration::ZERO).await
            });
            if let Err(error) = looked {
                self.witness.violated(format!("in calm weather: {error}"));
            }
            let after = self.gate().counts();
            let repo = after.repo - before.repo;
            let rest = Counts {
                repo: before.repo,
                ..after
            };
            // Requests that wait may have a ref to look up, and their configuration to read.
            if rest != before || (repo > 2 && self.is_done()) {
                self.witness.violated(format!(
                    "a look at what is at rest cost {repo} calls to the state repository, {} changes, {} messages and {} files",
                    after.applies - before.applies,
                    after.sends - before.sends,
                    after.stores - before.stores
                ));
                return;
            }
        }
    }
}

/// A status file without the name of its record, which only the branch has.
fn without_record(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("record: "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Rows of what is under way, or was given up.
fn is_moving(key: &Key) -> bool {
    let moving = [
        partition::OPEN,
        partition::LEASES,
        partition::OUTBOX,
        partition::DEAD,
    ];
    moving.contains(&key.partition.as_str()) || key.sort == "turn"
}
