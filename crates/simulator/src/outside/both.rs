//! Rows in memory, and outside too.

use std::sync::Arc;

use ledger::{Change, Key, Millis, Record};
use memory::MemoryLedger;
use ports::{Applied, Ledger, Result};

use super::Outside;
use crate::witness::Witness;

/// The ledger in memory; if there is another one, its answers count, and both must be the same.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) memory: MemoryLedger,
    outside: Option<Arc<dyn Outside>>,
    witness: Witness,
}

impl Rows {
    pub(super) fn new(
        memory: &MemoryLedger,
        outside: Option<Arc<dyn Outside>>,
        witness: &Witness,
    ) -> Self {
        Self {
            memory: memory.clone(),
            outside,
            witness: witness.clone(),
        }
    }

    pub(super) fn lose(&self) {
        let Some(outside) = &self.outside else {
            return self.memory.lose();
        };
        let keys: Vec<Key> = self.memory.rows().into_keys().collect();
        self.memory.lose();
        for keys in keys.chunks(Change::MAX_ROWS) {
            let mut change = Change::default();
            keys.iter().cloned().for_each(|key| change.delete(key));
            let lost = outside.apply(change, 0);
            self.holds("to lose rows", &lost, |lost| *lost == Applied::Done);
        }
    }

    /// What is otherwise outside is a violation, and so is what fails there.
    fn holds<T: std::fmt::Debug>(
        &self,
        what: &str,
        answer: &Result<T>,
        is_same: impl Fn(&T) -> bool,
    ) {
        match answer {
            Ok(told) if is_same(told) => {}
            Ok(told) => self.witness.violated(format!(
                "the ledger outside answers {what} otherwise: {told:?}"
            )),
            Err(error) => self
                .witness
                .violated(format!("the ledger outside fails {what}: {error}")),
        }
    }
}

impl Ledger for Rows {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.memory.get(key).await?;
        let Some(outside) = &self.outside else {
            return Ok(found);
        };
        let told = outside.get(key);
        self.holds(&format!("to get {key}"), &told, |told| *told == found);
        told
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let found = self.memory.list(partition, prefix, after, limit).await?;
        let Some(outside) = &self.outside else {
            return Ok(found);
        };
        let told = outside.list(partition, prefix, after, limit);
        self.holds(&format!("to list {partition}"), &told, |told| {
            *told == found
        });
        told
    }

    /// The conflict may be told of another row, if several are in the way.
    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let Some(outside) = &self.outside else {
            return self.memory.apply(change, now).await;
        };
        let applied = self.memory.apply(change.clone(), now).await?;
        let told = outside.apply(change, now);
        let is_done = applied == Applied::Done;
        self.holds("to apply", &told, |told| {
            (*told == Applied::Done) == is_done
        });
        told
    }
}
