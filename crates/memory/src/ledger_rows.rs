//! The ledger as a map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use ledger::{Change, Condition, Expect, Key, Millis, Record, Write};
use ports::{Applied, Error, Ledger, Result};

use crate::lock;

/// Rows in order of their keys.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<BTreeMap<Key, Record>>>);

impl MemoryLedger {
    /// Everything that is in it.
    pub fn rows(&self) -> BTreeMap<Key, Record> {
        lock(&self.0).clone()
    }
}

impl Ledger for MemoryLedger {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        Ok(lock(&self.0).get(key).cloned())
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let key = |sort: &str| Key {
            partition: partition.to_owned(),
            sort: sort.to_owned(),
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(key(after)),
            _ => Bound::Included(key(prefix)),
        };
        let rows = lock(&self.0);
        let found = rows
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.partition == partition && key.sort.starts_with(prefix))
            .take(limit)
            .map(|(key, record)| (key.clone(), record.clone()));
        Ok(found.collect())
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let (conditions, writes) = change.into_rows(now);
        check_size(&conditions, &writes)?;
        let mut rows = lock(&self.0);
        for condition in conditions {
            let version = rows.get(&condition.key).map(|record| record.version);
            if Expect::as_read(version) != condition.expect {
                return Ok(Applied::Conflict(condition.key));
            }
        }
        for write in writes {
            match write {
                Write::Put(key, row) => {
                    let version = rows.get(&key).map_or(0, |record| record.version) + 1;
                    rows.insert(key, Record { version, row: *row });
                }
                Write::Delete(key) => {
                    rows.remove(&key);
                }
            }
        }
        Ok(Applied::Done)
    }
}

fn check_size(conditions: &[Condition], writes: &[Write]) -> Result<()> {
    let conditions = conditions.iter().map(|condition| &condition.key);
    let writes = writes.iter().map(|write| match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    });
    let rows = conditions.chain(writes).collect::<BTreeSet<_>>().len();
    if rows > Change::MAX_ROWS {
        let cause = format!("it touches {rows} rows; {} are allowed", Change::MAX_ROWS);
        return Err(Error::corrupt("apply a change", cause));
    }
    Ok(())
}
