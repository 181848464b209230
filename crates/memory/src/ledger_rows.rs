//! The ledger as a map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use ledger::{Change, Condition, Expect, Key, Millis, Record, Write};
use ports::{Applied, Error, Ledger, Result};

use crate::lock;

/// Rows in order of their keys.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<Key, Arc<Record>>,
    writes: u64,
}

impl MemoryLedger {
    /// Everything that was in it is lost.
    pub fn lose(&self) {
        lock(&self.0).by_key.clear();
    }

    /// A copy of before is brought back.
    pub fn restore(&self, rows: BTreeMap<Key, Record>) {
        let rows = rows.into_iter().map(|(key, record)| (key, record.into()));
        lock(&self.0).by_key = rows.collect();
    }

    /// Everything that is in it.
    pub fn rows(&self) -> BTreeMap<Key, Record> {
        let rows = lock(&self.0);
        let rows = rows.by_key.iter();
        rows.map(|(key, record)| (key.clone(), Record::clone(record)))
            .collect()
    }

    /// Rows that were ever put or deleted.
    pub fn writes(&self) -> u64 {
        lock(&self.0).writes
    }

    /// One row, shared and not copied: for those who look at every write.
    pub fn row(&self, key: &Key) -> Option<Arc<Record>> {
        lock(&self.0).by_key.get(key).cloned()
    }

    /// Shows every row, in order of their keys. The ledger is locked meanwhile.
    pub fn visit(&self, mut look: impl FnMut(&Key, &Arc<Record>)) {
        let rows = lock(&self.0);
        rows.by_key.iter().for_each(|(key, row)| look(key, row));
    }
}

impl Ledger for MemoryLedger {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        Ok(lock(&self.0)
            .by_key
            .get(key)
            .map(|record| Record::clone(record)))
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
            .by_key
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.partition == partition && key.sort.starts_with(prefix))
            .take(limit)
            .map(|(key, record)| (key.clone(), Record::clone(record)));
        Ok(found.collect())
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let (conditions, writes) = change.into_rows(now);
        check_size(&conditions, &writes)?;
        let mut guard = lock(&self.0);
        let rows = &mut *guard;
        for condition in conditions {
            let version = rows.by_key.get(&condition.key).map(|record| record.version);
            if Expect::as_read(version) != condition.expect {
                return Ok(Applied::Conflict(condition.key));
            }
        }
        for write in writes {
            rows.writes += 1;
            match write {
                Write::Put(key, row) => {
                    let version = rows.by_key.get(&key).map_or(0, |record| record.version) + 1;
                    let record = Record { version, row: *row };
                    rows.by_key.insert(key, Arc::new(record));
                }
                Write::Delete(key) => {
                    rows.by_key.remove(&key);
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
