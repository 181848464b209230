//! Two versions of the control plane on one ledger, as in the middle of an upgrade.
//!
//! The memory adapter keeps rows as values; here they become the JSON that other adapters keep, and lose on
//! the way what a process of the version before does not know. What it does know is today's code: a
//! process of before does all else as today's does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{Change, Key, Record, Row, Share, Write, format};
use memory::MemoryLedger;
use pipeline_spec::Priority;
use ports::{Delivery, Error, Place, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::witness::Witness;

/// Rows as they are stored, and as a process of before reads them: most are read again and again.
type Memo = Arc<Mutex<HashMap<Key, (Row, Row)>>>;

/// What a process is made of.
#[derive(Clone)]
pub(crate) enum Version {
    /// All processes of the run are of this version: rows and messages stay as they are.
    Only,
    /// The version before.
    Before(Memo),
    /// This version, beside others.
    Newest,
}

impl Version {
    /// A process of the version before.
    pub(crate) fn before() -> Self {
        Self::Before(Memo::default())
    }

    fn format(&self) -> Option<u32> {
        match self {
            Self::Only => None,
            Self::Before(_) => Some(format::CURRENT - 1),
            Self::Newest => Some(format::CURRENT),
        }
    }

    /// The record as this process reads it.
    pub(crate) fn read(
        &self,
        key: &Key,
        record: Record,
        (ledger, witness): (&MemoryLedger, &Witness),
    ) -> Result<Record> {
        // What the newest version reads was looked at when it was written.
        let Self::Before(memo) = self else {
            return Ok(record);
        };
        let mut row = self.remembered(memo, key, &record.row, witness)?;
        if let Row::Task(task) = &mut row {
            // The code of before compares no shares: to it the task's is what the request's is.
            let request = ledger.row(&Key::request(&task.task.request));
            if let Some(Row::Request(request)) = request.as_deref().map(|record| &record.row) {
                task.share = request.share();
            }
        }
        Ok(Record { row, ..record })
    }

    fn remembered(&self, memo: &Memo, key: &Key, stored: &Row, witness: &Witness) -> Result<Row> {
        let mut memo = memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, read)) = memo.get(key)
            && known == stored
        {
            return Ok(read.clone());
        }
        let operation = || format!("read ledger row {key}");
        let read = through(format::CURRENT - 1, stored, witness, operation)?;
        memo.insert(key.clone(), (stored.clone(), read.clone()));
        Ok(read)
    }

    /// The rows as this process reads them: one that it cannot read is an error of all.
    pub(crate) fn read_all(
        &self,
        rows: Vec<(Key, Record)>,
        world: (&MemoryLedger, &Witness),
    ) -> Result<Vec<(Key, Record)>> {
        let read = |(key, record)| {
            let record = self.read(&key, record, world)?;
            Ok((key, record))
        };
        if !matches!(self, Self::Before(_)) {
            return Ok(rows);
        }
        rows.into_iter().map(read).collect()
    }

    /// What this process stores of a change.
    pub(crate) fn write(&self, change: &mut Change, witness: &Witness) -> Result<()> {
        let Some(format) = self.format() else {
            return Ok(());
        };
        for write in &mut change.writes {
            if let Write::Put(key, row) = write {
                **row = through(format, &**row, witness, || {
                    format!("write ledger row {key}")
                })?;
            }
        }
        Ok(())
    }

    /// The place that this process gives to a message.
    pub(crate) fn place(&self, place: &Place) -> Place {
        let mut place = place.clone();
        if matches!(self, Self::Before(_)) {
            place.share = Share::default();
        }
        place
    }

    /// The messages as this process receives them. What it cannot read comes back by itself.
    pub(crate) fn receive(&self, deliveries: &mut Vec<Delivery>, witness: &Witness) {
        let Some(format) = self.format() else {
            return;
        };
        deliveries.retain_mut(|delivery| {
            if matches!(self, Self::Before(_)) {
                // The code of before asks nobody whether he still hurries as much.
                delivery.share.priority = Priority::Background;
            }
            through(format, &delivery.message, witness, || {
                "receive a message".to_owned()
            })
            .is_ok()
        });
    }
}

/// To JSON, as a process of version `format` reads it, and back.
fn through<T: Serialize + DeserializeOwned>(
    format: u32,
    value: &T,
    witness: &Witness,
    operation: impl Fn() -> String,
) -> Result<T> {
    let corrupt = |cause: &dyn std::fmt::Display| Error::corrupt(operation(), cause);
    let mut document = serde_json::to_value(value).map_err(|cause| corrupt(&cause))?;
    format::as_read_by(format, &mut document).map_err(|unknown| corrupt(&unknown))?;
    serde_json::from_value(document).map_err(|cause| {
        let operation = operation();
        witness.violated(format!(
            "{operation}: a newer process cannot read it: {cause}"
        ));
        corrupt(&cause)
    })
}
