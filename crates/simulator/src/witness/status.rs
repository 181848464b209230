//! The status branch: one line of commits, and each file in it says what the ledger said at some moment,
//! never an older one than the file before it.
//!
//! A state of a request is told by a digest of its phase, its commit and its tasks' states and attempts;
//! the digests of all states that there ever were are kept, with the place of the last such state.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use ledger::{RequestRow, TaskRow};
use pipeline_spec::{RequestPath, Sha256Digest};
use ports::{NewCommit, Platform, StateRepo};

use super::Witness;
use crate::run::block;

/// What the ledger said of one request.
#[derive(Default)]
pub(super) struct Story {
    head: u64,
    /// The exclusive or of these is the digest of all: order does not matter, and one is replaced in place.
    tasks: BTreeMap<String, u64>,
    all_tasks: u64,
    /// The number of the last state with this digest.
    seen: BTreeMap<u64, u64>,
    states: u64,
    /// The state that the branch told last.
    told: u64,
    /// The digest that a report committed last, or found on the branch.
    reported: u64,
}

fn digest(words: &[&str]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(words)
}

impl Story {
    pub(super) fn task(&mut self, row: &TaskRow) {
        let id = row.task.id.as_str();
        let (state, attempt) = (row.state.word(), row.state.attempt().to_string());
        let new = if row.is_past() {
            0
        } else {
            digest(&[id, state, &attempt])
        };
        let old = match self.tasks.get_mut(id) {
            Some(old) => std::mem::replace(old, new),
            None => {
                self.tasks.insert(id.to_owned(), new);
                0
            }
        };
        self.all_tasks ^= old ^ new;
        self.keep();
    }

    pub(super) fn request(&mut self, row: &RequestRow) {
        self.head = digest(&[row.phase.word(), &row.commit]);
        self.keep();
    }

    /// States so far.
    pub(super) fn states(&self) -> u64 {
        self.states
    }

    /// The last state with this digest; 0: there was none.
    fn place(&self, digest: u64) -> u64 {
        self.seen.get(&digest).copied().unwrap_or(0)
    }

    /// The last state that says what a report left on the branch.
    pub(super) fn reported(&self) -> u64 {
        self.place(self.reported)
    }

    fn keep(&mut self) {
        self.states += 1;
        self.seen.insert(self.head ^ self.all_tasks, self.states);
    }
}

/// The digest of the state that a status file tells of.
fn told(text: &str) -> u64 {
    let word = |line: &'_ str, start: &str| -> Option<String> {
        let value = line.strip_prefix(start)?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    };
    let (mut commit, mut phase, mut tasks) = (String::new(), String::new(), 0);
    let (mut id, mut state) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(value) = word(line, "commit: ") {
            commit = value;
        } else if let Some(value) = word(line, "phase: ") {
            phase = value;
        } else if let Some(value) = word(line, "- id: ") {
            id = value;
        } else if let Some(value) = word(line, "  state: ") {
            state = value;
        } else if let Some(value) = word(line, "  attempt: ") {
            tasks ^= digest(&[&id, &state, &value]);
        }
    }
    digest(&[&phase, &commit]) ^ tasks
}

/// The document that a status file names beside itself.
fn record(text: &str) -> Option<Sha256Digest> {
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("record: "));
    lines.next()?.trim_matches(['"', '\'']).parse().ok()
}

impl Witness {
    pub(super) fn tell(&self, path: &RequestPath, what: impl FnOnce(&mut Story)) {
        let mut state = self.state();
        match state.stories.get_mut(path.as_str()) {
            Some(story) => what(story),
            None => what(state.stories.entry(path.to_string()).or_default()),
        }
    }

    /// A person put the branch to where it had been: a commit that was made for then fits once more, and
    /// the next report mends what it brings. What a report has written and not acknowledged yet may be
    /// gone like that.
    pub(crate) fn status_may_return(&self) {
        let mut state = self.state();
        state.messages.forget_reports();
        state.stories.values_mut().for_each(|story| story.told = 0);
    }

    /// The machine committed.
    pub(crate) fn committed(
        &self,
        branch: &str,
        parent: Option<&str>,
        commit: &str,
        new: &NewCommit,
    ) {
        if branch != "status" {
            self.violated(format!("the machine wrote to {branch}"));
        }
        let info = block(self.memory.state_repo().info(commit)).expect("memory");
        if info.parents.iter().map(String::as_str).ne(parent) {
            self.violated(format!("{commit} has other parents than {parent:?}"));
        }
        for (path, file) in &new.files {
            if path.parse::<RequestPath>().is_err() {
                continue;
            }
            let text = file.as_ref().map(|file| String::from_utf8_lossy(file));
            self.says_what_was(path, text.as_deref());
            let record = text.as_deref().and_then(record);
            if record.is_some_and(|digest| self.memory.store().bytes(&digest).is_none()) {
                self.violated(format!("the record of {path} is not in the store"));
            }
        }
    }

    /// The machine had nothing to commit: the branch says so already.
    pub(crate) fn found(&self, new: &NewCommit) {
        let mut state = self.state();
        for (path, file) in &new.files {
            if let (Some(story), Some(file)) = (state.stories.get_mut(path), file) {
                story.reported = told(&String::from_utf8_lossy(file));
            }
        }
    }

    fn says_what_was(&self, path: &str, text: Option<&str>) {
        let mut state = self.state();
        let (story, text) = match (state.stories.get_mut(path), text) {
            (Some(story), Some(text)) => (story, text),
            (None, None) => return,
            (Some(_), None) => {
                drop(state);
                return self.violated(format!("{path} went from the status branch"));
            }
            (None, Some(_)) => {
                drop(state);
                return self.violated(format!("the status branch tells of {path}, unknown"));
            }
        };
        let digest = told(text);
        story.reported = digest;
        let problem = match story.seen.get(&digest) {
            None => "what the ledger never said",
            Some(place) if *place < story.told => "older rows than it told before",
            Some(place) => {
                story.told = *place;
                return;
            }
        };
        drop(state);
        self.violated(format!("the status branch tells of {path} {problem}"));
    }
}
