//! The calm after the faults: everything must end, be what the newest commit wants, and stay so.

use std::time::Duration;

use ledger::{Key, Phase, Row, partition};
use ports::{Platform, StateRepo};

use crate::run::{Run, block};

/// Rounds of the timers until everything has ended.
const ROUNDS: usize = 40;

impl Run {
    /// Lets everything end, then judges.
    pub(crate) fn settle(&mut self) {
        self.calm();
        self.restart();
        self.heal();
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
        self.judge();
    }

    fn heal(&mut self) {
        self.quiet();
        for _ in 0..ROUNDS {
            if self.left().is_empty() {
                return;
            }
            self.memory.clock().pass(Duration::from_secs(301));
            let control = self.control();
            if let Err(error) = block(control.sweep()) {
                self.witness.violated(format!("in calm weather: {error}"));
            }
            self.quiet();
        }
    }

    fn ask_again(&mut self) -> bool {
        let mut asked = false;
        let control = self.control();
        for (_, record) in self.memory.ledger().rows() {
            if let Row::Request(row) = record.row
                && matches!(row.phase.word(), "failed" | "canceled")
            {
                asked |= block(control.retry_request(&row.path)).is_ok();
            }
        }
        asked
    }

    /// What should not be there once all has ended.
    fn left(&self) -> Vec<String> {
        let moving = [partition::OPEN, partition::LEASES, partition::OUTBOX];
        let mut left: Vec<String> = self
            .memory
            .ledger()
            .rows()
            .into_keys()
            .filter(|key| moving.contains(&key.partition.as_str()) || key.sort == "turn")
            .map(|key| key.to_string())
            .collect();
        let messages = self.memory.queue().messages().into_iter();
        left.extend(messages.map(|(queue, message)| format!("{queue}: {}", message.name())));
        left
    }

    fn judge(&mut self) {
        let waits: Vec<String> = self.waiting();
        for left in self.left() {
            // A release of a build that failed waits for a person, and says so.
            if !waits.iter().any(|path| left.contains(path)) {
                self.witness.violated(format!("left behind: {left}"));
            }
        }
        self.head_is_planned();
        self.status_is_written();
        self.nothing_more_to_do();
    }

    /// Open requests that say what they wait for.
    fn waiting(&self) -> Vec<String> {
        let rows = self.memory.ledger().rows().into_values();
        rows.filter_map(|record| match record.row {
            Row::Request(row) if row.phase == Phase::Open && !row.notes.is_empty() => {
                Some(row.path.to_string())
            }
            _ => None,
        })
        .collect()
    }

    fn head_is_planned(&self) {
        let tip = block(self.memory.state_repo().head("main")).expect("memory");
        let rows = self.memory.ledger().rows();
        let planned = match rows.get(&Key::head()).map(|record| &record.row) {
            Some(Row::Head(row)) => Some(row.commit.clone()),
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
            let written = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let written: Option<control::StatusFile> =
                written.and_then(|text| serde_saphyr::from_str(&text).ok());
            if written != status {
                self.witness
                    .violated(format!("the status branch tells another story of {path}"));
            }
        }
    }

    /// Looking at everything once more writes nothing.
    fn nothing_more_to_do(&mut self) {
        let before = self.memory.ledger().rows();
        let control = self.control();
        for (key, _) in before
            .iter()
            .filter(|(key, _)| key.partition == partition::REQUESTS)
        {
            let request = key.sort.parse().expect("a request's path");
            if let Err(error) = block(control.advance(&request)) {
                self.witness.violated(format!("in calm weather: {error}"));
            }
        }
        for (key, record) in self.memory.ledger().rows() {
            if before.get(&key) != Some(&record) {
                self.witness.violated(format!("another look changed {key}"));
            }
        }
    }
}
