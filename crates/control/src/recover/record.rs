//! What a status file leaves out because nobody would read it there, and a lost ledger had.

use std::collections::BTreeMap;

use ledger::{RequestSpec, TaskRow};
use pipeline_spec::Sha256Digest;
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
    /// Tasks that the request does not want any more, whole.
    pub(crate) past: Vec<TaskRow>,
}

impl RequestRecord {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let row = &loaded.row;
        let (past, wanted): (Vec<&TaskRow>, Vec<&TaskRow>) =
            loaded.tasks.values().partition(|row| row.is_past());
        Self {
            version: VERSION,
            time: row.time,
            author: row.author.clone(),
            sequence: row.sequence,
            spec: row.spec.clone(),
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
