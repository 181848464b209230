//! A change: conditions, writes and effects that apply together or not at all.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use pipeline_spec::{Architecture, RequestPath, Role};
use runner_api::TaskRef;
use serde::{Deserialize, Serialize};

use crate::{Asked, Key, Millis, OutboxRow, Row, Share};

/// What must hold for a change to apply.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Of which row.
    pub key: Key,
    /// What.
    pub expect: Expect,
}

/// A condition on one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// No such row.
    Absent,
    /// The row is there with this version.
    Version(u64),
}

impl Expect {
    /// The row as it was read: absent, or its version.
    pub fn as_read(version: Option<u64>) -> Self {
        version.map_or(Self::Absent, Self::Version)
    }
}

/// One row written. A put raises the row's version by one; a first put gives version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces.
    Put(Key, Box<Row>),
    /// Removes; a missing row is fine.
    Delete(Key),
}

/// What happens outside the ledger once the change stands, at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// To which queue.
    pub queue: QueueName,
    /// What.
    pub message: Message,
    /// Not delivered before.
    pub not_before: Millis,
    /// Whose it is, and how much it hurries.
    #[serde(default, skip_serializing_if = "Share::is_default")]
    pub share: Share,
}

/// A conditional transaction. At most [`Change::MAX_ROWS`] rows, DynamoDB's limit for one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// All are done.
    pub writes: Vec<Write>,
    /// All follow.
    pub effects: Vec<Effect>,
}

impl Change {
    /// Rows that one change may touch, effects included, and those that are only under a condition: a row that is
    /// looked at counts like one that is written.
    pub const MAX_ROWS: usize = 100;

    /// Adds a condition and a put of the same row.
    pub fn replace(&mut self, key: Key, expect: Expect, row: Row) {
        self.conditions.push(Condition {
            key: key.clone(),
            expect,
        });
        self.writes.push(Write::Put(key, Box::new(row)));
    }

    /// Adds a put without a condition. Only for rows that are a function of rows under a condition.
    pub fn put(&mut self, key: Key, row: Row) {
        self.writes.push(Write::Put(key, Box::new(row)));
    }

    /// Adds a removal.
    pub fn delete(&mut self, key: Key) {
        self.writes.push(Write::Delete(key));
    }

    /// Adds an effect of the machine's own, for which no tenant waits his turn.
    pub fn effect(&mut self, queue: QueueName, message: Message, not_before: Millis) {
        self.effects.push(Effect {
            queue,
            message,
            not_before,
            share: Share::default(),
        });
    }

    /// Has the status of a request written. A scratch build has none on the status branch.
    pub fn report(&mut self, request: &RequestPath, now: Millis) {
        if !request.is_scratch() {
            let request = request.clone();
            self.effect(QueueName::report(), Message::Report { request }, now);
        }
    }

    /// Adds all of `other`; effects that say the same are kept once.
    pub fn merge(&mut self, other: Change) {
        self.conditions.extend(other.conditions);
        self.writes.extend(other.writes);
        for effect in other.effects {
            if !self.effects.contains(&effect) {
                self.effects.push(effect);
            }
        }
    }

    /// Rows that it touches, once each: those under a condition, those that are written, and effects.
    pub fn size(&self) -> usize {
        let conditions = self.conditions.iter().map(|condition| &condition.key);
        let writes = self.writes.iter().map(|write| match write {
            Write::Put(key, _) | Write::Delete(key) => key,
        });
        let rows: BTreeSet<_> = conditions.chain(writes).collect();
        rows.len() + self.effects.len()
    }

    /// Turns effects into outbox rows, so that adapters only know rows.
    ///
    /// A key is its change's alone: what it was conditioned on can only once be so. Else a dispatcher
    /// that has sent the message of an earlier row, deleted by another one meanwhile, would delete a new
    /// row of the same millisecond, whose version is the same.
    pub fn into_rows(mut self, now: Millis) -> (Vec<Condition>, Vec<Write>) {
        let change = BuildHasherDefault::<DefaultHasher>::new().hash_one(&self.conditions);
        for effect in std::mem::take(&mut self.effects) {
            let name = effect.message.name();
            let key = Key::outbox(now, &format!("{} {name} {change:016x}", effect.queue));
            let row = Row::Outbox(OutboxRow { effect });
            self.writes.push(Write::Put(key, Box::new(row)));
        }
        (self.conditions, self.writes)
    }
}

/// Name of a queue: `advance`, `report`, `forge`, or one per role and architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueName(String);

impl QueueName {
    /// Requests whose tasks may have to move on.
    pub fn advance() -> Self {
        Self("advance".to_owned())
    }

    /// Requests whose status has to be written.
    pub fn report() -> Self {
        Self("report".to_owned())
    }

    /// What the forge tells of, and what people ask for there.
    pub fn forge() -> Self {
        Self("forge".to_owned())
    }

    /// Work for runners of a role; `None`: any architecture will do.
    pub fn work(role: Role, arch: Option<&Architecture>) -> Self {
        match arch {
            Some(arch) => Self(format!("{role}.{arch}")),
            None => Self(format!("{role}.any")),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a queue carries: where to look, and what people ask for; never state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum Message {
    /// Look at this request again.
    Advance {
        /// Which.
        request: RequestPath,
    },
    /// Write this request's status.
    Report {
        /// Which.
        request: RequestPath,
    },
    /// Write what there is to say of the configuration.
    Configuration,
    /// This attempt wants a runner.
    Attempt {
        /// Which task.
        task: TaskRef,
        /// Which attempt.
        attempt: u32,
    },
    /// Look at the forge: something has happened there.
    Look,
    /// Somebody asks for something at the forge.
    Asked(Box<Asked>),
    /// Somebody wants a commit's checks to be made again.
    Again {
        /// Which, in hex digits.
        commit: String,
        /// One check by its name; all of them if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<String>,
    },
}

impl Message {
    /// Unique among messages that mean different things.
    pub fn name(&self) -> String {
        match self {
            Self::Advance { request } => format!("advance {request}"),
            Self::Report { request } => format!("report {request}"),
            Self::Configuration => "configuration".to_owned(),
            Self::Attempt { task, attempt } => format!("attempt {} {attempt}", task.id),
            Self::Look => "look".to_owned(),
            Self::Asked(asked) => format!("asked {}", asked.id),
            Self::Again { commit, .. } => format!("again {commit}"),
        }
    }
}
