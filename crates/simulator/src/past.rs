//! Index rows as they were some writes ago: what a secondary read may still see.
//!
//! [`ports::Ledger::get`] promises the newest row, and the rows of one request or repository lie in one
//! partition, which is read as one. The indexes beside them (open requests, leases, the outbox, lists for
//! people, waiters) only say where to look: a store may answer for them from a copy that lags behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{Key, Record, partition};

use crate::witness::Before;

/// Writes that a copy may lag behind.
const LAG: usize = 12;

/// The last writes to index rows, newest last. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Past(Arc<Mutex<VecDeque<Before>>>);

impl Past {
    /// Remembers what an applied change replaced.
    pub(crate) fn keep(&self, before: &Before) {
        let indexes = before.iter().filter(|(key, _)| is_index(&key.partition));
        let indexes: Before = indexes.cloned().collect();
        if indexes.is_empty() {
            return;
        }
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writes.len() == LAG {
            writes.pop_front();
        }
        writes.push_back(indexes);
    }

    /// Takes back the last writes in `rows`, a list of `partition`; `die` says how many of so many.
    pub(crate) fn undo(
        &self,
        partition: &str,
        is_asked: impl Fn(&str) -> bool,
        die: impl Fn(usize) -> usize,
        rows: &mut Vec<(Key, Record)>,
    ) {
        let writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = die(writes.len() + 1);
        let undone = writes.iter().rev().take(count).flatten();
        let mut by_key: BTreeMap<Key, Record> = std::mem::take(rows).into_iter().collect();
        for (key, old) in undone {
            if key.partition != partition || !is_asked(&key.sort) {
                continue;
            }
            match old {
                Some(record) => by_key.insert(key.clone(), Record::clone(record)),
                None => by_key.remove(key),
            };
        }
        rows.extend(by_key);
    }
}

/// Whether a partition only says where to look.
pub(crate) fn is_index(name: &str) -> bool {
    let lists = [
        partition::OPEN,
        partition::LEASES,
        partition::OUTBOX,
        partition::RECENT,
        partition::FAILED,
    ];
    lists.contains(&name) || name.starts_with("waiters/")
}
