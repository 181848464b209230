//! What a status file leaves out because nobody would read it there, and a lost ledger had.

use std::collections::BTreeMap;

use ledger::{RequestSpec, Share, TaskRow};
use pipeline_spec::{Sha256Digest, Weight};
use runner_api::{TaskId, TaskSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::load::Loaded;
use crate::render::VERSION;

/// A document in the artifact store, named by the status file that it completes. It does not change
/// while tasks only move on, so that most status commits name one that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    /// The status file's.
    pub(crate) version: u32,
    /// As in the request's row.
    pub(crate) time: i64,
    /// As in the request's row.
    pub(crate) author: String,
    /// As in the request's row.
    pub(crate) sequence: u64,
    /// As in the request's row: of a file that cannot be read, what it said before.
    pub(crate) spec: Option<RequestSpec>,
    /// What the tasks in the status file are to do.
    pub(crate) tasks: BTreeMap<TaskId, TaskSpec>,
    /// The claims of those tasks that were made on behalf of another author or with another priority
    /// than the request has now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) shares: BTreeMap<TaskId, Share>,
    /// The size of those tasks that take more than one slot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) weights: BTreeMap<TaskId, Weight>,
    /// Tasks that the request does not want any more, whole.
    pub(crate) past: Vec<TaskRow>,
}

impl RequestRecord {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let row = &loaded.row;
        let share = row.share();
        let (past, wanted): (Vec<&TaskRow>, Vec<&TaskRow>) =
            loaded.tasks.values().partition(|row| row.is_past());
        Self {
            version: VERSION,
            time: row.time,
            author: row.author.clone(),
            sequence: row.sequence,
            spec: row.spec.clone(),
            shares: wanted
                .iter()
                .filter(|row| row.share != share)
                .map(|row| (row.task.id.clone(), row.share.clone()))
                .collect(),
            weights: wanted
                .iter()
                .filter(|row| !row.weight.is_one())
                .map(|row| (row.task.id.clone(), row.weight))
                .collect(),
            tasks: wanted
                .into_iter()
                .map(|row| (row.task.id.clone(), row.spec.clone()))
                .collect(),
            past: past.into_iter().cloned().collect(),
        }
    }

    /// The document and its digest.
    pub(crate) fn document(&self) -> (Sha256Digest, Vec<u8>) {
        let bytes = serde_json::to_vec(self).expect("a record has only string keys");
        (Sha256Digest::new(Sha256::digest(&bytes).into()), bytes)
    }
}
